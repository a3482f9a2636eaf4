"""The emulated identity provider: passwords and their lock-out, NTLM on one connection, tokens that end."""

import base64
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import spnego
from emulator_vms import BASE, FORM, LOGIN, WINDOWS, detail, operating, reaching

from tocsin.emulator import Fault, XProtectEmulator, XProtectSettings, serve
from tocsin.testing import in_process

NTLM = {"grant_type": "windows_credentials", "client_id": "GrantValidatorClient"}


class Hands:
    """A clock that is turned by hand."""

    now = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_discovery_tells_where_everything_is_in_any_case():
    async with reaching(XProtectEmulator(version="24.2.0.1")) as operator:
        for path in ("/api/.well-known/uris", "/API/.Well-Known/uris/"):
            told = (await operator.http.get(path)).json()
            assert told["ProductVersion"] == "24.2.0.1"
            assert told["ApiGateways"] == [f"{operator.http.base_url}/API/"]
            assert told["IdentityProvider"] == f"{operator.http.base_url}/IDP"
            assert told["SecureManagementServer"] == ""
        openid = (await operator.http.get("/idp/.well-known/openid-configuration")).json()
        assert openid["token_endpoint"] == f"{operator.http.base_url}/IDP/connect/token"
        assert openid["server_version"] == "24.2.0.1"


@pytest.mark.parametrize(
    ("settings", "uris", "alarms"),
    [
        (XProtectSettings(discovery="absent"), 404, 401),
        (XProtectSettings(gateway=False), 404, 404),
        (XProtectSettings(discovery="internal"), 200, 401),
    ],
)
async def test_a_server_may_lack_discovery_or_the_gateway(settings, uris, alarms):
    async with reaching(XProtectEmulator(settings=settings)) as operator:
        told = await operator.http.get("/api/.well-known/uris")
        assert told.status_code == uris
        if uris == 200:
            assert told.json()["ApiGateways"] == ["http://vms-inside.example/API/"]
        assert (await operator.get("/alarms")).status_code == alarms
        direct = await operator.http.post(WINDOWS, data=FORM)
        assert direct.status_code == 200


@pytest.mark.parametrize(
    "path", [LOGIN, "/api/idp/connect/token", "/IDP/connect/token", "/idp/connect/token"]
)
async def test_a_basic_user_gets_a_token_at_the_gateway_and_directly(path):
    emulator = XProtectEmulator(settings=XProtectSettings(token_lifetime=90))
    async with reaching(emulator) as operator:
        reply = await operator.log_in(path)
        told = reply.json()
        assert {**told, "access_token": ""} == {
            "access_token": "",
            "expires_in": 90,
            "token_type": "Bearer",
            "scope": "managementserver",
        }
        assert len(await operator.array("/cameras")) == 3


