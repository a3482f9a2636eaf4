"""The emulator's log-ins, by plain httpx."""

import base64
import json

import anyio
import pytest
from emulator_talk import talking

from tocsin.emulator import Emulator, LoginSettings
from tocsin.testing import VirtualWallClock

FORM = {"grant_type": "PASSWORD", "username": "demo", "password": "demo"}


async def log_in(talk, path="/tenant/oauth/token", **fields):
    return await talk.http.post(path, data={**FORM, **fields}, auth=None)


async def status(talk, token):
    headers = {"Authorization": f"Bearer {token}"}
    return (await talk.http.get("/user/currentUser", headers=headers, auth=None)).status_code


@pytest.mark.virtual_time
async def test_a_token_is_good_for_its_lifetime():
    emulator = Emulator(clock=VirtualWallClock(), login=LoginSettings(lifetime=300))
    async with talking(emulator) as talk:
        talk.http.auth = None
        reply = await log_in(talk)
        assert reply.status_code == 200
        token = reply.json()["access_token"]
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        assert (claims["sub"], claims["ten"]) == ("demo", "t1")
        assert claims["exp"] == 1767225600 + 300
        assert await status(talk, token) == 200
        await anyio.sleep(301)
        assert await status(talk, token) == 401


@pytest.mark.parametrize(
    ("fields", "query", "code"),
    [
        ({}, "", 200),
        ({}, "?tenant_id=t1", 200),
        ({"username": "t1/demo"}, "", 200),
        ({"tfa_code": "undefined"}, "", 200),
        ({"username": "t2/demo"}, "", 401),
        ({}, "?tenant_id=t2", 401),
        ({"password": "no"}, "", 401),
        ({"username": "nobody"}, "", 401),
        ({"username": ""}, "", 401),
        ({"password": ""}, "", 401),
        ({"grant_type": "AUTHORIZATION_CODE"}, "", 400),
        ({"grant_type": ""}, "", 400),
    ],
)
async def test_what_a_log_in_needs(fields, query, code):
    async with talking(Emulator()) as talk:
        assert (await log_in(talk, f"/tenant/oauth/token{query}", **fields)).status_code == code
        assert (await log_in(talk, f"/tenant/oauth{query}", **fields)).status_code == code


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{}", "application/json", 415),
        (b"", "application/x-www-form-urlencoded", 400),
        (b"grant_type=PASSWORD&username=\xff", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 30, "application/x-www-form-urlencoded", 400),
        (b"grant_type=PASSWORD&username=%FF&password=%00", "application/x-www-form-urlencoded", 401),
        (b"grant_type=PASSWORD", "application/x-www-form-urlencoded;charset=UTF-8", 401),
    ],
)
async def test_odd_forms_are_refused(body, kind, code):
    async with talking(Emulator()) as talk:
        reply = await talk.http.post(
            "/tenant/oauth/token", content=body, headers={"Content-Type": kind}, auth=None
        )
        assert reply.status_code == code
        assert reply.json()["error"]


async def test_cookies_count_with_their_header_only():
    async with talking(Emulator()) as talk:
        talk.http.auth = None
        reply = await log_in(talk, "/tenant/oauth")
        assert (reply.status_code, reply.content) == (200, b"")
        first, second = reply.headers.get_list("set-cookie")
        assert first.startswith("authorization=")
        assert first.endswith("; HttpOnly")
        assert second.startswith("XSRF-TOKEN=")
        xsrf = talk.http.cookies["XSRF-TOKEN"]
        for headers, code in (({}, 401), ({"X-XSRF-TOKEN": "x"}, 401), ({"X-XSRF-TOKEN": xsrf}, 200)):
            assert (await talk.http.get("/alarm/alarms", headers=headers)).status_code == code
        await talk.http.post("/user/logout", headers={"X-XSRF-TOKEN": xsrf})
        assert (await talk.http.get("/alarm/alarms", headers={"X-XSRF-TOKEN": xsrf})).status_code == 401


async def test_the_oldest_session_is_ended():
    async with talking(Emulator(login=LoginSettings(sessions=2))) as talk:
        talk.http.auth = None
        tokens = [(await log_in(talk)).json()["access_token"] for _ in range(3)]
        assert [await status(talk, token) for token in tokens] == [401, 200, 200]
        headers = {"Authorization": f"Bearer {tokens[1]}"}
        assert (await talk.http.post("/user/logout", headers=headers)).status_code == 200
        assert [await status(talk, token) for token in tokens] == [401, 401, 200]


async def test_a_second_factor_is_asked_for():
    emulator = Emulator()
    emulator.access.add_user("eve", "pw", code="123456")
    async with talking(emulator) as talk:
        talk.http.auth = None
        for fields in ({}, {"tfa_code": "1"}, {"tfa_token": "1"}):
            reply = await log_in(talk, username="eve", password="pw", **fields)
            assert reply.status_code == 401
            assert "TOTP" in reply.json()["message"]
        for name in ("tfa_code", "tfa_token"):  # the specification's name, and that of the Python clients
            right = await log_in(talk, username="eve", password="pw", **{name: "123456"})
            assert right.status_code == 200
        assert "123456" not in repr(emulator.access.add_user("eve", "pw", code="123456"))


async def test_basic_can_be_forbidden_and_the_options_say_so():
    emulator = Emulator(login=LoginSettings(basic=False))
    emulator.access.add_user("boot", "pw", "bootstrap")
    async with talking(emulator) as talk:
        reply = await talk.http.get("/tenant/currentTenant")
        assert reply.status_code == 401
        assert "Basic" in reply.json()["message"]
        options = (await talk.http.get("/tenant/loginOptions", auth=None)).json()["loginOptions"]
        assert [option["type"] for option in options] == ["OAUTH2_INTERNAL"]
        path = "/application/currentApplication/subscriptions"
        assert (await talk.http.get(path, auth=("t1/boot", "pw"))).status_code == 200
    async with talking(Emulator(login=LoginSettings(internal=False))) as talk:
        options = (await talk.http.get("/tenant/loginOptions", auth=None)).json()["loginOptions"]
        assert [option["type"] for option in options] == ["BASIC"]
        assert (await log_in(talk)).status_code == 404


async def test_bootstrap_users_are_told_the_subscriptions_and_nothing_else():
    emulator = Emulator()
    emulator.access.add_user("boot", "pw", "bootstrap")
    emulator.access.subscribe("service_acme", "one")
    emulator.access.subscribe("service_acme", "two", tenant="t2")
    path = "/application/currentApplication/subscriptions"
    async with talking(emulator, "boot", "pw") as talk:
        users = (await talk.http.get(path)).json()["users"]
        assert users == [
            {"tenant": "t1", "name": "service_acme", "password": "one"},
            {"tenant": "t2", "name": "service_acme", "password": "two"},
        ]
        assert (await talk.http.get("/alarm")).status_code == 403
    async with talking(emulator, "service_acme", "one") as talk:
        assert (await talk.http.get(path)).status_code == 403
        assert (await talk.http.get("/alarm/alarms/count")).status_code == 200
