"""One source of a watch: the stream of one client, made again whenever it ended.

What it knows of a platform is the surface below. A new stream goes on where the last one was handled, by a
checkpoint that is kept in memory: so nothing is given twice, and what was missed meanwhile is read back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from anyio import CancelScope, Event, current_time, sleep
from anyio.lowlevel import checkpoint

from tocsin._stream._backoff import Backoff
from tocsin._stream._keeping import NOT_RUNNING
from tocsin._stream._selection import Selector
from tocsin._stream._store import CheckpointStore
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RequestTimeoutError,
    TocsinError,
    TransportError,
)
from tocsin.models import Change, Gap, StreamState, StreamStats

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin._stream._buffer import Overflow
    from tocsin._stream._joined_states import JoinedStates
    from tocsin._stream._owner import TaskOwner
    from tocsin._stream._selection import Selection
    from tocsin._stream._states import StateChange
    from tocsin.models import AlarmLike, StreamHealth

__all__ = ["AlarmClient", "AlarmStream", "FollowsAlarms", "Terms", "WatchedSource"]

_GAUGES: Final = {"tracked", "buffered"}

_log = logging.getLogger("tocsin.watch")


class AlarmStream(Protocol):
    """What a watch uses of a `ChangeStream`."""

    @property
    def platform(self) -> str: ...
    @property
    def state(self) -> StreamState: ...
    @property
    def stats(self) -> StreamStats: ...
    def health(self) -> StreamHealth: ...
    def states(self) -> AsyncIterator[StateChange]: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    async def __anext__(self) -> Change[AlarmLike] | Gap: ...


class FollowsAlarms(Protocol):
    """The `alarms` of a client, as far as a watch goes."""

    def changes(
        self,
        *,
        snapshot: bool | Literal["all"],
        overflow: Overflow,
        buffer: int,
        checkpoint: CheckpointStore | None,
    ) -> AlarmStream:
        """Make a stream; nothing is sent before it is entered."""
        ...


class AlarmClient(Protocol):
    """A client that can be watched, such as `Cumulocity` and `XProtect`."""

    @property
    def site(self) -> str:
        """What its changes are marked with."""
        ...

    @property
    def alarms(self) -> FollowsAlarms:
        """Its alarms."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How every source of a watch is followed; see `watch`."""

    selection: Selection
    snapshot: bool | Literal["all"]
    overflow: Overflow
    buffer: int
    reconnect: ReconnectPolicy
    refused: float | None
    rng: random.Random