async def test_a_password_is_taken_as_it_was_encoded():
    emulator = XProtectEmulator(password="a&b=c+d %#ö")
    async with reaching(emulator) as operator:
        assert (await operator.log_in(password="a&b=c+d %#ö")).status_code == 200
        raw = await operator.http.post(
            LOGIN,
            content="grant_type=password&username=demo&password=a&b=c+d %#&client_id=GrantValidatorClient",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert raw.status_code == 400


async def test_wrong_passwords_lock_the_account_out():
    emulator = XProtectEmulator(settings=XProtectSettings(lock_after=2))
    async with reaching(emulator) as operator:
        for code in ("InvalidCredential", "InvalidCredential", "LockedOut"):
            reply = await operator.log_in(password="wrong")
            assert reply.status_code == 400
            assert reply.json() == {
                "error": "invalid_grant",
                "error_description": "invalid_username_or_password",
                "error_code": code,
            }
        assert (await operator.log_in()).json()["error_code"] == "LockedOut"  # the right one, too late
        emulator.access.unlock("demo")
        assert (await operator.log_in()).status_code == 200


async def test_a_right_password_forgives_wrong_ones():
    emulator = XProtectEmulator(settings=XProtectSettings(lock_after=2))
    async with reaching(emulator) as operator:
        for _ in range(3):
            await operator.log_in(password="wrong")
            assert (await operator.log_in()).status_code == 200


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
async def test_wrong_windows_passwords_lock_the_account_out_until_it_is_unlocked(scheme):
    emulator = XProtectEmulator(settings=XProtectSettings(lock_after=2))
    async with reaching(emulator) as operator:
        for password, status in (
            ("wrong", 401),
            ("demo", 200),
            ("wrong", 401),
            ("wrong", 401),
            ("demo", 401),
        ):
            reply = await handshake(operator.http, "domain\\Demo", password, scheme=scheme)
            assert reply.status_code == status
        assert (await operator.log_in()).status_code == 200  # the basic user is another one
        emulator.access.unlock("DOMAIN\\demo")
        assert (await handshake(operator.http, scheme=scheme)).status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "magic"}, "unsupported_grant_type"),
        ({"client_id": "me"}, "invalid_client"),
        ({"username": "nobody"}, "invalid_grant"),
        (
            {"grant_type": "client_credentials", "client_id": "service", "client_secret": "x"},
            "invalid_client",
        ),
    ],
)
async def test_what_is_no_login_is_refused_as_oauth_does(form, error):
    async with reaching(XProtectEmulator()) as operator:
        reply = await operator.log_in(**form)
        assert (reply.status_code, reply.json()["error"]) == (400, error)


async def test_a_login_is_a_form():
    async with reaching(XProtectEmulator()) as operator:
        assert (await operator.http.post(LOGIN, json=FORM)).json() == {"error": "invalid_request"}
        assert (await operator.http.get(LOGIN)).status_code == 405


async def test_a_service_logs_in_with_its_secret():
    form = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "secret"}
    async with operating(XProtectEmulator(), **form) as operator:
        assert (await operator.get("/alarms")).status_code == 200


async def test_a_token_ends_in_time_by_order_and_when_it_is_forgotten():
    clock = Hands()
    emulator = XProtectEmulator(clock=clock, settings=XProtectSettings(token_lifetime=60))
    async with operating(emulator) as operator:
        clock.now += timedelta(seconds=59)
        assert (await operator.get("/alarms")).status_code == 200
        clock.now += timedelta(seconds=1)
        reply = await operator.get("/alarms")
        assert reply.status_code == 401
        assert "expired" in detail(reply)["errorText"]
        assert "invalid_token" in reply.headers["www-authenticate"]
        assert (await operator.log_in()).status_code == 200
        emulator.access.expire_tokens()
        assert "expired" in detail(await operator.get("/alarms"))["errorText"]
        await operator.log_in()
        emulator.access.revoke_tokens()
        assert "invalid" in detail(await operator.get("/alarms"))["errorText"]
        del operator.http.headers["Authorization"]
        assert (await operator.get("/alarms")).status_code == 401


async def test_an_ordered_401_looks_like_an_expired_token():
    emulator = XProtectEmulator()
    async with operating(emulator) as operator:
        emulator.faults.add(Fault("status", path="/api/rest/v1/alarms*", status=401))
        reply = await operator.http.get("/API/REST/V1/alarms")
        assert reply.status_code == 401
        assert "expired" in detail(reply)["errorText"]
        assert (await operator.get("/alarms")).status_code == 200


async def handshake(http, user="DOMAIN\\demo", password="demo", *, scheme="NTLM", path=WINDOWS, last=None):
    """NTLM as a client does it; `last` sends the last message."""
    context = spnego.client(
        user, password, hostname="vms", protocol=scheme.lower(), options=spnego.NegotiateOptions.use_ntlm
    )
    offered = await http.post(path, data=NTLM)
    assert offered.status_code == 401
    if "www-authenticate" not in offered.headers:
        return offered
    assert {scheme} <= set(offered.headers.get_list("www-authenticate"))
    token = context.step()
    challenged = await http.post(path, data=NTLM, headers=authorization(scheme, token))
    assert challenged.status_code == 401
    given = challenged.headers["www-authenticate"].removeprefix(f"{scheme} ")
    token = context.step(base64.b64decode(given))
    return await (last or http).post(path, data=NTLM, headers=authorization(scheme, token))


