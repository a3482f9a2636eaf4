"""Proxies from the environment and as given, on real sockets; NO_PROXY; what their failures say."""

import base64
import ssl

import anyio
import pytest
import trustme
from http_servers import OK, replying, serving, until

from tocsin._http._core import HttpCore
from tocsin._http._proxies import Proxy, find_proxy
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin._http._url import BaseUrl
from tocsin.errors import ConfigurationError, ConnectError, ServerError

GET = Request("GET", "/x")
POST = Request("POST", "/x", body=b"{}")
ONCE = RetryPolicy.none()
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def tunnelling(target, reply=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A proxy that answers CONNECT and joins the client with `target`, whatever host was asked for."""

    async def handler(server, stream, number):
        head = await server.read_request(stream)
        if head is None:
            return
        await stream.send(reply)
        if b" 200 " not in reply:
            return
        onward = await anyio.connect_tcp("127.0.0.1", target.port)
        async with onward, anyio.create_task_group() as tasks:
            tasks.start_soon(copy, stream, onward, tasks)
            await copy(onward, stream, tasks)

    return handler


async def copy(source, sink, tasks):
    try:
        async for piece in source:
            await sink.send(piece)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    tasks.cancel_scope.cancel()


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(ca, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


def certified(ca, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


async def test_an_https_call_goes_through_the_environments_connect_proxy(monkeypatch, ca, trust):
    async with (
        serving(replying(OK), certified(ca, "c8y.test")) as target,
        serving(tunnelling(target)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:pw%2F1@127.0.0.1:{proxy.port}")
        async with HttpCore("https://c8y.test", verify=trust) as client:
            assert (await client.send(POST)).json() == {}
            async with client.session() as session:
                assert (await session.send(POST)).json() == {}
        head = proxy.requests[0][0]
        assert head.startswith(b"CONNECT c8y.test:443 ")
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ada:pw/1") in head
        assert len(proxy.requests) == 2
        assert b"roxy-Authorization" not in target.requests[0][0]
        await until(lambda: proxy.open == target.open == 0)


async def test_a_plain_call_goes_through_the_environments_proxy(monkeypatch):
    async with serving(replying(OK)) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        async with HttpCore("http://c8y.test:8111") as client:
            assert (await client.send(GET)).json() == {}
        assert proxy.requests[0][0].startswith(b"GET http://c8y.test:8111/x HTTP/1.1")


async def test_trust_env_off_and_loopback_go_straight(monkeypatch):
    async with serving(replying(OK)) as server:
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        async with HttpCore(server.url) as client:
            assert (await client.send(GET)).json() == {}
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with HttpCore("https://nothing.invalid", trust_env=False, retry=ONCE) as client:
        with pytest.raises(ConnectError, match="cannot be resolved"):
            await client.send(GET)


@pytest.mark.parametrize(
    ("reply", "permanent", "attempts"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", True, 1),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", False, 2),
    ],
)
async def test_a_proxy_that_refuses_is_named_and_nothing_left(reply, permanent, attempts):
    async with serving(tunnelling(None, reply)) as proxy:
        url = f"http://ada:hunter2@127.0.0.1:{proxy.port}"
        async with HttpCore(
            "https://c8y.test", proxy=url, retry=RetryPolicy(2, wait_initial=0.001)
        ) as client:
            with pytest.raises(
                ConnectError, match=rf"the proxy 127.0.0.1:{proxy.port} refused the connection: [45]0"
            ) as caught:
                await client.send(POST)
    assert (caught.value.permanent, caught.value.attempts) == (permanent, attempts)
    assert caught.value.maybe_applied is False
    assert "hunter2" not in str(caught.value)


async def test_a_proxy_that_breaks_off_during_connect_means_that_nothing_left():
    async def close(server, stream, number):
        await server.read_request(stream)

    async with (
        serving(close) as proxy,
        HttpCore(
            "https://c8y.test",
            proxy=f"http://127.0.0.1:{proxy.port}",
            retry=RetryPolicy(3, wait_initial=0.001),
        ) as client,
    ):
        with pytest.raises(ConnectError, match=r"c8y.test:443 through the proxy 127.0.0.1:\d+") as caught:
            await client.send(POST)
    assert caught.value.maybe_applied is False
    assert caught.value.attempts == 3


async def test_an_answer_of_a_forward_proxy_is_a_status_error():
    page = b"<html><title>Gateway Timeout</title></html>"
    reply = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    async with (
        serving(replying(reply)) as proxy,
        HttpCore("http://c8y.test", proxy=f"http://127.0.0.1:{proxy.port}", retry=ONCE) as client,
    ):
        with pytest.raises(ServerError, match="an HTML page titled 'Gateway Timeout'"):
            await client.send(GET)


async def test_a_tunnel_that_is_cancelled_in_its_handshake_leaves_no_socket(trust):
    async def silent(server, stream, number):
        while True:
            await stream.receive()

    async with (
        serving(silent) as target,
        serving(tunnelling(target)) as proxy,
        HttpCore(
            "https://c8y.test", proxy=f"http://127.0.0.1:{proxy.port}", verify=trust, max_in_flight=1
        ) as client,
    ):
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.send, GET)
                await until(lambda: target.open == 1)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            await until(lambda: proxy.open == target.open == 0)


def found(url, **env):
    return find_proxy(BaseUrl.parse(url), None, trust_env=True)


@pytest.mark.parametrize(
    ("env", "url", "address"),
    [
        ({}, "https://acme.example.com", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://acme.example.com", "p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://acme.example.com", None),
        ({"all_proxy": "p:3128"}, "http://acme.example.com", "p:3128"),
        ({"https_proxy": "p:1", "ALL_PROXY": "q:2"}, "https://acme.example.com", "p:1"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "https://acme.example.com", "[::1]:3128"),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "*"}, "https://acme.example.com", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "other, example.com"}, "https://acme.example.com", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": ".example.com"}, "https://acme.example.com", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "*.EXAMPLE.com"}, "https://acme.example.com", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "ample.com"}, "https://acme.example.com", "p"),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "acme.example.com:8443"}, "https://acme.example.com:8443", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "acme.example.com:8443"}, "https://acme.example.com", "p"),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", "p"),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "10.1.2.3"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "fd00::/8"}, "https://[fd00::1]", None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "[fd00::1]"}, "https://[fd00::1]:8443", None),
        ({"HTTPS_PROXY": "p"}, "https://127.0.0.1:8443", None),
        ({"HTTPS_PROXY": "p"}, "https://localhost", None),
        ({"HTTPS_PROXY": ""}, "https://acme.example.com", None),
    ],
)
def test_the_environment_says_which_proxy_is_used(monkeypatch, env, url, address):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    proxy = found(url)
    assert (proxy.address if proxy else None) == address


def test_a_proxy_that_is_given_counts_alone(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://other:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert find_proxy(BaseUrl.parse("https://127.0.0.1"), "http://p:3128", trust_env=True).address == "p:3128"


@pytest.mark.parametrize("wrong", ["ftp://p:1", "http://", "http://p:port", "http://[::1", "://"])
def test_what_is_no_proxy_is_refused(monkeypatch, wrong):
    with pytest.raises(ConfigurationError, match="proxy="):
        HttpCore("https://acme.example.com", proxy=wrong)
    monkeypatch.setenv("HTTPS_PROXY", wrong)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY of the environment"):
        HttpCore("https://acme.example.com")


def test_a_proxys_password_is_a_secret_in_both_spellings():
    proxy = Proxy.parse("http://ada:pw%2F1@p:3128", "proxy=")
    assert proxy.credentials == (b"ada", b"pw/1")
    assert set(proxy.secrets) == {"pw/1", "pw%2F1"}
    assert "pw" not in repr(proxy)
    assert "pw" not in proxy.url


async def test_a_socks_proxy_without_its_package_says_what_to_install():
    client = HttpCore("https://acme.example.com", proxy="socks5://127.0.0.1:1080", verify=False)
    try:
        import socksio  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigurationError, match="pip install socksio"):
            async with client:
                pass
    else:
        async with client:
            pass
