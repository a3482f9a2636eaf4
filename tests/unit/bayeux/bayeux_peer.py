"""A Bayeux server in memory, a transport to it without HTTP, and a listener that notes."""

from __future__ import annotations

import json
import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from tocsin._stream._owner import TaskOwner
from tocsin.bayeux._channels import matches
from tocsin.bayeux._settings import SessionSettings
from tocsin.bayeux._subscriber import Subscriber
from tocsin.bayeux._transport import Reply
from tocsin.errors import ConnectError, RequestTimeoutError, TransportError
from unit.bayeux.bayeux_sockets import Sockets, sockets_of

PATIENCE = 10.0


@dataclass
class Client:
    channels: set[str] = field(default_factory=set)
    queue: list[dict[str, Any]] = field(default_factory=list)
    seen: float = 0.0
    held: anyio.Event | None = None
    cookie: str = ""
    batch: int = 0
    kept: list[tuple[int, list[dict[str, Any]]]] = field(default_factory=list)


class Server:
    """Answers as CometD does: events before the reply, `402` for whom it does not know.

    Attributes:
        down: Nobody listens.
        frozen: Requests are taken and never answered.
        late: Events that are published in the moment in which a channel is subscribed.
        denied: Channels that are refused.
        busy: Channels that are not subscribed for now.
        rude: It says untrue things, so that sessions may stay behind.
        rewrite: Changes an answer before it leaves.
        acks: It keeps what it sends until that is acknowledged, if it is asked to.
    """

    def __init__(self, way: str = "long-polling") -> None:
        self.way = way
        self.acks = False
        self.clients: dict[str, Client] = {}
        self.requests: list[list[dict[str, Any]]] = []
        self.log: list[str] = []
        self.down = False
        self.frozen = False
        self.rude = False
        self.late: dict[str, list[Any]] = {}
        self.denied: set[str] = set()
        self.busy: set[str] = set()
        self.rewrite: Any = None
        self.transports: list[Wire] = []
        self.numbers = 0
        self.cut = anyio.Event()
        self.bell = anyio.Event()

    def publish(self, channel: str, data: Any) -> None:
        for client in self.clients.values():
            if any(matches(pattern, channel) for pattern in client.channels):
                client.queue.append({"channel": channel, "data": data})
                if self.way != "websocket" or self.acks:
                    self.release(client)
        self.ring()

    def ring(self) -> None:
        bell, self.bell = self.bell, anyio.Event()
        bell.set()

    def release(self, client: Client) -> None:
        if client.held is not None:
            client.held.set()

    def reset(self) -> None:
        """Cut every connection."""
        cut, self.cut = self.cut, anyio.Event()
        cut.set()

    def restart(self) -> None:
        self.clients.clear()
        self.reset()

    async def handle(self, body: bytes) -> bytes:
        requests = json.loads(body)
        self.requests.append(requests)
        self.log += [m["channel"] for m in requests]
        answers: list[dict[str, Any]] = []
        for message in requests:
            answers += await self.answer(message)
        if self.rewrite is not None:
            answers = self.rewrite(requests, answers)
        return json.dumps(answers).encode()

    async def answer(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        reply: dict[str, Any] = {"id": message["id"], "channel": message["channel"], "successful": True}
        now = anyio.current_time()
        for name in [n for n, c in self.clients.items() if c.held is None and now - c.seen > PATIENCE]:
            del self.clients[name]
        if message["channel"] == "/meta/handshake":
            self.numbers += 1
            self.clients[f"c{self.numbers}"] = Client(seen=now)
            types = ["long-polling", "websocket"] if self.way == "auto" else [self.way, "callback-polling"]
            ext = {"ext": {"ack": True}} if self.acks and message["ext"]["ack"] else {}
            return [
                {**reply, "clientId": f"c{self.numbers}", "supportedConnectionTypes": types, "version": "1.0",
                 **ext}
            ]  # fmt: skip
        client = self.clients.get(message.get("clientId", ""))
        if client is None:
            return [{**reply, "successful": False, "error": "402::session_unknown",
                     "advice": {"reconnect": "handshake", "interval": 0}}]  # fmt: skip
        if message["channel"] == "/meta/connect":
            client.kept = [kept for kept in client.kept if kept[0] > message.get("ext", {}).get("ack", 0)]
            await self.hold(client, message["advice"]["timeout"] / 1000)
            reply["advice"] = {"reconnect": "retry", "interval": 0, "timeout": 30000}
        elif message["channel"] == "/meta/disconnect":
            self.clients.pop(message["clientId"])
            self.release(client)
        else:
            name = reply["subscription"] = message["subscription"]
            if name in self.busy:
                return [{**reply, "successful": False, "error": "503::busy"}]
            if name in self.denied:
                return [{**reply, "successful": False, "error": "403::subscribe_denied"}]
            if message["channel"] == "/meta/subscribe":
                client.channels.add(name)
                client.queue += [{"channel": name, "data": d} for d in self.late.pop(name, [])]
            else:
                client.channels.discard(name)
        client.seen = anyio.current_time()
        if self.acks and message["channel"] != "/meta/connect":
            return [reply]
        events, client.queue = client.queue, []
        if self.acks:
            client.batch += 1
            client.kept.append((client.batch, events))
            events = [event for _, batch in client.kept for event in batch]
            reply["ext"] = {"ack": client.batch}
        return [*events, reply]

    async def hold(self, client: Client, seconds: float) -> None:
        if client.queue or any(events for _, events in client.kept) or seconds == 0:
            return
        assert client.held is None, "two connects are outstanding"
        client.held = anyio.Event()
        try:
            with anyio.move_on_after(seconds):
                await client.held.wait()
        finally:
            client.held = None
            client.seen = anyio.current_time()


class Wire:
    """A transport to the server, which keeps the limits as the real one does."""

    name = "long-polling"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.polls = self.commands = 0
        self.closed = False
        server.transports.append(self)

    async def exchange(self, messages: bytes, *, held: float | None, silence: float, total: float) -> Reply:
        assert not self.closed
        await anyio.lowlevel.checkpoint()
        if self.server.down:
            raise ConnectError("connection refused")
        handshake = b"/meta/handshake" in messages
        self.polls += held is not None
        self.commands += held is None
        assert self.polls <= 1, "two connects are outstanding"
        assert self.commands <= 1, "commands are not serialised"
        assert not (handshake and self.polls), "the handshake is not alone"
        try:
            with anyio.move_on_after(min(silence, total)):
                return await self.until_cut(messages)
            raise RequestTimeoutError("no answer", maybe_applied=True)
        finally:
            self.polls -= held is not None
            self.commands -= held is None

    async def until_cut(self, messages: bytes) -> Reply:
        cut, answer = self.server.cut, None
        async with anyio.create_task_group() as tasks:

            async def work() -> None:
                nonlocal answer
                if self.server.frozen:
                    await anyio.sleep_forever()
                answer = await self.server.handle(messages)
                if self.server.frozen:
                    await anyio.sleep_forever()
                tasks.cancel_scope.cancel()

            tasks.start_soon(work)
            await cut.wait()
            tasks.cancel_scope.cancel()
        if answer is None:
            raise TransportError("connection reset", maybe_applied=True)
        return Reply(answer)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


class Ear:
    """Notes what it is told, and lets tests wait for it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.rung = anyio.Event()

    def note(self, *what: Any) -> None:
        self.told.append(what)
        rung, self.rung = self.rung, anyio.Event()
        rung.set()

    def on_events(self, events: Any, *, session: int, ordered: bool) -> None:
        for event in events:
            self.note("event", event.channel, event.json(), session, ordered)

    def on_attached(self, *, session: int, date: Any) -> None:
        self.note("attached", session)

    def on_alive(self, proved: float) -> None:
        self.note("alive", proved)

    def on_lost(self, *, cause: str, session_lost: bool) -> None:
        self.note("lost", session_lost, cause)

    def on_refused(self, channel: str, error: Exception) -> None:
        self.note("refused", channel)

    def on_unreadable(self, raw: bytes) -> None:
        self.note("unreadable", raw)

    def on_closed(self, error: Exception | None) -> None:
        self.note("closed", error)

    def all(self, kind: str) -> list[tuple[Any, ...]]:
        return [told for told in self.told if told[0] == kind]

    @property
    def data(self) -> list[Any]:
        return [told[2] for told in self.all("event")]

    async def hears(self, kind: str, times: int = 1) -> None:
        """Wait until something was told so often since the beginning."""
        with anyio.fail_after(300):
            while len(self.all(kind)) < times:
                await self.rung.wait()


def subscriber_of(server: Server, connect: Any = None, **settings: Any) -> Subscriber:
    return Subscriber(
        connect or (lambda _error: Wire(server)), settings=SessionSettings(**settings), rng=random.Random(7)
    )


@asynccontextmanager
async def serving(server: Server, connect: Any = None, *, app: Sockets | None = None, **settings: Any):
    """A subscriber that runs; afterwards every transport is closed and the server knows of no session."""
    async with AsyncExitStack() as stack:
        if connect is None and server.way == "websocket":
            connect = await stack.enter_async_context(sockets_of(server, app))
        subscriber = subscriber_of(server, connect, **settings)
        owner = TaskOwner("test")
        async with owner.open():
            owner.start(subscriber.run, "subscriber")
            yield subscriber
    assert all(t.closed and not t.polls and not t.commands for t in server.transports)
    if not server.down and not server.frozen and not server.rude:
        assert not server.clients
