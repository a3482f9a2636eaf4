"""Devices that log in by certificate, over real TLS on loopback."""

import ssl
from contextlib import asynccontextmanager

import anyio
import pytest
import trustme

from tocsin import AuthenticationError, ConfigurationError, RetryPolicy, TransportError
from tocsin.cumulocity import Cumulocity, DeviceCertificate
from tocsin.emulator import Emulator, Fault, LoginSettings
from tocsin.emulator.serve import serve

TOKEN = ("POST", "/devicecontrol/deviceAccessToken")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    device(authority, folder, "device-7")
    device(authority, folder, "unknown-8")
    device(authority.create_child_ca(), folder, "chained-9")
    device(trustme.CA(), folder, "foreign-10")
    return folder


def device(issuer, folder, name):
    cert = issuer.issue_cert(f"{name}.example.com", common_name=name)
    (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    cert.private_key_pem.write_to_path(folder / f"{name}.key")
    cert.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}-both.pem")


@asynccontextmanager
async def platform(authority, **options):
    """One emulator at two ports: the second asks for certificates."""
    emulator = Emulator(tenant="t1", **options)
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2)]
    issued = authority.issue_cert("127.0.0.1")
    for context in contexts:
        issued.configure_cert(context)
    contexts[1].verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(contexts[1])
    async with serve(emulator, tls=contexts[0]) as calls, serve(emulator, tls=contexts[1]) as logins:
        yield emulator, calls, logins


def client(files, calls, logins, name, **options):
    auth = DeviceCertificate(files / f"{name}.pem", files / f"{name}.key", port=logins.port)
    return Cumulocity(calls.url, auth, verify=files / "ca.pem", retry=RetryPolicy.none(), **options)


async def test_a_device_logs_in_by_certificate_once_for_all_calls(authority, files):
    async with platform(authority) as (emulator, calls, logins):
        emulator.access.add_device("device-7")
        async with client(files, calls, logins, "device-7") as c8y:
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(c8y.alarms.count)
            emulator.access.expire_tokens()
            assert await c8y.alarms.count() == 0
        assert emulator.requests.by[TOKEN] == 2
        assert logins.connections_made == 2  # nothing but log-ins goes there
        assert calls.connections_made >= 1


async def test_a_chain_is_shown_and_the_key_may_stand_in_the_same_file(authority, files):
    async with platform(authority) as (emulator, calls, logins):
        emulator.access.add_device("chained-9")
        auth = DeviceCertificate(files / "chained-9-both.pem", port=logins.port)
        async with Cumulocity(calls.url, auth, verify=files / "ca.pem") as c8y:
            assert await c8y.alarms.count() == 0


async def test_a_certificate_that_is_refused_is_told_as_that_and_tried_once(authority, files):
    async with platform(authority) as (emulator, calls, logins):
        async with client(files, calls, logins, "unknown-8") as c8y:
            for _ in range(3):
                with pytest.raises(AuthenticationError, match="no authority that the tenant trusts"):
                    await c8y.alarms.count()
        assert emulator.requests.by[TOKEN] == 1
        emulator.faults.add(Fault("status", path=TOKEN[1], status=404))
        async with client(files, calls, logins, "unknown-8") as c8y:
            with pytest.raises(AuthenticationError, match="switched off"):
                await c8y.alarms.count()


async def test_tls_that_refuses_the_certificate_is_no_answer(authority, files):
    async with platform(authority) as (emulator, calls, logins):
        async with client(files, calls, logins, "foreign-10") as c8y:
            with pytest.raises(TransportError) as caught:
                await c8y.alarms.count()
        assert not caught.value.maybe_applied
        assert emulator.requests.total == 0


async def test_the_device_access_tokens_can_be_off(authority, files):
    off = LoginSettings(certificates=False)
    async with (
        platform(authority, login=off) as (_, calls, logins),
        client(files, calls, logins, "device-7") as c8y,
    ):
        with pytest.raises(AuthenticationError, match="switched off"):
            await c8y.alarms.count()


async def test_a_renewed_certificate_is_taken_up(authority, files, tmp_path):
    async with platform(authority) as (emulator, calls, logins):
        emulator.access.add_device("device-7")
        emulator.access.add_device("later-11")
        for end in ("pem", "key"):
            (tmp_path / f"c.{end}").write_bytes((files / f"device-7.{end}").read_bytes())
        auth = DeviceCertificate(tmp_path / "c.pem", tmp_path / "c.key", port=logins.port)
        async with Cumulocity(calls.url, auth, verify=files / "ca.pem") as c8y:
            await c8y.alarms.count()
            device(authority, tmp_path, "later-11")
            for end in ("pem", "key"):
                (tmp_path / f"later-11.{end}").replace(tmp_path / f"c.{end}")
            emulator.access.expire_tokens()
            await c8y.alarms.count()
            emulator.store.add_device(id="4711")
            await c8y.alarms.create(type="a", text="b", severity="MAJOR", source="4711")
            assert "device_later-11" in str(emulator.access._tokens.values())


async def test_misuse_is_told_before_anything_is_sent(files, tmp_path):
    good = DeviceCertificate(files / "device-7.pem", files / "device-7.key", password="key-hunter2")
    assert "hunter2" not in repr(good) + repr(good.endpoint)
    with pytest.raises(ConfigurationError, match="https"):
        Cumulocity("http://localhost", good)
    with pytest.raises(ConfigurationError, match="path to the authorities"):
        Cumulocity("https://localhost", good, verify=ssl.create_default_context())
    for bad in (
        {"cert": tmp_path / "no.pem"},
        {"cert": "x", "key": 7},
        {"cert": files / "ca.pem", "port": 0},
    ):
        with pytest.raises(ConfigurationError, match="DeviceCertificate"):
            DeviceCertificate(**bad)
    (tmp_path / "empty.pem").write_text("hello")
    auth = DeviceCertificate(tmp_path / "empty.pem")
    async with Cumulocity("https://localhost:1", auth, retry=RetryPolicy.none()) as c8y:
        with pytest.raises(ConfigurationError, match="PEM"):
            await c8y.alarms.count()
