"""What a tracker tells of what it knows, so that another one can go on from there after a restart.

The restart is a gap like any other: it begins when the stream was last known to be whole, the sweep from the
old cursor recovers it, and the pass over all open alarms that follows finds what was deleted meanwhile.
"""

# ruff: noqa: A001, A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tocsin._stream._cells import Cell
from tocsin._stream._checkpoint import Known, Mark
from tocsin._stream._looks import Looks
from tocsin._stream._losses import Loss
from tocsin._stream._sweep import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tocsin._stream._checkpoint import Start
    from tocsin._stream._sweep import Plan

__all__ = ["Memory"]

A = TypeVar("A")

_MOST_DIRTY: Final = 10_000
"""Alarms in doubt that a mark may name; with more of them there is none until they are settled."""


class Memory(Looks[A]):
    """What is told of cells and cursor, and how they are taken up again."""

    _marked: tuple[object, ...] | None = None
    _again_from: int | None = None

    # --- telling ---

    def remember(self) -> None:
        """Note from now on whose cell changed, for `learned`."""
        self._cells.touched = {}

    def learned(self) -> Iterator[tuple[str, Known | None]]:
        """The alarms whose cells changed, as they now stand; None: forgotten. Empties."""
        touched, self._cells.touched = self._cells.touched, {}
        for id in touched or ():
            cell = self._cells.get(id)
            if cell is None:
                yield id, None
            elif cell.given:  # else the consumer has an earlier state, or none
                yield id, _known(cell)

    def knows(self, id: str) -> bool:
        """Whether there is a cell for an alarm."""
        return self._cells.get(id) is not None

    def mark(self) -> Mark | None:
        """This moment, if the tracker is whole and has got further since it was asked last.

        All changes up to the mark's cursor are given by then, or their alarms are among its dirty ones.
        """
        moment = (self._begun, self._started_at, self._cursor, self._swept_at, self._blind)
        if not (self._epoch or self._read_once or self._resumed):
            return None  # it has not begun at all
        if self._wall is None or moment == self._marked or self._spill is not None:
            return None
        dirty = dict.fromkeys((*self._doubts.ids(), *self._held.ids()))
        if len(dirty) > _MOST_DIRTY:
            return None
        self._marked = moment
        return Mark(
            at=self._told_until(self._wall),
            begun=self._begun,
            started_at=self._started_at,
            cursor=self._cursor,
            blind=self._blind,
            forgotten=self._cells.forgotten,
            dirty=tuple(dirty),
        )

    def _told_until(self, wall: datetime) -> datetime:
        """Until when each state was given: a read may have overtaken messages, and merged what they tell."""
        whole = self._whole_at or self._connected_at or wall
        return whole if self._durable else min(whole, self._last_whole(wall))

    # --- going on ---

    def resume(self, now: float, wall: datetime, start: Start, *, cause: str) -> None:
        """Go on from a checkpoint. Called once, before any input.

        Args:
            now: Monotonic seconds.
            wall: Aware UTC.
            start: What was kept.
            cause: What the gap says.
        """
        mark = start.mark
        since = min(mark.at, wall)
        self._resumed = True
        self._now = now
        self._cells.forgotten = mark.forgotten
        self._take_up(start, at=now - (wall - since).total_seconds())
        self._blind = mark.blind
        self._started_at = mark.started_at
        self._whole_at = since
        self._loss = Loss(since, cause, self._seq, 0)
        if mark.begun:
            self._begun = True
            self._read_once = mark.cursor is not None  # there was a REST API: that it is missing now passes
            self._cursor = mark.cursor
        elif mark.started_at is None:
            self._loss.final = True
        else:  # the first read sees open alarms only: what was closed meanwhile takes a sweep from then on
            self._again_from = mark.started_at
        for id in mark.dirty:
            self._doubts.mark(id, self._seq, now)

    def _take_up(self, start: Start, *, at: float) -> None:
        # Those that will be forgotten first are those that changed longest ago.
        for id, known in sorted(start.known.items(), key=lambda pair: pair[1].floor or 0):
            cell = Cell()
            for name, value in known._asdict().items():
                setattr(cell, name, value)
            cell.at = at
            self._cells.place(id, cell)

    def _advance(self, plan: Plan) -> None:
        super()._advance(plan)
        if plan.purpose is not Purpose.FIRST or self._again_from is None:
            return
        if self._cursor is not None:
            self._cursor = min(self._cursor, self._again_from)
        self._again_from = None
        if self._loss is not None:
            self._loss.seq = plan.seq  # this read does not close the gap
        self._sweep_at(self._now)


def _known(cell: Cell) -> Known:
    return Known(
        cell.core, cell.rest, cell.floor, cell.created, cell.exact, cell.open, cell.gone, cell.shown,
        cell.told,
    )  # fmt: skip