def authorization(scheme, token):
    return {"Authorization": f"{scheme} {base64.b64encode(token).decode()}"}


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
@pytest.mark.parametrize(
    ("user", "path"), [("DOMAIN\\demo", WINDOWS), ("domain\\DEMO", "/idp/Connect/Token")]
)
async def test_a_windows_user_logs_in_on_one_connection(scheme, user, path):
    async with reaching(XProtectEmulator()) as operator:
        reply = await handshake(operator.http, user, scheme=scheme, path=path)
        assert reply.status_code == 200, reply.text
        operator.http.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
        assert (await operator.get("/alarms")).status_code == 200


@pytest.mark.parametrize(
    ("user", "password"), [("DOMAIN\\demo", "wrong"), ("DOMAIN\\nobody", "demo"), ("OTHER\\demo", "demo")]
)
async def test_a_wrong_windows_login_is_401(user, password):
    async with reaching(XProtectEmulator()) as operator:
        assert (await handshake(operator.http, user, password)).status_code == 401


async def test_a_windows_user_logs_in_over_a_socket_and_works_as_the_vendors_sample_does():
    async with (
        serve(XProtectEmulator()) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        reply = await handshake(http)
        assert (reply.status_code, server.connections_made) == (200, 1)
        headers = {"Authorization": f"Bearer {reply.json()['access_token']}"}
        [camera, *_] = (await http.get(f"{BASE}/cameras", headers=headers)).json()["array"]
        body = {"name": "Door", "message": "Forced", "source": camera["id"]}
        posted = await http.post(f"{BASE}/alarms", json=body, headers=headers)
        alarm = posted.json()["data"]["id"]
        read = await http.get(f"{BASE}/alarms/{alarm}?include=data", headers=headers)
        assert (posted.status_code, read.status_code) == (202, 200)


async def test_a_handshake_does_not_survive_another_connection_nor_a_locked_account():
    emulator = XProtectEmulator()
    async with (
        in_process(emulator) as server,
        httpx.AsyncClient(transport=server.transport_factory(), base_url=server.url) as one,
        httpx.AsyncClient(transport=server.transport_factory(), base_url=server.url) as other,
    ):
        assert (await handshake(one, last=other)).status_code == 401
        emulator.access.lock("DOMAIN\\demo")
        assert (await handshake(one)).status_code == 401
        emulator.access.unlock("DOMAIN\\demo")
        assert (await handshake(one)).status_code == 200
        reply = await handshake(one, path=LOGIN)  # the gateway hands no handshake through
        assert (reply.status_code, "www-authenticate" in reply.headers) == (401, False)


@pytest.mark.parametrize("text", ["NTLM", "NTLM !", "NTLM AAAA", "Negotiate YIIA", "Basic ZGVtbzpkZW1v"])
async def test_what_is_no_handshake_is_401(text):
    async with reaching(XProtectEmulator()) as operator:
        reply = await operator.http.post(WINDOWS, data=NTLM, headers={"Authorization": text})
        assert reply.status_code == 401
        assert (await handshake(operator.http)).status_code == 200


def test_without_pyspnego_windows_users_are_told():
    code = """
import sys
sys.modules["spnego"] = None
from tocsin.emulator import RefusedError, XProtectEmulator
from tocsin.emulator._xprotect_ntlm import NtlmGate
try:
    NtlmGate(XProtectEmulator().access).step(("127.0.0.1", 1), None)
except RefusedError as refused:
    print(refused.status, refused)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert told.stdout.startswith("501 ")
    assert "tocsin[ntlm]" in told.stdout
