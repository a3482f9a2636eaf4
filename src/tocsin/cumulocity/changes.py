"""Every change of a tenant's alarms, as a stream.

Alarms.changes ─ follow ─ ChangeStream ─ Follower ─ Tracker
                                           │
                          AlarmFeed: reads (REST), LiveAlarms (Bayeux)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from tocsin._stream._buffer import Buffer, Overflow
from tocsin.cumulocity._scope import ALL, Scope
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tocsin._http._core import HttpCore
    from tocsin._stream._keeper import Keeper
    from tocsin._stream._owner import TaskOwner
    from tocsin._stream._policy import RecoveryPolicy
    from tocsin._stream._store import CheckpointStore
    from tocsin._stream._stream import ChangeStream
    from tocsin.bayeux._line import BayeuxTransport
    from tocsin.cumulocity._proof import RestProof
    from tocsin.cumulocity._realtime import Realtime
    from tocsin.cumulocity.models import Alarm

__all__ = ["ALL", "DEFAULT_BUFFER", "Following", "Transport", "follow"]

Transport: TypeAlias = Literal["auto", "websocket", "long-polling", "polling"]

DEFAULT_BUFFER: Final = 5000
"""Changes that may wait for the consumer: two pages of a recovery read, and some."""

_POLL: Final = 10.0
"""Seconds between two reads where reads are the channel."""

_LATER: Final = ("notification2",)


@dataclass(frozen=True, slots=True)
class Following:
    """What a client lends its streams."""

    core: HttpCore
    owner: TaskOwner
    realtime: Realtime
    proof: RestProof
    site: str
    recovery: RecoveryPolicy
    clock: Callable[[], datetime]
    open_timeout: float | None
    close_timeout: float
    sweeps: bool = True
    """False only where a test or the demonstration shows what the sweeps are worth."""


def follow(
    client: Following,
    source: str | int | Iterable[str | int] = ALL,
    *,
    children: bool = False,
    severity: str | Iterable[str] | None = None,
    type: str | Iterable[str] | None = None,  # noqa: A002 - the platform's word
    snapshot: bool | Literal["all"] = False,
    overflow: Overflow = "recover",
    buffer: int = DEFAULT_BUFFER,
    transport: Transport = "auto",
    checkpoint: CheckpointStore | None = None,
) -> ChangeStream[Alarm]:
    """Make a stream of changes; see `Alarms.changes`.

    Raises:
        ConfigurationError: The arguments make no sense, or ask for what is not there yet.
    """
    # Who only lists or raises alarms does not wait for these: half of our own share of the import.
    from tocsin._stream._follower import Follower
    from tocsin._stream._states import StateBoard
    from tocsin._stream._stream import ChangeStream
    from tocsin._stream._tracker import Tracker
    from tocsin.cumulocity._feed import PLATFORM, AlarmFeed

    scope = Scope.of(source, children=children, severity=severity, type=type)
    live = _live(transport)
    _check(snapshot, overflow, buffer, checkpoint)
    policy = client.recovery
    # A page must fit into the half of the buffer that is kept free for it, or recovery would overflow it.
    policy = replace(policy, page_size=max(1, min(policy.page_size, buffer // 2)))
    if live is None:
        policy = replace(policy, verify_every=min(policy.verify_every, _POLL))
    follower = Follower(
        Tracker[bytes](
            policy,
            snapshot=snapshot,
            partitions=scope.partitions,
            live=live is not None,
            sweeps=client.sweeps,
        ),
        AlarmFeed(
            client.core,
            client.proof,
            scope,
            site=client.site,
            listen=None if live is None else partial(client.realtime.listen, transport=live),
        ),
        Buffer(buffer, overflow),
        StateBoard(PLATFORM, client.site, client.clock),
        wall=client.clock,
        close_timeout=client.close_timeout,
        whole=snapshot is False,
        keeper=None if checkpoint is None else _keeper(client, scope, checkpoint, snapshot, overflow),
    )
    return ChangeStream(follower, client.owner, open_timeout=client.open_timeout)


def _keeper(
    client: Following,
    scope: Scope,
    store: CheckpointStore,
    snapshot: bool | Literal["all"],
    overflow: Overflow,
) -> Keeper:
    """What keeps a stream's progress. The ids of alarms mean nothing on another platform, tenant or scope."""
    from tocsin._stream._keeper import Keeper
    from tocsin.cumulocity._feed import PLATFORM

    whose = {"platform": PLATFORM, "address": client.core.base_url, "site": client.site}
    return Keeper(store, {**whose, **scope.described(), "snapshot": snapshot}, merges=overflow == "conflate")


def _live(transport: str) -> BayeuxTransport | None:
    """The live channel's transport; None where reads are the channel."""
    ways: dict[str, BayeuxTransport | None] = {
        "auto": "auto",
        "websocket": "websocket",
        "long-polling": "long-polling",
        "polling": None,
    }
    if transport in ways:
        return ways[transport]
    known = ", ".join(repr(name) for name in get_args(Transport))
    what = "comes in a later version" if transport in _LATER else "is unknown"
    raise ConfigurationError(f"transport={transport!r} {what}: use one of {known}")


def _check(snapshot: object, overflow: str, buffer: int, checkpoint: object) -> None:
    if snapshot not in (False, True, "all"):
        raise ConfigurationError(f"snapshot={snapshot!r} is unknown: use False, True or 'all'")
    if overflow == "block":
        raise ConfigurationError(
            "overflow='block' needs a server that keeps what is not taken; this one does not: use 'recover'"
        )
    if overflow not in get_args(Overflow):
        raise ConfigurationError(
            f"overflow={overflow!r} is unknown: use 'recover', 'conflate' or 'drop_oldest'"
        )
    if buffer < 1:
        raise ConfigurationError("buffer must be 1 or more")
    if checkpoint is not None and not _is_store(checkpoint):
        raise ConfigurationError("checkpoint must be a CheckpointStore, such as FileCheckpoint(path)")
    if checkpoint is not None and overflow == "drop_oldest":
        raise ConfigurationError(
            "overflow='drop_oldest' loses what a checkpoint is there to keep: use 'recover' or 'conflate'"
        )


def _is_store(checkpoint: object) -> bool:
    from tocsin._stream._store import CheckpointStore

    return isinstance(checkpoint, CheckpointStore)
