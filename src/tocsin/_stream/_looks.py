"""Recovery on a platform that lists what was created since a time, but not what changed since.

What proves there that nothing is missing is a pass: all alarms created since the cursor, all open ones, and
a read by id of each that left the list. It runs every `verify_every`; once in `reconcile_every` it goes over
the closed ones that are remembered too. In between, every `look_every`, a look finds the alarms that are new:
it is cheap, may miss what was dated back, and proves nothing. The cursor is the server time up to which
creations were read.

Leaving the list is nothing special here: most such alarms were closed. Those that a read by id does not find
wait for the end of the pass. Only if the credentials still stand then are they deleted.
"""

# ruff: noqa: A001, A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tocsin._stream._reconcile import Pass, Stage
from tocsin._stream._schedule import Schedule
from tocsin._stream._sweep import Plan, Purpose, Window

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._stream._answers import Read
    from tocsin._stream._cells import Cell
    from tocsin._stream._policy import RecoveryPolicy

__all__ = ["Looks", "OpenPass"]

A = TypeVar("A")

_FEW: Final = 10
"""So many alarms may leave the list at once before the credentials are checked first."""

_TWICE: Final = 2
"""Looks for one hint: what it announces may not be readable yet when the first is sent."""


class OpenPass(Pass):
    """A pass whose suspects are most often closed, not gone.

    Attributes:
        absent: Suspects that were not found, each with the count at which its read was sent.
        with_closed: It goes over the closed alarms too.
    """

    def __init__(self, plan: Plan, *, closed_from: int | None, with_closed: bool, blind: bool) -> None:
        super().__init__(plan, closed_from=closed_from, as_sweep=True, blind=blind)
        self.absent: list[tuple[str, int]] = []
        self.with_closed = with_closed

    def _covers(self, cell: Cell) -> bool:
        if cell.gone or not cell.shown:
            return False
        if cell.open or not cell.given:
            return True
        start = self.closed_from
        return start is not None and cell.created is not None and cell.created >= start

    def _is_many(self, policy: RecoveryPolicy) -> bool:
        return self.missing > _FEW and super()._is_many(policy)

    @property
    def done(self) -> bool:
        """Whether every suspect was looked at, and nothing waits for the credentials."""
        return super().done and not self.absent

    @property
    def all_read(self) -> bool:
        """Whether every suspect was read."""
        return super().done


