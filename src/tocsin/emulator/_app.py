"""The ASGI application: reads a request, lets faults act, checks who asks, routes, replies."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.datastructures import Headers

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Exchange, Logged, Reply, Routes, ordered_reply
from tocsin.emulator._login import PUBLIC
from tocsin.emulator._sockets import Sockets
from tocsin.emulator._wire import GoneError, Receive, Scope, Send, Tap, path_of
from tocsin.emulator.faults import Fault, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.emulator._emulator import Emulator

_log = logging.getLogger("tocsin.emulator")

CONTROL: Final = "/__emulator__"
REALTIME: Final = ("/notification/realtime", "/cep/realtime")


class App:
    """What a server calls. One for each emulator; it may be served in several places at once."""

    def __init__(self, emulator: Emulator, routes: Routes) -> None:
        self._emulator = emulator
        self._routes = routes
        self.live: dict[Tap, None] = {}
        self.sockets = Sockets(emulator, routes)
        self.control: Callable[[Exchange], Reply] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope.

        Args:
            scope: ASGI's scope, of a request or a WebSocket.
            receive: ASGI's receive.
            send: ASGI's send.
        """
        if scope["type"] == "http":
            tap = Tap(scope, receive, send, self._emulator.settings.limits.hang)
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
        method: str = scope["method"]
        if method == "POST":
            method = headers.get("x-http-method", method).upper()
        base = (
            self._emulator.base_url or f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}"
        )
        query = scope.get("query_string", b"").decode("latin-1")
        exchange = Exchange(method, path_of(scope), query, headers, b"", tap, base)
        exchange.peer = scope.get("extensions", {}).get("tocsin.peer")
        try:
            exchange.body = await self._read(headers, receive)
            if self.control is not None and exchange.path.startswith(CONTROL):
                reply: Reply | None = self.control(exchange)
            else:
                reply = await self._handle(exchange)
        except RefusedError as refused:
            reply = Reply(refused.status, refused.body(), "error", refused.headers)
        except GoneError:
            raise
        except Exception:
            if tap.begun:
                raise
            _log.exception("the emulator failed at %s %.200s", method, exchange.path)
            wrong = RefusedError(500, "general/internalError", "The emulator failed; its log says why")
            reply = Reply(wrong.status, wrong.body(), "error")
        if reply is not None:
            await self._reply(exchange, reply)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._emulator.settings.limits.body
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
        messages = _messages(exchange) if exchange.path.startswith(REALTIME) else ()
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
        if (exchange.method, exchange.path) not in PUBLIC:
            exchange.user = emulator.access.check(
                exchange.headers.get("authorization"),
                cookie=exchange.cookies.get("authorization"),
                xsrf=exchange.headers.get("x-xsrf-token"),
                code=exchange.headers.get("tfatoken"),
                browser=exchange.headers.get("usexbasic", "").lower() != "true",
            )
        handler, named = self._routes.find(exchange.method, exchange.path)
        if (exchange.method, exchange.path) not in PUBLIC:  # a log-in is a form
            exchange.need_json()
        exchange.media_type("text" if exchange.path.endswith("/count") else "")  # 406 before anything is done
        with emulator.store.lock:
            emulator.broker.full = False
            result = handler(exchange, **named)
            if emulator.broker.full:  # what was written is stored all the same
                raise RefusedError(500, "reliable-notification/Backlog", "The backlog of a topic is full")
        if isinstance(result, Reply):
            if result.status < 400 and "authorization" not in exchange.headers:
                result.headers += emulator.access.prolong(exchange.cookies.get("authorization", ""))
            return result
        await result
        return None

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
                return ordered_reply(fault)
        return None

    async def _reply(self, exchange: Exchange, reply: Reply) -> None:
        body = reply.body
        if reply.status < 300 and exchange.method in {"POST", "PUT"} and not exchange.wants_body:
            body = b""
        headers = [(b"date", self._emulator.clock.http_date().encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in reply.headers]
        if body and not any(name == b"content-type" for name, _value in headers):
            headers.append((b"content-type", _media_type(exchange, reply).encode()))
        if reply.status not in {204, 304}:
            headers.append((b"content-length", b"%d" % len(body)))
        await exchange.tap.start(reply.status, headers)
        await exchange.tap.write(body)
        if reply.after is not None:
            with self._emulator.store.lock:
                going_on = reply.after()
            if isinstance(going_on, Awaitable):
                await going_on


def _messages(exchange: Exchange) -> Sequence[Any]:
    try:
        found = exchange.json
    except RefusedError:
        return ()
    return found if isinstance(found, list) else [found]


def _media_type(exchange: Exchange, reply: Reply) -> str:
    try:
        return exchange.media_type(reply.kind)
    except RefusedError:
        return "application/json;charset=UTF-8"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
