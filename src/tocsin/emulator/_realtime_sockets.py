"""The realtime endpoint over WebSockets: events at any time, connects held as a sign of life."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.requests import cookie_parser

from tocsin.emulator._access import User
from tocsin.emulator._errors import RefusedError
from tocsin.emulator._json import load
from tocsin.emulator._rights import sees
from tocsin.emulator._session import Answer, Caller, End, Hold, Message, Session, failure
from tocsin.emulator._sockets import FRAME, count, strike
from tocsin.emulator.faults import Seen

if TYPE_CHECKING:
    from tocsin.emulator._bayeux import Hub
    from tocsin.emulator._emulator import Emulator
    from tocsin.emulator._socket import Socket

_AUTHN: Final = "com.cumulocity.authn"
_NOBODY: Final = User("", "", frozenset())
_LONGEST: Final = 86_400.0


class HeldConnect:
    """One connect that is held on a socket."""

    def __init__(self, socket: Socket, hold: Hold) -> None:
        self.tap = socket
        self.hold = hold
        self.deadline = anyio.current_time() + hold.seconds
        self.ended: End | None = None

    def ring(self) -> None:
        """Have the socket's talk look again."""
        self.tap.bell.ring()


class RealtimeSockets:
    """Talks on `/notification/realtime` and `/cep/realtime`."""

    def __init__(self, emulator: Emulator, hub: Hub) -> None:
        self._emulator = emulator
        self._hub = hub

    async def __call__(self, socket: Socket) -> None:
        """Let a client in and talk with it, to the end.

        Raises:
            RefusedError: Before it is let in: 401 for credentials that are wrong; none are needed yet.
            GoneError: The client left, or a fault ended the connection.
        """
        user = self._user(socket)
        await socket.accept(self._emulator.clock.http_date())
        await Conversation(self._emulator, self._hub, socket, user).run()

    def _user(self, socket: Socket) -> User | None:
        headers = socket.headers
        if "authorization" not in headers and "x-xsrf-token" not in headers:
            return None  # the handshake tells
        return self._emulator.access.check(
            headers.get("authorization"),
            cookie=cookie_parser(headers.get("cookie", "")).get("authorization"),
            xsrf=headers.get("x-xsrf-token"),
            code=headers.get("tfatoken"),
        )


class Conversation:
    """One socket and the sessions that speak on it. A session may outlive it.

    Args:
        emulator: The server.
        hub: Its sessions.
        socket: The way both ways.
        user: Whom the headers of the upgrade named, if anybody.
    """

    def __init__(self, emulator: Emulator, hub: Hub, socket: Socket, user: User | None) -> None:
        self._emulator = emulator
        self._hub = hub
        self._socket = socket
        self._user = user
        self._held: dict[HeldConnect, None] = {}
        self.sessions: dict[str, Session] = {}

    def ring(self) -> None:
        """There is something to look at."""
        self._socket.bell.ring()

    async def run(self) -> None:
        """Talk until the socket ends.

        Raises:
            GoneError: It has ended.
        """
        lock = self._emulator.store.lock
        try:
            while True:
                for text in self._socket.take():
                    await self._hear(text)
                with lock:
                    due = self._due(anyio.current_time())
                for body in due:
                    await self._socket.send(body)
                until = min((poll.deadline for poll in self._held), default=inf)
                if not due:
                    await self._socket.bell.wait(min(until - anyio.current_time(), _LONGEST))
        finally:
            with lock:
                self._leave()

    async def _hear(self, text: str) -> None:
        try:
            found = load(text.encode("utf-8", "replace"))
        except ValueError:
            return  # as other servers do: nobody could be told
        messages = found if isinstance(found, list) else [found]
        socket = self._socket
        seen = Seen(FRAME, socket.path, socket.query, messages)
        channels = tuple(str(message.get("channel")) for message in messages if isinstance(message, dict))
        count(self._emulator, socket, FRAME, channels)
        struck = self._emulator.faults.on_frame(seen)
        await strike(socket, struck)
        if any(fault.kind == "hang" for fault in struck):
            return
        with self._emulator.store.lock:
            answer = self._answer(messages, seen)
        if answer.status == 200 and answer.parts:
            await socket.send(answer.body())

    def _answer(self, messages: list[Any], seen: Seen) -> Answer:
        first = messages[0] if messages and isinstance(messages[0], Mapping) else {}
        emulator, now = self._emulator, anyio.current_time()
        try:
            user = self._speaker(first)
        except RefusedError:
            return Answer(parts=[failure(first, "403::Handshake denied")])
        shown = sees(emulator.access.users, user.name, emulator.store.devices)
        answer = self._hub.answer(messages, Caller(user, None, now, seen, shown, self))
        if answer.hold is not None:
            poll = HeldConnect(self._socket, answer.hold)
            self._held[poll] = None
            self._hub.hold(answer.hold.session, poll)
            answer.parts = []
        return answer

    def _speaker(self, message: Message) -> User:
        """Whose message that is.

        A handshake brings credentials in its `ext`, for browsers can send them in no other way, or those of
        the upgrade count. What comes later is known by its session, which may stem from another socket.
        """
        access = self._emulator.access
        if message.get("channel") != "/meta/handshake":
            owner = self._hub.owner(message.get("clientId"))
            return self._user or access.users.get(owner or "", _NOBODY)
        ext = message.get("ext")
        given = ext.get(_AUTHN) if isinstance(ext, Mapping) else None
        if not isinstance(given, Mapping):
            if self._user is None:
                raise RefusedError(401, "security/Unauthorized", "No credentials")
            return self._user
        token, code, xsrf = (given.get(name) for name in ("token", "tfa", "xsrfToken"))
        code = code if isinstance(code, str) else None
        if not isinstance(token, str):
            cookie = cookie_parser(self._socket.headers.get("cookie", "")).get("authorization")
            return access.check(None, cookie=cookie, xsrf=xsrf if isinstance(xsrf, str) else None, code=code)
        try:
            return access.check(f"Basic {token}", code=code)
        except RefusedError:
            return access.check(f"Bearer {token}", code=code)

    def _due(self, now: float) -> list[bytes]:
        """What is to be sent now: events, each by itself, then the connects that end."""
        frames: list[bytes] = []
        for id, session in list(self.sessions.items()):
            if session.outlet is not self:
                del self.sessions[id]
            else:
                frames += [b"[" + part + b"]" for part in self._hub.push(session, now)]
        for poll in list(self._held):
            parts = self._ending(poll, over=now >= poll.deadline)
            if parts is not None:
                del self._held[poll]
                self._hub.let_go(poll.hold.session, poll, now)
                frames += [b"[" + b",".join(parts) + b"]"] if parts else []
        return frames

    def _ending(self, poll: HeldConnect, *, over: bool) -> list[bytes] | None:
        """What a held connect is answered with now; None if it is held on."""
        session, message = poll.hold.session, poll.hold.message
        match poll.ended:
            case None:
                if not (over or (session.acks and session.queue)):
                    return None
                return [*self._hub.take(session), self._hub.connected(session, message)]
            case "forgotten":
                return [self._hub.unknown(message)]
            case "disconnected" if self._hub.settings.disconnect_reply:
                return [self._hub.released(message)]
            case _:
                return []

    def _leave(self) -> None:
        now = anyio.current_time()
        for poll in self._held:
            self._hub.let_go(poll.hold.session, poll, now)
        for session in self.sessions.values():
            if session.outlet is self:
                session.outlet = None
