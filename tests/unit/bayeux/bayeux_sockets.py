"""The server in memory on WebSockets, as faye is: each event in a frame of its own, whenever it comes."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from tocsin._http._core import HttpCore
from tocsin._stream._channel_terms import ChannelSettings
from tocsin.bayeux._web_socket import WebSocket
from tocsin.testing import in_process

if TYPE_CHECKING:
    from tocsin.testing import InProcessServer
    from unit.bayeux.bayeux_peer import Server


class Sockets:
    """An ASGI app.

    Attributes:
        opened: How many sockets have been opened so far.
        wires: The connections that are open, for faults.
        refusal: A status with which sockets are refused, or None.
        hangs_up_at: A word in a message at which the socket is closed.
        mute: A word in a message that is not answered.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opened = 0
        self.wires: list[Any] = []
        self.refusal: int | None = None
        self.hangs_up_at = self.mute = ""
        self.at: dict[str, object] = {}
        self.sends: list[Any] = []

    async def __call__(self, scope, receive, send) -> None:
        await receive()
        if self.server.frozen:
            await receive()  # until the client goes
            return
        if self.refusal is not None:
            await send({"type": "websocket.http.response.start", "status": self.refusal, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        self.opened += 1
        wire = scope["extensions"]["tocsin.wire"]
        self.wires.append(wire)
        self.sends.append(send)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.cut, wire)
                tasks.start_soon(self.pump, send)
                while (message := await receive())["type"] == "websocket.receive":
                    text = message["text"]
                    if self.hangs_up_at and self.hangs_up_at in text:
                        await send({"type": "websocket.close", "code": 1001})
                        break
                    if "/meta/disconnect" in text:
                        await self.said(text, send)  # what follows it is the end
                    else:
                        tasks.start_soon(self.said, text, send)
                tasks.cancel_scope.cancel()
        finally:
            self.wires.remove(wire)
            self.sends.remove(send)

    async def said(self, text: str, send) -> None:
        for message in json.loads(text):
            self.at[message.get("clientId", "")] = send
        if self.server.frozen or (self.mute and self.mute in text):
            return
        answer = await self.server.handle(text.encode())
        if not self.server.frozen:
            await send({"type": "websocket.send", "text": answer.decode()})

    async def cut(self, wire) -> None:
        await self.server.cut.wait()
        wire.reset()

    async def pump(self, send) -> None:
        while True:
            rung = self.server.bell
            for name, client in list(self.server.clients.items()):
                if self.at.get(name) is send and not self.server.frozen and not self.server.acks:
                    while client.queue:
                        frame = json.dumps([client.queue.pop(0)])
                        await send({"type": "websocket.send", "text": frame})
            await rung.wait()


class Gate(httpx.AsyncBaseTransport):
    """The way to the server, which is shut while that is down."""

    def __init__(self, server: Server, process: InProcessServer) -> None:
        self.server = server
        self.process = process
        self.inner = process.transport_factory()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.process.refusing = self.server.down
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


@asynccontextmanager
async def sockets_of(server: Server, app: Sockets | None = None, **options: Any):
    """What makes transports to a server; afterwards no socket is open."""
    app = app or Sockets(server)
    async with in_process(app) as process:
        async with HttpCore(process.url, transport_factory=lambda: Gate(server, process), **options) as core:
            yield lambda _error=None: WebSocket(core.session, "/bayeux", ChannelSettings())
        with anyio.fail_after(10):
            while process.in_flight:
                await anyio.sleep(0.01)  # time passes, for those who take theirs