class Looks(Schedule[A]):
    """What is read when. Without `looks` nothing of this applies."""

    _look: Plan | None = None
    _look_at = 0.0
    _hints = 0
    _hint_free = 0.0

    # --- when ---

    def hint(self, now: float) -> None:
        """Something may have happened: look now, and once more a moment later."""
        self._now = now
        self._hints = _TWICE

    def reads(self, now: float, *, paused: bool = False) -> list[Read]:
        """What to send now; see `Schedule.reads`."""
        self._now = now
        due = self._look_due()
        if due is not None and due <= now:
            self._begin_look(now)
        return super().reads(now, paused=paused)

    def _look_due(self) -> float | None:
        if not self._looks or self._look is not None or not (self._begun and self._sweeps_on):
            return None
        if self._blind or self._cursor is None:
            return None  # passes have to do
        return min(self._look_at, self._hint_free) if self._hints else self._look_at

    def _begin_look(self, now: float) -> None:
        self._look_at = now + self._policy.look_every
        self._hint_free = now + self._policy.look_pause
        self._hints = max(0, self._hints - 1)
        self._look = self._plan(Purpose.SWEEP, self._new_windows())

    def _plans(self) -> tuple[Plan | None, ...]:
        return (self._look, *super()._plans())

    def _next_starts(self) -> list[float | None]:
        return [*super()._next_starts(), self._look_due()]

    def _pass_start(self) -> float | None:
        return None if self._looks else super()._pass_start()

    # --- what ---

    def _begin_sweep(self) -> None:
        if self._looks:
            self._begin_pass(as_sweep=True)
        else:
            super()._begin_sweep()

    def _begin_pass(self, *, as_sweep: bool) -> None:
        if not self._looks:
            super()._begin_pass(as_sweep=as_sweep)
            return
        with_closed = self._pass_due is not None and self._pass_due <= self._now
        closed_from = self._oldest_closed() if with_closed else None
        if self._cursor is None and not self._blind:
            # Only the whole scope tells what was raised and closed since the first read.
            windows = [Window(part, resolved=None, updated_from=None) for part in self._partitions]
        else:
            windows = [] if self._cursor is None else self._new_windows()
            windows += [Window(part, resolved=False, updated_from=None) for part in self._partitions]
            if closed_from is not None:
                windows += [
                    Window(part, resolved=True, updated_from=None, created=(closed_from, None))
                    for part in self._partitions
                ]
        plan = self._plan(Purpose.PASS, windows)
        plan.proves = True
        self._attaching(plan)
        self._pass = OpenPass(plan, closed_from=closed_from, with_closed=with_closed, blind=self._blind)

    def _new_since(self) -> int | None:
        return None if self._cursor is None else self._cursor - self._overlap_ms()

    def _new_windows(self) -> list[Window]:
        since = self._new_since()
        if self._spill is not None and self._caught_up and since is not None:
            cells = (self._cells.get(id) for id in self._owed)
            since = min([since, *(c.created for c in cells if c is not None and c.created is not None)])
        return [
            Window(part, resolved=None, updated_from=None, created=(since, None)) for part in self._partitions
        ]

    def _oldest_closed(self) -> int | None:
        known = (c.created for c in self._cells.others.values() if not (c.gone or c.open) and c.shown)
        return min((at for at in known if at is not None), default=None)

    # --- what answers mean ---

    def _polls(self, purpose: Purpose) -> bool:
        settles = self._looks and purpose is Purpose.SETTLE and not self._live and self._loss is None
        return settles or super()._polls(purpose)

    def _plan_whole(self, plan: Plan, wall: datetime) -> None:
        if plan is not self._look:
            super()._plan_whole(plan, wall)
            return
        self._look = None
        self._advance(plan)
        if not self._pass_failures:
            self._failing = None
        if self._loss is not None and self._pass is None and not self._pass_failures:
            self._sweep_at(self._now)  # reads work again: a pass tells what was missed

    def _note_absent(self, current: Pass, id: str, r0: int) -> bool:
        """Keep a suspect that was not found for the end of the pass; False where it is believed at once."""
        if not isinstance(current, OpenPass):
            return False
        current.absent.append((id, r0))
        return True

    def _doubt_absent(self, id: str, r0: int) -> None:
        if not self._looks:
            self._absent(id, r0)
            return
        self._doubts.settled(id, r0)  # the next pass misses it, and checks the credentials

    def _suspects(self, now: float) -> list[Read]:
        current = self._pass
        if isinstance(current, OpenPass) and current.absent and current.all_read:
            current.stage = Stage.ASKING
        return super()._suspects(now)

    def _say_vanished(self, current: Pass) -> None:
        if not self._looks:
            super()._say_vanished(current)

    def _is_sound(self, current: Pass) -> None:
        super()._is_sound(current)
        if isinstance(current, OpenPass):
            absent, current.absent = current.absent, []
            for id, r0 in absent:
                self._absent(id, r0)

    def _next_pass(self, done: Pass) -> float | None:
        if isinstance(done, OpenPass) and not done.with_closed:
            return self._pass_due
        return super()._next_pass(done)

    def _abort_pass(self, cause: str, asked: float | None) -> None:
        current = self._pass
        super()._abort_pass(cause, asked)
        if isinstance(current, OpenPass) and self._wall is not None:
            self._open_loss(self._whole_at or self._wall, cause, seq=current.plan.seq)
