"""Reconciling: who vanished from the lists, and whether they are really gone.

Nothing is deleted because a list lacks it. A list only names the suspects; each is read by id, and only a 404
that was asked for after the last sign of life is believed.
"""

# ruff: noqa: A001  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tocsin._stream._cells import Cell, Cells
    from tocsin._stream._policy import RecoveryPolicy
    from tocsin._stream._sweep import Plan

__all__ = ["Pass", "Stage"]


class Stage(Enum):
    """How far a pass is."""

    READING = "reading"
    ASKING = "asking for a check"
    CHECKING = "checking"
    VERIFYING = "verifying"


class Pass:
    """One pass over everything that is remembered.

    Attributes:
        plan: The windows it reads.
        as_sweep: It stands in for a sweep: the server cannot tell what changed since a time.
        closed_from: Closed alarms are read from this ``lastUpdated`` on (ms); None: they are not read.
        blind: The server does not tell ``lastUpdated``, so closed alarms cannot be found again.
        stage: How far it is.
        missing: How many vanished; of these `unverified` could be neither read nor found gone.
        flying: Reads by id under way.
    """

    def __init__(self, plan: Plan, *, closed_from: int | None, as_sweep: bool, blind: bool) -> None:
        self.plan = plan
        self.blind = blind
        self.as_sweep = as_sweep
        self.closed_from = closed_from
        self.stage = Stage.READING
        self.missing = 0
        self.unverified = 0
        self.flying = 0
        self._known = 0
        self._share = 0.0
        self._todo: deque[str] = deque()
        self._next_at = 0.0

    def collect(self, cells: Cells, policy: RecoveryPolicy) -> None:
        """All windows are read: whoever was not seen since the pass began is a suspect."""
        for id, cell in cells.items():
            if self._covers(cell):
                self._known += 1
                if self.suspects(cell):
                    self._todo.append(id)
        self.missing = len(self._todo)
        self._share = policy.check_share
        self.stage = Stage.ASKING if self._is_many(policy) else Stage.VERIFYING

    def _is_many(self, policy: RecoveryPolicy) -> bool:
        return self.missing > policy.check_share * self._known

    def _covers(self, cell: Cell) -> bool:
        if cell.gone or not cell.shown:
            return False
        if cell.open or cell.floor is None:
            return cell.open or not self.blind
        return self.closed_from is not None and cell.floor >= self.closed_from

    def suspects(self, cell: Cell) -> bool:
        """Whether nothing was heard of it since the pass began."""
        return not cell.gone and cell.seq < self.plan.seq

    def pick(self, now: float, cells: Cells, policy: RecoveryPolicy) -> str | None:
        """The next suspect to read, or None for now."""
        while self.stage is Stage.VERIFYING and self._todo:
            if now < self._next_at or self.flying >= policy.settle_limit:
                return None
            id = self._todo.popleft()
            cell = cells.get(id)
            if cell is not None and self.suspects(cell):
                self._next_at = now + 1.0 / policy.check_rate
                self.flying += 1
                return id
        return None

    @property
    def done(self) -> bool:
        """Whether every suspect was looked at."""
        return self.stage is Stage.VERIFYING and not self._todo and not self.flying

    @property
    def doubtful(self) -> bool:
        """Whether so many could not be verified that rights may have been lost."""
        return self.unverified > self._share * self._known

    def deadline(self, policy: RecoveryPolicy) -> float | None:
        """When `pick` may give the next one."""
        if self.stage is Stage.VERIFYING and self._todo and self.flying < policy.settle_limit:
            return self._next_at
        return None
