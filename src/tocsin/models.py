"""The words that all platforms share: what changed, how we know, and what may have been missed.

No wire name and no platform is known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

__all__ = [
    "UNSET",
    "Action",
    "AlarmLike",
    "Change",
    "Gap",
    "Level",
    "Origin",
    "Phase",
    "StreamState",
    "StreamHealth",
    "StreamStats",
    "Unset",
]

A_co = TypeVar("A_co", covariant=True)


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET
"""An argument that was not given. None is a value."""


class Action(StrEnum):
    """What happened to an alarm."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class Origin(StrEnum):
    """How the stream came to know of a change."""

    LIVE = "live"
    """The platform told it."""
    SNAPSHOT = "snapshot"
    """It was there when the stream began."""
    RECOVERED = "recovered"
    """A read found what no message had told."""


class Level(StrEnum):
    """How serious an alarm is, on every platform."""

    CRITICAL = "CRITICAL"
    MAJOR = "MAJOR"
    MINOR = "MINOR"
    WARNING = "WARNING"


class Phase(StrEnum):
    """Where an alarm stands in its life, on every platform."""

    ACTIVE = "ACTIVE"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLEARED = "CLEARED"


class StreamState(StrEnum):
    """What a change stream is doing."""

    CONNECTED = "connected"
    """Attached, and all that was missed has been read."""
    RECONNECTING = "reconnecting"
    """Not attached; trying. A stream begins here."""
    RECOVERING = "recovering"
    """Attached; still reading what may have been missed. Live changes flow."""
    DEGRADED = "degraded"
    """Attached, but something does not add up, such as rights that seem to be lost."""
    CLOSED = "closed"
    """Ended."""


class AlarmLike(Protocol):
    """What the alarms of all platforms have in common, as read-only properties.

    Unknown values are None; the platform's own value stays readable on its own model.
    """

    @property
    def id(self) -> str:
        """The platform's id of the alarm."""
        ...

    @property
    def text(self) -> str | None:
        """What the alarm says, for people."""
        ...

    @property
    def time(self) -> datetime | None:
        """When it happened, aware."""
        ...

    @property
    def level(self) -> Level | None:
        """How serious it is."""
        ...

    @property
    def phase(self) -> Phase | None:
        """Where it stands in its life."""
        ...

    @property
    def source_id(self) -> str | None:
        """The device, camera or asset it came from."""
        ...


@dataclass(frozen=True, slots=True)
class Change(Generic[A_co]):
    """One change of one alarm.

    Attributes:
        action: What happened.
        id: The platform's id of the alarm.
        alarm: The alarm as it stands after the change; None on DELETE.
        origin: How the stream came to know.
        platform: ``cumulocity`` or ``xprotect``.
        site: The client's name: its `name=`, by default its tenant or host.
        received_at: When this process took it in; aware UTC.
    """

    action: Action
    id: str
    alarm: A_co | None
    origin: Origin
    platform: str
    site: str
    received_at: datetime
    _ack: Callable[[Change[Any]], Awaitable[None]] | None = field(default=None, repr=False, compare=False)

    async def ack(self) -> None:
        """Say that this change was handled, before the stream is asked for the next one, which says so too.

        It matters where the platform keeps what was not handled (Notification 2.0); elsewhere, and for any
        but the last change that the stream gave, it does nothing.
        """
        if self._ack is not None:
            await self._ack(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process, or as a copy, it acknowledges nothing.
        values = (self.action, self.id, self.alarm, self.origin, self.platform, self.site, self.received_at)
        return type(self), values

    @property
    def key(self) -> tuple[str, str]:
        """What to fold changes by: unique over all sites."""
        return (self.site, self.id)


@dataclass(frozen=True, slots=True)
class Gap:
    """A span in which changes may have been missed.

    Attributes:
        since: The last moment at which the stream is known to have been whole; aware UTC.
        until: When it was whole again; aware UTC.
        cause: Why, in a few words.
        recovered: How many changes were read back and given as `Origin.RECOVERED`; None if they could not be
            read back, so that changes may be lost.
        platform: ``cumulocity`` or ``xprotect``.
        site: The client's name.
    """

    since: datetime
    until: datetime
    cause: str
    recovered: int | None
    platform: str
    site: str


@dataclass(frozen=True, slots=True)
class StreamStats:
    """Counters of one change stream since it began; a snapshot that does not change.

    All are counts but the times (aware UTC, None before the first one).

    Attributes:
        received: Live messages that reached the stream.
        delivered: Changes handed to the consumer.
        recovered: Changes that only a read brought.
        duplicates: States that were already given and were dropped.
        dropped: Changes that a full buffer dropped (recovered later unless the policy forbids it).
        conflated: Changes merged into a later one of the same alarm.
        gaps: Gaps told.
        reconnects: Times that the live channel was lost.
        reads: Requests that the stream sent to settle what it did not know.
        misses: Changes that live messages should have brought and did not.
        unreadable: Messages or rows that could not be read.
        unverified: Alarms that vanished from the lists and could not be read by id.
        tracked: Alarms in memory.
        buffered: Changes waiting for the consumer.
        connected_at: When the live channel was last established.
        last_live_at: When the last live message arrived.
        last_sweep_at: When the last complete sweep ended.
        last_alive_at: When the live channel last showed that it works.
        gap_since: Since when changes may be missing that have not been read back yet; None: none are.
    """

    received: int = 0
    delivered: int = 0
    recovered: int = 0
    duplicates: int = 0
    dropped: int = 0
    conflated: int = 0
    gaps: int = 0
    reconnects: int = 0
    reads: int = 0
    misses: int = 0
    unreadable: int = 0
    unverified: int = 0
    tracked: int = 0
    buffered: int = 0
    connected_at: datetime | None = None
    last_live_at: datetime | None = None
    last_sweep_at: datetime | None = None
    last_alive_at: datetime | None = None
    gap_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """What a readiness probe wants to know of a stream; a snapshot that does not change.

    Ages are seconds, None where there is nothing to count from.

    Attributes:
        state: What the stream is doing.
        cause: Why it is not simply connected, in a few words.
        ready: It is attached, and nothing is known to be missing.
        state_age: For how long it has been doing so.
        alive_age: Since the live channel last proved that it works.
        attached_age: How long the subscription has stood; None while there is none.
        sweep_age: Since the last complete read of what had changed.
        gap_age: Since when changes may be missing that have not been read back yet.
        backlog: Changes that wait for the consumer.
    """

    state: StreamState
    cause: str | None
    ready: bool
    state_age: float
    alive_age: float | None
    attached_age: float | None
    sweep_age: float | None
    gap_age: float | None
    backlog: int

    def as_json(self) -> dict[str, str | float | bool | None]:
        """The same as JSON knows it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"state": self.state.value}
