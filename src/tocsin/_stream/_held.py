"""Changes that a read showed before any message told them.

They wait for their message. Given at once, they would overtake it: if the alarm changed twice, the state
between would be merged although nothing was lost.
"""

# ruff: noqa: A001, A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tocsin._stream._cells import NEWER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tocsin._stream._answers import Observed
    from tocsin._stream._cells import Cell
    from tocsin._stream._sweep import Basis

__all__ = ["Held", "HeldRows"]

A = TypeVar("A")
_MOST: Final = 5000
"""Rows that may wait: so many that no message told are judged at once."""


class Held(Generic[A]):
    """One row that waits.

    Attributes:
        seen: What the latest read showed.
        basis: On what ground it is judged when its time has come.
        due: When that is (monotonic).
        since: Up to when the stream was whole when the row came; None: it never was.
        touched: The cell's count that this row set; if it is the same later, nothing was heard meanwhile.
        firm: A message must have come: the read began when every subscription had surely taken effect.
        counts: It is a miss if no message comes. What only became visible was never announced.
    """

    __slots__ = ("basis", "counts", "due", "firm", "seen", "since", "touched")

    def __init__(self, seen: Observed[A], basis: Basis, *, due: float, since: datetime | None) -> None:
        self.seen = seen
        self.basis = basis
        self.due = due
        self.since = since
        self.touched = -1
        self.firm = self.counts = False


class HeldRows(Generic[A]):
    """All rows that wait, the longest waiting first."""

    def __init__(self) -> None:
        self._rows: dict[str, Held[A]] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def ids(self) -> Iterable[str]:
        """The alarms whose rows wait."""
        return self._rows

    def hold(self, seen: Observed[A], basis: Basis, *, due: float, since: datetime | None) -> Held[A]:
        """Let a row wait; a later read's row takes the place of an earlier one's, and waits no longer."""
        held = self._rows.get(seen.id)
        if held is None:
            held = self._rows[seen.id] = Held(seen, basis, due=due, since=since)
        held.seen, held.basis = seen, basis
        return held

    def heard(self, id: str, cell: Cell | None) -> None:
        """A message came: the row waits no more unless it still shows a later state."""
        held = self._rows.get(id)
        if held is not None and (cell is None or cell.gone or cell.order(held.seen) != NEWER):
            del self._rows[id]

    def postpone(self, due: float) -> None:
        """Let all wait until then, at least: their messages could not come yet."""
        for held in self._rows.values():
            held.due = max(held.due, due)

    @property
    def first(self) -> Observed[A] | None:
        """What the row shows that has waited longest."""
        return next((held.seen for held in self._rows.values()), None)

    def pop(self, now: float) -> Held[A] | None:
        """Take out the next row that has waited long enough, or any if there are too many."""
        for id, held in self._rows.items():
            if held.due > now and len(self._rows) <= _MOST:
                return None
            del self._rows[id]
            return held
        return None

    def deadline(self) -> float | None:
        """When `pop` has something."""
        return next((held.due for held in self._rows.values()), None)
