"""An ASGI application under an httpx transport, without a socket.

httpx's own ASGI transport hands over whole responses only. This one streams both ways, so that heartbeats,
cut bodies and silent peers can be tested, on asyncio and trio and under a virtual clock.
"""

from __future__ import annotations

import itertools
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable
from urllib.parse import unquote

import anyio
import httpx
from anyio.lowlevel import checkpoint

from tocsin.testing._exchange import Exchange, Message, TunnelWire, Wire
from tocsin.testing._tunnel import Tunnel, wants_web_socket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping

    from anyio.abc import TaskGroup

__all__ = ["AsgiApp", "HasApp", "InProcessServer", "InProcessTransport", "in_process"]

HOST: Final = "127.0.0.1"
PORT: Final = 8111

logger = logging.getLogger("tocsin.testing")


class AsgiApp(Protocol):
    """An ASGI application."""

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        /,
    ) -> None: ...


@runtime_checkable
class HasApp(Protocol):
    """Something that carries its ASGI application, such as `tocsin.emulator.Emulator`."""

    @property
    def app(self) -> Any:
        """The ASGI application."""
        ...


class InProcessServer:
    """Runs an app for any number of transports. Made by `in_process`.

    Attributes:
        url: The base URL to give to a client; requests to any host get here.
        refusing: Set it to have new connections refused, as if the server were down.
        errors: What the app raised while its client was still there.
        connections: How many connections have been opened so far.
    """

    def __init__(self, app: AsgiApp, tasks: TaskGroup) -> None:
        self.url = f"http://{HOST}:{PORT}"
        self.refusing = False
        self.errors: list[Exception] = []
        self.connections = 0
        self._app = app
        self._tasks: TaskGroup | None = tasks
        self._live: dict[Exchange | Tunnel, None] = {}
        self._ports = itertools.count(40_000)

    @property
    def in_flight(self) -> int:
        """Requests that the app is busy with, held polls and WebSockets included."""
        return len(self._live)

    def transport_factory(self) -> httpx.AsyncBaseTransport:
        """Make a transport: give this method to a client as its `transport_factory`."""
        return InProcessTransport(self)

    def cut(self) -> None:
        """Reset every connection that has a request on it."""
        for exchange in list(self._live):
            exchange.abort(reset=True)

    def stop(self) -> None:
        """Be gone: reset what is in flight, refuse what comes."""
        self._tasks = None
        self.cut()

    def open_port(self) -> int:
        """A connection's client port; an app may tell connections apart by it."""
        self.connections += 1
        return next(self._ports)

    @property
    def reachable(self) -> bool:
        """New connections are accepted."""
        return self._tasks is not None and not self.refusing

    def start(self, request: httpx.Request, port: int) -> Exchange:
        """Hand a request to the app, in a task of its own.

        Args:
            request: What a transport is to send.
            port: The port that it seems to come from.
        """
        if self._tasks is None:
            raise httpx.ConnectError("the in-process server has stopped")
        exchange = Exchange(expects_body=request.method != "HEAD")
        self._live[exchange] = None
        self._tasks.start_soon(
            self._run, exchange, _scope(request, port, exchange), name=f"app {request.url.path}"
        )
        return exchange

    def start_socket(self, request: httpx.Request, port: int, done: Callable[[Tunnel], None]) -> Tunnel:
        """Hand a request for a WebSocket to the app, in a task of its own.

        Args:
            request: What the client asks.
            port: The client's.
            done: Called when the client has closed it.
        """
        if self._tasks is None:
            raise httpx.ConnectError("the in-process server has stopped")
        tunnel = Tunnel(request.headers.get("sec-websocket-key", "").encode("ascii"), done)
        self._live[tunnel] = None
        scope = _scope(request, port, tunnel)
        del scope["method"]
        scope |= {"type": "websocket", "scheme": "ws", "subprotocols": []}
        scope["extensions"] = {"tocsin.wire": TunnelWire(tunnel), "websocket.http.response": {}}
        self._tasks.start_soon(self._run, tunnel, scope, name=f"app {request.url.path}")
        return tunnel

    async def _run(self, exchange: Exchange | Tunnel, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not exchange.left:
                self.errors.append(error)
                logger.exception("the app failed")
                if isinstance(exchange, Exchange):
                    await _apologise(exchange)
        finally:
            if not exchange.over:
                exchange.abort()  # an app that ends in the middle ends its connection
            del self._live[exchange]


class InProcessTransport(httpx.AsyncBaseTransport):
    """What httpx sends through to an `InProcessServer`. Closing it aborts what is in flight on it."""

    def __init__(self, server: InProcessServer) -> None:
        self._server = server
        self._live: dict[Exchange, None] = {}
        self._tunnels: dict[Tunnel, None] = {}
        self._idle: list[int] = []
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body streams.

        Args:
            request: Its `timeout` extension limits each wait for the server, its `trace` extension is told
                when a connection is made and when the request leaves, as httpcore does.

        Raises:
            httpx.ConnectError: The server refuses connections or is gone.
            httpx.ReadError: The connection broke.
            httpx.ReadTimeout: The server was silent for too long.
        """
        await checkpoint()
        if self._closed:
            raise RuntimeError("this transport is closed")
        limits = cast("dict[str, float | None]", request.extensions.get("timeout", {}))
        port = await self._connect(request)
        await _trace(request, "http11.send_request_headers.started", request=request)
        if wants_web_socket(request):
            return await self._tunnel(request, port, limits.get("read"))
        exchange = self._server.start(request, port)
        self._live[exchange] = None
        try:
            await _trace(request, "http11.send_request_headers.complete", return_value=None)
            await exchange.put(_chunks(request), limits.get("write"))
            status, headers = await exchange.head(limits.get("read"))
        except BaseException:
            self.finish(exchange, None)
            raise
        body = _Body(self, exchange, port, limits.get("read"))
        return httpx.Response(status, headers=headers, stream=body, extensions={"http_version": b"HTTP/1.1"})

    async def _tunnel(self, request: httpx.Request, port: int, limit: float | None) -> httpx.Response:
        tunnel = self._server.start_socket(request, port, lambda tunnel: self._tunnels.pop(tunnel, None))
        self._tunnels[tunnel] = None
        try:
            status, headers, body = await tunnel.head(limit)
        except BaseException:
            await tunnel.aclose()
            raise
        if status != httpx.codes.SWITCHING_PROTOCOLS:
            await tunnel.aclose()
            return httpx.Response(status, headers=headers, content=body)
        return httpx.Response(
            status, headers=headers, stream=_TunnelEnd(tunnel), extensions={"network_stream": tunnel}
        )

    async def _connect(self, request: httpx.Request) -> int:
        if self._idle and self._server.reachable:
            return self._idle.pop()
        await _trace(request, "connection.connect_tcp.started", host=request.url.host, port=request.url.port)
        if not self._server.reachable:
            error = httpx.ConnectError("connection refused")
            await _trace(request, "connection.connect_tcp.failed", exception=error)
            raise error
        await _trace(request, "connection.connect_tcp.complete", return_value=None)
        return self._server.open_port()

    def finish(self, exchange: Exchange, port: int | None) -> None:
        """Let go of an exchange; its connection serves again only if the answer was read to its end."""
        if exchange not in self._live:
            return
        del self._live[exchange]
        if not exchange.spent:
            exchange.leave()
        elif port is not None:
            self._idle.append(port)

    async def aclose(self) -> None:
        """Abort every request that is in flight here. A closed transport cannot be used again."""
        self._closed = True
        for exchange in list(self._live):
            self.finish(exchange, None)
        for tunnel in list(self._tunnels):
            await tunnel.aclose()
        await checkpoint()


class _TunnelEnd(httpx.AsyncByteStream):
    """The empty body of an upgrade; closing it hangs up."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._tunnel.aclose()


class _Body(httpx.AsyncByteStream):
    """A response's body. Its iterator is an object: trio complains about async generators left half-way."""

    def __init__(
        self, transport: InProcessTransport, exchange: Exchange, port: int, limit: float | None
    ) -> None:
        self._transport = transport
        self._exchange = exchange
        self._port = port
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._exchange.chunk(self._limit)
        except BaseException:
            self._transport.finish(self._exchange, None)
            raise
        if chunk is None:
            self._transport.finish(self._exchange, self._port)
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._transport.finish(self._exchange, self._port)


@asynccontextmanager
async def in_process(target: HasApp | AsgiApp) -> AsyncGenerator[InProcessServer]:
    """Serve an app to httpx clients in this process, without a socket.

    Sends after the client has left do nothing, `receive` then tells ``http.disconnect``, and what the app
    raises after that is swallowed, all as uvicorn does. An app finds faults of the connection in
    ``scope["extensions"]["tocsin.wire"]``: ``abort()``, ``reset()`` and ``silence()``. There is no lifespan.

    Args:
        target: An `Emulator`, anything else with an ``app``, or an ASGI application.

    Yields:
        The server; its `url` and `transport_factory` are what a client needs.

    Raises:
        Exception: What the app raised while a client waited for it (which got status 500), at the end.
    """
    app = cast("AsgiApp", target.app if isinstance(target, HasApp) else target)
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        server = InProcessServer(app, tasks)
        servers: list[InProcessServer] = getattr(target, "servers", [])  # so that an emulator can go down
        servers.append(server)
        try:
            yield server
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - kept aside so that it leaves as itself, in no group
            failure = error
        finally:
            servers.remove(server)
            server.stop()
            tasks.cancel_scope.cancel()
    try:
        if failure is not None:
            raise failure
        if server.errors:
            raise server.errors[0]
    finally:
        del failure


def _scope(request: httpx.Request, port: int, exchange: Exchange | Tunnel) -> dict[str, Any]:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": (HOST, port),
        "server": (request.url.host, request.url.port or PORT),
        "extensions": {"tocsin.wire": Wire(exchange)},
    }


def _chunks(request: httpx.Request) -> AsyncIterator[bytes]:
    stream = request.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the request's body cannot be sent from an async client")
    return aiter(stream)


async def _apologise(exchange: Exchange) -> None:
    if not exchange.started:
        text = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        await exchange.send({"type": "http.response.start", "status": 500, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": text})


async def _trace(request: httpx.Request, name: str, /, **info: Any) -> None:
    trace = request.extensions.get("trace")
    if trace is not None:
        await trace(name, info)
