"""What may have been missed: gaps, misses, and whether the live channel stands."""

# ruff: noqa: A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal, TypeVar

from tocsin._stream._answers import Note
from tocsin._stream._cells import NEWER
from tocsin._stream._rules import Rules
from tocsin._stream._sweep import Basis, Purpose

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._stream._answers import Observed
    from tocsin._stream._cells import Cell
    from tocsin._stream._policy import RecoveryPolicy
    from tocsin._stream._sweep import Plan

__all__ = ["Loss", "Losses"]

A = TypeVar("A")


class Loss:
    """A span in which something may have been missed, until a complete sweep that began after it.

    Attributes:
        since: The last moment at which the stream was whole.
        cause: Why.
        seq: The tracker's count when it was noticed.
        before: Recovered changes that were counted before it.
        final: It cannot be recovered.
    """

    __slots__ = ("before", "cause", "final", "seq", "since")

    def __init__(self, since: datetime, cause: str, seq: int, before: int) -> None:
        self.since = since
        self.cause = cause
        self.seq = seq
        self.before = before
        self.final = False


class Losses(Rules[A]):
    """Attachment, gaps and misses."""

    def __init__(
        self,
        policy: RecoveryPolicy,
        *,
        snapshot: Literal[False, True, "all"],
        live: bool,
        sweeps: bool,
        reads: bool,
        durable: bool,
    ) -> None:
        super().__init__(policy, snapshot=snapshot, live=live, durable=durable)
        self._reads_on = reads
        self._sweeps_on = sweeps
        self._attached = not live
        self._lost_cause: str | None = None
        self._stood_at: float | None = None  # monotonic, of the first attachment
        self._epoch = 0
        self._settled_at = 0.0  # from then on a subscription has surely taken effect
        self._session: int | None = None
        self._due: list[float] = [] if live else [0.0]
        self._rush: float | None = None  # something asks for a sweep then, whatever is due
        self._rush_free = 0.0  # no such sweep before: they must not follow one another without a pause
        self._alive_at: datetime | None = None
        self._proved_at: datetime | None = None  # all that was written until then has come
        self._whole_at: datetime | None = None
        self._loss: Loss | None = None
        self._spill: Loss | None = None  # see `Overflows`
        self._renew = False
        self._renewed_at: float | None = None
        self._renewals = 0
        self._quiet_until = 0.0
        self._reconcile_soon = False
        self._notices: list[str] = []
        self._doubted = False
        self._gaps = self._reconnects = self._misses = 0
        self._connected_at: datetime | None = None
        self._resumed = False  # it goes on from a checkpoint

    # --- attachment ---

    def connected(self, now: float, wall: datetime, *, session: int, date: int | None = None) -> None:
        """Every channel stands, and a connect has succeeded since.

        Args:
            now: Monotonic seconds.
            wall: Aware UTC.
            session: Names the session; messages carry it.
            date: The server's ``Date`` at that connect in ms, if known.
        """
        if self._attached and self._live and session != self._session and self._epoch:
            self.disconnected(now, wall, cause="the session was made anew")
        self._input(now, wall)
        self._alive_at = wall
        if self._attached and self._epoch:
            return
        self._attached = True
        self._session = session
        self._epoch += 1
        self._connected_at = wall
        if self._epoch == 1 and not self._resumed:
            self._started_at = self._credible(date)
            self._stood_at = now
        self._due = [now, now + self._policy.verify_first, now + self._policy.overlap]
        if self._durable and self._epoch > 1 and self._loss is None:
            self._due = [now + self._policy.overlap]  # what waited for us comes by itself, state by state
        self._settled_at = self._due[-1] + self._policy.verify_first
        if not (self._reads_on and self._sweeps_on):
            self._close_loss(wall, recoverable=False)

    def _credible(self, date: int | None) -> int | None:
        """The server's ``Date``, unless it is far ahead of our own clock: then it counts as missing.

        A sweep from a time that is still to come would find nothing, and prove nothing. One of both clocks is
        wrong, and to read more than needed does no harm.
        """
        if date is None or self._wall is None:
            return date
        ahead = date / 1000 - self._wall.timestamp()
        if ahead <= self._policy.skew:
            return date
        if not self._doubted:
            self._doubted = True
            self._notices.append(f"the server's Date is {ahead:.0f} s ahead of this machine: it is not used")
        return None

    def alive(self, now: float, wall: datetime, *, proved: datetime | None) -> None:
        """A connect was answered: all that was written until `proved` has come. None: that is not known."""
        self._input(now, wall)
        self._proved_at = proved or self._proved_at
        if self._attached:
            self._alive_at = wall

    def disconnected(self, now: float, wall: datetime, *, cause: str) -> None:
        """The channel is lost: of what was written after its last proof, messages may be missing."""
        self._input(now, wall)
        self._lost_cause = cause
        if not self._attached or not self._live:
            return
        self._attached = False
        self._reconnects += 1
        self._due = [now + self._policy.verify_every]  # reads may work although the channel does not
        if self._durable:
            return  # what is sent meanwhile is kept for us; if a sweep overtakes it, that is told
        self._open_loss(self._last_whole(wall), cause)
        _, since, _ = self._give_held(inf)  # no message will come for them any more
        if self._loss is not None and since is not None:
            self._loss.since = min(self._loss.since, since)

    def unreadable(self, now: float, wall: datetime, *, id: str | None) -> None:
        """A message came that nobody could read. Its alarm is settled, or all are swept."""
        self._input(now, wall)
        self._received += 1
        self._unreadable += 1
        self._heard = True
        if id is not None and self._reads_on:
            cell = self._cells.get(id)
            if cell is not None:
                cell.seq = self._seq
            self._doubt(cell, id, None, None)
            return
        self.missed(now, wall, cause="a message could not be read", since=self._last_whole(wall))

    def missed(self, now: float, wall: datetime, *, cause: str, since: datetime) -> None:
        """Something was not told since then: all are swept; where that cannot be, it is lost for good."""
        self._input(now, wall)
        self._open_loss(since, cause)
        if self._reads_on and self._sweeps_on:
            self._hurry(now)
        elif self._attached:
            self._close_loss(wall, recoverable=False)

    def _input(self, now: float, wall: datetime) -> None:
        self._seq += 1
        self._now = now
        self._wall = wall

    def _sweep_at(self, when: float) -> None:
        """Sweep no later than this."""
        self._due.append(when)
        self._due.sort()

    def _hurry(self, now: float) -> None:
        """Sweep at once, unless one that was as urgent has just begun: a storm would help nobody."""
        if self._rush is None:
            self._rush = max(now, self._rush_free)

    def _last_whole(self, wall: datetime) -> datetime:
        """Until when everything is in, as the channel has proved."""
        if not self._durable:  # what was written before it stood is read
            return self._proved_at or self._connected_at or wall
        return self._told_before(self._whole_at or self._connected_at or wall)

    # --- gaps ---

    def _open_loss(self, since: datetime, cause: str, *, seq: int | None = None) -> None:
        seq = self._seq if seq is None else seq
        if self._loss is None:
            self._loss = Loss(since, cause, seq, self._recovered)
        else:  # one gap over both; it takes a sweep that begins after the later one
            self._loss.seq = seq
            self._loss.since = min(self._loss.since, since)

    def _polls(self, purpose: Purpose) -> bool:
        return super()._polls(purpose) and self._loss is None

    def _close_loss(self, wall: datetime, *, recoverable: bool) -> None:
        loss, self._loss = self._loss, None
        if loss is not None:
            self._note(loss, wall, recoverable=recoverable)
            self._reconcile_soon = True

    def _note(self, loss: Loss, wall: datetime, *, recoverable: bool) -> None:
        count = self._recovered - loss.before if recoverable and not loss.final else None
        self._gaps += 1
        self._out.append(Note(loss.since, wall, loss.cause, count))

    def _swept(self, plan: Plan, wall: datetime, *, recoverable: bool) -> None:
        """A complete sweep: the gap that opened before it is told."""
        current = self._attached and plan.epoch == self._epoch
        if self._loss is not None and current and plan.seq > self._loss.seq:
            self._close_loss(wall, recoverable=recoverable)

    # --- misses ---

    def _waits(self, cell: Cell, seen: Observed[A], basis: Basis) -> bool:
        """A change that no message told: one should, within the grace time."""
        plan = basis.plan
        if plan is not None and self._durable and not self._attached:
            self._overtaken(plan)
        # A first read that takes a while may show an alarm twice: its second state has a message under way.
        again = plan is not None and plan.purpose is Purpose.FIRST and cell.given and cell.told
        attach = plan is not None and plan.attach and not again and not self._durable
        explained = plan is None or attach or self._loss is not None or self._spill is not None
        if plan is None or explained or not (self._live and self._attached):
            return False
        stood = None if self._durable else self._started_at
        after = None if stood is None or seen.updated is None else seen.updated - stood
        if after is not None and after < 0:
            return False  # stored before the stream stood: no message tells it
        due = self._now + self._policy.grace
        held = self._held.hold(seen, basis, due=due, since=self._whole_at or plan.began)
        held.firm |= plan.late
        if after is None or after >= 1000:  # else that may be so too, for `Date` has whole seconds
            held.counts |= plan.proves or (cell.told and cell.order(seen) == NEWER)
        held.touched = cell.seq = self._seq  # a reconcile pass must not take it for vanished
        return True

    def _judge_misses(self, now: float) -> None:
        """Those whose message had its time and did not come."""
        if self._durable and self._held and (not self._attached or self._is_behind(now)):
            self._held.postpone(now + self._policy.grace)
        count, since, late = self._give_held(now)
        if count and self._wall is not None:
            self._missed(now, since or self._wall, count, late=late)

    def _overtaken(self, plan: Plan) -> None:
        """A sweep finds what a durable channel that is down has not brought: states between may be merged."""
        since = self._whole_at or plan.began or self._wall
        if since is not None:
            self._open_loss(since, self._lost_cause or "no connection")

    def _is_behind(self, now: float) -> bool:
        """Whether a durable channel still brings what was stored before the row that waits longest."""
        first = self._held.first
        if self._reached is None or first is None or first.updated is None:
            return False
        return self._reached < first.updated and now < self._reached_at + self._policy.grace

    def _give_held(self, now: float) -> tuple[int, datetime | None, bool]:
        """Give the rows that waited long enough: how many are misses, since when, and whether for sure."""
        missed, since, late = 0, None, False
        while (held := self._held.pop(now)) is not None:
            cell, basis = self._cells.get(held.seen.id), held.basis
            untouched = cell is not None and cell.seq == held.touched
            r0 = self._seq + 1 if untouched else basis.r0
            if self._row(held.seen, Basis(basis.purpose, r0, basis.created_since)) and held.counts:
                missed += 1
                late |= held.firm
                since = held.since if since is None else min(since, held.since or since)
        return missed, since, late

    def _missed(self, now: float, since: datetime, count: int, *, late: bool) -> None:
        self._misses += count
        if now < self._quiet_until:
            return
        if late and self._renewed_at is not None and self._heard:
            # A new session did not help although it delivers other changes: nobody sends these.
            self._quiet_until = now + self._policy.silence
            self._renewed_at = None
            self._renewals = 0
            self._notices.append("changes are written without a notification: they are found by sweeps only")
            return
        self._open_loss(since, "the live channel did not bring every change")
        if self._loss is not None:
            self._loss.before = min(self._loss.before, self._recovered - count)
        if late and now >= self._next_renewal():
            self._renew = True
            self._renewed_at = now
            self._renewals += 1
            self._heard = False
        else:
            self._sweep_at(now)

    def _next_renewal(self) -> float:
        if self._renewed_at is None:
            return 0.0
        wait = self._policy.verify_every * 2.0 ** min(self._renewals - 1, 16)
        return self._renewed_at + min(wait, self._policy.silence)
