"""One pass over alarms by windows of the time at which they were stored, which never changes.

Each window is so narrow that one answer holds all of it, so no page numbers can shift: nothing
slips through, nothing comes twice, and nothing has to be remembered, whatever moves meanwhile. A window that
holds more than one answer is narrowed and asked for again; the times in what came say how far.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tocsin._http._pages import Batch
from tocsin.cumulocity._listing import AlarmWalk
from tocsin.cumulocity._window import read_window
from tocsin.cumulocity.models import Alarm
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from tocsin._http._core import HttpCore
    from tocsin.cumulocity._query import AlarmFilter
    from tocsin.cumulocity._window import Window

__all__ = ["CreationWalk"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MARGIN: Final = 60_000
"""The clock that stamps alarms may be ahead of the one in the Date header, which also cuts off fractions."""
_DAY: Final = 86_400_000
_BARREN: Final = 500
"""Answers in a row that give no alarm. Narrowing takes some 40 of them after a gap of years."""
_KEEP: Final = 10
"""A window that is too full is cut so that it loses one in so many of the rows that were seen."""


class _Span(NamedTuple):
    """A half-open range of creation times, in ms; None is no bound."""

    low: int | None
    high: int | None


class CreationWalk:
    """One pass over a list of alarms, newest creation first. It is a `Walk`.

    Args:
        core: Sends the requests.
        wanted: Which alarms.
        page_size: The most rows of an answer, 1 to 2000.
    """

    noun = "alarms"

    def __init__(self, core: HttpCore, wanted: AlarmFilter, *, page_size: int) -> None:
        self._core = core
        self._wanted = wanted
        self._size = page_size
        self._floor = _millis(wanted.created_from)
        self._due = _Span(self._floor, _millis(wanted.created_to))
        self._pages: AlarmWalk | None = None  # reads what no window can cut further
        self._taking: AlarmWalk | None = None
        self._after: int | None = None  # where to go on below the pages
        self._then: _Span | None = None  # what follows a window without an upper end
        self._barren = 0
        self._done = False

    @property
    def more(self) -> bool:
        """Whether another request is due."""
        return not self._done

    def asks(self, most: int) -> Sequence[Hashable]:  # noqa: ARG002 - each window follows from the one before
        """The request that is due."""
        return [self._due] if self._pages is None else self._pages.asks(1)

    async def read(self, ask: Any, *, early: bool) -> Batch:
        """Send the request that is due."""
        if self._pages is not None:
            batch = await self._pages.read(ask, early=early)
            return Batch(batch.rows, batch.statistics, batch)
        query = self._filter(ask).query()
        window = await read_window(self._core, query, page_size=self._size)
        return Batch(window.rows, window.statistics, window)

    def accept(self, batch: Batch, *, early: bool) -> bool:
        """Move on past a batch; False if it was cut off and a narrower one is due."""
        if self._pages is not None:
            self._taking = self._pages
            accepted = self._pages.accept(batch.context, early=early)
            if not self._pages.more:
                self._pages = None
                self._go_on(self._after, 0)
            return accepted
        self._taking = None
        window: Window = batch.context
        times = [moment for moment in map(_created, window.rows) if moment is not None]
        self._check(times)
        self._barren = 0 if window.rows and not window.more else self._barren + 1
        if self._barren > _BARREN:
            raise ProtocolError("the server gives window after window without an alarm and never an end")
        if not window.more:
            if self._due.high is None and self._then is not None:
                self._due, self._then = self._then, None
            else:
                self._go_on(self._due.low, len(window.rows))
            return True
        self._trim(window)
        self._cut(window, sorted(times))
        return False

    def _cut(self, window: Window, times: list[int]) -> None:
        """Go on with less than the window at hand, which holds more than one answer."""
        low, high = self._due
        if len(window.rows) < self._size:  # a user with inventory roles only
            self._read_pages(self._due, low)
        elif high is not None:
            if low is not None and high - low <= 1:
                self._read_pages(self._due, low)
            else:
                self._due = _Span(_narrowed(low, high, times), high)
        elif (bound := self._bound(window, times)) is None:  # no clock
            self._read_pages(self._due, low)
        else:  # the clock may be slow, so what was stored behind it comes first
            bound = bound if low is None else max(bound, low + 1)
            self._then = _Span(_narrowed(low, bound, times), bound)
            self._due = _Span(bound, None)

    def take(self, raw: bytes) -> Alarm | None:
        """Make an alarm of a row."""
        return Alarm.from_raw(raw) if self._taking is None else self._taking.take(raw)

    def _filter(self, span: _Span) -> AlarmFilter:
        return replace(self._wanted, created_from=_moment(span.low), created_to=_moment(span.high))

    def _read_pages(self, span: _Span, after: int | None) -> None:
        self._pages = AlarmWalk(self._core, self._filter(span), page_size=self._size)
        self._after = after

    def _go_on(self, low: int | None, rows: int) -> None:
        """Go to the window below `low`: as wide as this one, wider if it was not half full."""
        if low is None or low <= (self._floor or 0):  # nothing was stored before 1970
            self._done = True
            return
        width = (self._due.high or low + _DAY) - low
        if rows == 0:  # all that is left, whose times tell where to look
            self._due = _Span(self._floor, low)
            return
        width = width * 2 if rows * 2 < self._size else width
        self._due = _Span(max(low - width, self._floor or 0), low)

    def _trim(self, window: Window) -> None:
        """Take over the page size of a server that gives less than was asked for."""
        told = window.statistics
        if told is not None and told.current_page == 1 and told.page_size:
            self._size = min(self._size, told.page_size)

    def _bound(self, window: Window, times: list[int]) -> int | None:
        """Where to begin, by the server's clock; a proxy may answer for the platform, so by the rows too."""
        clocks = [*times, *([] if window.date is None else [_millis(window.date) or 0])]
        return max(clocks) + _MARGIN if clocks else None

    def _check(self, times: list[int]) -> None:
        low, high = self._due
        if any((low is not None and time < low) or (high is not None and time >= high) for time in times):
            raise ProtocolError(
                "the platform gives alarms from outside of the creation times that were asked for: "
                "before 10.11 it ignores them, and stable=True cannot work there"
            )


def _narrowed(low: int | None, high: int, times: list[int]) -> int:
    """The lower end of a window that holds less: nine tenths of what was seen, half the width at most."""
    inside = [time for time in times if time < high]
    guess = inside[len(inside) // _KEEP] if inside else high - _DAY
    if low is not None:
        guess = max(guess, (low + high + 1) // 2)
    return min(guess, high - 1)


def _created(raw: bytes) -> int | None:
    try:
        return _millis(Alarm.from_raw(raw).creation_time)
    except ProtocolError:
        return None  # told when its turn comes


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else _EPOCH + millis * _MILLISECOND
