"""Sessions of the Events and State WebSocket: what each has subscribed to, and what it is still to get.

No I/O and no clock: times are monotonic seconds that callers bring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from tocsin.emulator._xprotect_filters import passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.emulator._xprotect_filters import Filter, LiveEvent

__all__ = ["Feed", "Outlet", "Session", "SessionRules", "Sessions", "Subscription", "Viewer"]

_CAMERAS: Final = "cameras"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """How sessions behave.

    Args:
        window: Seconds after its connection's end within which a session can be resumed.
        kept: Events that are kept for sessions; one that is further behind is forgotten.
        sessions: Sessions at once; more are refused.
        subscriptions: Subscriptions of one session; more are refused.
        batch: Events in one frame at most.
        eager: A resumed session gets the events it missed before the reply to its command.
    """

    window: float = 30.0
    kept: int = 10_000
    sessions: int = 1000
    subscriptions: int = 100
    batch: int = 100
    eager: bool = False


class Feed:
    """The latest events in order, and the latest state of each source.

    Args:
        kept: How many events.
    """

    def __init__(self, kept: int) -> None:
        self.last = 0
        self.states: dict[tuple[str, str], LiveEvent] = {}
        self._kept = kept
        self._events: dict[int, LiveEvent] = {}
        self._places: dict[str, int] = {}

    @property
    def first(self) -> int:
        """The place of the oldest event that is kept; one after the last if there is none."""
        return self.last - len(self._events) + 1

    def publish(self, event: LiveEvent) -> None:
        """Add an event; the places of events count up from 1."""
        self.set_state(event)
        self.last += 1
        self._events[self.last] = event
        self._places[event.id.lower()] = self.last
        if len(self._events) > self._kept:
            gone = self._events.pop(self.first)
            self._places.pop(gone.id.lower(), None)

    def set_state(self, event: LiveEvent) -> None:
        """Take an event as its source's state, if it is one, without telling anybody."""
        if event.group:
            self.states[event.source.lower(), event.group.lower()] = event

    def drop_source(self, source: str) -> None:
        """Forget the states of a source that is no longer there."""
        for key in [key for key in self.states if key[0] == source.lower()]:
            del self.states[key]

    def place(self, id: str) -> int | None:
        """Where an event is; None if it is not kept."""
        return self._places.get(id.lower())

    def after(self, place: int) -> Iterator[tuple[int, LiveEvent]]:
        """The events after a place, and their own."""
        for number in range(max(place + 1, self.first), self.last + 1):
            yield number, self._events[number]


class Viewer(Protocol):
    """Who asks. Two of them that are equal are the same."""

    def sees(self, camera: str, /) -> bool:
        """Whether they see what a camera brings about."""
        ...


class Outlet(Protocol):
    """The connection that a session speaks on."""

    def ring(self) -> None:
        """There may be an event for it."""
        ...

    def detach(self) -> None:
        """The session speaks elsewhere now, or is gone; the connection is to end."""
        ...

    def abandon(self) -> None:
        """The session is gone, and nobody tells the client."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """What was subscribed to, and from which place on."""

    filters: tuple[Filter, ...]
    since: int


@dataclass(eq=False, slots=True)
class Session:
    """One session. It outlives its connection for a while.

    Args:
        id: Its GUID.
        owner: Who started it, and alone may resume it.
        began: The place at which it began.
        at: The place up to which its events were sent.
        outlet: The connection that it speaks on, if any.
        left: When its last connection ended.
        subscriptions: By id.
    """

    id: str
    owner: Viewer
    began: int
    at: int
    outlet: Outlet | None
    left: float = 0.0
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def wants(self, event: LiveEvent, place: int | None = None) -> bool:
        """Whether a subscription lets an event pass; with a place, one that was there before the event."""
        if event.kind == _CAMERAS and not self.owner.sees(event.source_id):
            return False
        return any(
            (place is None or subscription.since < place) and passes(subscription.filters, event)
            for subscription in self.subscriptions.values()
        )


class Sessions:
    """All sessions of a server.

    Args:
        feed: Where events come from.
        rules: How sessions behave.
        new_id: Makes GUIDs.
    """

    def __init__(self, feed: Feed, rules: SessionRules, new_id: Callable[[], str]) -> None:
        self.feed = feed
        self.rules = rules
        self.new_id = new_id
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def publish(self, event: LiveEvent) -> None:
        """Tell all sessions of an event that happened."""
        self.feed.publish(event)
        for session in self._sessions.values():
            if session.outlet is not None:
                session.outlet.ring()

    def find(self, id: str) -> Session | None:
        """The session with an id, alive or to be resumed."""
        return self._sessions.get(id.lower())

    def start(self, owner: Viewer, outlet: Outlet, now: float) -> Session | None:
        """A new session that speaks on a connection; None if there are too many."""
        self._sweep(now)
        if len(self._sessions) >= self.rules.sessions:
            return None
        place = self.feed.last
        session = Session(self.new_id(), owner, place, place, outlet)
        self._sessions[session.id.lower()] = session
        return session

    def resume(self, id: str, event_id: str, owner: Viewer, outlet: Outlet, now: float) -> Session | None:
        """The session with an id, to go on after an event, on another connection.

        A session whose connection has not ended yet is taken over from it: the client may know of the end
        first. Without an event id it goes on from its beginning.

        Returns:
            The session; None if it is unknown, of somebody else, too old, or the event is not kept.
        """
        self._sweep(now)
        session = self.find(id)
        if session is None or session.owner != owner:
            return None
        place = self.feed.place(event_id) if event_id else session.began
        if place is None or place + 1 < self.feed.first:
            return None
        if session.outlet is not None and session.outlet is not outlet:
            session.outlet.detach()
        session.outlet, session.at = outlet, place
        return session

    def leave(self, session: Session, outlet: Outlet, now: float) -> None:
        """A connection has ended; the session may be resumed for a while."""
        if session.outlet is outlet:
            session.outlet, session.left = None, now

    def forget(self, session: Session, *, tell: bool = True) -> None:
        """Forget a session.

        Args:
            session: Which.
            tell: End its connection; else that stays, and nothing comes any more.
        """
        self._sessions.pop(session.id.lower(), None)
        outlet, session.outlet = session.outlet, None
        if outlet is not None:
            outlet.detach() if tell else outlet.abandon()

    def forget_all(self, *, tell: bool = True) -> int:
        """Forget all sessions; how many there were."""
        sessions = list(self)
        for session in sessions:
            self.forget(session, tell=tell)
        return len(sessions)

    def _sweep(self, now: float) -> None:
        for session in self:
            if session.outlet is None and now - session.left > self.rules.window:
                self.forget(session)
