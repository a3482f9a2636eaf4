"""The recovery state machine: what to read, and what to give. No I/O, no clock, no random.

What to call when. `now` is monotonic seconds, `wall` an aware UTC datetime; both only ever grow.

    t = Tracker(policy, snapshot=…, partitions=(None,), live=True, sweeps=True, reads=True)

    t.connected(now, wall, session=3, date=ms)   every channel stands and a connect has succeeded since;
                                                 `date`: the server's Date in ms, if known. live=True only
    t.alive(now, wall, proved=wall)              each good connect reply; `proved`: until when all is in
    t.disconnected(now, wall, cause="…")         a connect failed or the session is gone: messages may be lost
    t.live(now, wall, action, id, observed,      one message; `observed` None on DELETE
           session=3, ordered=True)
    t.unreadable(now, wall, id="…" or None)      a message that nobody could read
    t.overflowed(now, wall, ids=…, created=…,    these alarms' pending changes were dropped, for some of them
                 since=wall)                     the creation; `since`: when the oldest was put, if known
    t.hint(now)                                  looks=True: a new alarm may be there
    t.caught_up(now)                             after an overflow: the consumer took all that was pending
    t.answered(now, wall, read, answer)          for each Read exactly once, in any order

    After each input, and when t.deadline() has come:
        for read in t.reads(now, paused=…): send it   paused=True asks for no window: the buffer is too full
        for item in t.take(): Give | Note             in order; empties
        t.notices()                                   sentences for the log; empties
        t.renew                                       True once when a new session is wanted
        t.state, t.cause, t.stats, t.error            error: a TocsinError that must end the stream

    To go on after a restart: t.remember() and t.resume(…) before any input; then, after each t.take(),
    t.learned() and t.mark() tell what to keep. See `_memory`.

What differs from the plain reading of the rules, and why:

- A live message that equals what is known teaches nothing about ``lastUpdated``: in A→B→A it may be the old
  A, redelivered. Only a read that was sent later teaches.
- On the ordered path of one session the next state is believed if either of both lacks ``lastUpdated``.
- The third stale read is made after the overlap, not after a second: a replica may lag that long.
- A row that no message told waits `grace` seconds for it, whatever its age: given at once it would overtake
  what is under way, and merge it. If no message comes it is given then, and is a miss.
- A 404 for an alarm that was first seen less than the overlap ago is asked again after it: the replica may
  not have the alarm yet, and a late DELETE does less harm than a false one.
- A gap begins where the channel's last proof ends that everything is in: when the last good connect was sent,
  not when its answer came, for what was stored while that was under way may be lost.
- Without a snapshot, a message that equals what only the silent first read knew is given: it is news.
- A ``Date`` that is more than `skew` ahead of this machine's clock counts as missing: from a time that is
  still to come a sweep finds nothing.
- Sweeps go on once a minute while the live channel is down. The gap is told when it is back all the same.
- The first read sees open alarms only, so the newest of its rows says little about the time. Its cursor is
  therefore at least `Date` less `skew`, or the next sweep would read all that was cleared since that row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tocsin._stream._answers import (
    Answer,
    Checked,
    Failed,
    Give,
    Missing,
    NoSuchApi,
    Note,
    OneAnswer,
    Read,
    ReadOne,
    ReadWindow,
    WindowAnswer,
)
from tocsin._stream._memory import Memory
from tocsin._stream._reconcile import Pass, Stage
from tocsin._stream._settle import backoff
from tocsin._stream._sweep import Basis, Plan, Purpose
from tocsin.errors import ConfigurationError
from tocsin.models import StreamState, StreamStats

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin.models import Action

__all__ = ["Tracker"]

A = TypeVar("A")


class Tracker(Memory[A]):
    """Recovery of one stream; see the module for what to call when.

    Args:
        policy: Periods and limits.
        snapshot: Give what is there at the start: open alarms (True), all ("all"), or nothing (False).
        partitions: Parts of the scope that are read one by one; a sweep is complete when all are.
        live: There is a live channel. False: sweeps every `verify_every` are the channel.
        sweeps: False reads once at the start and never again, and says so by gaps. For tests and
            demonstrations.
        reads: There is a REST API to read from. False: every loss is a gap that cannot be recovered.
        durable: The live channel keeps what it could not bring; see `Schedule`.
        looks: The server lists what was created since a time, not what changed since; see `Looks`.
    """

    # --- answers ---

    def answered(self, now: float, wall: datetime, read: Read, answer: Answer[A]) -> None:
        """Take the answer to one read.

        Args:
            now: Monotonic seconds.
            wall: Aware UTC.
            read: What was asked.
            answer: What came.
        """
        if read.ticket not in self._flights:
            return
        owner = self._flights.pop(read.ticket)
        self._input(now, wall)
        if isinstance(answer, NoSuchApi):
            if not self._read_once:
                self._without_api(wall)
                return
            answer = Failed("the REST API does not answer any more")
        if not isinstance(answer, Failed):
            self._read_once = True
        match read:
            case ReadWindow() if isinstance(owner, Plan):
                self._window_answered(read, owner, answer)
            case ReadOne() if isinstance(owner, Pass):
                self._suspect_answered(read, owner, answer)
            case ReadOne():
                self._one_answered(read, answer)
            case _:
                self._check_answered(answer)

    def _window_answered(self, read: ReadWindow, plan: Plan, answer: Answer[A]) -> None:
        if not isinstance(answer, WindowAnswer):
            self._window_failed(plan, answer)
            return
        plan.answered(replace(answer, date=self._credible(answer.date)), self._policy)
        self._notices += plan.notices
        plan.notices.clear()
        self._denied = None
        if plan.purpose is Purpose.FIRST:
            self._start_from(plan)
        basis = Basis(plan.purpose, read.r0, plan.created_since, plan=plan)
        for row in answer.rows:
            self._row(row, basis)
        self._check_crowd()
        if plan.whole and self._wall is not None:
            self._plan_whole(plan, self._wall)

    def _start_from(self, plan: Plan) -> None:
        """From which server time on a change is news: when the stream surely stood.

        Where nothing told the server's time then, the first read tells it later: reads may have failed for
        long, and what was written meanwhile is news too.
        """
        if plan.first_date is None:
            first = plan.first_largest
        elif self._started_at is None and self._stood_at is not None and plan.answers == 1:
            first = plan.first_date - int((self._now - self._stood_at) * 1000)
        else:
            first = plan.first_date
        if first is not None and (self._started_at is None or first < self._started_at):
            self._started_at = first

    def _window_failed(self, plan: Plan, answer: Answer[A]) -> None:
        failure = answer if isinstance(answer, Failed) else Failed("the answer was no list of alarms")
        if failure.permanent:
            self._denied = failure.cause
        if plan.purpose is Purpose.PASS:
            self._abort_pass(failure.cause, failure.retry_after)
            return
        self._failing = failure.cause
        wait = backoff(self._policy, plan.failures + 1, failure.retry_after, permanent=failure.permanent)
        plan.failed(self._now + wait)
        self._drop_old_sweep()
        if not self._live and self._begun and self._wall is not None:
            # without a live channel the very sweep that failed reads all that was missed, once it succeeds
            self._open_loss(self._whole_at or self._wall, failure.cause, seq=plan.seq - 1)

    def _one_answered(self, read: ReadOne, answer: Answer[A]) -> None:
        doubt = self._doubts.landed(read.id)
        if isinstance(answer, OneAnswer) and answer.observed.id == read.id:
            self._doubts.answered(doubt)
            self._row(answer.observed, self._ground(read, None if doubt is None else doubt.action))
        elif isinstance(answer, Missing):
            self._doubts.answered(doubt)
            self._doubt_absent(read.id, read.r0)
        elif doubt is not None:
            self._doubts.failed(doubt, self._now, answer.retry_after if isinstance(answer, Failed) else None)
            return
        left = self._doubts.get(read.id)
        if left is not None and not left.flying and left.due <= self._now:
            self._doubts.delay(left, self._now)

    def _suspect_answered(self, read: ReadOne, current: Pass, answer: Answer[A]) -> None:
        current.flying -= 1
        if isinstance(answer, OneAnswer) and answer.observed.id == read.id:
            self._row(answer.observed, self._ground(read, None))
        elif isinstance(answer, Missing):
            if not self._note_absent(current, read.id, read.r0):
                self._absent(read.id, read.r0)
        else:
            current.unverified += 1
        if current is self._pass and current.done:
            self._end_pass(current)

    def _ground(self, read: ReadOne, wire: Action | None) -> Basis:
        since = None if self._cursor is None else self._cursor - self._overlap_ms()
        return Basis(Purpose.SETTLE, read.r0, since, wire)

    def _check_answered(self, answer: Answer[A]) -> None:
        if self._pass is None or self._pass.stage is not Stage.CHECKING:
            return
        if isinstance(answer, Checked) and answer.sound:
            self._is_sound(self._pass)
            return
        cause = (
            answer.cause if isinstance(answer, Checked | Failed) else "the credentials could not be checked"
        )
        self._degraded = cause
        self._abort_pass(cause, answer.retry_after if isinstance(answer, Failed) else None)

    def _without_api(self, wall: datetime) -> None:
        """There is nothing to read from: live messages are all there is."""
        self._reads_on = False
        self._begun = True
        self._sweep = self._pass = None
        self._flights.clear()
        self._notices.append("the server has no REST API: what is lost cannot be read back")
        for doubt in self._doubts.drain():
            if doubt.seen is not None:
                self._believe(self._cells.get(doubt.id), doubt.seen, doubt.action)
        if self._attached:
            self._close_loss(wall, recoverable=False)
        if self._spill is not None and self._caught_up:
            self._end_spill(wall)

    def api_found(self, now: float, wall: datetime) -> None:
        """There is a REST API after all: `NoSuchApi` was a passing answer. The first read is made anew."""
        if self._reads_on:
            return
        self._input(now, wall)
        self._reads_on, self._begun = True, False
        self._due = [now]

    def _check_crowd(self) -> None:
        """More open alarms than may be tracked: an error while the stream starts, a standing gap later."""
        if not self._cells.crowded or self._crowd_told or self._wall is None:
            return
        self._crowd_told = True
        limit = self._policy.max_tracked
        cause = f"more than {limit} open alarms: narrow the stream or raise RecoveryPolicy.max_tracked"
        if not self._begun:
            self.error = ConfigurationError(cause)
            return
        self._gaps += 1
        self._out.append(Note(self._whole_or(self._wall), self._wall, cause, None))

    def unsettled(self, id: str | None) -> bool:  # noqa: A002 - the same name everywhere
        """Whether what came of a message is still open: a read is to settle it, or changes were dropped.

        Args:
            id: The alarm's; None for a message that nobody could read.
        """
        if self._spill is not None:
            return True
        return self._loss is not None if id is None else self._doubts.get(id) is not None

    # --- what leaves ---

    def take(self) -> list[Give[A] | Note]:
        """What the consumer is to get, in order; empties."""
        out, self._out = self._out, []
        return out

    def notices(self) -> list[str]:
        """Sentences for the log; empties."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def renew(self) -> bool:
        """Whether a new session is wanted; reading it clears it."""
        wanted, self._renew = self._renew, False
        return wanted

    @property
    def cursor(self) -> int | None:
        """The server time (ms) up to which a complete sweep has been applied."""
        return self._cursor

    @property
    def state(self) -> StreamState:
        """What the stream is doing; its owner knows when it is closed."""
        if not self._attached:
            return StreamState.RECONNECTING
        if self._trouble() is not None:
            return StreamState.DEGRADED
        doing = (self._loss, self._spill, self._failing, self._unreconciled)
        if not self._begun or any(one is not None for one in doing):
            return StreamState.RECOVERING
        return StreamState.CONNECTED

    @property
    def cause(self) -> str | None:
        """Why the state is not `connected`, or what is wrong although it is, in a few words."""
        if not self._attached:
            return self._lost_cause
        open_gap = self._loss or self._spill
        return (
            self._trouble()
            or self._failing
            or (open_gap.cause if open_gap is not None else None)
            or self._unreconciled
            or (None if self._reads_on or self._durable else "no REST API: what is lost cannot be read back")
        )

    def _trouble(self) -> str | None:
        if self._cells.crowded and len(self._cells.open) >= self._policy.max_tracked:
            return "more open alarms than are tracked"
        return self._degraded or self._denied

    @property
    def listens(self) -> bool:
        """Whether there is a live channel, and not reads alone."""
        return self._live

    @property
    def has_api(self) -> bool:
        """Whether there is something to read from, as far as is known."""
        return self._reads_on

    @property
    def begun(self) -> bool:
        """Whether the first read is complete (or there is nothing to read from)."""
        return self._begun

    @property
    def stats(self) -> StreamStats:
        """Counters so far; those of the buffer are its owner's."""
        return StreamStats(
            received=self._received,
            delivered=self._delivered,
            recovered=self._recovered,
            duplicates=self._duplicates,
            gaps=self._gaps,
            reconnects=self._reconnects,
            reads=self._tickets,
            misses=self._misses,
            unreadable=self._unreadable,
            unverified=self._unverified,
            tracked=len(self._cells),
            connected_at=self._connected_at,
            last_live_at=self._live_at,
            last_sweep_at=self._swept_at,
            last_alive_at=self._alive_at,
            gap_since=None if self._loss is None else self._loss.since,
        )
