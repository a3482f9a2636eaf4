"""Log-ins at the emulated XProtect: every kind of user, every kind of site, in process and on sockets."""

import logging
import ssl
from contextlib import asynccontextmanager

import anyio
import pytest
import trustme

from tocsin import Request, XProtect
from tocsin.emulator import XProtectEmulator, XProtectSettings, serve
from tocsin.errors import AuthenticationError, ConfigurationError, ConnectError, NotFoundError
from tocsin.testing import in_process
from tocsin.xprotect import BasicUser, ClientCredentials, WindowsUser

ALARMS = Request("GET", "/alarms", (("page", "0"), ("size", "10")))
BASIC = BasicUser("demo", "demo")
WINDOWS = WindowsUser(r"DOMAIN\demo", "demo")
SERVICE = ClientCredentials("service", "secret")
WRONG = [
    BasicUser("demo", "wr0ng-one"),
    WindowsUser(r"DOMAIN\demo", "wr0ng-one"),
    ClientCredentials("service", "wr0ng-one"),
]


def kind(user):
    return type(user).__name__


def log_ins(emulator):
    return sum(count for (_, path), count in emulator.requests.by.items() if path.lower().endswith("/token"))


@asynccontextmanager
async def entered(emulator, user, **options):
    async with (
        in_process(emulator) as server,
        XProtect(server.url, user, transport_factory=server.transport_factory, **options) as x,
    ):
        yield x


@pytest.mark.parametrize("user", [BASIC, WINDOWS, SERVICE], ids=kind)
@pytest.mark.parametrize("discovery", ["here", "absent", "internal"])
async def test_every_user_at_every_site(user, discovery):
    emulator = XProtectEmulator(settings=XProtectSettings(discovery=discovery))
    async with entered(emulator, user) as x:
        assert (await x.send(ALARMS)).json()["array"] == []
        emulator.access.expire_tokens()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(x.send, ALARMS)
    assert log_ins(emulator) == (6 if user is WINDOWS else 2)


@pytest.mark.virtual_time
@pytest.mark.parametrize("user", WRONG, ids=kind)
async def test_a_wrong_password_is_one_try_and_locks_nobody_out(user):
    emulator = XProtectEmulator(settings=XProtectSettings(lock_after=2))
    async with entered(emulator, user) as x:
        for wait in (0, 10, 800):
            await anyio.sleep(wait)
            with pytest.raises(AuthenticationError, match="not tried again") as caught:
                await x.send(ALARMS)
            assert "wr0ng" not in repr(vars(caught.value)) + str(caught.value)
    assert log_ins(emulator) == (3 if isinstance(user, WindowsUser) else 1)
    assert not emulator.access.locked(user.name)


async def test_an_account_that_is_locked_out():
    emulator = XProtectEmulator()
    emulator.access.lock("demo")
    async with entered(emulator, BASIC) as x:
        with pytest.raises(AuthenticationError, match="'demo' is locked out") as caught:
            await x.send(ALARMS)
    assert caught.value.error == "invalid_grant"
    assert log_ins(emulator) == 1


@pytest.mark.parametrize("user", [BASIC, WINDOWS, SERVICE], ids=kind)
async def test_a_server_without_a_gateway(user):
    emulator = XProtectEmulator(settings=XProtectSettings(gateway=False))
    async with entered(emulator, user) as x:
        with pytest.raises(ConfigurationError, match="there is no API Gateway"):
            await x.send(ALARMS)


async def test_a_server_that_is_too_old():
    async with entered(XProtectEmulator(version="23.1.0.1"), BASIC) as x:
        with pytest.raises(ConfigurationError, match=r"2023 R1 \(23\.1\): alarms over REST need 2023 R2"):
            await x.send(ALARMS)


async def test_an_alarm_that_is_not_there_is_no_missing_gateway():
    emulator = XProtectEmulator(settings=XProtectSettings(discovery="absent"))
    async with entered(emulator, SERVICE) as x:
        with pytest.raises(NotFoundError) as caught:
            await x.send(Request("GET", "/alarms/00000000-0000-0000-0000-000000000001"))
    assert caught.value.error is not None


@pytest.mark.parametrize("transport", ["httpx", "direct"])
@pytest.mark.parametrize("user", [BASIC, WINDOWS], ids=kind)
async def test_on_sockets(transport, user, monkeypatch, caplog):
    monkeypatch.setenv("TOCSIN_TRANSPORT", transport)
    caplog.set_level(logging.DEBUG)
    emulator = XProtectEmulator()
    async with (
        serve(emulator) as served,
        XProtect(served.url, user) as x,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(10):
            tasks.start_soon(x.send, ALARMS)
    assert log_ins(emulator) == (3 if user is WINDOWS else 1)
    assert "TlRMTVNTUA" not in caplog.text


@pytest.mark.parametrize("user", [BASIC, WINDOWS], ids=kind)
async def test_an_authority_of_the_sites_own(user, tmp_path):
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serve(XProtectEmulator(), tls=tls) as served:
        async with XProtect(served.url, user, verify=tmp_path / "ca.pem") as x:
            assert (await x.send(ALARMS)).status == 200
        async with XProtect(served.url, user) as x:
            with pytest.raises(ConnectError, match="give its certificate: verify=") as caught:
                await x.send(ALARMS)
            assert caught.value.permanent
