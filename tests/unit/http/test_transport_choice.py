"""Which transport is used: ours where it is safe, httpx's otherwise, the user's always."""

import sys

import httpx
import pytest
from http_servers import OK, replying, serving

from tocsin._http._core import HttpCore
from tocsin._http._h1._transport import DirectTransport
from tocsin._http._pool import PooledTransport
from tocsin._http._proxies import Proxy
from tocsin._http._request import Headers, Request
from tocsin._http._transport import TlsSettings, direct_way, make_transport, usual_in_flight
from tocsin.errors import ConfigurationError

POST = Request("POST", "/x", body=b"{}")


def chosen(proxy=None):
    proxy = Proxy.parse(proxy, "proxy=") if proxy else None
    return type(make_transport(tls=None, proxy=proxy, max_connections=2))


def test_ours_is_used_unless_there_is_a_proxy_or_a_wish(monkeypatch):
    monkeypatch.delenv("TOCSIN_TRANSPORT", raising=False)
    assert chosen() is DirectTransport
    assert (usual_in_flight(None, None), usual_in_flight(httpx.AsyncHTTPTransport, None)) == (32, 8)
    assert chosen("http://p:3128") is PooledTransport
    monkeypatch.setenv("TOCSIN_TRANSPORT", "httpx")
    assert chosen() is PooledTransport
    monkeypatch.setenv("TOCSIN_TRANSPORT", "faster")
    with pytest.raises(ConfigurationError, match="TOCSIN_TRANSPORT is httpx or direct, not 'faster'"):
        chosen()


def test_without_httptools_httpxs_own_is_used(monkeypatch):
    monkeypatch.delenv("TOCSIN_TRANSPORT", raising=False)
    monkeypatch.setitem(sys.modules, "httptools", None)
    for name in [name for name in sys.modules if name.startswith("tocsin._http._h1.")]:
        monkeypatch.delitem(sys.modules, name)
    assert chosen() is PooledTransport


async def test_a_transport_of_the_users_is_the_one_that_is_used():
    made = []

    def make():
        made.append(httpx.AsyncHTTPTransport())
        return made[-1]

    async with serving(replying(OK)) as server, HttpCore(server.url, transport_factory=make) as client:
        await client.send(POST)
        assert client._shared.wire._transport is made[0]
    assert len(made) == 1


def direct():
    return make_transport(tls=None, proxy=None, max_connections=2)


def test_clients_of_plain_servers_share_a_context_that_trusts_nobody():
    assert direct()._context is direct()._context
    assert direct()._context is not TlsSettings().context()
    assert not direct()._context.get_ca_certs()


async def test_what_wraps_or_extends_our_transport_sees_every_request():
    class Extended(DirectTransport):
        """Counts what passes."""

        passed = 0

        async def handle_async_request(self, request):
            type(self).passed += 1
            return await super().handle_async_request(request)

    transport = direct()
    extended = Extended(context=transport._context, max_connections=1)
    assert direct_way(transport) is transport
    assert direct_way(extended) is None
    assert direct_way(httpx.AsyncHTTPTransport()) is None
    async with (
        serving(replying(OK)) as server,
        HttpCore(server.url, transport_factory=lambda: extended) as client,
    ):
        await client.send(POST)
    assert Extended.passed == 1


async def test_both_ways_send_the_same_bytes(monkeypatch):
    get = Request(
        "GET",
        "/a~b/%20c'd(1)*",
        (("q", "a b+c&d=\xe9%"), ("e", "")),
        headers=(("X-Latin", "caf\xe9"), ("accept", "text/plain")),
    )
    sent = []
    for wish in ("direct", "httpx"):
        monkeypatch.setenv("TOCSIN_TRANSPORT", wish)
        async with (
            serving(replying(OK)) as server,
            HttpCore(server.url + "/base", headers={"X-A": "1"}) as client,
        ):
            for request in (get, POST, Request("DELETE", "/x")):
                await client.send(request)
        sent.append(
            [
                (sorted(line for line in head.split(b"\r\n") if not line.startswith(b"Host:")), body)
                for head, body in server.requests
            ]
        )
    assert sent[0] == sent[1]


async def test_cookies_of_a_session_are_kept_and_sent(monkeypatch):
    cookie = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: one=1; Path=/\r\nset-cookie: two=2\r\n\r\n")
    for wish in ("direct", "httpx"):
        monkeypatch.setenv("TOCSIN_TRANSPORT", wish)
        async with (
            serving(replying(cookie)) as server,
            HttpCore(server.url) as client,
            client.session() as session,
        ):
            assert (await session.send(POST)).headers["set-cookie"] == "one=1; Path=/, two=2"
            await session.send(POST)
        first, second = (head.lower() for head, _ in server.requests)
        assert b"cookie:" not in first
        assert b"cookie: one=1; two=2" in second or b"cookie: two=2; one=1" in second


@pytest.mark.parametrize(
    "value",
    [b"plain", "caf\xe9".encode(), b"caf\xe9", b"\xff\xfe", b""],
    ids=["ascii", "utf8", "latin1", "odd", "empty"],
)
def test_headers_are_decoded_as_httpx_does(value):
    pairs = [(b"X-One", b"a"), (b"x-two", value), (b"X-TWO", b"b")]
    assert dict(Headers.of(pairs)) == dict(Headers(httpx.Headers(pairs).multi_items()))
