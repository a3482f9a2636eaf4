"""What is known of each alarm: one small cell, without the alarm itself.

A cell answers three questions about a state that arrives: is it the one we have, is it one of the last few
we had, and was it stored later or earlier than ours?
"""

# ruff: noqa: A001, A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin._stream._answers import Observed

__all__ = ["NEWER", "OLDER", "UNSURE", "Cell", "Cells"]

NEWER: Final = 1
OLDER: Final = -1
UNSURE: Final = 0
_PAST: Final = 4


class Cell:
    """The last state of one alarm.

    Attributes:
        core, rest: Its hashes.
        floor: The largest ``lastUpdated`` known for this alarm.
        exact: `floor` is that of this very state. If not, this state's is unknown but not smaller.
        created: Its ``creationTime``.
        seq: The tracker's count at the last sign of life.
        lane: The session whose ordered path brought this state, -1 for anything else.
        at: When it was first seen, or found gone, monotonic.
        past: Fingerprints of earlier states whose ``lastUpdated`` was known.
        open: Neither cleared nor gone.
        gone: Deleted, or 404.
        given: The consumer has this state, or is taken to.
        shown: The last state that the consumer got passed its filter.
        told: This stream gave this alarm at least once.
        hinted: A live message was dropped as equal although it did not tell everything.
    """

    __slots__ = (
        "at",
        "core",
        "created",
        "exact",
        "floor",
        "given",
        "gone",
        "hinted",
        "lane",
        "open",
        "past",
        "rest",
        "seq",
        "shown",
        "told",
    )

    def __init__(self) -> None:
        self.core = b""
        self.rest: bytes | None = None
        self.floor: int | None = None
        self.exact = False
        self.created: int | None = None
        self.seq = 0
        self.lane = -1
        self.at = 0.0
        self.past: tuple[int, ...] = ()
        self.open = False
        self.gone = False
        self.given = True
        self.shown = False
        self.told = False
        self.hinted = False

    def same(self, seen: Observed[Any]) -> bool:
        """Whether `seen` is this very state, as far as both tell."""
        if self.core != seen.core or (self.rest != seen.rest and None not in (self.rest, seen.rest)):
            return False
        if seen.updated is None or self.floor is None:
            return True
        return seen.updated == self.floor if self.exact else seen.updated >= self.floor

    def order(self, seen: Observed[Any]) -> int:
        """Whether `seen` was stored after this state (NEWER), before (OLDER), or who knows (UNSURE)."""
        if seen.updated is None or self.floor is None:
            return UNSURE
        if seen.updated < self.floor:
            return OLDER
        return NEWER if self.exact and seen.updated > self.floor else UNSURE

    def redelivers(self, seen: Observed[Any]) -> bool:
        """Whether `seen` is exactly one of the last states before this one."""
        return bool(self.past) and seen.updated is not None and _fingerprint(seen) in self.past

    def adopt(self, seen: Observed[Any], lane: int) -> None:
        """Take `seen` as the state of the alarm."""
        if self.exact:
            self.past = (*self.past, hash((self.floor, self.core, self.rest)))[-_PAST:]
        self.core = seen.core
        self.rest = seen.rest
        self.exact = seen.updated is not None
        if self.exact:
            self.floor = seen.updated
        if seen.created is not None:
            self.created = seen.created
        self.lane = lane
        self.open = seen.open
        self.gone = False
        self.hinted = False

    def learn(self, seen: Observed[Any]) -> bool:
        """Fill in what an equal state tells beyond ours; whether there was anything."""
        before = (self.exact, self.rest, self.created)
        if not self.exact and seen.updated is not None:
            self.floor = seen.updated
            self.exact = True
        if self.rest is None:
            self.rest = seen.rest
        if self.created is None:
            self.created = seen.created
        return before != (self.exact, self.rest, self.created)


def _fingerprint(seen: Observed[Any]) -> int:
    return hash((seen.updated, seen.core, seen.rest))


class Cells:
    """All cells: those of open alarms, and a bounded number of others, the longest untouched forgotten first.

    Attributes:
        forgotten: The largest ``lastUpdated`` of a closed alarm that was forgotten.
        crowded: There were more open alarms than may be tracked; some are kept like closed ones.
        spilled: A cell was forgotten whose last state the consumer never got.
        touched: Whose cell changed, in order; None while nobody wants to know.
    """

    def __init__(self, remembered: int, max_tracked: int) -> None:
        self.open: dict[str, Cell] = {}
        self.others: OrderedDict[str, Cell] = OrderedDict()
        self.forgotten: int | None = None
        self.crowded = False
        self.spilled = False
        self.touched: dict[str, None] | None = None
        self._remembered = remembered
        self._max_tracked = max_tracked

    def __len__(self) -> int:
        return len(self.open) + len(self.others)

    def get(self, id: str) -> Cell | None:
        """The cell of an alarm, or None."""
        return self.open.get(id) or self.others.get(id)

    def items(self) -> Iterator[tuple[str, Cell]]:
        """All ids and cells."""
        yield from self.open.items()
        yield from self.others.items()

    def touch(self, id: str) -> None:
        """Note that a cell changed."""
        if self.touched is not None:
            self.touched[id] = None

    def place(self, id: str, cell: Cell) -> None:
        """Put a cell where it belongs after a change."""
        self.touch(id)
        if cell.open and cell.shown and not cell.gone:
            if id in self.open:
                return
            if len(self.open) < self._max_tracked:
                self.others.pop(id, None)
                self.open[id] = cell
                return
            self.crowded = True
        else:
            self.open.pop(id, None)
        self.others[id] = cell
        self.others.move_to_end(id)
        if len(self.others) > self._remembered:
            self._forget()

    def _forget(self) -> None:
        id, cell = self.others.popitem(last=False)
        self.touch(id)
        self.spilled |= not cell.given
        if cell.floor is not None and not cell.gone and cell.floor > (self.forgotten or 0):
            self.forgotten = cell.floor

    def oldest_closed(self) -> int | None:
        """The smallest ``lastUpdated`` of a remembered closed alarm that the consumer knows, or None."""
        known = (c.floor for c in self.others.values() if c.floor is not None and not c.gone and c.shown)
        return min(known, default=None)
