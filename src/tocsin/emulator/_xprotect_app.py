"""How an XProtect answers: paths in any case, tokens, error bodies."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from tocsin.emulator._app import App
from tocsin.emulator._http import Exchange, Reply
from tocsin.emulator._xprotect_errors import ApiError, TokenError, absent, envelope

if TYPE_CHECKING:
    from tocsin.emulator._errors import RefusedError
    from tocsin.emulator._http import Routes
    from tocsin.emulator.faults import Fault
    from tocsin.emulator.xprotect import XProtectEmulator

_SPELLINGS: Final = ("/api/rest/v1", "/api/.well-known", "/api/ws", "/API/IDP", "/IDP")
_OPEN: Final = ("/api/.well-known", "/API/IDP", "/IDP")


class XProtectApp(App):
    """The application of an `XProtectEmulator`.

    Args:
        emulator: Whose it is.
        routes: What answers requests.
    """

    def __init__(self, emulator: XProtectEmulator, routes: Routes) -> None:
        super().__init__(emulator, routes)
        self._vms = emulator

    def canonical(self, path: str) -> str:
        """The path with its beginning as the documents spell it."""
        lower = path.lower()
        if lower.startswith("/api/ws/"):
            return lower.rstrip("/")
        for spelling in _SPELLINGS:
            if lower == spelling.lower() or lower.startswith(spelling.lower() + "/"):
                return spelling + path[len(spelling) :]
        return path

    def refusal(self, refused: RefusedError) -> Reply:
        """The platform's error body."""
        if isinstance(refused, ApiError | TokenError):
            body = refused.body()
        else:
            body = envelope(refused.status, refused.message)
        return Reply(refused.status, body, headers=refused.headers)

    def ordered(self, fault: Fault) -> Reply:
        """What a fault of the kind `status` answers."""
        headers = [("Content-Type", fault.content_type)] if fault.content_type else []
        if fault.retry_after is not None:
            headers.append(("Retry-After", fault.retry_after))
        text = "The token is expired" if fault.status == 401 else f"Status {fault.status} was ordered"
        body = envelope(fault.status, text) if fault.body is None else fault.body.encode()
        return Reply(fault.status, body, headers=tuple(headers))

    async def answer(self, exchange: Exchange) -> Reply | None:
        """Check who asks, and have the request answered."""
        vms = self._vms
        if not vms.settings.gateway and exchange.path.startswith("/api"):
            raise absent(exchange.path)
        with vms.store.lock:
            who = () if exchange.path.startswith(_OPEN) else (vms.access.check(_authorization(exchange)),)
            handler, named = self._routes.find(exchange.method, exchange.path.lower())
            result = handler(exchange, *who, **named)
        if isinstance(result, Awaitable):
            await result
            return None
        return result


def _authorization(exchange: Exchange) -> str | None:
    return exchange.headers.get("authorization")
