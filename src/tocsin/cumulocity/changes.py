"""Every change of a tenant's alarms, as a stream.

Alarms.changes ─ follow ─ ChangeStream ─ Follower ─ Tracker
                                           │
                          AlarmFeed: reads (REST), LiveAlarms (Bayeux) or Consumer (Notification 2.0)
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
    from tocsin.cumulocity._feed import AlarmFeed
    from tocsin.cumulocity._proof import RestProof
    from tocsin.cumulocity._realtime import Realtime
    from tocsin.cumulocity.models import Alarm
    from tocsin.cumulocity.notification2._attach import Durable, Notifications

__all__ = ["ALL", "DEFAULT_BUFFER", "Following", "Transport", "follow"]

Transport: TypeAlias = Literal["auto", "websocket", "long-polling", "polling", "notification2"]

DEFAULT_BUFFER: Final = 5000
"""Changes that may wait for the consumer: two pages of a recovery read, and some."""

_POLL: Final = 10.0
"""Seconds between two reads where reads are the channel."""

_DURABLE: Final = "notification2"


@dataclass(frozen=True, slots=True)
class Following:
    """What a client lends its streams."""

    core: HttpCore
    owner: TaskOwner
    realtime: Realtime
    notifications: Notifications
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
    subscriber: str | None = None,
    shared: bool = False,
    consumer: str | None = None,
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
    from tocsin.cumulocity._feed import PLATFORM

    scope = Scope.of(source, children=children, severity=severity, type=type)
    durable = _durable(transport, subscriber, shared=shared, consumer=consumer, snapshot=snapshot)
    live = None if durable is not None else _live(transport)
    _check(snapshot, overflow, buffer, checkpoint, durable=durable is not None)
    # A page must fit into the half of the buffer that is kept free for it, or recovery would overflow it.
    policy = client.recovery
    policy = replace(policy, page_size=max(1, min(policy.page_size, buffer // 2)))
    if live is None and durable is None:
        policy = replace(policy, verify_every=min(policy.verify_every, _POLL))
    # Of a shared stream each client gets a part, and no read can tell which.
    reads = durable is None or not durable.shared
    follower = Follower(
        Tracker[bytes](
            policy,
            snapshot=snapshot,
            partitions=scope.partitions,
            live=live is not None or durable is not None,
            sweeps=client.sweeps and reads,
            reads=reads,
            durable=durable is not None,
        ),
        _feed(client, scope, live, durable),
        Buffer(buffer, overflow),
        StateBoard(PLATFORM, client.site, client.clock),
        wall=client.clock,
        close_timeout=client.close_timeout,
        whole=snapshot is False,
        keeper=None if checkpoint is None else _keeper(client, scope, checkpoint, snapshot, overflow),
        receipts=durable is not None,
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


def _feed(
    client: Following, scope: Scope, live: BayeuxTransport | None, durable: Durable | None
) -> AlarmFeed:
    """What reads the scope, and listens to it."""
    from tocsin.cumulocity._feed import AlarmFeed

    if durable is None:
        listen = None if live is None else partial(client.realtime.listen, transport=live)
        return AlarmFeed(client.core, client.proof, scope, site=client.site, listen=listen)
    consume = partial(client.notifications.listen, core=client.core, scope=scope, durable=durable)
    return AlarmFeed(
        client.core, client.proof, scope, site=client.site, consume=consume, reads=not durable.shared
    )


def _durable(
    transport: str, subscriber: str | None, *, shared: bool, consumer: str | None, snapshot: object
) -> Durable | None:
    """As whom to consume; None: over another transport."""
    if transport != _DURABLE:
        if subscriber is not None or shared or consumer is not None:
            raise ConfigurationError("subscriber=, shared= and consumer= need transport='notification2'")
        return None
    if subscriber is None:
        raise ConfigurationError(
            "transport='notification2' needs subscriber=: the name under which the platform keeps what you "
            "have not handled, such as 'pager'; the same name goes on where it left"
        )
    if shared and snapshot is not False:
        raise ConfigurationError(
            "snapshot= needs reads, and a shared consumer gets its part of the changes only"
        )
    from tocsin.cumulocity.notification2._attach import Durable

    return Durable(subscriber, shared=shared, consumer=consumer)


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
    raise ConfigurationError(f"transport={transport!r} is unknown: use one of {known}")


def _check(snapshot: object, overflow: str, buffer: int, checkpoint: object, *, durable: bool) -> None:
    if snapshot not in (False, True, "all"):
        raise ConfigurationError(f"snapshot={snapshot!r} is unknown: use False, True or 'all'")
    if overflow == "block" and not durable:
        raise ConfigurationError(
            "overflow='block' needs a server that keeps what is not taken; this one does not: use 'recover', "
            "or transport='notification2'"
        )
    if overflow not in get_args(Overflow):
        raise ConfigurationError(
            f"overflow={overflow!r} is unknown: use 'recover', 'conflate' or 'drop_oldest'"
        )
    if buffer < 1:
        raise ConfigurationError("buffer must be 1 or more")
    if checkpoint is not None and not _is_store(checkpoint):
        raise ConfigurationError("checkpoint must be a CheckpointStore, such as FileCheckpoint(path)")
    if checkpoint is not None and durable:
        raise ConfigurationError(
            "transport='notification2' keeps what was not handled on the platform: it takes no checkpoint="
        )
    if checkpoint is not None and overflow == "drop_oldest":
        raise ConfigurationError(
            "overflow='drop_oldest' loses what a checkpoint is there to keep: use 'recover' or 'conflate'"
        )


def _is_store(checkpoint: object) -> bool:
    from tocsin._stream._store import CheckpointStore

    return isinstance(checkpoint, CheckpointStore)
