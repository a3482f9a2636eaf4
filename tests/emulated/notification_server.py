"""Notification 2.0 in memory, before an emulator that answers everything else.

Written after the reference alone (`cumulocity.md` 4): a mistake in the client must not cancel out.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import anyio

WINDOW = 1000
NAME = re.compile(r"[a-zA-Z0-9]+")


@dataclass
class Message:
    api: str
    source: str
    kind: str | None
    action: str
    body: bytes


@dataclass
class Subscriber:
    """One durable cursor: what waits, in order."""

    topic: str
    shared: bool
    waiting: list[Message] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    acked: list[Message] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


@dataclass(eq=False)
class Socket:
    subscriber: Subscriber
    wire: Any
    number: int
    send: Any
    client: str | None = None
    out: dict[str, Message] = field(default_factory=dict)
    sent: int = 0
    foreign: list[str] = field(default_factory=list)
    closed: anyio.Event = field(default_factory=anyio.Event)


class NotificationServer:
    """An ASGI application.

    Attributes:
        subscribers: By topic and name.
        refuse: Statuses with which the next sockets are refused.
        fail: Statuses with which the next requests below /notification2 are answered.
        expires: Seconds that a token is good for.
    """

    def __init__(self, emulator: Any) -> None:
        self._emulator = emulator
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.subscribers: dict[tuple[str, str], Subscriber] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.refuse: list[int] = []
        self.fail: list[int] = []
        self.expires = 86_400.0
        self.calls: list[str] = []
        self.sockets: list[Socket] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.mute = False
        self.result = "DONE"
        self._numbers = 0
        emulator.store.listeners.append(self._on_notice)

    @property
    def servers(self) -> list[Any]:
        return self._emulator.servers

    @property
    def app(self) -> Any:
        return self

    def only(self) -> Subscriber:
        (found,) = self.subscribers.values()
        return found

    def publish(
        self, body: bytes, *, action: str = "UPDATE", api: str = "alarms", source: str = "4711"
    ) -> None:
        kind = None
        with suppress(ValueError, AttributeError):
            kind = json.loads(body).get("type")
        self._feed(Message(api, source, kind, action, body))

    def close_all(self, code: int = 1001) -> None:
        for socket in list(self.sockets):
            socket.client = f"close {code}"
            socket.closed.set()

    def break_all(self, how: str = "reset") -> None:
        for socket in list(self.sockets):
            getattr(socket.wire, how)()

    def _on_notice(self, notice: Any) -> None:
        if notice.action == "DELETE":  # today's platform never tells it of alarms
            return
        raw = self._emulator.store.live(notice.alarm)
        alarm = json.loads(raw)
        self._feed(Message("alarms", str(alarm["source"]["id"]), alarm.get("type"), notice.action, raw))

    def _feed(self, message: Message) -> None:
        if self.mute:
            return
        for (topic, _), subscriber in self.subscribers.items():
            fed = (one for one in self.subscriptions.values() if one["subscription"] == topic)
            if any(wants(one, message) for one in fed):
                subscriber.waiting.append(message)
                subscriber.wake()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith("/notification2/"):
            await self._emulator.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._consume(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = dict(parse_qsl(scope["query_string"].decode()))
        path = scope["path"].removeprefix("/notification2/")
        self.calls.append(f"{scope['method']} {path}")
        status, reply = self._reply(scope["method"], path, query, json.loads(body) if body else {})
        date = self._emulator.clock.http_date().encode()
        headers = [(b"content-type", b"application/json"), (b"date", date)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(reply).encode()})

    def _reply(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if self.fail:
            status = self.fail.pop(0)
            return status, {"error": "x/y", "message": "no"}
        if path == "subscriptions" and method == "POST":
            if body in self.subscriptions.values():
                return 409, {"error": "reliable-notification/Duplicate", "message": "there"}
            if NAME.fullmatch(body["subscription"]) is None:
                return 422, {"error": "x/y", "message": "name"}
            self._numbers += 1
            self.subscriptions[str(self._numbers)] = body
            return 201, {"id": str(self._numbers), **body}
        if path == "subscriptions":
            rows = [{"id": key, **one} for key, one in self.subscriptions.items()]
            rows = [row for row in rows if query.get("subscription") in (None, row["subscription"])]
            return 200, {"subscriptions": rows}
        if path.startswith("subscriptions/") and method == "DELETE":
            found = self.subscriptions.pop(path.partition("/")[2], None)
            return (204, None) if found else (404, {"error": "x/y", "message": "gone"})
        if path == "token":
            self._numbers += 1
            claims = {"exp": int(self.now() + self.expires), "sub": body["subscriber"], "n": self._numbers}
            coded = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
            token = f"eyJhbGciOiJIUzI1NiJ9.{coded}.canary{self._numbers}"
            self.tokens[token] = {**body, "until": claims["exp"]}
            return 200, {"token": token}
        if path == "unsubscribe":
            terms = self.tokens.get(query.get("token", ""))
            if terms is None:
                return 401, {"error": "x/y", "message": "token"}
            gone = self.subscribers.pop((terms["subscription"], terms["subscriber"]), None)
            return (200, {"result": self.result}) if gone else (404, {"error": "x/y", "message": "gone"})
        return 404, {"error": "x/y", "message": path}

    def now(self) -> float:
        return self._emulator.clock.now().timestamp()

    async def _consume(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        query = dict(parse_qsl(scope["query_string"].decode()))
        self.queries.append(query)
        self.headers.append(dict(scope["headers"]))
        terms = self.tokens.get(query.get("token", ""))
        status = self.refuse.pop(0) if self.refuse else None
        if status is None and (terms is None or terms["until"] <= self.now()):
            status = 401
        if status is None and terms is not None:
            key = (terms["subscription"], terms["subscriber"])
            subscriber = self.subscribers.setdefault(key, Subscriber(key[0], terms["shared"]))
            if subscriber.sockets and not subscriber.shared:
                status = 409
        if status is not None:
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b'{"error":"a/b","message":"no"}'})
            return
        await send({"type": "websocket.accept"})
        wire = scope["extensions"]["tocsin.wire"]
        self._numbers += 1
        socket = Socket(subscriber, wire, self._numbers, send, query.get("consumer"))
        subscriber.sockets.append(socket)
        self.sockets.append(socket)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._deliver, socket)
                tasks.start_soon(self._closer, socket, tasks.cancel_scope)
                while (message := await receive())["type"] == "websocket.receive":
                    self._acked(socket, message["text"])
                tasks.cancel_scope.cancel()
        finally:
            subscriber.sockets.remove(socket)
            self.sockets.remove(socket)
            subscriber.waiting[:0] = socket.out.values()  # they come again
            subscriber.wake()

    def _acked(self, socket: Socket, text: str) -> None:
        message = socket.out.pop(text, None)
        if message is None:
            socket.foreign.append(text)
        else:
            socket.subscriber.acked.append(message)
            socket.subscriber.wake()

    async def _closer(self, socket: Socket, scope: anyio.CancelScope) -> None:
        await socket.closed.wait()
        await socket.send({"type": "websocket.close", "code": int(str(socket.client).split()[-1])})
        scope.cancel()

    async def _deliver(self, socket: Socket) -> None:
        subscriber = socket.subscriber
        while True:
            index = next((i for i, one in enumerate(subscriber.waiting) if mine(socket, one)), None)
            if index is None or len(socket.out) >= WINDOW:
                await subscriber.changed.wait()
                continue
            message = subscriber.waiting.pop(index)
            socket.sent += 1
            ack = base64.b64encode(b"%d" % socket.sent).decode()  # the same again on another socket
            socket.out[ack] = message
            head = f"{ack}\n/t1/{message.api}/{message.source}\n{message.action}\nX-More: 1\n\n"
            text = (head.encode() + message.body).decode("utf-8", "surrogateescape")
            await socket.send({"type": "websocket.send", "text": text})


def mine(socket: Socket, message: Message) -> bool:
    """Of a shared consumer all of one device go to one client."""
    sockets = socket.subscriber.sockets
    return sockets[sum(message.source.encode()) % len(sockets)] is socket


def wants(subscription: dict[str, Any], message: Message) -> bool:
    chosen = subscription.get("subscriptionFilter") or {}
    if message.api not in chosen.get("apis", ["*"]):
        return False
    if subscription["context"] == "mo" and subscription["source"]["id"] != message.source:
        return False
    kinds = chosen.get("typeFilter")
    return kinds is None or message.kind in re.findall(r"'([^']*)'", kinds)
