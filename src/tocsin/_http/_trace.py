"""What is known of a call under way: attempts, whether a request left, and the log line.

No exception of httpx tells whether a request left; its trace extension does: without a
``send_request_headers.started`` not one byte of the request was sent.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin._http._request import Response, Timeouts
    from tocsin._http._upgrade import Upgraded

__all__ = ["Flight", "log", "log_answer"]

log = logging.getLogger("tocsin.http")

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1: they apply nothing
_UNAUTHORIZED = 401
_LEAVING = "send_request_headers.started"


class Flight:
    """One call under way, over all its attempts.

    Attributes:
        method: The request's method.
        url: Where it goes, without user information and query.
        timeouts: Its time limits.
        headers: The client's headers, encoded, by lower-case name.
        on_bytes: Told the length of each piece of an answer.
        safe: That it may have been applied need not be told, whatever its method.
        refusal: Tells from an answer whose status does not say so that the credentials were refused.
        upgrades: It asks to leave HTTP.
        upgraded: The connection that did.
        attempts: Attempts begun.
        doubtful: Whether an attempt whose answer we do not have may have been applied.
    """

    __slots__ = (
        "_handed",
        "_left",
        "_safe",
        "_traced",
        "attempts",
        "doubtful",
        "headers",
        "method",
        "on_bytes",
        "refusal",
        "timeouts",
        "upgraded",
        "upgrades",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: str,
        timeouts: Timeouts,
        headers: Mapping[str, tuple[bytes, bytes]],
        on_bytes: Callable[[int], None] | None = None,
        *,
        safe: bool = False,
        refusal: Callable[[Response], bool] | None = None,
        upgrades: bool = False,
    ) -> None:
        self.upgrades = upgrades
        self.upgraded: Upgraded | None = None
        self.method = method
        self.url = url
        self.timeouts = timeouts
        self.headers = headers
        self.on_bytes = on_bytes
        self.refusal = refusal
        self.attempts = 0
        self.doubtful = False
        self._safe = safe or method in _SAFE
        self._handed = False
        self._traced = False
        self._left = False

    @property
    def tried(self) -> str:
        """How often it was tried, for the end of a sentence; empty for once."""
        return f" ({self.attempts} attempts)" if self.attempts > 1 else ""

    def refused(self, response: Response) -> bool:
        """Whether an answer says that the credentials were refused."""
        return response.status == _UNAUTHORIZED or (self.refusal is not None and self.refusal(response))

    def begin(self) -> None:
        """A request is handed to the transport."""
        self._handed = True
        self._traced = self._left = False

    def answered(self) -> None:
        """A whole answer came to the request under way."""
        self._handed = False

    async def told(self, event: str) -> None:
        """Take an event of our own transport."""
        self._traced = True
        if event.endswith(_LEAVING):
            self._left = True

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event of httpx's trace extension."""
        self._traced = True
        # A proxy's CONNECT is a request too, but not ours.
        if event.endswith(_LEAVING) and getattr(info.get("request"), "method", None) != b"CONNECT":
            self._left = True

    @property
    def never_left(self) -> bool:
        """Whether it is certain that the request under way did not leave."""
        return not self._handed or (self._traced and not self._left)

    def failed(self, *, never_left: bool) -> bool:
        """No answer will come to the request under way; say whether this call may have been applied."""
        if not self._safe and not never_left:
            self.doubtful = True
        return self.doubtful


def log_answer(response: Response, seconds: float) -> None:
    """Log an answer at DEBUG, without query, headers and body."""
    log.debug(
        "%s %s: %d in %.1f ms, %d bytes",
        response.method,
        response.url,
        response.status,
        seconds * 1000,
        len(response.body),
    )
