"""TLS on real sockets: verified by default, one's own CA, client certificates, and what each failure says."""

import ssl

import anyio
import pytest
import trustme
from http_servers import OK, replying, serving, until

from tocsin._http._core import HttpCore
from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy
from tocsin._http._transport import TlsSettings
from tocsin.errors import ConfigurationError, ConnectError, RequestTimeoutError, TransportError

pytestmark = pytest.mark.usefixtures("transport")

GET = Request("GET", "/x")
POST = Request("POST", "/x", body=b"{}")
ONCE = RetryPolicy.none()


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def client_files(ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    cert = ca.issue_cert("ada@example.com")
    cert.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    cert.private_key_pem.write_to_path(folder / "key.pem")
    cert.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    return folder


def server_context(ca, *names, want_client=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if want_client:
        context.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(context)
    return context


def https(server):
    return f"https://127.0.0.1:{server.port}"


async def test_own_ca_as_file_path_folder_and_context(ca, ca_file):
    own = ssl.create_default_context(cafile=ca_file)
    async with serving(replying(OK), server_context(ca)) as server:
        for verify in (str(ca_file), ca_file, own, False):
            async with HttpCore(https(server), verify=verify) as client:
                assert (await client.send(POST)).json() == {}
                async with client.session() as session:
                    assert (await session.send(POST)).json() == {}
    await until(lambda: server.open == 0)


@pytest.mark.parametrize(
    ("names", "trusted", "problem"),
    [
        (("127.0.0.1",), False, "unable to get local issuer certificate|self-signed certificate"),
        (("elsewhere.example",), True, "not valid for '127.0.0.1'"),
    ],
)
async def test_a_certificate_that_does_not_verify_is_named_and_not_tried_again(
    ca, ca_file, names, trusted, problem
):
    async with serving(replying(OK), server_context(ca, *names)) as server:
        async with HttpCore(https(server), verify=ca_file if trusted else True) as client:
            with pytest.raises(ConnectError, match=problem) as caught:
                await client.send(GET)
        assert "its certificate was not accepted" in str(caught.value)
        assert "verify=" in str(caught.value)
        assert caught.value.permanent is True
        assert caught.value.attempts == 1
        assert server.requests == []


async def test_a_client_certificate_is_presented(ca, ca_file, client_files):
    both, pair = client_files / "both.pem", (client_files / "cert.pem", str(client_files / "key.pem"))
    async with serving(replying(OK), server_context(ca, want_client=True)) as server:
        for cert in (both, pair):
            async with HttpCore(https(server), verify=ca_file, cert=cert) as client:
                assert (await client.send(GET)).status == 200


async def test_a_missing_client_certificate_is_named(ca, ca_file):
    async with (
        serving(replying(OK), server_context(ca, want_client=True)) as server,
        HttpCore(https(server), verify=ca_file, retry=ONCE) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.send(GET)
    assert "client certificate (cert=)" in str(caught.value) or "broke" in str(caught.value)


async def test_https_to_a_plain_port_says_so(ca_file):
    async def plain(server, stream, number):
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with serving(plain) as server, HttpCore(https(server), verify=ca_file) as client:
        with pytest.raises(ConnectError, match="does not speak TLS on this port: is it http://") as caught:
            await client.send(GET)
        assert caught.value.attempts == 1


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "timed out"])
async def test_a_handshake_that_never_answers_leaves_no_socket(ca_file, cancelled):
    async def silent(server, stream, number):
        while True:
            await stream.receive()

    async with serving(silent) as server:
        limits = Timeouts(connect=0.05 if not cancelled else 5)
        async with HttpCore(https(server), verify=ca_file, timeouts=limits, retry=ONCE) as client:
            if cancelled:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.send, GET)
                    await until(lambda: server.open == 1)
                    await anyio.wait_all_tasks_blocked()
                    tasks.cancel_scope.cancel()
            else:
                with pytest.raises(
                    RequestTimeoutError, match=r"no connection to 127.0.0.1:\d+ within 0.05 s"
                ) as caught:
                    await client.send(POST)
                assert caught.value.maybe_applied is False
            await until(lambda: server.open == 0)  # while the client is still open


def test_the_public_cas_are_loaded_once():
    assert TlsSettings().context() is TlsSettings().context()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"verify": "/nowhere/ca.pem"}, "no file or folder '/nowhere/ca.pem'"),
        ({"verify": __file__}, "no certificates in PEM"),
        ({"cert": "/nowhere/cert.pem"}, "does not exist"),
        ({"cert": __file__}, "certificate and its key"),
    ],
)
async def test_files_that_are_missing_or_wrong_are_named_on_entering(settings, says):
    client = HttpCore("https://acme.example.com", **settings)
    with pytest.raises(ConfigurationError, match=says):
        async with client:
            pass


def test_a_client_certificate_beside_an_own_context_is_refused():
    with pytest.raises(ConfigurationError, match="load_cert_chain"):
        HttpCore("https://acme.example.com", verify=ssl.create_default_context(), cert="x.pem")


async def test_a_key_with_a_password_needs_it_and_never_shows_it(ca, ca_file, client_files, tmp_path):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((client_files / "key.pem").read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    cert = client_files / "cert.pem"
    async with (
        serving(replying(OK), server_context(ca, want_client=True)) as server,
        HttpCore(https(server), verify=ca_file, cert=(cert, locked, "hunter2")) as client,
    ):
        assert (await client.send(GET)).status == 200
    for wrong in ((cert, locked), (cert, locked, "hunter3")):
        with pytest.raises(ConfigurationError, match="password is wrong") as caught:
            await HttpCore("https://acme.example.com", cert=wrong).__aenter__()
        assert "hunter" not in str(caught.value) + repr(TlsSettings(cert=wrong))
