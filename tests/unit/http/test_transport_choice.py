"""Which transport is used: ours where it is safe, httpx's otherwise, the user's always."""

import sys

import httpx
import pytest
from http_servers import OK, replying, serving

from tocsin._http._core import HttpCore
from tocsin._http._h1._transport import DirectTransport
from tocsin._http._pool import PooledTransport
from tocsin._http._proxies import Proxy
from tocsin._http._request import Request
from tocsin._http._transport import make_transport, usual_in_flight
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
