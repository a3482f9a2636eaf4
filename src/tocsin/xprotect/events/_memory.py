"""Which events were told already, and after which one a session is resumed. No I/O, bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.xprotect.events._frames import Row

__all__ = ["EventMemory"]


class EventMemory:
    """Remembers the ids of events.

    Args:
        remembered: So many are told apart; at least 1.
        window: Seconds for which the server keeps events of a session.
    """

    __slots__ = ("_open", "_remembered", "_seen", "_window", "handled", "newest")

    def __init__(self, remembered: int, window: float) -> None:
        self._remembered = remembered
        self._window = window
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._open: OrderedDict[str, float] = OrderedDict()
        self.handled: str | None = None
        """The last event of the session that the consumer is done with."""
        self.newest: str | None = None
        """The last event of the session."""

    def new(self, rows: Iterable[Row], now: float) -> tuple[Row, ...]:
        """Leave out what was told before, and remember the rest."""
        fresh: list[Row] = []
        for row in rows:
            if row.id in self._seen:
                self._seen.move_to_end(row.id)
                continue
            self._seen[row.id] = None
            self._open[row.id] = now
            self.newest = row.id
            fresh.append(row)
        while len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        while len(self._open) > self._remembered:
            self._open.popitem(last=False)
            self.handled = None  # too far behind for the server to go back to it
        return tuple(fresh)

    def done(self, event: str) -> None:
        """The consumer is done with an event, and with those before it."""
        if event not in self._open:
            return
        while self._open.popitem(last=False)[0] != event:
            pass
        self.handled = event

    def resume_after(self, now: float) -> str:
        """The event after which the server is to go on; empty where there is none.

        That is the last one handled. But where the consumer is so far behind that the server keeps it no
        more, what was received since is not asked for again: it is here, and waits.
        """
        if not self._open or self.handled is None:
            return self.newest or ""
        first = next(iter(self._open.values()))
        return self.handled if now - first <= self._window else self.newest or ""

    def begin(self) -> None:
        """A new session: the server knows none of the old events any more. They stay told."""
        self._open.clear()
        self.handled = self.newest = None
