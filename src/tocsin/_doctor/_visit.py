"""What probes share during one visit to a tenant: a connection, memories, what to tidy up, what to hide."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from anyio import current_time

from tocsin._http._redact import NOTHING_SECRET, Redactor
from tocsin._http._request import Request

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from tocsin._http._core import HttpCore
    from tocsin._http._request import Response

__all__ = ["Visit", "VisitOptions", "cookie_names", "cookie_values", "field", "texts"]

T = TypeVar("T")

_COOKIE: Final = re.compile(r"(?:^|,\s*)([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([^;,]*)")
_DETAIL: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitOptions:
    """How a visit goes.

    Attributes:
        source: The device that may be used for tests; None: none.
        write: Whether test alarms may be raised on it.
        hold: Seconds of the held poll in which heartbeats are waited for.
        mask: Whether names of tenant, user, host and device stay out of the report.
        limit: Seconds for everything.
    """

    source: str | None = None
    write: bool = False
    hold: float = 20.0
    mask: bool = False
    limit: float = 240.0


class Visit:
    """One visit.

    Args:
        core: Sends requests; nothing is repeated.
        options: How it goes.
        wall: Aware UTC now.
        rng: Draws the type of the test alarms.
    """

    def __init__(
        self, core: HttpCore, options: VisitOptions, *, wall: Callable[[], datetime], rng: random.Random
    ) -> None:
        self.core = core
        self.options = options
        self.wall = wall
        self.rng = rng
        self.host = urlsplit(core.base_url).netloc
        self.scheme = urlsplit(core.base_url).scheme
        self.arrived = 0.0
        self.tidying: list[Callable[[], Awaitable[str | None]]] = []
        self._seen: dict[str, Any] = {}
        self._theirs = NOTHING_SECRET
        self._ours = Redactor()
        self.name(self.host, urlsplit(core.base_url).hostname, options.source)

    async def get(self, path: str, query: tuple[tuple[str, str], ...] = ()) -> Response:
        """Ask for something.

        Raises:
            TocsinError: Any answer but 2xx, or none.
        """
        return await self.send(Request("GET", path, query))

    async def send(self, request: Request) -> Response:
        """Send any request; see `get`."""
        return self.heed(await self.core.send(request))

    def heed(self, response: Response) -> Response:
        """Learn from an answer what must not be shown."""
        self._theirs = response.redactor
        self.hide(cookie_values(response))
        return response

    async def once(self, name: str, look: Callable[[Visit], Awaitable[T]]) -> T:
        """Look if nobody has yet; several probes may judge what was seen once.

        Cancelling it, as every failure, leaves it to the next one to look again.
        """
        if name not in self._seen:
            self._seen[name] = await look(self)
        seen: T = self._seen[name]
        return seen

    def hide(self, secrets: Iterable[str]) -> None:
        """Keep these out of the report."""
        self._ours.learn(secrets)

    def name(self, *names: str | None) -> None:
        """Keep these out of the report if names are to be masked."""
        if self.options.mask:
            self._ours.learn([name for name in names if name])

    def clean(self, text: str) -> str:
        """Make a text fit for the report."""
        # Cut last: half a secret would be known to nobody but its reader.
        text = self._ours.hide_known(self._theirs.clean(text, limit=len(text) + 1))
        return text if len(text) <= _DETAIL else text[: _DETAIL - 1].rstrip() + "…"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = current_time()

    @property
    def seconds(self) -> float:
        """How many so far."""
        return current_time() - self._began


def cookie_names(response: Response) -> tuple[str, ...]:
    """The names of the cookies that an answer sets."""
    return tuple(name for name, _ in _COOKIE.findall(response.headers.get("set-cookie", "")))


def cookie_values(response: Response) -> tuple[str, ...]:
    """Their values, which are secrets."""
    return tuple(value for _, value in _COOKIE.findall(response.headers.get("set-cookie", "")) if value)


def field(value: Any, *names: str) -> Any:
    """What stands in an object within objects; None where there is nothing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def texts(values: Iterable[str], most: int = 8) -> str:
    """Some words in a row, however many there are."""
    found = list(values)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
