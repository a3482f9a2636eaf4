"""What a tracker asks for and what it is told: frozen values, no behaviour.

Live messages and rows of a read both come as `Observed`. A `Read` goes out, the platform answers it with an
`Answer`. What leaves for the consumer is a `Give` (one change) or a `Note` (one gap).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tocsin.models import Action, Origin

__all__ = [
    "Answer",
    "Checked",
    "Failed",
    "Give",
    "Missing",
    "NoSuchApi",
    "Note",
    "Observed",
    "OneAnswer",
    "Read",
    "ReadCheck",
    "ReadOne",
    "ReadWindow",
    "WindowAnswer",
]

A = TypeVar("A")


class Observed(NamedTuple, Generic[A]):
    """One state of one alarm, as a message or a row showed it. A tuple: there is one for each message.

    Attributes:
        id: The alarm's id.
        core: 128-bit hash of what every channel tells (type, status, severity, text, time, count, source).
        rest: The same of everything else; None where the channel is known to bring partial objects.
        updated: The server's ``lastUpdated`` in ms, None where it is absent.
        created: The server's ``creationTime`` in ms, None where it is absent.
        open: Neither cleared nor closed.
        wanted: Passes the stream's own filter.
        alarm: What the consumer gets.
    """

    id: str
    core: bytes
    rest: bytes | None
    updated: int | None
    created: int | None
    open: bool
    wanted: bool
    alarm: A


# --- reads ---


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """Read one page of alarms. Answer with `WindowAnswer`, `Failed` or `NoSuchApi`.

    The stream's own filter (severity, type) must not narrow this read: an alarm that leaves the filter has
    to be
    seen once more. Rows that do not pass it come with ``wanted=False``.

    Attributes:
        ticket: Names this request.
        r0: The tracker's count when it was sent.
        partition: The part of the scope to read, as given to the tracker.
        updated_from: Only rows with ``lastUpdated`` at or after this (ms); None reads all. Never an upper
            bound.
        created_from: Only rows with ``creationTime`` at or after this (ms).
        created_to: Only rows with ``creationTime`` before this (ms).
        page: The page number, from 1.
        page_size: Rows to ask for.
        resolved: False reads open alarms only, True closed ones only, None both.
        snapshot: The read is part of the very first one, whose rows the consumer waits for.
    """

    ticket: int
    r0: int
    partition: str | None
    updated_from: int | None
    created_from: int | None
    created_to: int | None
    page: int
    page_size: int
    resolved: bool | None
    snapshot: bool = False

    @property
    def open_only(self) -> bool:
        """Whether only open alarms are to be read."""
        return self.resolved is False


@dataclass(frozen=True, slots=True)
class ReadOne:
    """Read one alarm by id. Answer with `OneAnswer`, `Missing` (404 only), `Failed` or `NoSuchApi`."""

    ticket: int
    r0: int
    id: str


@dataclass(frozen=True, slots=True)
class ReadCheck:
    """Find out whether the credentials still stand and may read alarms. Answer with `Checked` or `Failed`."""

    ticket: int
    r0: int


Read: TypeAlias = ReadWindow | ReadOne | ReadCheck


# --- answers ---


@dataclass(frozen=True, slots=True)
class WindowAnswer(Generic[A]):
    """One page came.

    Attributes:
        rows: Its alarms, in the server's order.
        more: The server offers a further page.
        date: The ``Date`` header in ms, None where it was missing.
        unreadable: Rows that were there and could not be understood.
        next_page: The page number in the server's link to the further page, None where it names none.
    """

    rows: Sequence[Observed[A]]
    more: bool
    date: int | None = None
    unreadable: int = 0
    next_page: int | None = None


@dataclass(frozen=True, slots=True)
class OneAnswer(Generic[A]):
    """The alarm is there."""

    observed: Observed[A]


@dataclass(frozen=True, slots=True)
class Missing:
    """404: there is no alarm with this id."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The credentials were looked at.

    Attributes:
        sound: They are accepted and may read alarms.
        cause: What is wrong if not, in a few words.
    """

    sound: bool
    cause: str = "the credentials may not read alarms any more"


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer: 403, 429, 5xx, no connection, a body that is no alarm.

    Attributes:
        cause: Why, in a few words.
        retry_after: Seconds that the server asked to wait, or None.
        permanent: Repeating will not help soon (403): try rarely, and say so.
    """

    cause: str
    retry_after: float | None = None
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class NoSuchApi:
    """The server has no REST API at all. Believed only until a read succeeds; then it is a `Failed`."""


Answer: TypeAlias = WindowAnswer[A] | OneAnswer[A] | Missing | Checked | Failed | NoSuchApi


# --- what leaves ---


class Give(NamedTuple, Generic[A]):
    """Give the consumer one change. `observed` is None on DELETE."""

    action: Action
    id: str
    observed: Observed[A] | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the consumer of one gap: the fields of `tocsin.Gap`."""

    since: datetime
    until: datetime
    cause: str
    recovered: int | None
