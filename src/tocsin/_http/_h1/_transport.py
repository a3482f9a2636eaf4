"""httpx's transport interface over the pool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
from anyio import Event, current_time, move_on_after

from tocsin._http._h1._connection import Body, Connection, UnsentError, Upgraded
from tocsin._http._h1._dial import dial, secure
from tocsin._http._h1._head import request_head
from tocsin._http._h1._pool import Pool

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tocsin._http._h1._parser import ResponseParser
    from tocsin._http._h1._pool import Claim, Origin

    Trace = Callable[[str], Awaitable[None]]

__all__ = ["Answer", "DirectTransport"]

_PORTS: Final = {"http": 80, "https": 443}
# Below the idle time of common servers and load balancers: a connection that the server closes just as we
# reuse it looks like one that broke after the request was read. Node and uvicorn wait five seconds.
_KEEPALIVE: Final = 4.0


class Answer(NamedTuple):
    """What came up to the end of the head, and the rest as a stream, which must be closed."""

    parser: ResponseParser
    connection: Connection
    stream: Body


class DirectTransport(httpx.AsyncBaseTransport):
    """A pool of HTTP/1.1 connections straight to the server; proxies are for httpx's own.

    Args:
        context: For servers reached over TLS; its ALPN is set to HTTP/1.1.
        max_connections: The most connections that it opens.
    """

    def __init__(self, *, context: ssl.SSLContext, max_connections: int) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._pool: Pool[Connection] = Pool(max_connections, _KEEPALIVE, Connection.close)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of its answer.

        The request's body is read whole before it is sent. Cancelling it closes its connection. Of httpx's
        trace extension it tells what `tocsin._http._trace` and users of the extension can rely on: nothing of
        the request has left before ``http11.send_request_headers.started``.

        Raises:
            httpx.TransportError: No answer came; which one says what was waited for.
        """
        url = request.url
        scheme = url.scheme
        if scheme not in _PORTS or not url.raw_host:  # host would decode IDNA, and may fail at it
            raise httpx.UnsupportedProtocol("the URL is neither http:// nor https://, or has no host")
        origin = (scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme])
        told = request.extensions.get("trace")
        parser, connection, stream = await self.send(
            origin,
            request.method,
            url.raw_path,
            request.headers.raw,
            await _whole(request),
            request.extensions.get("timeout") or {},
            None if told is None else partial(_tell, told, {"request": request}),
        )
        extensions: dict[str, Any] = {
            "http_version": b"HTTP/1.%d" % parser.minor,
            "reason_phrase": parser.reason,
        }
        if parser.upgraded is not None:
            extensions["network_stream"] = Upgraded(connection, parser.upgraded)
        return httpx.Response(
            parser.status,
            headers=parser.headers,
            stream=stream,
            extensions=extensions,
        )

    async def send(
        self,
        origin: Origin,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        limits: Mapping[str, float | None],
        trace: Trace | None,
    ) -> Answer:
        """Do the same without httpx's objects, which cost more than the exchange itself.

        Args:
            origin: Where to.
            method: The method.
            target: Path and query, encoded.
            headers: All of them, Host too.
            body: All of it.
            limits: As httpx's extension ``timeout`` has them.
            trace: Told the events by name.

        Raises:
            httpx.TransportError: As above.
        """
        head = request_head(method.encode("ascii"), target, headers, len(body))
        if trace is not None:
            await trace("pool.claim.started")
        claim = await self._claim(origin, limits.get("pool"))
        try:
            connection, parser = await self._exchange(claim, method, head, body, limits, trace)
        except BaseException:
            self._over(claim, None)
            raise
        stream = Body(connection, parser, limits.get("read"), partial(self._over, claim, parser))
        return Answer(parser, connection, stream)

    async def aclose(self) -> None:
        """Close all connections at once; requests under way fail."""
        for connection in self._pool.close():
            connection.close()

    def _over(self, claim: Claim[Connection], parser: ResponseParser | None) -> None:
        connection = claim.connection
        reusable = connection is not None and parser is not None and connection.reusable(parser)
        self._pool.give_back(claim, current_time(), reusable=reusable)

    async def _claim(self, origin: Origin, limit: float | None) -> Claim[Connection]:
        """Get a place among the connections."""
        pool = self._pool
        claim = pool.claim(origin, current_time())
        if claim.granted:
            return claim
        woken = Event()
        claim.wake = woken.set
        try:
            if not pool.closed:
                with move_on_after(limit):
                    await woken.wait()
        except BaseException:
            # A connection that was granted in the meantime has seen nothing of us.
            pool.give_back(claim, current_time(), reusable=True)
            raise
        if claim.granted:  # perhaps just as the time ran out
            return claim
        pool.give_back(claim, current_time(), reusable=True)
        if pool.closed:
            raise httpx.ConnectError("the transport is closed")
        raise httpx.PoolTimeout("")

    async def _exchange(
        self,
        claim: Claim[Connection],
        method: str,
        head: bytes,
        body: bytes,
        limits: Mapping[str, float | None],
        trace: Trace | None,
    ) -> tuple[Connection, ResponseParser]:
        while True:
            connection = claim.connection
            if connection is not None and not connection.quiet():
                connection.close()
                connection = claim.connection = None
            if connection is None:
                connection = await self._connect(claim.origin, limits.get("connect"), trace)
                claim.connection = connection
                if self._pool.closed:
                    raise httpx.ConnectError("the transport is closed")
            if trace is not None:
                await trace("http11.send_request_headers.started")
            try:
                parser = await connection.exchange(
                    head, body, method, write=limits.get("write"), read=limits.get("read")
                )
            except UnsentError:
                connection.close()
                claim.connection = None
                continue
            if trace is not None:
                await trace("http11.receive_response_headers.complete")
            return connection, parser

    async def _connect(self, origin: Origin, limit: float | None, trace: Trace | None) -> Connection:
        """Open a connection within one limit for name, TCP and TLS."""
        trace = trace or _untold
        await trace("connection.connect_tcp.started")
        with move_on_after(limit):
            wire = await dial(origin)
            try:
                if origin[0] == "https":
                    await trace("connection.start_tls.started")
                    wire = await secure(wire, self._context, origin[1])
                await trace("connection.complete")
            except BaseException:
                wire.close()
                raise
            return Connection(wire)
        raise httpx.ConnectTimeout("")


async def _tell(
    told: Callable[[str, dict[str, Any]], Awaitable[None]], info: dict[str, Any], event: str
) -> None:
    """Tell a request's trace extension."""
    await told(event, info)


async def _untold(event: str) -> None:
    """Tell nobody."""


async def _whole(request: httpx.Request) -> bytes:
    stream = request.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the request's body cannot be read asynchronously")
    pieces = [piece async for piece in stream]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
