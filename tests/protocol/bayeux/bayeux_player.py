"""Plays the driver and the server round a pure session, by hand and without time passing by itself."""

from __future__ import annotations

import json
from typing import Any

from tocsin.bayeux._failures import Failure, unanswered
from tocsin.bayeux._outputs import Kind, Output, Send
from tocsin.bayeux._session import Session
from tocsin.bayeux._settings import SessionSettings
from tocsin.errors import TocsinError, TransportError

RETRY = {"reconnect": "retry", "interval": 0, "timeout": 30000}


def messages(send: Send) -> list[dict[str, Any]]:
    return json.loads(send.messages)


class Player:
    """Holds the clock and what is in flight; `jitter` 1 makes each wait as long as it can get."""

    duplex = False
    """The server speaks on one connection both ways, as on a WebSocket: nothing says what answers what."""

    def __init__(self, *channels: str, **settings: Any) -> None:
        self.session = Session(SessionSettings(**settings))
        self.now = 100.0
        self.jitter = 0.5
        self.flying: list[Send] = []
        self.outputs: list[Output] = []
        self.log: list[str] = []
        for channel in channels:
            self.session.want(channel)

    def go(self) -> list[Send]:
        """Start what is due."""
        sends = self.session.next(self.now)
        assert self.session.next(self.now) == []
        self.flying += sends
        self.log += [m["channel"] for s in sends for m in messages(s)]
        self.collect()
        return sends

    def one(self, kind: Kind | None = None) -> Send:
        """Start what is due: exactly one exchange."""
        (send,) = self.go()
        assert kind is None or send.kind is kind
        return send

    def wait(self) -> float:
        """Jump to the session's own deadline and return how long that took."""
        deadline = self.session.deadline()
        assert deadline is not None
        before, self.now = self.now, max(self.now, deadline)
        return self.now - before

    def body(self, send: Send, raw: bytes) -> None:
        self.flying = [s for s in self.flying if s is not send]
        if self.duplex and not send.last:
            self.session.pushed(send.link, raw, self.now, self.jitter)
            if self.session.awaits(send):  # until its time is up, and the connection is given up
                self.session.broke(send.link, Failure.of(unanswered(send.total)), self.now, self.jitter)
                self.flying = [s for s in self.flying if self.session.awaits(s)]
        else:
            self.session.received(send, raw, self.now, self.jitter)
        self.collect()

    def reply(self, send: Send, *answers: dict[str, Any]) -> None:
        self.body(send, json.dumps(answers).encode())

    def fail(self, send: Send, error: TocsinError | None = None) -> None:
        self.flying = [s for s in self.flying if s is not send]
        self.session.failed(send, Failure.of(error or TransportError("cut")), self.now, self.jitter)
        self.collect()

    def collect(self) -> None:
        self.outputs += self.session.take()

    def seen(self, kind: type[Output]) -> list[Any]:
        """Return and forget the outputs of one kind."""
        found = [o for o in self.outputs if isinstance(o, kind)]
        self.outputs = [o for o in self.outputs if not isinstance(o, kind)]
        return found

    # the server's ordinary answers

    def shake(self, client_id: str = "c1", **extra: Any) -> Send:
        send = self.one(Kind.HANDSHAKE)
        self.reply(send, handshaken(send, client_id, **extra))
        return send

    def subscribe(self) -> Send:
        send = self.one(Kind.COMMAND)
        self.reply(send, *(ok(m, subscription=m["subscription"]) for m in messages(send)))
        return send

    def connect(self, *events: dict[str, Any], advice: dict[str, Any] | None = None) -> Send:
        send = self.one(Kind.CONNECT)
        extra = {} if advice is None else {"advice": advice}
        self.reply(send, *events, ok(messages(send)[0], **extra))
        return send

    def up(self) -> None:
        """As far as the first held connect."""
        self.shake()
        self.subscribe()
        self.connect()


def ok(request: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"id": request["id"], "channel": request["channel"], "successful": True, **extra}


def bad(request: dict[str, Any], error: str, **extra: Any) -> dict[str, Any]:
    return {"id": request["id"], "channel": request["channel"], "successful": False, "error": error, **extra}


def handshaken(send: Send, client_id: str = "c1", **extra: Any) -> dict[str, Any]:
    return ok(
        messages(send)[0],
        **{
            "version": "1.0",
            "clientId": client_id,
            "supportedConnectionTypes": ["smartrest-long-polling", "long-polling", "websocket"],
            **extra,
        },
    )


def event(channel: str, data: Any, **extra: Any) -> dict[str, Any]:
    return {"channel": channel, "data": data, **extra}
