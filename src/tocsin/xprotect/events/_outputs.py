"""What a session wants done. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tocsin.errors import TocsinError
    from tocsin.xprotect.events._frames import Row

__all__ = ["Attached", "Busy", "HangUp", "Happened", "Missed", "Output", "Send", "Stand"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send this command."""

    command: bytes


@dataclass(frozen=True, slots=True)
class Happened:
    """These events happened, in order; each is told once."""

    events: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Stand:
    """So things stand: the latest event of each source and state group."""

    states: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """Events may have been missed for good between two instants (monotonic seconds)."""

    since: float
    until: float
    cause: str


@dataclass(frozen=True, slots=True)
class Attached:
    """The subscription stands, and what comes is whole from here on.

    Attributes:
        resumed: It is the old one, and the server sends what it kept meanwhile.
        complete: The state of all sources is known, or was not asked for.
    """

    resumed: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """Until this instant the server may be too busy to answer pings; None: it is no more."""

    until: float | None


@dataclass(frozen=True, slots=True)
class HangUp:
    """Give the connection up.

    Attributes:
        error: Why.
        final: The server said no, and would say so again.
    """

    error: TocsinError
    final: bool = False


Output: TypeAlias = Send | Happened | Stand | Missed | Attached | Busy | HangUp
