"""The ASGI application of any platform: reads a request, lets faults act, has it answered, replies."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.datastructures import Headers

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Exchange, Logged, Reply, Routes
from tocsin.emulator._sockets import Sockets
from tocsin.emulator._wire import GoneError, Receive, Scope, Send, Tap, path_of
from tocsin.emulator.faults import Fault, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.emulator._base import BaseEmulator

_log = logging.getLogger("tocsin.emulator")

CONTROL: Final = "/__emulator__"


class App(ABC):
    """What a server calls. One for each emulator; it may be served in several places at once.

    Args:
        emulator: Whose it is.
        routes: What answers requests.
    """

    def __init__(self, emulator: BaseEmulator, routes: Routes) -> None:
        self._emulator = emulator
        self._routes = routes
        self.live: dict[Tap, None] = {}
        self.sockets = Sockets(emulator, self, routes)
        self.control: Callable[[Exchange], Reply] | None = None

    # What platforms do in their own ways.

    @abstractmethod
    async def answer(self, exchange: Exchange) -> Reply | None:
        """Check who asks, and have the request answered; None: the handler has sent the answer itself."""

    @abstractmethod
    def refusal(self, refused: RefusedError) -> Reply:
        """The platform's error body."""

    @abstractmethod
    def ordered(self, fault: Fault) -> Reply:
        """What a fault of the kind `status` answers."""

    def canonical(self, path: str) -> str:
        """The spelling of a path by which it is routed, counted, and known to faults."""
        return path

    def method(self, method: str, headers: Headers) -> str:  # noqa: ARG002 - for those who override it
        """The verb that is meant."""
        return method

    def messages(self, exchange: Exchange) -> Sequence[Any]:  # noqa: ARG002
        """The messages in a request, which faults may ask for."""
        return ()

    def body(self, exchange: Exchange, reply: Reply) -> bytes:  # noqa: ARG002
        """What is left of a reply's body on its way."""
        return reply.body

    def media_type(self, exchange: Exchange, reply: Reply) -> str:  # noqa: ARG002
        """The type of a reply's body."""
        return "application/json; charset=utf-8"

    # What they have in common.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope.

        Args:
            scope: ASGI's scope, of a request or a WebSocket.
            receive: ASGI's receive.
            send: ASGI's send.
        """
        if scope["type"] == "http":
            tap = Tap(scope, receive, send, self._emulator.limits.hang)
            self.live[tap] = None
            try:
                await self._serve(scope, receive, tap)
            except GoneError:
                pass
            finally:
                del self.live[tap]
        elif scope["type"] == "websocket":
            await self.sockets.serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, tap: Tap) -> None:
        headers = Headers(scope=scope)
        method = self.method(scope["method"], headers)
        base = (
            self._emulator.base_url or f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}"
        )
        query = scope.get("query_string", b"").decode("latin-1")
        exchange = Exchange(method, self.canonical(path_of(scope)), query, headers, b"", tap, base)
        exchange.peer = scope.get("extensions", {}).get("tocsin.peer")
        exchange.client = scope.get("client")
        try:
            exchange.body = await self._read(headers, receive)
            if self.control is not None and exchange.path.startswith(CONTROL):
                reply: Reply | None = self.control(exchange)
            else:
                reply = await self._handle(exchange)
        except RefusedError as refused:
            reply = self.refusal(refused)
        except GoneError:
            raise
        except Exception:
            if tap.begun:
                raise
            _log.exception("the emulator failed at %s %.200s", method, exchange.path)
            text = "The emulator failed; its log says why"
            reply = self.refusal(RefusedError(500, "general/internalError", text))
        if reply is not None:
            await self._reply(exchange, reply)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._emulator.limits.body
        declared = headers.get("content-length", "0")
        too_large = RefusedError(413, "general/tooLarge", f"A request's body has at most {limit} bytes here")
        if not (declared.isascii() and declared.isdigit()) or int(declared) > limit:
            raise too_large
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                raise too_large
        return body

    async def _handle(self, exchange: Exchange) -> Reply | None:
        emulator = self._emulator
        messages = self.messages(exchange)
        seen = Seen(exchange.method, exchange.path, exchange.query, messages)
        self._count(exchange, messages)
        if emulator.down:
            await exchange.tap.drop()
        if pause := emulator.throttle.admit(anyio.current_time()):
            await anyio.sleep(pause)
            if emulator.down:
                await exchange.tap.drop()
        if struck := emulator.faults.on_request(seen):
            reply = await self._strike(exchange, struck)
            if reply is not None:
                return reply
        return await self.answer(exchange)

    def _count(self, exchange: Exchange, messages: Sequence[Any]) -> None:
        channels = tuple(str(message.get("channel")) for message in messages if isinstance(message, dict))
        agent = exchange.headers.get("user-agent", "")
        self._emulator.requests.count(
            Logged(anyio.current_time(), exchange.method, exchange.path, exchange.query, channels, agent)
        )

    async def _strike(self, exchange: Exchange, struck: Sequence[Fault]) -> Reply | None:
        tap = exchange.tap
        tap.heed(struck)
        for fault in struck:
            if fault.kind == "delay":
                await anyio.sleep(fault.seconds)
            elif fault.kind == "stale":
                exchange.lag = fault.seconds
        for fault in struck:
            if fault.kind == "hang":
                await tap.mute()
            elif fault.kind == "drop" and fault.when == "request":
                tap.reset = fault.reset
                await tap.drop()
            elif fault.kind == "status":
                return self.ordered(fault)
        return None

    async def _reply(self, exchange: Exchange, reply: Reply) -> None:
        body = self.body(exchange, reply)
        headers = [(b"date", self._emulator.clock.http_date().encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in reply.headers]
        if body and not any(name == b"content-type" for name, _value in headers):
            headers.append((b"content-type", self.media_type(exchange, reply).encode()))
        if reply.status not in {204, 304}:
            headers.append((b"content-length", b"%d" % len(body)))
        await exchange.tap.start(reply.status, headers)
        await exchange.tap.write(body)
        if reply.after is not None:
            with self._emulator.lock:
                going_on = reply.after()
            if isinstance(going_on, Awaitable):
                await going_on


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
