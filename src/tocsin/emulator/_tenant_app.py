"""How a Cumulocity tenant answers: logins, media types, error bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._app import App
from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Exchange, Reply, ordered_reply
from tocsin.emulator._login import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import Headers

    from tocsin.emulator._emulator import Emulator
    from tocsin.emulator._http import Routes
    from tocsin.emulator.faults import Fault

REALTIME: Final = ("/notification/realtime", "/cep/realtime")


class TenantApp(App):
    """The application of an `Emulator`.

    Args:
        emulator: Whose it is.
        routes: What answers requests.
    """

    def __init__(self, emulator: Emulator, routes: Routes) -> None:
        super().__init__(emulator, routes)
        self._tenant = emulator

    def method(self, method: str, headers: Headers) -> str:
        """The verb, after `X-HTTP-METHOD`."""
        return headers.get("x-http-method", method).upper() if method == "POST" else method

    def messages(self, exchange: Exchange) -> Sequence[Any]:
        """Bayeux messages."""
        if not exchange.path.startswith(REALTIME):
            return ()
        try:
            found = exchange.json
        except RefusedError:
            return ()
        return found if isinstance(found, list) else [found]

    def refusal(self, refused: RefusedError) -> Reply:
        """The platform's error body."""
        return Reply(refused.status, refused.body(), "error", refused.headers)

    def ordered(self, fault: Fault) -> Reply:
        """What a fault of the kind `status` answers."""
        return ordered_reply(fault)

    def body(self, exchange: Exchange, reply: Reply) -> bytes:
        """Nothing for who writes and accepts nothing."""
        silent = reply.status < 300 and exchange.method in {"POST", "PUT"} and not exchange.wants_body
        return b"" if silent else reply.body

    def media_type(self, exchange: Exchange, reply: Reply) -> str:
        """The type that the client accepts."""
        try:
            return exchange.media_type(reply.kind)
        except RefusedError:
            return "application/json;charset=UTF-8"

    async def answer(self, exchange: Exchange) -> Reply | None:
        """Check who asks, and have the request answered."""
        emulator = self._tenant
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
