"""Every change of a site's alarms, as a stream.

Alarms.changes ─ follow ─ ChangeStream ─ Follower ─ Tracker (Looks)
                                           │
                               AlarmFeed: reads (REST), hints (Events and State WebSocket, /alarmSessions)

The platform has no channel for alarms, and its lists cannot be filtered by when alarms were changed. So

- every `latency` seconds a look reads what was created since the last one: one request;
- every `period` seconds a pass reads that, all open alarms, and by id each that left the list: 1 request, one
  for each 2000 open alarms, and at most 10 a second for those that left. Of these, one that is not found is
  deleted only if a further request shows that the user can still view alarms;
- once in `RecoveryPolicy.reconcile_every` (15 min), and after each gap, the pass reads the closed alarms that
  are remembered too, one request for each 2000;
- an event that may have made an alarm brings the next look forward: two looks for each, never more than one
  in a second;
- with `sessions`, a session of the server is asked every `latency` seconds, 30 at most, what changed: one
  request, and one by id for each of the first 200 alarms that it names;
- what the site calls its closed state is asked for every 5 min: one request.

Only the server's clock is in those queries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from anyio import CancelScope, create_task_group

from tocsin._stream._buffer import Buffer, Overflow
from tocsin.errors import ConfigurationError
from tocsin.xprotect._scope import ALL, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from tocsin._stream._keeper import Keeper
    from tocsin._stream._platform import Inlet
    from tocsin._stream._store import CheckpointStore
    from tocsin._stream._stream import ChangeStream
    from tocsin.models import Level
    from tocsin.xprotect._following import Following
    from tocsin.xprotect._scope import Source
    from tocsin.xprotect.models import Alarm

__all__ = ["ALL", "DEFAULT_BUFFER", "LATENCY", "PERIOD", "follow"]

DEFAULT_BUFFER: Final = 5000
"""Changes that may wait for the consumer: two pages of a recovery read, and some."""
LATENCY: Final = 5.0
"""Seconds between two looks for new alarms."""
PERIOD: Final = 30.0
"""Seconds between two readings of all open alarms."""


def follow(
    client: Following,
    source: Source | Iterable[Source] = ALL,
    *,
    level: Level | str | Iterable[Level | str] | None = None,
    snapshot: Literal[False, True, "all"] = False,
    overflow: Overflow = "recover",
    buffer: int = DEFAULT_BUFFER,
    latency: float = LATENCY,
    period: float = PERIOD,
    wake: bool = True,
    sessions: bool = False,
    checkpoint: CheckpointStore | None = None,
) -> ChangeStream[Alarm]:
    """Make a stream of changes; see `Alarms.changes`.

    Raises:
        ConfigurationError: The arguments make no sense, or ask for what is not there.
    """
    # Who only lists or raises alarms does not wait for these.
    from tocsin._stream._follower import Follower
    from tocsin._stream._states import StateBoard
    from tocsin._stream._stream import ChangeStream
    from tocsin._stream._tracker import Tracker
    from tocsin.xprotect._feed import PLATFORM, AlarmFeed

    scope = Scope.of(source, level=level)
    _check(snapshot, overflow, buffer, checkpoint)
    _check_times(latency=latency, period=period)
    # A page must fit into the half of the buffer that is kept free for it, or recovery would overflow it.
    size = max(1, min(client.recovery.page_size, buffer // 2))
    policy = replace(client.recovery, page_size=size, look_every=latency, verify_every=period)
    helpers = _helpers(client, scope, wake=wake, every=latency if sessions else None)
    tracker = Tracker[bytes](
        policy,
        snapshot=snapshot,
        partitions=scope.partitions,
        live=False,
        sweeps=client.sweeps,
        looks=True,
    )
    follower = Follower(
        tracker,
        AlarmFeed(client.gateway, client.kept.lookups, scope, site=client.site, wake=helpers),
        Buffer(buffer, overflow),
        StateBoard(PLATFORM, client.site, client.clock),
        wall=client.clock,
        close_timeout=client.close_timeout,
        whole=snapshot is False,
        keeper=None if checkpoint is None else _keeper(client, scope, checkpoint, snapshot, overflow),
    )
    return ChangeStream(follower, client.owner, open_timeout=client.open_timeout)


@dataclass(frozen=True, slots=True)
class _Helpers:
    """What says when to read. It is an `Attachment`.

    Attributes:
        ends: Each ends one of them; it takes a bounded time.
    """

    ends: tuple[Callable[[], Coroutine[Any, Any, None]], ...]

    def renew(self, reason: str) -> None:
        """Nothing is lost with a hint."""

    async def remove(self) -> None:
        """Listen no more."""
        with CancelScope(shield=True):
            async with create_task_group() as tasks:
                for end in self.ends:
                    tasks.start_soon(end)


def _helpers(
    client: Following, scope: Scope, *, wake: bool, every: float | None
) -> Callable[[Inlet[bytes]], _Helpers] | None:
    """Make what says when to read: events, if `wake`, and a session of alarms that is asked so often."""
    if not wake and every is None:
        return None

    def attach(inlet: Inlet[bytes]) -> _Helpers:
        ends: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if wake:
            from tocsin.xprotect.events import Events

            hints = Events(client).hints(inlet.hint)
            client.owner.start(hints.run, "hints of XProtect events")
            ends.append(hints.aclose)
        if every is not None:
            from tocsin.xprotect._alarm_sessions import AlarmSession

            session = AlarmSession(client, inlet, scope.follows, every=every)
            client.owner.start(session.run, "session of XProtect alarms")
            ends.append(session.remove)
        return _Helpers(tuple(ends))

    return attach


def _keeper(
    client: Following,
    scope: Scope,
    store: CheckpointStore,
    snapshot: bool | Literal["all"],
    overflow: Overflow,
) -> Keeper:
    """What keeps a stream's progress. The ids of alarms mean nothing on another platform, site or scope."""
    from tocsin._stream._keeper import Keeper
    from tocsin.xprotect._feed import PLATFORM

    whose = {"platform": PLATFORM, "address": client.gateway.core.base_url, "site": client.site}
    return Keeper(store, {**whose, **scope.described(), "snapshot": snapshot}, merges=overflow == "conflate")


def _check(snapshot: object, overflow: str, buffer: int, checkpoint: object) -> None:
    if snapshot not in (False, True, "all"):
        raise ConfigurationError(f"snapshot={snapshot!r} is unknown: use False, True or 'all'")
    if overflow == "block":
        raise ConfigurationError(
            "overflow='block' needs a server that keeps what is not taken; XProtect does not: use 'recover'"
        )
    if overflow not in get_args(Overflow):
        raise ConfigurationError(
            f"overflow={overflow!r} is unknown: use 'recover', 'conflate' or 'drop_oldest'"
        )
    if buffer < 1:
        raise ConfigurationError("buffer must be 1 or more")
    if checkpoint is None:
        return
    from tocsin._stream._store import CheckpointStore

    if not isinstance(checkpoint, CheckpointStore):
        raise ConfigurationError("checkpoint must be a CheckpointStore, such as FileCheckpoint(path)")
    if overflow == "drop_oldest":
        raise ConfigurationError(
            "overflow='drop_oldest' loses what a checkpoint is there to keep: use 'recover' or 'conflate'"
        )


def _check_times(*, latency: object, period: object) -> None:
    for name, seconds in (("latency", latency), ("period", period)):
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds):
            raise ConfigurationError(f"{name} is a number of seconds, not {seconds!r:.80}")
        if seconds <= 0:
            raise ConfigurationError(f"{name} must be above 0, not {seconds}")
