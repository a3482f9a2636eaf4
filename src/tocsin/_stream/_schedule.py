"""When to read what: sweeps, reconcile passes, alarms in doubt; and what the end of each one means."""

# ruff: noqa: A001, A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from tocsin._stream._answers import Note, Read, ReadCheck, ReadOne, ReadWindow
from tocsin._stream._overflows import Overflows
from tocsin._stream._reconcile import Pass, Stage
from tocsin._stream._settle import backoff
from tocsin._stream._sweep import Plan, Purpose, Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tocsin._stream._policy import RecoveryPolicy
    from tocsin.errors import TocsinError

__all__ = ["Schedule"]

A = TypeVar("A")


class Schedule(Overflows[A]):
    """What is read when.

    Args:
        policy: Periods and limits.
        snapshot: Give what is there at the start: open alarms (True), all ("all"), or nothing (False).
        partitions: Parts of the scope that are read one by one; a sweep is complete when all are.
        live: There is a live channel. False: sweeps every `verify_every` are the channel.
        sweeps: False reads once at the start and never again, and says so by gaps. For tests and
            demonstrations.
        reads: There is a REST API to read from. False: every loss is a gap that cannot be recovered.
        durable: The live channel keeps what it could not bring, in order: an interruption alone loses
            nothing, and a row waits for its message until the channel has caught up.
        looks: The platform cannot list what changed since a time; see `Looks`.
    """

    def __init__(
        self,
        policy: RecoveryPolicy,
        *,
        snapshot: Literal[False, True, "all"] = False,
        partitions: Sequence[str | None] = (None,),
        live: bool = True,
        sweeps: bool = True,
        reads: bool = True,
        durable: bool = False,
        looks: bool = False,
    ) -> None:
        super().__init__(
            policy, snapshot=snapshot, live=live, sweeps=sweeps, reads=reads, durable=durable and live
        )
        self._partitions = tuple(partitions)
        self._looks = looks
        self._cursor: int | None = None
        self._begun = not reads  # the first read is complete
        self._blind = False  # the server does not tell lastUpdated
        self._sweep: Plan | None = None
        self._pass: Pass | None = None
        self._pass_due: float | None = None
        self._pass_failures = 0
        self._pass_free = 0.0  # no pass because of a recovery before
        self._flights: dict[int, Plan | Pass | None] = {}
        self._tickets = 0
        self._read_once = False
        self._paused = False
        self._bad_rows = 0
        self._swept_epoch = 0
        self._periodic = 0.0
        self._degraded: str | None = None
        self._failing: str | None = None
        self._unreconciled: str | None = None
        self._denied: str | None = None
        self._crowd_told = False
        self._unverified = 0
        self._swept_at: datetime | None = None
        self.error: TocsinError | None = None
        """Set when the stream must end."""

    # --- what to read ---

    def connected(self, now: float, wall: datetime, *, session: int, date: int | None = None) -> None:
        """Every channel stands; see `Losses.connected`. What waited for a better moment begins anew."""
        super().connected(now, wall, session=session, date=date)
        self._drop_old_sweep()

    def _drop_old_sweep(self) -> None:
        """A sweep of an earlier attachment that waits after a failure must not keep the due one waiting."""
        plan = self._sweep
        if plan is None or plan.purpose is not Purpose.SWEEP or plan.window is not None:
            return
        if self._attached and plan.epoch != self._epoch:
            self._sweep = None

    def reads(self, now: float, *, paused: bool = False) -> list[Read]:
        """What to send now; each must be answered once. Call it after each input and at `deadline`.

        Args:
            now: Monotonic seconds.
            paused: Ask for no window: the consumer has enough to take.
        """
        self._now = now
        self._paused = paused
        if paused and self._durable:
            self._held.postpone(now + self._policy.grace)  # nor can messages come to a consumer that is slow
        self._judge_misses(now)
        full = paused or self._tell_deletions()
        if not self._reads_on:
            return []
        self._start_sweep(now)
        self._start_pass(now)
        found: list[Read] = []
        if not full:
            found.extend(self._windows(now))
        if not self._awaits_sweep():
            found.extend(self._read_one(doubt.id, None) for doubt in self._doubts.pick(now))
        found.extend(self._suspects(now))
        return found

    def _start_sweep(self, now: float) -> None:
        if (
            self._sweep is not None
            or not self._may_sweep()
            or (self._pass is not None and self._pass.as_sweep)
        ):
            return
        if self._begun and not self._sweeps_on:
            return
        rush = self._rush_due()
        if rush is not None and rush <= now:
            self._rush, self._rush_free = None, now + self._policy.verify_first
        elif not (self._due and self._due[0] <= now):
            return
        self._due = [due for due in self._due if due > now]
        if not self._due:
            self._periodic = now + self._policy.verify_every
            self._due = [self._periodic]
        if not self._begun:
            self._sweep = self._attaching(self._plan(Purpose.FIRST, self._first_windows()))
        else:
            self._begin_sweep()

    def _begin_sweep(self) -> None:
        if self._blind or self._cursor is None:
            self._begin_pass(as_sweep=True)
        else:
            self._sweep = self._attaching(self._plan(Purpose.SWEEP, self._sweep_windows(self._cursor)))
            self._sweep.created_since = self._cursor - self._overlap_ms()

    def _may_sweep(self) -> bool:
        """Also while the live channel is down: reads may still work. The gap stays open until it is back."""
        return self._attached or (self._begun and not self._blind and self._cursor is not None)

    def _may_pass(self) -> bool:
        """Also while a durable channel is down: it may be so for long, and it never tells of a deletion."""
        return self._attached or (self._durable and self._may_sweep())

    def _rush_due(self) -> float | None:
        """When a sweep is to begin because of messages that only a sweep can explain; None: no need."""
        if self._rush is None and self._begun and self._doubts.flooded:
            return self._rush_free
        return self._rush

    def _plan(self, purpose: Purpose, windows: list[Window]) -> Plan:
        self._seq += 1
        plan = Plan(purpose, windows, seq=self._seq, epoch=self._epoch if self._attached else None)
        plan.late = self._now >= self._settled_at
        plan.began = self._wall
        return plan

    def _attaching(self, plan: Plan) -> Plan:
        """The first sweep of an attachment finds what the gap before it lost: no message could tell that."""
        plan.attach = self._epoch != self._swept_epoch
        self._swept_epoch = self._epoch
        return plan

    def _overlap_ms(self) -> int:
        return int(self._policy.overlap * 1000)

    def _first_windows(self) -> list[Window]:
        resolved = None if self._snapshot == "all" else False
        return [Window(part, resolved=resolved, updated_from=None) for part in self._partitions]

    def _sweep_windows(self, cursor: int) -> list[Window]:
        start = cursor - self._overlap_ms()
        if self._spill is not None and self._caught_up:
            oldest = self._oldest_owed()
            start = start if oldest is None else min(start, oldest)
        return [Window(part, resolved=None, updated_from=start) for part in self._partitions]

    def _start_pass(self, now: float) -> None:
        if self._pass is not None or not self._begun or not self._may_pass() or not self._sweeps_on:
            return
        due = self._pass_start()
        if due is not None and due <= now:
            self._begin_pass(as_sweep=False)

    def _pass_start(self) -> float | None:
        """When a pass is to begin that is no sweep."""
        return self._pass_due

    def _begin_pass(self, *, as_sweep: bool) -> None:
        closed_from = None if self._blind else self._cells.oldest_closed()
        # Without a cursor only the whole scope tells what was raised and closed since the first read.
        whole = None if self._cursor is None and not self._blind else False
        windows = [Window(part, resolved=whole, updated_from=None) for part in self._partitions]
        if closed_from is not None and whole is False:
            windows += [Window(part, resolved=True, updated_from=closed_from) for part in self._partitions]
        plan = self._plan(Purpose.PASS, windows)
        if as_sweep:
            plan.proves = True
            self._attaching(plan)
        self._pass = Pass(plan, closed_from=closed_from, as_sweep=as_sweep, blind=self._blind)
        self._pass_due = None

    def _awaits_sweep(self) -> bool:
        """Too many doubts to settle one by one: a sweep goes over them first."""
        can = self._sweeps_on and self._attached and self._begun
        return can and self._doubts.flooded

    def _ticket(self, owner: Plan | Pass | None) -> tuple[int, int]:
        self._tickets += 1
        self._seq += 1
        self._flights[self._tickets] = owner
        return self._tickets, self._seq

    def _windows(self, now: float) -> list[Read]:
        found: list[Read] = []
        for plan in self._plans():
            if plan is None or not plan.ready(now):
                continue
            window = plan.begin()
            ticket, r0 = self._ticket(plan)
            read = ReadWindow(
                ticket=ticket,
                r0=r0,
                partition=window.partition,
                updated_from=window.updated_from,
                created_from=window.created_from,
                created_to=window.created_to,
                page=window.page,
                page_size=self._policy.page_size,
                resolved=window.resolved,
                snapshot=plan.purpose is Purpose.FIRST,
            )
            found.append(read)
        return found

    def _plans(self) -> tuple[Plan | None, ...]:
        return (self._sweep, self._pass.plan if self._pass is not None else None)

    def _read_one(self, id: str, owner: Pass | None) -> ReadOne:
        ticket, r0 = self._ticket(owner)
        return ReadOne(ticket, r0, id)

    def _suspects(self, now: float) -> list[Read]:
        current = self._pass
        if current is None:
            return []
        if current.stage is Stage.ASKING:
            current.stage = Stage.CHECKING
            self._say_vanished(current)
            ticket, r0 = self._ticket(current)
            return [ReadCheck(ticket, r0)]
        id = current.pick(now, self._cells, self._policy)
        if id is not None:
            return [self._read_one(id, current)]
        if current.done:
            self._end_pass(current)
        return []

    def _is_sound(self, current: Pass) -> None:
        current.stage = Stage.VERIFYING

    def _say_vanished(self, current: Pass) -> None:
        self._degraded = f"{current.missing} alarms vanished from the lists at once"

    def deadline(self) -> float | None:
        """When `reads` has something to say though nothing came (monotonic); None: not before an input."""
        times: list[float | None] = [self._held.deadline()]
        if self._parting and not self._paused:
            times.append(self._now)
        if self._reads_on:
            if not self._awaits_sweep():
                times.append(self._doubts.deadline())
            if self._pass is not None:
                times.append(self._pass.deadline(self._policy))
            if not self._paused:
                times += [p.due for p in self._plans() if p is not None and p.window is None and not p.whole]
            times += self._next_starts()
        return min((t for t in times if t is not None), default=None)

    def _next_starts(self) -> list[float | None]:
        if not self._may_sweep() or (self._begun and not self._sweeps_on):
            return []
        times: list[float | None] = []
        if self._sweep is None and (self._pass is None or not self._pass.as_sweep):
            times += [self._due[0] if self._due else None, self._rush_due()]
        if self._pass is None and self._begun and self._may_pass():
            times.append(self._pass_start())
        return times

    # --- what is complete ---

    def _plan_whole(self, plan: Plan, wall: datetime) -> None:
        """Every window of a plan was answered to its end."""
        if plan.purpose is Purpose.PASS:
            if self._pass is not None:
                self._pass.collect(self._cells, self._policy)
                if self._pass.done:
                    self._end_pass(self._pass)
            return
        self._sweep = None
        if plan.rows:
            self._blind = plan.blank == plan.rows
        if plan.purpose is Purpose.FIRST:
            self._begun = True
            self._pass_due = self._now + (
                self._policy.verify_every if plan.paged else self._policy.reconcile_every
            )
        elif self._blind:  # the range was ignored: only a pass finds what was cleared meanwhile
            self._sweep_at(self._now)
            return
        self._advance(plan)
        self._whole(plan, wall, recoverable=not self._blind)

    def _advance(self, plan: Plan) -> None:
        """Only a complete sweep moves the cursor, and only forward."""
        reached = None if self._blind else plan.cursor(self._policy)
        if reached is not None and (self._cursor is None or reached > self._cursor):
            self._cursor = reached

    def _whole(self, plan: Plan, wall: datetime, *, recoverable: bool) -> None:
        """All changes up to the begin of this plan are known."""
        self._failing = None
        self._doubts.swept()
        if plan.unreadable > self._bad_rows and self._whole_or(wall) is not None:
            cause = f"{plan.unreadable} alarms in a list could not be read"
            self._unreadable += plan.unreadable - self._bad_rows
            self._gaps += 1
            self._out.append(Note(self._whole_or(wall), wall, cause, None))
        self._bad_rows = plan.unreadable
        self._swept(plan, wall, recoverable=recoverable)
        self._whole_at = plan.began or wall
        self._swept_at = wall
        if self._due and self._due[0] <= self._now and self._due == [self._periodic]:
            self._due = [self._now + self._policy.verify_first]  # it took long, and the next is due: breathe
        if self._reconcile_soon:
            self._reconcile_soon = False
            if self._pass is None:
                soon = max(self._now, self._pass_free)
                self._pass_due = soon if self._pass_due is None else min(self._pass_due, soon)

    def _whole_or(self, wall: datetime) -> datetime:
        return self._whole_at or wall

    def _end_pass(self, done: Pass) -> None:
        """Every window was read and every suspect looked at."""
        self._pass = None
        self._pass_due = self._next_pass(done)
        self._pass_free = self._now + self._policy.verify_every
        self._pass_failures = 0
        self._unreconciled = None
        self._unverified += done.unverified
        self._degraded = f"{done.unverified} alarms can be neither listed nor read" if done.doubtful else None
        if done.plan.rows:
            self._blind = done.plan.blank == done.plan.rows
        if done.as_sweep and self._wall is not None:
            blind = self._blind or self._cursor is None
            self._advance(done.plan)
            if self._started_at is None and self._cursor is not None:
                # Nothing had told the server's time: which of the closed alarms were closed since then?
                self._started_at = self._cursor
                self._open_loss(self._whole_or(self._wall), "the server told no time", seq=done.plan.seq - 1)
            self._whole(done.plan, self._wall, recoverable=not blind)

    def _next_pass(self, done: Pass) -> float | None:
        del done
        return self._now + self._policy.reconcile_every

    def _abort_pass(self, cause: str, asked: float | None) -> None:
        """A window failed, or the credentials do: nothing is concluded from what was read."""
        current, self._pass = self._pass, None
        self._pass_failures += 1
        if current is not None and current.as_sweep:
            self._failing = cause
            self._rush_free = self._now + backoff(self._policy, self._pass_failures, asked)
            self._sweep_at(self._rush_free)
            return
        self._unreconciled = cause
        wait = min(
            self._policy.verify_every * 2.0 ** min(self._pass_failures - 1, 16), self._policy.reconcile_every
        )
        self._pass_due = self._now + max(wait, min(asked or 0.0, self._policy.retry_after_max))
