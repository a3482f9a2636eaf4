"""A site in memory: log-in, a little REST, and the Events and State WebSocket, with faults on order."""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from tocsin.errors import TocsinError
from tocsin.testing import VirtualWallClock, in_process
from tocsin.xprotect import BasicUser, XProtect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tocsin.xprotect.events import Events

CAMERA = "cameras/11111111-1111-1111-1111-111111111111"
MOTION = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
GROUP = "22222222-2222-2222-2222-222222222222"
SECRET = "Tr0ub4dor&3"


def guid(number: int) -> str:
    return str(UUID(int=number))


class Session:
    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.subscriptions: list[Any] = []
        self.left_at: float | None = None


class Site:
    """An ASGI app.

    Attributes:
        refusal: A status with which sockets are refused, or None.
        token_lifetime: Seconds that a token is good for.
        state_takes: Seconds that it takes to tell the state.
        padding: Bytes that each state brings along.
        mute: Commands that are not answered.
        replies: Status by command, instead of success.
        wires: The connections that are open, for faults.
        tokens: The tokens that sockets were opened with.
        rest: Answers of the REST services by path.
        asked: The REST paths that were asked for.
    """

    def __init__(self) -> None:
        self.refusal: int | None = None
        self.token_lifetime = 3600
        self.window = 30.0
        self.state_takes = 0.0
        self.padding = 0
        self.mute: set[str] = set()
        self.replies: dict[str, int] = {}
        self.wires: list[Any] = []
        self.tokens: list[str] = []
        self.rest: dict[str, Any] = {}
        self.asked: list[str] = []
        self.commands: list[dict[str, Any]] = []
        self.sessions: dict[str, Session] = {}
        self.states: dict[tuple[str, str], dict[str, Any]] = {}
        self.sends: dict[str, Any] = {}
        self.gate = anyio.Event()
        self.gate.set()
        self._numbers = 0
        self._events = 0
        self._issued: dict[str, float] = {}

    # ── what the site does ───────────────────────────────────────────────────────────────────────────────

    async def raise_event(self, source: str = CAMERA, group: str | None = None, **more: Any) -> str:
        self._events += 1
        event = {
            "specversion": "1.0", "id": guid(self._events), "source": source, "type": MOTION,
            "time": f"2026-01-01T00:00:00.{self._events:07}Z", **more,
        }  # fmt: skip
        if group is not None:
            event["stategroupid"] = group
            self.states[source, group] = event
        for name, session in list(self.sessions.items()):
            if session.subscriptions:
                session.kept.append(event)
                if (send := self.sends.get(name)) is not None:
                    await self._say(send, {"events": [event]})
        return event["id"]

    def restart(self) -> None:
        """Forget all sessions and cut all connections."""
        self.sessions.clear()
        self.cut()

    def cut(self) -> None:
        for wire in list(self.wires):
            wire.reset()

    # ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        status, body = self._answer(scope)
        await send({"type": "http.response.start", "status": status,
                    "headers": [(b"content-type", b"application/json")]})  # fmt: skip
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    def _answer(self, scope) -> tuple[int, Any]:
        path = scope["path"]
        if path.lower() == "/api/idp/connect/token":
            self._numbers += 1
            token = f"token-{self._numbers}"
            self._issued[token] = anyio.current_time() + self.token_lifetime
            return 200, {"access_token": token, "expires_in": self.token_lifetime, "token_type": "Bearer"}
        if not path.startswith("/api/rest/v1"):
            return 404, {}
        if not self._welcome(scope):
            return 401, {"error": {"httpCode": 401, "details": [{"errorText": "expired"}]}}
        self.asked.append(path.removeprefix("/api/rest/v1"))
        answer = self.rest.get(self.asked[-1])
        return (404, {"error": {"httpCode": 404}}) if answer is None else (200, answer)

    def _welcome(self, scope) -> bool:
        header = dict(scope["headers"]).get(b"authorization", b"").decode()
        return self._issued.get(header.removeprefix("Bearer "), 0) > anyio.current_time()

    # ── the WebSocket ────────────────────────────────────────────────────────────────────────────────────

    async def _socket(self, scope, receive, send) -> None:
        await receive()
        await self.gate.wait()
        self.tokens.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        refusal = 404 if scope["path"] != "/api/ws/events/v1" else self.refusal
        refusal = refusal or (None if self._welcome(scope) else 401)
        if refusal is not None:
            await send({"type": "websocket.http.response.start", "status": refusal, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        wire = scope["extensions"]["tocsin.wire"]
        self.wires.append(wire)
        name: list[str] = []
        try:
            while (message := await receive())["type"] == "websocket.receive":
                command = json.loads(message["text"])
                self.commands.append(command)
                if command["command"] not in self.mute:
                    await self._obey(command, send, name)
        finally:
            self.wires.remove(wire)
            for one in name:
                if self.sends.get(one) is send:
                    del self.sends[one]
                    if one in self.sessions:
                        self.sessions[one].left_at = anyio.current_time()

    async def _obey(self, command, send, name: list[str]) -> None:
        reply = {"commandId": command["commandId"], "status": 200}
        what = command["command"]
        if (status := self.replies.get(what)) is not None:
            await self._say(send, {**reply, "status": status, "error": {"errorText": "no"}})
            return
        if what == "startSession":
            await self._start(command, reply, send, name)
            return
        session = self.sessions[name[-1]]
        if what == "addSubscription":
            session.subscriptions.append(command["filters"])
            reply["subscriptionId"] = guid(99)
        elif what == "getState":
            rows = [{**state, "pad": "x" * self.padding} for state in self.states.values()]
            await anyio.sleep(self.state_takes)
            reply["states"] = rows
        await self._say(send, reply)

    async def _start(self, command, reply, send, name: list[str]) -> None:
        session = self.sessions.get(command["sessionId"])
        if session is not None and session.left_at is not None:
            late = anyio.current_time() - session.left_at > self.window
            session = None if late else session
        if session is None:
            self._numbers += 1
            name.append(f"session-{self._numbers}")
            self.sessions[name[-1]] = Session()
            self.sends[name[-1]] = send
            await self._say(send, {**reply, "status": 201, "sessionId": name[-1]})
            return
        name.append(command["sessionId"])
        session.left_at = None
        ids = [event["id"] for event in session.kept]
        after = ids.index(command["eventId"]) + 1 if command["eventId"] in ids else 0
        self.sends[name[-1]] = send
        for event in session.kept[after : after + 1]:
            await self._say(send, {"events": [event]})  # even before the reply
        await self._say(send, {**reply, "sessionId": name[-1]})
        if session.kept[after + 1 :]:
            await self._say(send, {"events": session.kept[after + 1 :]})

    async def _say(self, send, frame) -> None:
        await send({"type": "websocket.send", "text": json.dumps(frame)})

    def told(self, command: str) -> list[dict[str, Any]]:
        return [one for one in self.commands if one["command"] == command]


@asynccontextmanager
async def follow(site: Site, **options: Any) -> AsyncGenerator[Events]:
    """The live events of a client of this site; afterwards no connection is open."""
    async with in_process(site) as process:
        client = XProtect(
            process.url, BasicUser("ada", SECRET), transport_factory=process.transport_factory,
            clock=VirtualWallClock(), rng=random.Random(7), name="yard", **options,
        )  # fmt: skip
        async with client:
            yield client.events
        with anyio.fail_after(10):
            while process.in_flight:
                await anyio.sleep(0.01)
    assert not process.errors, process.errors
    assert not site.wires


async def until(condition, within: float = 600.0) -> None:
    with anyio.fail_after(within):
        while not condition():
            await anyio.sleep(0.05)


def cause_of(error: BaseException) -> str:
    """All texts of an error and what stands behind it."""
    texts: list[str] = []
    one: BaseException | None = error
    while one is not None:
        texts += [str(one), repr(one), str(getattr(one, "detail", ""))]
        one = one.__cause__ or one.__context__
    assert isinstance(error, TocsinError)
    return " ".join(texts)
