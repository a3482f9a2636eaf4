"""What one connection to the Events and State WebSocket is answered, and which events it gets; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._json import dump, load
from tocsin.emulator._xprotect_event_sessions import Subscription
from tocsin.emulator._xprotect_filters import read_filters

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from tocsin.emulator._xprotect_event_sessions import Session, Sessions, Viewer

__all__ = ["Command", "Link", "MalformedError", "read_command"]

_GARBLED: Final = b'{"garbled":true}'
_OK: Final = 200
_CREATED: Final = 201


class MalformedError(Exception):
    """What a client sent is no command; the platform closes the connection then."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a client."""

    name: str
    id: int
    body: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A string that it brings; empty if it is missing or null.

        Raises:
            ValueError: It is something else.
        """
        value = self.body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
        return value


def read_command(text: str) -> Command:
    """Read what a client sent.

    Raises:
        MalformedError: It is not a JSON object with a `command` and an integer `commandId`.
    """
    try:
        found = load(text.encode("utf-8", "replace"))
    except ValueError:
        raise MalformedError("not JSON") from None
    if not isinstance(found, Mapping):
        raise MalformedError("not an object")
    name, id = found.get("command"), found.get("commandId")
    if not isinstance(name, str) or type(id) is not int:
        raise MalformedError("a command has a command and an integer commandId")
    return Command(name, id, found)


class Link:
    """One connection: commands in, replies and events out.

    Args:
        sessions: The server's sessions.
        owner: Whom the upgrade's token named; None if it had none.
        check: Tells whom an `Authorization` names; refuses by raising `RefusedError`.
        ring: Called when the connection is to be looked at.
        strike: The faults that strike an event of a source, by their kinds.

    Attributes:
        session: The session that speaks here.
        ended: The connection is to be closed.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        owner: Viewer | None,
        check: Callable[[str], Viewer],
        ring: Callable[[], None],
        strike: Callable[[str], AbstractSet[str]] = lambda _source: frozenset(),
    ) -> None:
        self.session: Session | None = None
        self.ended = False
        self._bell = ring
        self._sessions = sessions
        self._owner = owner
        self._check = check
        self._strike = strike
        self._late: list[bytes] = []
        self._commands: dict[str, Callable[[Command, float], dict[str, Any] | bytes]] = {
            "authenticate": self._authenticate,
            "startSession": self._start_session,
            "addSubscription": self._add_subscription,
            "removeSubscription": self._remove_subscription,
            "getState": self._get_state,
        }

    def answer(self, command: Command, now: float) -> list[bytes]:
        """The frames that answer a command: one reply, and with `eager` the events missed before it."""
        answer = self._commands.get(command.name)
        try:
            if answer is None:
                raise RefusedError(400, "", f"Unknown command: {command.name:.100}")
            made = answer(command, now)
        except RefusedError as refused:
            return [self.refuse(command, refused.status, refused.message)]
        except ValueError as error:
            return [self.refuse(command, 400, str(error))]
        if isinstance(made, bytes):
            return [made]
        resumed = command.name == "startSession" and made["status"] == _OK
        early = self.push() if resumed and self._sessions.rules.eager else []
        return [*early, dump({"commandId": command.id, **made})]

    @staticmethod
    def refuse(command: Command, status: int, text: str) -> bytes:
        """The reply that refuses a command."""
        return dump({"commandId": command.id, "status": status, "error": {"errorText": text}})

    def push(self) -> list[bytes]:
        """The frames with the events that the session has not got yet."""
        session = self.session
        if session is None:
            return []
        feed, rules = self._sessions.feed, self._sessions.rules
        if session.at + 1 < feed.first:  # it is further behind than events are kept
            self._sessions.forget(session)
            return []
        found: list[bytes] = []
        for place, event in feed.after(session.at):
            if session.wants(event, place):
                self._put(event.source, event.body, found)
        session.at = feed.last
        return [
            b'{"events":[' + b",".join(found[at : at + rules.batch]) + b"]}"
            for at in range(0, len(found), rules.batch)
        ]

    def ring(self) -> None:
        """There may be something to send."""
        self._bell()

    def forget(self, command: Command) -> None:
        """Forget the session of this connection, which stays; or the one that a command is to resume."""
        named = command.body.get("sessionId")
        session = self.session or self._sessions.find(named if isinstance(named, str) else "")
        if session is not None:
            self._sessions.forget(session, tell=session is not self.session)

    def detach(self) -> None:
        """The session speaks elsewhere, or is gone: end the connection."""
        self.session, self.ended = None, True
        self.ring()

    def abandon(self) -> None:
        """The session is gone without a word."""
        self.session = None

    def leave(self, now: float) -> None:
        """The connection has ended."""
        session, self.session = self.session, None
        if session is not None:
            self._sessions.leave(session, self, now)

    def _put(self, source: str, body: bytes, found: list[bytes]) -> None:
        struck = self._strike(source)
        if "lose" in struck:
            return
        if "garble" in struck:
            body = _GARBLED
        if "reorder" in struck:
            self._late.append(body)
            return
        found += [body, body] if "duplicate" in struck else [body]
        found += self._late
        self._late.clear()

    def _authenticate(self, command: Command, _now: float) -> dict[str, Any]:
        if self._owner is not None:
            raise RefusedError(400, "", "The connection is authenticated already")
        self._owner = self._check(command.text("token"))
        return {"status": _OK}

    def _start_session(self, command: Command, now: float) -> dict[str, Any]:
        id, event_id = command.text("sessionId"), command.text("eventId")
        sessions, owner = self._sessions, self._owner
        if owner is None:
            raise RefusedError(401, "", "Authenticate first")
        if self.session is not None:
            raise RefusedError(400, "", "The connection has a session already")
        session = sessions.resume(id, event_id, owner, self, now) if id else None
        status = _CREATED if session is None else _OK
        session = session or sessions.start(owner, self, now)
        if session is None:
            raise RefusedError(503, "", "There are too many sessions")
        self.session = session
        return {"status": status, "sessionId": session.id}

    def _add_subscription(self, command: Command, _now: float) -> dict[str, Any]:
        session = self._started()
        filters = read_filters(command.body.get("filters"))
        if len(session.subscriptions) >= self._sessions.rules.subscriptions:
            raise RefusedError(400, "", "The session has too many subscriptions")
        id = self._sessions.new_id()
        session.subscriptions[id] = Subscription(filters, self._sessions.feed.last)
        return {"status": _OK, "subscriptionId": id}

    def _remove_subscription(self, command: Command, _now: float) -> dict[str, Any]:
        session, id = self._started(), command.text("subscriptionId").lower()
        if session.subscriptions.pop(id, None) is None:
            raise RefusedError(404, "", "The session has no such subscription")
        return {"status": _OK}

    def _get_state(self, command: Command, _now: float) -> bytes:
        session = self._started()
        states = [event.body for event in self._sessions.feed.states.values() if session.wants(event)]
        head = b'{"commandId":%d,"status":200,"states":[' % command.id
        return head + b",".join(states) + b"]}"

    def _started(self) -> Session:
        if self._owner is None:
            raise RefusedError(401, "", "Authenticate first")
        if self.session is None:
            raise RefusedError(400, "", "Start a session first")
        return self.session