class WatchedSource:
    """Follows one client until it is stopped. It never raises into its task group.

    It hands one item over at a time and takes the next from its stream when that one was handled: what waits
    waits in the stream's own buffer, under the stream's own overflow policy.

    Args:
        client: What is followed.
        terms: How.
        ready: Called when there is an item to be fetched; with None once it is over.

    Attributes:
        site: The client's name.
        settled: It is attached, or has told why not, or is over.
        ended: Its task is over, clean-up included.
        failure: Why it is over for good, unless it was stopped.
        misused: It is over because its client is not open.
    """

    def __init__(
        self, client: AlarmClient, terms: Terms, *, ready: Callable[[WatchedSource | None], None]
    ) -> None:
        self.site = client.site
        self.settled = Event()
        self.ended = Event()
        self.failure: Exception | None = None
        self.misused = False
        self._client = client
        self._terms = terms
        self._ready = ready
        self._selector = Selector(terms.selection)
        # What must not be lost is what this keeps; who drops the oldest has said that it may be.
        self._kept = None if terms.overflow == "drop_oldest" else _Memory()
        self._scope = CancelScope()
        self._item: Change[AlarmLike] | Gap | None = None
        self._handled = Event()
        self._leaving = False
        self._backoff = Backoff(terms.reconnect)
        self._unseen_since: datetime | None = None
        self._before = StreamStats()
        self._cause: str | None = None
        self._trouble: str | None = None
        self._is_attached = False
        self._was_attached = False
        self._stream = self._make()
        self.platform = self._stream.platform

    # The consumer's side: all of it synchronous

    def fetch(self) -> Change[AlarmLike] | Gap:
        """Take the item that is ready."""
        item, self._item = self._item, None
        assert item is not None  # noqa: S101 - it was said to be ready
        return item

    def handled(self) -> None:
        """Say that what was fetched is handled."""
        self._handled.set()

    def stop(self, *, handled: bool) -> None:
        """End it; `handled` says that the consumer is done with what it fetched last."""
        self._leaving = True
        if handled:
            self._handled.set()  # its stream is left as by a consumer without an error
        else:
            self._scope.cancel()

    def unseen(self, since: datetime) -> None:
        """Say that the watch has begun: from now on, what this source does not see is missing."""
        if self._unseen_since is None and not self._was_attached:
            self._unseen_since = since

    @property
    def stats(self) -> StreamStats:
        """The counters over all its streams."""
        return _sum(self._before, self._stream.stats)

    def health(self, states: JoinedStates) -> StreamHealth:
        """Its health; between two streams it is trying again."""
        health, current = self._stream.health(), states.current[self.site]
        if health.state is not StreamState.CLOSED:
            return health
        age = max(0.0, (states.now() - current.at).total_seconds())
        return replace(health, state=current.state, cause=current.cause, ready=False, state_age=age)

    # The task

    async def run(self, owner: TaskOwner, states: JoinedStates) -> None:
        """Follow until stopped."""
        cause: str | None = None
        try:
            with self._scope:
                await self._follow_on(owner, states)
            cause = None if self._leaving else _reason(self.failure)
        except Exception as error:  # noqa: BLE001 - logged, and told by the state
            _log.exception("%s: its watch ended by a fault of its own", self.site)
            self.failure, cause = error, type(error).__name__
        finally:
            states.post(self.site, StreamState.CLOSED, cause)
            self.settled.set()
            self.ended.set()
            self._ready(None)

    async def _follow_on(self, owner: TaskOwner, states: JoinedStates) -> None:
        while True:
            was_open, error = await self._follow(owner, states)
            if self._leaving:
                return
            self._cause = self._told(error)
            if was_open and self._kept is None:
                self._unseen_since = _last_whole(self._stream.stats) or states.now()
            wait = self._wait(error, was_open=was_open)
            if self.misused or wait is None:
                self.failure = error
                return
            states.post(self.site, StreamState.RECONNECTING, self._cause)
            self.settled.set()
            await sleep(wait)
            if self._leaving:  # it was over at the moment of leaving: nothing is begun any more
                return
            self._before = _sum(self._before, self._stream.stats)
            self._stream = self._make()

    def _wait(self, error: Exception, *, was_open: bool) -> float | None:
        """Seconds until the next try; None: there is none."""
        closed = was_open and isinstance(error, ConfigurationError)  # most likely; the next try tells
        if not closed and _needs_somebody(error):
            return self._terms.refused
        asked = getattr(error, "retry_after", None)
        wait = self._backoff.failed(current_time(), self._terms.rng.random(), retry_after=asked)
        return None if self._backoff.spent else wait

    async def _follow(self, owner: TaskOwner, states: JoinedStates) -> tuple[bool, Exception]:
        """Follow one stream to its end; tell whether it was open, and what ended it."""
        stream, mirrored = self._stream, Event()
        owner.start(partial(self._mirror, stream, states, mirrored), f"states of {self.site}")
        error: Exception = TocsinError("the stream ended")
        try:
            async with stream:
                await self._attached(states)
                while not self._leaving:
                    try:
                        item = await stream.__anext__()
                    except StopAsyncIteration:
                        break
                    await self._give(item)
        except Exception as failure:  # noqa: BLE001 - told by the state, and tried again
            error = failure
        if stream.state is not StreamState.CLOSED:  # it did not even begin: its client is not open
            self.misused = isinstance(error, ConfigurationError)
            await stream.aclose()
        await mirrored.wait()  # what it said last comes before what is said of it
        was_open, self._is_attached = self._is_attached, False
        return was_open, error

    async def _mirror(self, stream: AlarmStream, states: JoinedStates, mirrored: Event) -> None:
        """Tell what the stream does, but not its end: what follows is told by whoever makes the next one."""
        try:
            async for change in stream.states():
                if change.state is StreamState.CLOSED:
                    return
                if change.cause is None and change.state is StreamState.RECONNECTING:
                    continue
                if change.cause not in (None, NOT_RUNNING):
                    self._trouble = change.cause
                    self.settled.set()
                states.post(self.site, change.state, change.cause, change.at)
        finally:
            mirrored.set()

    async def _attached(self, states: JoinedStates) -> None:
        self._is_attached = self._was_attached = True
        self._backoff.good(current_time())
        self.settled.set()
        since, self._unseen_since = self._unseen_since, None
        if since is not None:
            now = states.now()
            cause = self._cause or self._trouble or "not attached"
            await self._hand_over(Gap(min(since, now), now, cause, None, self.platform, self.site))

    async def _give(self, item: Change[AlarmLike] | Gap) -> None:
        if isinstance(item, Change):
            if not self._selector.lets(item):
                return
        elif item.cause == NOT_RUNNING and self._cause is not None:
            item = replace(item, cause=self._cause)  # a consumer was there, its stream was not
        await self._hand_over(item)

    async def _hand_over(self, item: Change[AlarmLike] | Gap) -> None:
        self._handled = Event()
        self._item = item
        self._ready(self)
        await self._handled.wait()

    def _make(self) -> AlarmStream:
        terms = self._terms
        return self._client.alarms.changes(
            snapshot=terms.snapshot, overflow=terms.overflow, buffer=terms.buffer, checkpoint=self._kept
        )

    def _told(self, error: Exception) -> str:
        """Why it failed, in the words of who knew better than its time limit."""
        if isinstance(error, RequestTimeoutError) and self._trouble is not None:
            return self._trouble
        return _reason(error) or "the stream ended"


