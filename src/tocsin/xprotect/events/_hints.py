"""Hints that there may be a new alarm: what wakes those who look for alarms by reading lists.

The platform tells alarms on no channel. But most are made of events, and those are told at once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, Event, move_on_after, sleep

from tocsin._http._request import Request
from tocsin.errors import AuthenticationError, TocsinError
from tocsin.xprotect.events._filters import EventFilter, wire_filters
from tocsin.xprotect.events._line import EventLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from typing import Self

    from tocsin.xprotect._following import Following
    from tocsin.xprotect.events._frames import Row
    from tocsin.xprotect.events._line import LineSettings

__all__ = ["Hints"]

log = logging.getLogger("tocsin.xprotect")

_ANEW: Final = 900.0
"""Seconds after which a site that has no such WebSocket, or refused it, is asked again."""
_READING: Final = 15.0
"""Seconds that reading the alarm definitions may take."""
_PAGE: Final = 1000
_MOST: Final = 2000


class Hints:
    """Calls back on events that may have made an alarm, and on new connections. Made by `Events.hints`.

    An async context manager; entering does not wait. It never fails: without the WebSocket there are no
    hints, and whoever reads lists finds everything a little later.

    Args:
        following: What the client lends.
        told: Called on each batch of events, and when the subscription stands (again): something may have
            happened meanwhile. It must neither block nor raise.
        lost: Called with the cause when there will be no hints for a while.
        event_types: Those that make alarms; None: those of the site's alarm definitions, or all.
        settings: Times and limits.
    """

    def __init__(
        self,
        following: Following,
        told: Callable[[], None],
        *,
        lost: Callable[[str], None] | None,
        event_types: Iterable[str] | None,
        settings: LineSettings,
    ) -> None:
        self._following = following
        self._told = told
        self._lost = lost
        self._filter = None if event_types is None else EventFilter(event_types=event_types)
        self._settings = settings
        self._scope = CancelScope()
        self._ended = Event()
        self.attached = False
        """The subscription stands."""

    async def __aenter__(self) -> Self:
        self._following.owner.start(self.run, "hints of XProtect events")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End them; takes `close_timeout` or so."""
        self._scope.cancel()
        with move_on_after(self._following.close_timeout + 1.0, shield=True):
            await self._ended.wait()

    async def run(self) -> None:
        """The task, for whoever has a task group of their own. Raises nothing but a cancellation."""
        try:
            with self._scope:
                while await self._try():  # noqa: ASYNC110 - nothing tells when a site has got one
                    await sleep(_ANEW)
        except* Exception as group:
            log.exception("hints of XProtect events failed", exc_info=group)
        finally:
            self._ended.set()

    async def _try(self) -> bool:
        """Listen until that is over; whether to begin anew later."""
        try:
            filters = wire_filters([self._filter or EventFilter(event_types=await self._alarm_types())])
            line = EventLine(self._following, filters, state=False, listener=self, settings=self._settings)
            await line.run()
        except TocsinError as error:
            log.info("no hints of alarms by events: %s", error)
            self.on_lost(error.reason)
            return not isinstance(error, AuthenticationError)  # never a log-in more than was asked for
        return True

    async def _alarm_types(self) -> Sequence[str]:
        """The event types of which the site makes alarms."""
        found: dict[str, None] = {}
        try:
            with move_on_after(_READING) as limit:
                for page in range(_MOST // _PAGE + 1):
                    rows = await self._definitions(page)
                    found |= dict.fromkeys(kind for row in rows if (kind := _event_type(row)) is not None)
                    if len(rows) < _PAGE:
                        break
        except TocsinError as error:
            log.debug("alarm definitions: %s", error.reason)
            return ("*",)
        return tuple(found) if found and not limit.cancelled_caught and len(found) <= _MOST else ("*",)

    async def _definitions(self, page: int) -> list[Any]:
        query = (("page", str(page)), ("size", str(_PAGE)))
        answer = (await self._following.gateway.send(Request("GET", "/alarmDefinitions", query))).json()
        rows = answer.get("array") if isinstance(answer, dict) else None
        return rows if isinstance(rows, list) else []

    # ── what the line tells (`EventListener`) ────────────────────────────────────────────────────────────

    def on_events(self, events: Sequence[Row]) -> None:  # noqa: ARG002 - that they came is all that matters
        """There may be a new alarm."""
        self._told()

    def on_states(self, states: Sequence[Row]) -> None:
        """Nobody asked for states."""

    def on_missed(self, since: datetime, until: datetime, cause: str) -> None:
        """The new subscription is told too."""

    def on_attached(self, *, resumed: bool, complete: bool) -> None:  # noqa: ARG002
        """Something may have happened meanwhile."""
        self.attached = True
        self._told()

    def on_alive(self) -> None:
        """Nothing follows from it."""

    def on_lost(self, cause: str) -> None:
        """There are none for a while."""
        self.attached = False
        if self._lost is not None:
            self._lost(cause)


def _event_type(row: Any) -> str | None:
    """The event type of a definition that is in use."""
    if not isinstance(row, dict) or row.get("enabled") is False:
        return None
    kind = row.get("eventType")
    try:
        EventFilter(event_types=kind if isinstance(kind, str) else ())
    except TocsinError:
        return None
    return kind if isinstance(kind, str) and kind != "*" else None
