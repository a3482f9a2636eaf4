"""The thin I/O around a `Tracker`: live input, answers and deadlines in, reads and changes out.

Live input is worked off in the task that brings it, so no queue can grow before the tracker; what the tracker
gives goes into the bounded buffer at once. Only reads run in tasks of their own.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import Event, create_task_group, current_time, move_on_after

from tocsin._stream._answers import Failed, Give, ReadWindow, WindowAnswer
from tocsin._stream._keeping import Keeping
from tocsin._stream._receipts import Receipts
from tocsin._stream._wall import Past
from tocsin.errors import AuthenticationError, PermissionDeniedError, TocsinError
from tocsin.models import Action, Change, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType

    from anyio.abc import TaskGroup

    from tocsin._stream._answers import Note, Observed, Read
    from tocsin._stream._buffer import Buffer
    from tocsin._stream._keeper import Keeper
    from tocsin._stream._platform import Attachment, Platform
    from tocsin._stream._receipts import Receipt
    from tocsin._stream._states import StateBoard
    from tocsin._stream._tracker import Tracker
    from tocsin.models import StreamStats

__all__ = ["Follower"]

R = TypeVar("R")
A = TypeVar("A")

_FIRST_READ: Final = 5.0
"""Seconds that entering a stream waits for the first read once the live channel stands."""

_REFUSALS: Final = 3
"""Reads in a row that were refused before a stream that was attached believes it: 401 anywhere, and 403 where
reads are the channel. Beside a live channel a missing role degrades the stream, for changes still come."""

_LOOK_AGAIN: Final = 60.0
"""Seconds between two looks for an API that seemed to be missing: a server that starts may seem so too."""

_IDLE: Final = 60.0
"""The longest sleep in seconds: a stream dropped in another thread is noticed within it."""

_log = logging.getLogger("tocsin.stream")


class Follower(Keeping[R, A]):
    """Follows one scope of one platform into a buffer. It is the platform's `Inlet`.

    Args:
        tracker: The recovery rules, fresh.
        platform: What is followed.
        buffer: Where the changes go. It paces the reads: no window is asked for while it is more than half
            full.
        board: Where the state is posted.
        wall: The wall clock, aware UTC.
        close_timeout: Seconds that taking leave may take.
        whole: Whether entering waits for all of the first read (a baseline that is not given) or for its
            first answer (a snapshot that is being given).
        keeper: Keeps what the consumer handled; None: nothing is kept.
        receipts: Whether the platform wants to know what the consumer has handled.
    """

    def __init__(
        self,
        tracker: Tracker[R],
        platform: Platform[R, A],
        buffer: Buffer[A],
        board: StateBoard,
        *,
        wall: Callable[[], datetime],
        close_timeout: float,
        whole: bool,
        keeper: Keeper | None = None,
        receipts: bool = False,
    ) -> None:
        super().__init__(
            tracker, platform, buffer, board, wall=wall, close_timeout=close_timeout, keeper=keeper
        )
        if receipts:
            self.receipts = Receipts(buffer, tracker.unsettled, self._demand)
        self._ack = None if self.receipts is None else self.receipts.acknowledge
        self._whole = whole
        self._attachment: Attachment | None = None
        self._wake = Event()
        self._sleeps_until = 0.0
        self._attached_at: float | None = None
        self._read_once = False
        self._paused = False
        self._looked_at = 0.0
        self._overflowed = False
        self._refused = 0
        self._failure: BaseException | None = None
        self._past = Past()
        buffer.on_demand = self._demand

    # --- the task -----------------------------------------------------------------------------------------

    async def feed(self) -> None:
        """Follow until cancelled, or raise what cannot be mended."""
        if self._keeper is not None:
            await self._go_on(self._keeper)
        self._past.note(current_time(), self._wall())
        self._attachment = self._platform.attach(self)
        async with create_task_group() as tasks:
            if self._keeper is not None:
                tasks.start_soon(self._keep, self._keeper)
            while not self.abandoned:
                self._work(tasks)
                await self._sleep()
            tasks.cancel_scope.cancel()

    async def leave(self) -> None:
        """Write what was handled last, and switch the live channel off."""
        try:
            await self._stop_keeping()
        finally:
            if self._attachment is not None:
                await self._attachment.remove()

    def stats(self) -> StreamStats:
        """The counters so far."""
        stats, shown = self._tracker.stats, self._wall.shown
        return replace(
            stats,
            connected_at=stats.connected_at and shown(stats.connected_at),
            last_live_at=stats.last_live_at and shown(stats.last_live_at),
            last_sweep_at=stats.last_sweep_at and shown(stats.last_sweep_at),
            last_alive_at=stats.last_alive_at and shown(stats.last_alive_at),
            gap_since=stats.gap_since and shown(stats.gap_since),
            delivered=self.buffer.delivered,
            dropped=self.buffer.dropped,
            conflated=self.buffer.conflated,
            buffered=len(self.buffer),
        )

    def _work(self, tasks: TaskGroup) -> None:
        if self._failure is not None:
            raise self._failure
        self._paused = self._must_pause()
        for read in self._tracker.reads(current_time(), paused=self._paused):
            tasks.start_soon(self._read, read)
        if self._is_look_due(current_time()):
            self._looked_at = current_time()
            tasks.start_soon(self._look)
        self._flush()

    async def _sleep(self) -> None:
        """Until something comes in or a deadline has passed."""
        now = current_time()
        self._wake = Event()
        self._sleeps_until = self._deadline(now)
        with move_on_after(self._sleeps_until - now):
            await self._wake.wait()

    def _deadline(self, now: float) -> float:
        deadline = now + _IDLE
        due = self._tracker.deadline()
        if due is not None and (due > now or not self._paused):  # else the consumer wakes us
            deadline = min(deadline, due)
        if not self._tracker.has_api:
            deadline = min(deadline, max(now, self._looked_at + _LOOK_AGAIN))
        if self._attached_at is not None and not self.is_open and self._founded:
            deadline = min(deadline, self._attached_at + _FIRST_READ)
        return deadline

    async def _read(self, read: Read) -> None:
        try:
            answer = await self._platform.read(read)
        except (AuthenticationError, PermissionDeniedError) as error:
            refused = self._refusal(error, read)
            if refused is None:
                self._fail(error)
                return
            answer = refused
        else:
            self._refused = 0
        with self._guard():
            self._tracker.answered(current_time(), self._wall(), read, answer)
            self._read_once = self._read_once or isinstance(answer, WindowAnswer)

    def _is_look_due(self, now: float) -> bool:
        """Whether to look for an API that seemed to be missing."""
        if self._tracker.has_api:
            self._looked_at = now
        return now >= self._looked_at + _LOOK_AGAIN

    async def _look(self) -> None:
        if await self._platform.has_api():
            with self._guard():
                self._tracker.api_found(current_time(), self._wall())

    def _refusal(self, error: AuthenticationError | PermissionDeniedError, read: Read) -> Failed | None:
        """What a refused read means: an answer, or None if the stream cannot go on."""
        listed = isinstance(read, ReadWindow)
        if isinstance(error, AuthenticationError) or (listed and not self._tracker.listens):
            self._refused += 1
            if not self.is_open or self._refused >= _REFUSALS:
                return None
        elif listed and not self.is_open:
            return None
        return Failed(error.reason, error.retry_after, permanent=isinstance(error, PermissionDeniedError))

    # --- what comes in (the platform's Inlet), and what leaves --------------------------------------------

    def connected(self, *, session: int, date: int | None) -> None:
        """The live channel stands."""
        with self._guard():
            now = current_time()
            if self._attached_at is None:
                self._attached_at = now
            self._tracker.connected(now, self._wall(), session=session, date=date)

    def alive(self, proved: float | None) -> None:
        """The live channel has proved that it works."""
        with self._guard():
            now, wall = current_time(), self._wall()
            self._past.note(now, wall)
            self._tracker.alive(now, wall, proved=None if proved is None else self._past.at(proved))

    def disconnected(self, cause: str) -> None:
        """The live channel broke."""
        with self._guard():
            self._tracker.disconnected(current_time(), self._wall(), cause=cause)

    def live(
        self, messages: Sequence[tuple[Action, str, Observed[R] | None]], *, session: int, ordered: bool
    ) -> None:
        """Messages came."""
        with self._guard():
            now, wall, take_in = current_time(), self._wall(), self._tracker.live
            for action, alarm_id, observed in messages:
                take_in(now, wall, action, alarm_id, observed, session=session, ordered=ordered)

    def when_handled(self, id: str | None, receipt: Receipt) -> None:  # noqa: A002 - as below
        """Have a message acknowledged once all that came of it was handled."""
        if self.receipts is not None:
            with self._guard():
                self.receipts.add(id, receipt)

    async def room(self) -> None:
        """Wait until the consumer can be given more, where nothing may be dropped."""
        if self.buffer.overflow == "block":
            await self.buffer.room()

    def unreadable(self, id: str | None) -> None:  # noqa: A002 - the same name everywhere
        """A message came that nobody could read."""
        with self._guard():
            self._tracker.unreadable(current_time(), self._wall(), id=id)

    def missed(self, cause: str, *, within: float) -> None:
        """Messages were perhaps not sent that should have been."""
        with self._guard():
            wall = self._wall()
            self._tracker.missed(current_time(), wall, cause=cause, since=wall - timedelta(seconds=within))

    def hint(self) -> None:
        """Something may have happened."""
        with self._guard():
            self._tracker.hint(current_time())

    def failed(self, error: TocsinError) -> None:
        """The live channel is over for good."""
        self._fail(error)

    def _demand(self) -> None:
        """The consumer took something, or waits for more."""
        if self._overflowed and not len(self.buffer):
            self._overflowed = False
            self._tracker.caught_up(current_time())
            self._wake.set()
        elif self._paused and not self._must_pause():
            self._wake.set()

    def _must_pause(self) -> bool:
        """Whether the consumer has enough to take."""
        return self.buffer.half_full or (self.receipts is not None and self.receipts.crowded)

    def _guard(self) -> _Guard:
        return _Guard(self)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._wake.set()

    def _flush(self) -> None:
        """Hand on what the tracker gives, and show what it says of itself."""
        tracker = self._tracker
        while items := tracker.take():
            wall = self._wall()
            at = self._wall.shown(wall)
            if self._keeper is not None:
                self._keeper.progress.given(items)
            dropped = self.buffer.push([self._item(item, at) for item in items])
            if dropped:
                self._overflowed = True
                if self.receipts is not None:
                    self.receipts.dropped()
                if self._keeper is not None:
                    self._keeper.progress.dropped()
                since = wall - max(timedelta(), at - min(change.received_at for change in dropped))
                tracker.overflowed(
                    current_time(),
                    wall,
                    ids={change.id for change in dropped},
                    created={change.id for change in dropped if change.action is Action.CREATE},
                    since=since,
                )
        if self._keeper is not None:
            self._note(self._keeper)
        if self.receipts is not None:
            self.receipts.review()
        for notice in tracker.notices():
            _log.warning("%s %s: %s", self._platform.platform, self._platform.site, notice)
        if tracker.renew and self._attachment is not None:
            self._attachment.renew("a change was missed")
        self.board.post(tracker.state, tracker.cause)
        self._check_open()
        if tracker.error is not None:
            self._fail(tracker.error)

    def _check_open(self) -> None:
        if self.is_open:
            return
        if self._tracker.listens and self._attached_at is None:
            return
        if not self._founded:
            return  # what is given before that could not be gone on from
        begun = self._tracker.begun and (self._read_once or not self._resumed)
        done = begun or (self._read_once and not self._whole)
        late = self._attached_at is not None and current_time() >= self._attached_at + _FIRST_READ
        if done or late:
            self.open()

    def _item(self, item: Give[R] | Note, at: datetime) -> Change[A] | Gap:
        platform, shown = self._platform, self._wall.shown
        if isinstance(item, Give):
            alarm = None if item.observed is None else platform.present(item.observed.alarm)
            site = platform.site
            return Change(item.action, item.id, alarm, item.origin, platform.platform, site, at, self._ack)
        since, until = shown(item.since), shown(item.until)
        return Gap(since, until, item.cause, item.recovered, platform.platform, platform.site)

    def _settle(self, error: BaseException | None) -> None:
        """After each input: hand on its effect, and wake the task if it must act sooner than planned."""
        try:
            if error is not None:
                raise error
            self._flush()
        except Exception as failure:  # noqa: BLE001 - the feed raises it, in a task of this stream's own
            self._fail(failure)
        else:
            if self._deadline(current_time()) < self._sleeps_until:
                self._wake.set()


class _Guard:
    """Around each input: an error ends this one stream, never the task that brought the input."""

    __slots__ = ("_follower",)

    def __init__(self, follower: Follower[Any, Any]) -> None:
        self._follower = follower

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None and not isinstance(error, Exception):
            return False
        self._follower._settle(error)
        return True