class _Memory(CheckpointStore):
    """What one source's consumer has handled, for the next stream of this process."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[str, str] = {}

    async def load(self) -> Mapping[str, str]:
        await checkpoint()
        return dict(self._records)

    async def save(self, records: Mapping[str, str | None]) -> None:
        await checkpoint()
        for key, text in records.items():
            if text is None:
                self._records.pop(key, None)
            else:
                self._records[key] = text

    async def reset(self) -> None:
        await checkpoint()
        self._records.clear()

    async def aclose(self) -> None:
        await checkpoint()


def _needs_somebody(error: Exception) -> bool:
    """Whether trying again cannot help before somebody has changed something."""
    if isinstance(error, TransportError):
        return error.permanent
    return isinstance(error, AuthenticationError | PermissionDeniedError | ConfigurationError)


def _reason(error: Exception | None) -> str | None:
    said = error.reason if isinstance(error, TocsinError) else str(error or "")
    return None if error is None else said or type(error).__name__


def _last_whole(stats: StreamStats) -> datetime | None:
    """Since when changes may be missing once a stream has ended."""
    return stats.gap_since or stats.last_sweep_at or stats.connected_at


def _sum(before: StreamStats, now: StreamStats) -> StreamStats:
    """The counters of two streams, one after the other; of what is no counter, the later one's."""
    values: dict[str, Any] = {}
    for name in (one.name for one in fields(StreamStats)):
        old, new = getattr(before, name), getattr(now, name)
        if isinstance(new, int) and name not in _GAUGES:
            values[name] = old + new
        else:
            values[name] = new if new is not None or name == "gap_since" else old
    return StreamStats(**values)
