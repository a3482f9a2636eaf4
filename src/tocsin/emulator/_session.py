"""The words of the realtime endpoint: sessions, requests, answers, and the elements of a reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tocsin.emulator._json import dump

if TYPE_CHECKING:
    from tocsin.emulator._access import User
    from tocsin.emulator.faults import Seen

Message = Mapping[str, Any]
Sees = Callable[[str], bool]
End = Literal["duplicate", "disconnected", "forgotten"]


class Poll(Protocol):
    """A connect that is held: how the session wakes it, and how it is told to end."""

    ended: End | None

    @property
    def tap(self) -> Connection:
        """The connection on which it is held."""
        ...

    def ring(self) -> None:
        """There is something to look at."""
        ...


class Connection(Protocol):
    """What accidents befall."""

    cut: int | None

    def abort(self, *, reset: bool = False) -> None:
        """Break it."""
        ...

    def hush(self) -> None:
        """Let nothing more come through."""
        ...


class Outlet(Protocol):
    """A socket on which events leave at any time."""

    sessions: dict[str, Session]

    def ring(self) -> None:
        """There is something to look at."""
        ...


@dataclass(eq=False, slots=True)
class Session:
    """One client between its handshake and its end.

    With `acks`, events leave with replies to connects only, each a numbered batch that is kept until a
    connect confirms it.
    """

    id: str
    user: str
    browser: str
    timeout: float
    last: float
    sees: Sees
    patience: float = 0.0
    channels: dict[str, None] = field(default_factory=dict)
    queue: list[tuple[str, bytes]] = field(default_factory=list)
    late: list[tuple[str, bytes]] = field(default_factory=list)
    poll: Poll | None = None
    advise: bool = True
    connected: bool = False
    outlet: Outlet | None = None
    acks: bool = False
    batch: int = 0
    unconfirmed: list[tuple[int, list[tuple[str, bytes]]]] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Events that are kept for the client."""
        return len(self.queue) + sum(len(events) for _number, events in self.unconfirmed)

    def confirm(self, number: object) -> None:
        """Forget what has arrived; what has not is sent again, before anything newer."""
        upto = number if isinstance(number, int) and not isinstance(number, bool) else -1
        self.queue[:0] = [event for at, events in self.unconfirmed if at > upto for event in events]
        self.unconfirmed.clear()

    def empty(self) -> list[tuple[str, bytes]]:
        """The queued events; the queue is empty then. With `acks` they are the next batch."""
        queue, self.queue = self.queue, []
        if self.acks:
            self.batch += 1
            if queue:
                self.unconfirmed.append((self.batch, queue))
        return queue


@dataclass(frozen=True, slots=True)
class Hold:
    """A connect that may be held: whose, for how long at most, and how it is answered in the end."""

    session: Session
    message: Message
    seconds: float


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request's messages.

    Args:
        user: Who is logged in.
        browser: The value of the `BAYEUX_BROWSER` cookie.
        now: Monotonic seconds.
        seen: The request, for faults.
        sees: Whether the user is shown the alarms of a device.
        outlet: The socket that the messages came by; None: a request of their own.
    """

    user: User
    browser: str | None
    now: float
    seen: Seen
    sees: Sees
    outlet: Outlet | None = None


@dataclass(slots=True)
class Answer:
    """What a request is answered with.

    Args:
        status: Other than 200: the body is empty.
        parts: JSON text of each element of the reply.
        hold: Hold the request first, if nothing else happens.
        browser: A cookie to set.
    """

    status: int = 200
    parts: list[bytes] = field(default_factory=list)
    hold: Hold | None = None
    browser: str | None = None

    def body(self) -> bytes:
        """The reply as one JSON array."""
        return b"[" + b",".join(self.parts) + b"]"


def seconds(value: object) -> float | None:
    """Milliseconds of an advice in seconds; None if it is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return value / 1000


def reply(message: Message, *, successful: bool, **more: Any) -> bytes:
    """A reply to a message, as JSON text."""
    made: dict[str, Any] = {"id": message["id"]} if "id" in message else {}
    made |= {"channel": message.get("channel"), "successful": successful}
    made |= {key: value for key, value in more.items() if key == "data" or value is not None}
    return dump(made)


def failure(message: Message, error: str, *, advice: Mapping[str, Any] | None = None, **more: Any) -> bytes:
    """A reply that refuses a message, as JSON text."""
    return reply(message, successful=False, error=error, advice=advice, **more)


def attach(session: Session, caller: Caller) -> None:
    """Have the session's events go where its client speaks from."""
    session.outlet = caller.outlet
    if caller.outlet is not None:
        caller.outlet.sessions[session.id] = session


def ext_of(message: Message, name: str) -> Any:
    """What a message's `ext` has under a name."""
    ext = message.get("ext")
    return ext.get(name) if isinstance(ext, Mapping) else None
