"""What a slow consumer was not given: the buffer dropped it, and it is found again at the consumer's pace."""

# ruff: noqa: A001  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tocsin._stream._losses import Loss, Losses
from tocsin.models import Origin

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from tocsin._stream._sweep import Plan

__all__ = ["Overflows"]

A = TypeVar("A")


class Overflows(Losses[A]):
    """Overflows: a sweep gives the states that were dropped again; dropped deletions are told one by one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._owed: dict[str, None] = {}
        self._caught_up = False
        self._parting = False  # all that is owed yet are deletions

    def overflowed(
        self,
        now: float,
        wall: datetime,
        *,
        ids: Collection[str],
        created: Collection[str] = (),
        since: datetime | None = None,
    ) -> None:
        """The buffer dropped the pending changes of these alarms.

        Args:
            now: Monotonic seconds.
            wall: Aware UTC.
            ids: Whose changes were dropped.
            created: Those among them of which the consumer knows nothing, for a CREATE was dropped.
            since: When the oldest of them was put, if known.
        """
        self._input(now, wall)
        for id in ids:
            cell = self._cells.get(id)
            if cell is not None:
                cell.given = False
                cell.told = cell.told and id not in created
                cell.shown = True  # the consumer may have an earlier state that passed its filter
                self._cells.place(id, cell)
            if len(self._owed) < self._policy.remembered:
                self._owed[id] = None
            elif id not in self._owed:
                self._cells.spilled = True
        self._spill = self._spill or Loss(
            since or wall, "the consumer was too slow", self._seq, self._recovered
        )
        self._spill.seq = self._seq
        self._caught_up = self._parting = False

    def caught_up(self, now: float) -> None:
        """After an overflow: the consumer has taken all that was pending; what was dropped is read again."""
        if self._spill is None:
            return
        self._seq += 1
        self._now = now
        self._caught_up = True
        for id in list(self._owed):
            cell = self._cells.get(id)
            if cell is not None and cell.given:
                del self._owed[id]
        if not self._owed or not (self._reads_on and self._sweeps_on):
            self._end_spill(self._wall or self._spill.since)
        else:
            self._spill.seq = self._seq
            self._sweep_at(now)

    def _oldest_owed(self) -> int | None:
        """From which ``lastUpdated`` on a sweep finds what was dropped; what is gone is in no list."""
        cells = (self._cells.get(id) for id in self._owed)
        known = (c.floor for c in cells if c is not None and c.floor is not None and not c.gone)
        return min(known, default=None)

    def _swept(self, plan: Plan, wall: datetime, *, recoverable: bool) -> None:
        super()._swept(plan, wall, recoverable=recoverable)
        if self._spill is not None and self._caught_up and plan.seq > self._spill.seq:
            self._end_spill(wall)

    def _end_spill(self, wall: datetime) -> None:
        """All was read again: what that did not show is settled by id, and deletions are still to be told."""
        for id in list(self._owed):
            cell = self._cells.get(id)
            if cell is not None and cell.gone and not cell.given:
                continue
            del self._owed[id]
            if cell is None or not cell.given:
                self._doubt(cell, id, None, None)
        self._parting = True
        if not self._owed:
            self._close_spill(wall)

    def _tell_deletions(self) -> bool:
        """Tell of the dropped deletions as many as surely find room; whether there was one.

        More of them than the buffer holds, told at once, would be dropped again, each time.
        """
        if not self._parting or self._wall is None:
            return False
        told = 0
        for id in list(self._owed):
            if told >= self._policy.page_size:
                return True
            del self._owed[id]
            cell = self._cells.get(id)
            if cell is None:  # forgotten meanwhile
                self._doubt(None, id, None, None)
            elif cell.gone and not cell.given:
                self._bury(cell, id, Origin.RECOVERED)
                told += 1
        self._close_spill(self._wall)
        return told > 0

    def _close_spill(self, wall: datetime) -> None:
        self._parting = False
        spill, self._spill = self._spill, None
        if spill is not None:
            self._note(spill, wall, recoverable=self._reads_on and not self._cells.spilled)
        self._cells.spilled = False
