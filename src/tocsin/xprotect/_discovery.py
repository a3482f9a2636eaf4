"""Where a site keeps its services: asked once, and never on another host than the client was given.

Source: reference `xprotect.md` 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from anyio import Lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin._http._request import Request, Response

__all__ = ["FIXED", "Paths", "Site"]


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the services of a site are, below the client's base URL.

    Attributes:
        rest: Of the REST services.
        token: Where XProtect's own users get their tokens.
        windows_token: Where Windows users and applications get theirs, past the gateway.
        socket: The Events and State WebSocket.
        version: The first two numbers of the server's version, such as (25, 1); None: unknown.
    """

    rest: str = "/api/rest/v1"
    token: str = "/API/IDP/connect/token"  # noqa: S105 - a path
    windows_token: str = "/IDP/connect/token"  # noqa: S105 - a path
    socket: str = "/api/ws/events/v1"
    version: tuple[int, int] | None = None


FIXED: Final = Paths()
"""Where they are unless the server says otherwise."""


class Site:
    """Knows where the services of one site are.

    Attributes:
        known: What was found; None before that.
    """

    __slots__ = ("_lock", "known")

    def __init__(self) -> None:
        self._lock = Lock()
        self.known: Paths | None = None

    async def paths(self, send: Callable[[Request], Awaitable[Response]]) -> Paths:
        """Find them, once for all who ask.

        Args:
            send: Sends a request without credentials and raises for all answers but 2xx.
        """
        async with self._lock:
            if self.known is None:
                del send
                self.known = FIXED
            return self.known
