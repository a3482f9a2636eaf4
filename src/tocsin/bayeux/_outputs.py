"""What a session hands out: what to send, and what happened. Frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tocsin.bayeux._messages import Event
    from tocsin.errors import SubscriptionRefusedError, TocsinError

__all__ = [
    "Alive",
    "Arrived",
    "Closed",
    "Delayed",
    "Dropped",
    "Kind",
    "Lost",
    "Notice",
    "Output",
    "Refused",
    "Send",
    "Stands",
    "Unreadable",
]


class Kind(Enum):
    """What an exchange is for."""

    HANDSHAKE = auto()
    CONNECT = auto()
    COMMAND = auto()


@dataclass(frozen=True, slots=True)
class Send:
    """One exchange to start now.

    Attributes:
        kind: What it is for. A HANDSHAKE wants a fresh transport: new cookies, new connections.
        link: Which transport carries it: the number of the handshake that opened it.
        messages: The body. A handshake's may hold credentials.
        ids: The ids of the messages in it.
        held: Seconds for which the server is asked to hold it, on the poll's own connection; None for a
            command, on the other one.
        silence: Seconds without a byte after which the peer counts as dead.
        total: Seconds for the whole exchange.
        last: It ends the session. On a two-way connection its answer is not waited for: some give none.
    """

    kind: Kind
    link: int
    messages: bytes = field(repr=False)
    ids: tuple[str, ...]
    held: float | None
    silence: float
    total: float
    last: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """Events, in the order in which they came. `ordered`: in the answer to a connect."""

    events: tuple[Event, ...]
    ordered: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One element of a response that is no Bayeux message."""

    raw: bytes = field(repr=False)  # perhaps an echo of our own


@dataclass(frozen=True, slots=True)
class Alive:
    """A connect succeeded: nothing is missing of what was written until `proved` (monotonic seconds).

    That is when it was sent: its answer was made later, but nobody can tell for how long it was on its way.
    Nor can `Date`: servers that send heartbeats write it when the connect comes in. Nor can the pong of a
    WebSocket: it comes too when the session has gone, or from a gateway.
    """

    proved: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages may be missing from where the last `Alive` ends."""

    cause: str
    session_lost: bool
    words: str | None = None  # the server's own


@dataclass(frozen=True, slots=True)
class Delayed:
    """A channel has to wait for its subscription. Nothing is lost for those whose channels stand."""

    cause: str


@dataclass(frozen=True, slots=True)
class Stands:
    """The server confirmed a channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server will not deliver a channel. All others go on."""

    channel: str
    error: SubscriptionRefusedError


@dataclass(frozen=True, slots=True)
class Dropped:
    """The link is of no more use: whatever is still in flight on it means nothing.

    Attributes:
        link: Its number.
        farewell: A disconnect that the server should still get, or None.
    """

    link: int
    farewell: bytes | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """Over for good, with the reason; None after a leave."""

    error: TocsinError | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something odd that costs nothing yet, for the log."""

    text: str


Output = Alive | Arrived | Closed | Delayed | Dropped | Lost | Notice | Refused | Stands | Unreadable
