"""The server's Bayeux sessions: as much of the protocol as an honest client needs to be fed and held."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.peers import bodies

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[[bytes], None]

__all__ = ["Sessions"]

_HOLD: Final = 30.0
_ID: Final = re.compile(rb'"id":\s*"([^"]*)"')
_CLIENT: Final = re.compile(rb'"clientId":\s*"([^"]*)"')
_CHANNEL: Final = re.compile(rb'"subscription":\s*"([^"]*)"')
_ADVICE: Final = b'"advice":{"reconnect":"retry","interval":0,"timeout":30000}'
_FORGOTTEN: Final = (
    b'[{"channel":"/meta/%s","id":"%s","successful":false,"error":"402::Unknown client",'
    b'"advice":{"reconnect":"handshake","interval":0}}]'
)


@dataclass
class _Session:
    user: bytes
    channels: set[bytes] = field(default_factory=set)
    polled: bool = False
    waiting: deque[bytes] = field(default_factory=deque)
    held: tuple[bytes, Answer, asyncio.TimerHandle] | None = None


class Sessions:
    """All sessions, and who waits for how many of them to be held."""

    def __init__(self) -> None:
        self._all: dict[bytes, _Session] = {}
        self._made = 0
        self._watch: tuple[int, Callable[[float], None]] | None = None

    def forget(self) -> None:
        """Lose every session, as a server that starts anew."""
        for session in self._all.values():
            if session.held is not None:
                session.held[2].cancel()
        self._all.clear()

    def watch(self, subscriptions: int, told: Callable[[float], None]) -> None:
        """Have the time told when held polls stand for so many subscriptions."""
        self._watch = subscriptions, told
        self._look()

    def feed(self, user: bytes, first: int, count: int, each: int) -> None:
        """Lay events ready for the session of a user.

        Raises:
            LookupError: It has none.
        """
        for session in self._all.values():
            if session.user == user and session.channels:
                session.waiting.extend(bodies.events(first, at, each) for at in range(0, count, each))
                self._deliver(session)
                return
        raise LookupError(f"{user!r} has no session")

    def answer(self, user: bytes, body: bytes, send: Answer) -> None:
        """Answer a request, now or when there is something to say."""
        found = _ID.search(body)
        number = found[1] if found else b""
        if b'"/meta/handshake"' in body:
            self._made += 1
            client = b"c%d" % self._made
            self._all[client] = _Session(user)
            send(
                b'[{"channel":"/meta/handshake","id":"%s","successful":true,"version":"1.0","clientId":"%s",'
                b'"supportedConnectionTypes":["long-polling"],%s}]' % (number, client, _ADVICE)
            )
            return
        known = _CLIENT.search(body)
        session = self._all.get(known[1]) if known else None
        kind = next(
            k for k in (b"connect", b"subscribe", b"unsubscribe", b"disconnect") if b"/meta/" + k in body
        )
        if session is None:
            send(_FORGOTTEN % (kind, number))
        elif kind == b"connect":
            self._connect(session, number, _subscribed(session, body), send)
        elif kind == b"disconnect":
            self._all.pop(known[1] if known else b"")
            send(b'[{"channel":"/meta/disconnect","id":"%s","successful":true}]' % number)
        else:
            send(b"[%s]" % _subscribed(session, body, kind))

    def _connect(self, session: _Session, number: bytes, more: bytes, send: Answer) -> None:
        if more or not session.polled:  # the first poll is answered at once
            session.polled = True
            reply = b'{"channel":"/meta/connect","id":"%s","successful":true,%s}' % (number, _ADVICE)
            send(b"[%s%s]" % (reply, b"," + more if more else b""))
            return
        timer = asyncio.get_running_loop().call_later(_HOLD, self._release, session, b"")
        session.held = number, send, timer
        self._deliver(session)
        self._look()

    def _deliver(self, session: _Session) -> None:
        if session.held is not None and session.waiting:
            self._release(session, session.waiting.popleft() + b",")

    def _release(self, session: _Session, events: bytes) -> None:
        if session.held is not None:
            number, send, timer = session.held
            session.held = None
            timer.cancel()
            send(b'[%s{"channel":"/meta/connect","id":"%s","successful":true}]' % (events, number))

    def _look(self) -> None:
        if self._watch is None:
            return
        wanted, told = self._watch
        if sum(len(one.channels) for one in self._all.values() if one.held is not None) >= wanted:
            self._watch = None
            told(time.monotonic())


def _subscribed(session: _Session, body: bytes, kind: bytes = b"subscribe") -> bytes:
    channels = _CHANNEL.findall(body)
    (session.channels.difference_update if kind == b"unsubscribe" else session.channels.update)(channels)
    # The ids of a request come in the order of its messages; a connect before them has one too.
    numbers = _ID.findall(body)[-len(channels) :] if channels else []
    return b",".join(
        b'{"channel":"/meta/%s","id":"%s","subscription":"%s","successful":true}' % (kind, number, channel)
        for number, channel in zip(numbers, channels, strict=True)
    )
