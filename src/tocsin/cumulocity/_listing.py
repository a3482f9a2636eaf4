"""One pass over a list of alarms that changes while it is read.

What keeps it whole: a fixed `createdTo`, so that new alarms do not push the others on; pages that overlap
(`_paging`); a memory of what was given; and, after more than one page, a look at what moved meanwhile, for
a row that jumps from the unread part to the top was seen by no page. No upper bound on anything that moves is
used: a row could leave it, and the others would shift.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tocsin._http._pages import Batch
from tocsin._http._paging import Seen
from tocsin._wire import id_of, time_of
from tocsin.cumulocity._paging import Position
from tocsin.cumulocity._query import FILTER_NAMES
from tocsin.cumulocity._window import read_window
from tocsin.cumulocity.models import Alarm
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._http._core import HttpCore
    from tocsin.cumulocity._paging import Ask
    from tocsin.cumulocity._query import AlarmFilter
    from tocsin.cumulocity._window import Window

    _Tail = Callable[[AlarmFilter, datetime], AlarmFilter | None]

__all__ = ["AlarmWalk"]

_REMEMBERED: Final = 100_000
_OVERLAP: Final = timedelta(seconds=30)
"""A write may become readable that much later than its stamp says (reference `recovery.md`, A1)."""
_MARGIN: Final = timedelta(seconds=60)
"""The clock that stamps alarms may be ahead of the one in the Date header, which also cuts off fractions."""
_FAST: Final = timedelta(minutes=15)
"""How much the clock in the Date header may be ahead of the one that stamps alarms."""
_ROUNDS: Final = 3
_LIGHT: Final = 4_000_000
"""Bytes that a page may have in any case before it is due; else twice as many as the one at hand."""
_HEAVY: Final = 8_000_000
"""Bytes of a page behind which one is read ahead and not more."""


class _Pass:
    """One reading of what a filter gives, from the first page to the last."""

    def __init__(self, wanted: AlarmFilter, page_size: int, seen: Seen) -> None:
        self.query = wanted.query()
        self.position = Position(page_size, FILTER_NAMES)
        self.seen = seen  # what this pass has read
        self.weight = 0  # bytes of the page at hand
        self.fresh = 0  # rows of the page at hand that it had not read before
        self.moving = False  # it found something that was not given before
        self.began: datetime | None = None  # by the server's clock

    def knows(self, alarm: Alarm | None) -> bool:
        return alarm is not None and id_of(alarm) in self.seen


class AlarmWalk:
    """One pass over a list of alarms, and those over what moved meanwhile. It is a `Walk`.

    Args:
        core: Sends the requests.
        wanted: Which alarms.
        page_size: Rows of a page, 1 to 2000.
        remembered: How many ids are remembered at least.
    """

    noun = "alarms"

    def __init__(
        self, core: HttpCore, wanted: AlarmFilter, *, page_size: int, remembered: int = _REMEMBERED
    ) -> None:
        self._core = core
        self._wanted = wanted
        self._page_size = page_size
        self._remembered = remembered
        self._given = Seen(remembered)
        self._pass = self._taken = _Pass(wanted, page_size, self._given)
        self._tail: _Tail | None = None  # None: the list itself
        self._due: list[tuple[_Tail, datetime]] = []
        self._then: _Pass | None = None  # what changed; read while what was raised is read
        self._rounds = 0
        self._dated = False  # the server says when alarms were last changed

    @property
    def more(self) -> bool:
        """Whether another request is due."""
        return self._pass.position.more

    def asks(self, most: int) -> list[tuple[_Pass, Ask]]:
        """The request that is due, and behind it those that follow if nothing surprising comes."""
        here, then = self._pass, self._then
        asks = [(here, ask) for ask in here.position.asks(most if here.weight <= _HEAVY else 1)]
        if then is not None and most > 1:
            asks.append((then, then.position.ask()))
        return asks

    async def read(self, ask: tuple[_Pass, Ask], *, early: bool) -> Batch:
        """Send one of the requests."""
        of, page = ask
        query = (*of.query, *page.extra)
        limit = max(_LIGHT, 2 * of.weight) if early else None
        window = await read_window(self._core, query, page_size=page.size, page=page.page, max_bytes=limit)
        return Batch(window.rows, window.statistics, (page, window), not window.more)

    def accept(self, batch: Batch, *, early: bool) -> bool:
        """Move on past the batch that was due; False if it must be read again, or another one instead."""
        ask: Ask
        window: Window
        ask, window = batch.context
        here = self._pass
        if early and here.position.pages and not here.position.joins_early(ask, window):
            return False
        if self._then is not None and window.more:
            self._narrow()
            return False
        fresh, here.fresh = here.fresh, 0
        if not here.position.accept(
            ask, window, fresh=fresh, joins=lambda: early or any(map(here.knows, map(_read, batch.rows)))
        ):
            return False
        self._taken = here
        here.weight = sum(map(len, batch.rows))
        if here.position.pages == 1 and window.more:
            self._fix(window)
        if not here.position.more:
            self._next_pass(batch.rows)
        return True

    def take(self, raw: bytes) -> Alarm | None:
        """Make an alarm of a row; None if it was given before."""
        alarm = Alarm.from_raw(raw)
        identity = id_of(alarm)
        here = self._taken
        fresh = here.seen.add(identity)
        here.fresh += fresh
        if here.seen is not self._given:
            fresh = self._given.add(identity)
            here.moving = here.moving or fresh
        return alarm if fresh else None

    def _fix(self, window: Window) -> None:
        """Take the server's clock from the first answer of a pass, and bound the list by it."""
        alarms = [alarm for alarm in map(_read, window.rows) if alarm]
        newest = max(_times(alarms, "last_updated"), default=None)
        if window.date is None or newest is None:
            self._pass.began = window.date or newest
        else:  # a proxy's clock may be fast; but what is long past is not read again for that
            self._pass.began = min(window.date, max(newest, window.date - _FAST))
        if self._pass.began is not None:  # bounds are in milliseconds
            self._pass.began -= timedelta(microseconds=self._pass.began.microsecond % 1000)
        if self._tail is not None:
            return
        self._dated = any(b'"lastUpdated"' in raw for raw in window.rows)
        wanted = self._wanted
        if window.date is None or wanted.created_to is not None:
            return
        # A proxy may answer for the platform, and its clock may be slow.
        bound = max([window.date, *_times(alarms, "creation_time")]) + _MARGIN
        if wanted.created_from is None or wanted.created_from < bound:  # or that server's clocks are at odds
            # Not for the passes that follow: they find what was stored behind a bound that is too low.
            self._pass.query = replace(wanted, created_to=bound).query()

    def _next_pass(self, rows: list[bytes]) -> None:
        """Go on with what moved during the pass that just ended, if that took more than one page."""
        ended = self._pass
        if self._then is not None:
            self._pass, self._then, self._tail = self._then, None, _updated
            self._due.clear()
            return
        if ended.began is not None and ended.position.pages > 1:
            if self._tail is None:
                self._due = [(tail, ended.began) for tail in _TAILS if tail is not _updated or self._dated]
                if self._look_at_both(ended.began - _OVERLAP):
                    return
            elif self._rounds < _ROUNDS and (ended.moving or not self._all_given(rows)):
                self._rounds += 1
                self._due.insert(0, (self._tail, ended.began))
        self._next_tail()

    def _next_tail(self) -> None:
        while self._due:
            self._tail, since = self._due.pop(0)
            moved = self._tail(self._wanted, since - _OVERLAP)
            if moved is not None:
                self._pass = self._looking(moved)
                return

    def _looking(self, moved: AlarmFilter) -> _Pass:
        return _Pass(moved, self._page_size, Seen(self._remembered))

    def _look_at_both(self, since: datetime) -> bool:
        """Go on with all that was raised since then, and at the same time with what changed, if both are due.

        `_raised` leaves out what changed, and must be read before `_updated`: what changes in between would
        be in neither. Nothing leaves the range without that bound, so the order does not matter; but it has
        all that changed in it, so it is read only if it fits in one page.
        """
        raised, updated = _raised(self._wanted, since), _updated(self._wanted, since)
        if raised is None or updated is None or not self._dated:
            return False
        self._pass = self._looking(replace(raised, updated_to=self._wanted.updated_to))
        self._then = self._looking(updated)
        self._tail = _raised
        return True

    def _narrow(self) -> None:
        """What was raised fills more than a page: look at what did not change, and then at what did."""
        self._then = None
        self._next_tail()

    def _all_given(self, rows: list[bytes]) -> bool:
        return all(alarm is None or id_of(alarm) in self._given for alarm in map(_read, rows))


def _updated(wanted: AlarmFilter, since: datetime) -> AlarmFilter | None:
    """What changed since then."""
    if wanted.updated_to is not None and wanted.updated_to <= since:
        return None
    return replace(wanted, updated_from=max(since, wanted.updated_from or since))


def _raised(wanted: AlarmFilter, since: datetime) -> AlarmFilter | None:
    """What was raised again since then without that it counts as a change: nobody knows if such servers are.

    What leaves this range meanwhile has changed, so `_updated` comes after it.
    """
    if wanted.date_from is not None and wanted.date_from >= since:
        return None
    if wanted.date_to is not None and wanted.date_to <= since:
        return None
    if wanted.updated_from is not None and wanted.updated_from >= since:
        return None
    return replace(wanted, date_from=since, updated_to=min(since, wanted.updated_to or since))


_TAILS: Final = (_raised, _updated)


def _times(alarms: list[Alarm], name: str) -> list[datetime]:
    return [time for alarm in alarms if (time := time_of(alarm, name)) is not None]


def _read(raw: bytes) -> Alarm | None:
    try:
        return Alarm.from_raw(raw)
    except ProtocolError:
        return None  # told when its turn comes
