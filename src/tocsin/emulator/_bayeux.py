"""The server side of Bayeux, without I/O: messages in, replies out, and the sessions between.

Every method is called with the store's lock held, so that writers on other threads may publish.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._access import ALARM_READ
from tocsin.emulator._json import dump
from tocsin.emulator._session import (
    Answer,
    Caller,
    End,
    Hold,
    Message,
    Poll,
    Session,
    attach,
    ext_of,
    failure,
    reply,
    seconds,
)

if TYPE_CHECKING:
    from random import Random

    from tocsin.emulator._settings import BayeuxSettings, Limits
    from tocsin.emulator.faults import Faults

_POLLING: Final = ("long-polling", "smartrest-long-polling")
_ALARMS: Final = frozenset({"alarms", "alarmsWithChildren"})
_KNOWN: Final = _ALARMS | {
    "events", "eventsWithChildren", "measurements", "managedobjects", "operations", "inventory",
}  # fmt: skip
_CHANNEL: Final = re.compile(r"(?:/[A-Za-z0-9\-_!~()$@.]+)*/(?:[A-Za-z0-9\-_!~()$@.]+|\*\*?)")
_REMEMBERED: Final = 1000  # lost sessions of which we know how they are to be told


class Hub:
    """All sessions of the tenant, and what they listen to."""

    def __init__(self, settings: BayeuxSettings, limits: Limits, faults: Faults, rng: Random) -> None:
        self.settings = settings
        self._limits = limits
        self._faults = faults
        self._rng = rng
        self._sessions: dict[str, Session] = {}
        self._listeners: dict[str, dict[str, Session]] = {}
        self._lost: dict[str, bool] = {}
        self._events = 0
        self._transports = (*_POLLING, "websocket") if settings.web_socket else _POLLING
        self.polls: dict[Poll, None] = {}

    @property
    def sessions(self) -> list[Session]:
        """Those that are alive, or have not been found dead yet."""
        return list(self._sessions.values())

    def owner(self, id: object) -> str | None:
        """The name of the user whose session that is."""
        session = self._sessions.get(id) if isinstance(id, str) else None
        return None if session is None else session.user

    # A request's messages.

    def answer(self, messages: Sequence[Any], caller: Caller) -> Answer:
        """Handle the messages of one request, the elements of its array."""
        if not messages or not all(isinstance(message, Mapping) for message in messages):
            return Answer(400)
        shakes = any(message.get("channel") == "/meta/handshake" for message in messages)
        if shakes and len(messages) > 1:
            return Answer(400)  # a handshake goes alone; the Java and Node.js servers fail the request
        answer = Answer()
        for message in messages:
            part = self._one(message, caller, answer, alone=len(messages) == 1)
            answer.parts.extend([part] if part else [])
        return answer

    def _one(self, message: Message, caller: Caller, answer: Answer, *, alone: bool) -> bytes:
        fault = self._faults.on_message(caller.seen, message)
        channel = message.get("channel")
        session: Session | None = None
        if channel != "/meta/handshake":
            session = self._session(message.get("clientId"), caller)
        if fault is not None and fault.kind == "forget" and session is not None:
            self.forget(session, advise=fault.advise)
            session = None
        if fault is not None and fault.kind == "reject":
            return failure(message, fault.error, advice=fault.advice)
        if not isinstance(channel, str):
            return failure(message, "400::channel_missing")
        if channel == "/meta/handshake":
            return self._handshake(message, caller, answer)
        if session is None:
            return self._unknown(message)
        session.last = caller.now
        if caller.outlet is not None or channel == "/meta/connect":
            attach(session, caller)
        match channel:
            case "/meta/connect":
                return self._connect(message, session, answer, alone=alone)
            case "/meta/subscribe" | "/meta/unsubscribe":
                done = self._subscription(message, session, caller, wanted=channel == "/meta/subscribe")
            case "/meta/disconnect":
                self._end(session, "disconnected")
                if caller.outlet is not None and not self.settings.disconnect_reply:
                    return b""
                done = reply(message, successful=True, clientId=session.id)
            case _:
                done = failure(message, f"403:{channel}:publish_denied")
        if not session.acks:
            answer.parts.extend(self.take(session))  # queued events ride on any reply
        return done

    def _handshake(self, message: Message, caller: Caller, answer: Answer) -> bytes:
        self._sweep(caller.now)
        browser = caller.browser
        common = message.get("supportedConnectionTypes")
        if not isinstance(common, list) or not {*self._transports} & {str(name) for name in common}:
            return failure(message, "400::no_common_transport", advice={"reconnect": "none"})
        if len(self._sessions) >= self._limits.sessions:
            return failure(message, "503::too_many_sessions", advice={"reconnect": "none"})
        if browser is None:
            browser = answer.browser = f"{self._rng.getrandbits(80):020x}"
        id = f"{self._rng.getrandbits(96):024x}"
        session = Session(id, caller.user.name, browser, self.settings.timeout, caller.now, caller.sees)
        self._heed(session, message)
        self._sessions[id] = session
        attach(session, caller)
        session.acks = self.settings.ack and bool(ext_of(message, "ack"))
        return reply(
            message,
            successful=True,
            version="1.0",
            minimumVersion="1.0",
            clientId=id,
            supportedConnectionTypes=list(self._transports),
            advice=self._advice(session.timeout),
            ext={"ack": True} if session.acks else None,
        )

    def _connect(self, message: Message, session: Session, answer: Answer, *, alone: bool) -> bytes:
        if message.get("connectionType") not in self._transports:
            return failure(message, "400::unknown_connection_type")
        hold_for = self._heed(session, message)
        known, session.connected = session.connected, True
        if session.poll is not None:
            self._release(session, "duplicate")
        if session.acks:
            session.confirm(ext_of(message, "ack"))
        session.queue.extend(session.late)
        session.late.clear()
        crowded = self._several(session) or len(self.polls) >= self._limits.held
        # As CometD does for old clients, the first connect is not held though it does not ask for that.
        if alone and known and hold_for > 0 and not session.queue and not crowded:
            answer.hold = Hold(session, message, hold_for)
            return b""
        answer.parts.extend(self.take(session))
        return self.connected(session, message, crowded=crowded)

    def connected(self, session: Session, message: Message, *, crowded: bool = False) -> bytes:
        """The reply to a connect that went well; a client that cannot be held is asked to poll slowly."""
        extra: dict[str, Any] = {"data": None} if self.settings.null_data else {}
        if session.acks:
            extra["ext"] = {"ack": session.batch}
        if crowded:
            session.advise = True
            pause = self.settings.multiple_clients_interval
            extra["advice"] = {
                "reconnect": "retry", "interval": round(pause * 1000), "multiple-clients": True,
                "timeout": round(session.timeout * 1000),
            }  # fmt: skip
        elif session.advise or "advice" in message:  # advice is given once, then left out until asked for
            session.advise = False
            extra["advice"] = self._advice(session.timeout)
        return reply(message, successful=True, **extra)

    def _several(self, session: Session) -> bool:
        return any(
            other.browser == session.browser and other.poll is not None and other is not session
            for other in self._sessions.values()
        )

    def _heed(self, session: Session, message: Message) -> float:
        """Take the client's advice; how long this connect may be held."""
        advice = message.get("advice")
        advice = advice if isinstance(advice, Mapping) else {}
        interval, timeout = seconds(advice.get("interval")), seconds(advice.get("timeout"))
        if interval is not None:
            session.patience = interval
        if timeout is None:
            return session.timeout
        timeout = min(timeout, self.settings.timeout_max)
        if message.get("channel") == "/meta/handshake" and timeout > 0:
            session.timeout = timeout
        return timeout

    def _advice(self, timeout: float) -> dict[str, Any]:
        interval = round(self.settings.interval * 1000)
        return {"reconnect": "retry", "interval": interval, "timeout": round(timeout * 1000)}

    def _subscription(self, message: Message, session: Session, caller: Caller, *, wanted: bool) -> bytes:
        named = message.get("subscription")
        channels: list[Any] = named if isinstance(named, list) else [named]
        echo: dict[str, Any] = {"clientId": session.id, "subscription": named}
        for channel in channels if wanted else ():
            error = self._refusal(channel, caller)
            if error is None and len(session.channels) + len(channels) > self._limits.channels:
                error = f"403:{channel:.100}:too_many_channels"
            if error is not None:
                return failure(message, error, **echo)
        for channel in channels:
            if wanted:
                session.channels[channel] = None
                self._listeners.setdefault(channel, {})[session.id] = session
                self._crowd_out(channel, session.user)
            elif isinstance(channel, str):
                self._unlisten(session, channel)
        return reply(message, successful=True, **echo)

    def _crowd_out(self, channel: str, user: str) -> None:
        """One user's connections to a channel are limited: the oldest is closed for another one."""
        limit = self.settings.connections
        if limit is not None:
            theirs = [other for other in self._listeners[channel].values() if other.user == user]
            for oldest in theirs[: max(0, len(theirs) - limit)]:
                self.forget(oldest)

    def _refusal(self, channel: object, caller: Caller) -> str | None:
        if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel):
            return f"405:{channel!s:.100}:channel_invalid"
        area = channel.split("/")[1]
        if area not in _KNOWN or channel.count("/") != 2:
            return f"403:{channel}:subscribe_failed"
        if area in _ALARMS and not caller.user.may(ALARM_READ):
            how = self.settings.without_role
            if how == "refused" or (how == "own" and not caller.sees(channel.rpartition("/")[2])):
                return f"403:{channel}:subscribe_denied"
        return None

    # Sessions.

    def _session(self, id: object, caller: Caller) -> Session | None:
        session = self._sessions.get(id) if isinstance(id, str) else None
        if session is None:
            return None
        if self._expired(session, caller.now):
            self.forget(session)
            return None
        strange = self.settings.require_cookie and caller.browser != session.browser and caller.outlet is None
        return None if strange or session.user != caller.user.name else session

    def push(self, session: Session, now: float) -> list[bytes]:
        """The events that leave on a socket by themselves: none if they are to be confirmed."""
        if self._expired(session, now):
            self.forget(session)
        return [] if session.acks or not session.queue else self.take(session)

    def _expired(self, session: Session, now: float) -> bool:
        return session.poll is None and now > session.last + self.settings.max_interval + session.patience

    def _sweep(self, now: float) -> None:
        for session in self.sessions:
            if self._expired(session, now):
                self.forget(session)

    def forget(self, session: Session, *, advise: bool = True) -> None:
        """Let a session be unknown from now on; its held poll is told so at once.

        Args:
            session: The one to forget.
            advise: Whether the client is told to shake hands again, or only that it is unknown.
        """
        self._end(session, "forgotten")
        self._lost[session.id] = advise
        if len(self._lost) > _REMEMBERED:
            del self._lost[next(iter(self._lost))]

    def forget_all(self, *, advise: bool = True) -> int:
        """Forget every session; how many there were."""
        sessions = self.sessions
        for session in sessions:
            self.forget(session, advise=advise)
        return len(sessions)

    def _end(self, session: Session, why: End) -> None:
        self._sessions.pop(session.id, None)
        for channel in list(session.channels):
            self._unlisten(session, channel)
        session.queue.clear()
        session.late.clear()
        session.unconfirmed.clear()
        self._release(session, why)
        session.outlet = None

    def _release(self, session: Session, why: End) -> None:
        if session.poll is not None:
            session.poll.ended = why
            session.poll.ring()
            session.poll = None

    def hold(self, session: Session, poll: Poll) -> None:
        """A connect of the session is held from now on."""
        session.poll = poll
        self.polls[poll] = None

    def let_go(self, session: Session, poll: Poll, now: float) -> None:
        """It is held no more; its session has until `max_interval` from now to send the next."""
        self.polls.pop(poll, None)
        session.last = now
        if session.poll is poll:
            session.poll = None

    def _unlisten(self, session: Session, channel: str) -> None:
        session.channels.pop(channel, None)
        listeners = self._listeners.get(channel, {})
        listeners.pop(session.id, None)
        if not listeners:
            self._listeners.pop(channel, None)

    def _unknown(self, message: Message) -> bytes:
        advise = self._lost.get(str(message.get("clientId")), True)
        advice = {"reconnect": "handshake", "interval": round(self.settings.interval * 1000)}
        known = message.get("channel") in {"/meta/connect", "/meta/handshake"}  # CometD advises on these only
        return failure(message, self.settings.unknown_session, advice=advice if advise and known else None)

    def unknown(self, message: Message) -> bytes:
        """The reply to a held connect whose session was forgotten."""
        return self._unknown(message)

    def released(self, message: Message) -> bytes:
        """The reply to a held connect whose session was disconnected by its client."""
        return reply(message, successful=True, advice={"reconnect": "none"})

    # Events.

    def publish(self, channel: str, data: bytes, source: str | None = None) -> None:
        """Queue a payload, as JSON text, for every session that listens to the channel.

        Args:
            channel: A concrete one.
            data: The payload.
            source: The device that it is about, if only those who see its alarms are to get it.
        """
        filtered = source is not None and self.settings.without_role != "refused"
        area = channel[: channel.rindex("/")]
        found: dict[str, tuple[Session, int]] = {}
        for pattern in (channel, f"{area}/*", f"{area}/**"):
            for id, session in self._listeners.get(pattern, {}).items():
                found[id] = (session, found[id][1] + 1 if id in found else 1)
        for session, copies in found.values():
            if filtered and not session.sees(source or ""):
                continue
            for _ in range(copies if self.settings.copy_per_subscription else 1):
                self._deliver(session, channel, data)

    def _deliver(self, session: Session, channel: str, data: bytes) -> None:
        struck = self._faults.on_event(channel)
        if "lose" in struck:
            return
        if "garble" in struck:
            data = b'{"realtimeAction":"UPDATE","data":{"garbled":true}}'
        if "reorder" in struck:
            session.late.append((channel, data))
            return
        session.queue.append((channel, data))
        if "duplicate" in struck:
            session.queue.append((channel, data))
        session.queue.extend(session.late)
        session.late.clear()
        if session.waiting > self._limits.queue:
            self.forget(session)
            return
        for listening in (session.poll, session.outlet):
            if listening is not None:
                listening.ring()

    def take(self, session: Session) -> list[bytes]:
        """The queued events as JSON text; the queue is empty then."""
        queue = session.empty()
        if not self.settings.array_data:
            return [self._event(channel, data) for channel, data in queue]
        grouped: list[tuple[str, list[bytes]]] = []
        for channel, data in queue:
            if grouped and grouped[-1][0] == channel:
                grouped[-1][1].append(data)
            else:
                grouped.append((channel, [data]))
        return [self._event(channel, b"[" + b",".join(data) + b"]") for channel, data in grouped]

    def _event(self, channel: str, data: bytes) -> bytes:
        self._events += 1  # an id of the server's own, which may well equal one of the client's
        return b'{"id":"%d","channel":%s,"data":%s}' % (self._events, dump(channel), data)
