"""httpx's connection pool, without what httpcore leaves open when a call is cancelled.

Two leaks of httpcore 1.0.9, each shown by a test that fails without its remedy:

- A TLS handshake that is cancelled leaves its socket open (`start_tls` closes it after errors only), on
  asyncio until the peer closes.
- A call that is cancelled between its connection and its request leaves a connection that is neither idle nor
  closed. It is never used again and keeps its place in the pool for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpcore
import httpx
from anyio import move_on_after

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from tocsin._http._proxies import Proxy

__all__ = ["PooledTransport"]

_CLOSING = 2.0  # seconds that closing a socket may take

# Below the idle time of common servers and load balancers: a connection that the server closes just as we
# reuse it looks like one that broke after the request was read.
_KEEPALIVE = 5.0


class PooledTransport(httpx.AsyncHTTPTransport):
    """A pool of HTTP/1.1 connections.

    Args:
        context: For the server, and for a proxy that is reached over TLS.
        proxy: The proxy on the way, or None.
        max_connections: The most connections that it opens.

    Raises:
        ImportError: A SOCKS proxy without the package socksio.
    """

    def __init__(self, *, context: ssl.SSLContext, proxy: Proxy | None, max_connections: int) -> None:
        # Not through httpx's constructor, which has no way to give httpcore a network backend.
        settings: dict[str, Any] = {
            "ssl_context": context,
            "max_connections": max_connections,
            "max_keepalive_connections": max_connections,
            "keepalive_expiry": _KEEPALIVE,
            "network_backend": _Network(),
        }
        if proxy is None:
            self._pool = httpcore.AsyncConnectionPool(**settings)
            return
        settings |= {"proxy_url": proxy.url, "proxy_auth": proxy.credentials}
        if proxy.url.startswith("socks"):
            self._pool = httpcore.AsyncSOCKSProxy(**settings)
        else:
            secure = context if proxy.secure else None
            self._pool = httpcore.AsyncHTTPProxy(proxy_ssl_context=secure, **settings)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of its answer."""
        try:
            return await super().handle_async_request(request)
        except BaseException:
            with move_on_after(_CLOSING, shield=True):
                await self._close_stranded()
            raise

    async def _close_stranded(self) -> None:
        """Close the connections that no request holds and that are not idle."""
        held = {id(request.connection) for request in self._pool._requests}
        for connection in self._pool.connections:
            if id(connection) not in held and not connection.is_idle() and not connection.is_closed():
                await connection.aclose()


class _Network(httpcore.AsyncNetworkBackend):
    """anyio's sockets on both event loops, so that both fail alike (and TLS is faster than trio's own)."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_unix_socket(path, timeout, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A stream that is closed when its TLS handshake does not end well, cancellation included."""

    __slots__ = ("_inner",)

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            with move_on_after(_CLOSING, shield=True):
                await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
