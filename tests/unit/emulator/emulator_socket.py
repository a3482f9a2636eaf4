"""A plain WebSocket client of an emulator, in process or on loopback: httpx, frames, never tocsin's own."""

from __future__ import annotations

import base64
import itertools
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

if TYPE_CHECKING:
    import httpx

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


class Closed(Exception):  # noqa: N818 - what happened, not what went wrong
    """The server is gone: the code of its goodbye, None without one."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class RefusedUpgrade(Exception):  # noqa: N818
    def __init__(self, status: int, body: bytes, headers: httpx.Headers) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


class Line:
    """One WebSocket: texts both ways, and the bytes below."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=2**26)
        self.texts: list[str] = []
        self.parts: list[bytes] = []
        self.pongs: list[bytes] = []
        self.got = b""
        self.over = False
        self.headers: Any = None

    async def say(self, text: str | bytes) -> None:
        self.protocol.send_text(text.encode() if isinstance(text, str) else text)
        await self.flush()

    async def flush(self) -> None:
        await self.stream.write(b"".join(self.protocol.data_to_send()))

    async def ping(self) -> None:
        self.protocol.send_ping(b"there?")
        await self.flush()

    async def hear(self) -> str:
        """The next message; `Closed` if there is none."""
        while not self.texts:
            if self.over:
                said = self.protocol.close_rcvd
                raise Closed(None if said is None else said.code)
            await self.read()
        return self.texts.pop(0)

    async def read(self) -> None:
        try:
            data = await self.stream.read(65536)
        except Exception as error:
            if "Read" not in type(error).__name__ and "Protocol" not in type(error).__name__:
                raise
            data = b""
        self.got += data
        if not data:
            self.over = True
            return
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            if isinstance(frame, Frame):
                self.take(frame)

    def take(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.CONT}:
            self.parts.append(bytes(frame.data))
            if frame.fin:
                self.texts.append(b"".join(self.parts).decode())
                self.parts = []
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            self.over = True

    async def quiet(self, seconds: float = 0.05) -> bool:
        """Nothing is said for a while."""
        with anyio.move_on_after(seconds):
            self.texts.insert(0, await self.hear())
            return False
        return True


class BayeuxLine(Line):
    """Bayeux on it: at most one session."""

    def __init__(self, stream: Any, client_id: str | None = None) -> None:
        super().__init__(stream)
        self.client_id = client_id
        self.ids = itertools.count(1)
        self.events: list[tuple[str, str]] = []

    async def tell(self, *messages: dict[str, Any]) -> None:
        batch = [{"id": str(next(self.ids)), **message} for message in messages]
        for message in batch:
            if self.client_id is not None and message["channel"] != "/meta/handshake":
                message.setdefault("clientId", self.client_id)
        await self.say(json.dumps(batch))

    async def told(self) -> list[dict[str, Any]]:
        return json.loads(await self.hear())

    async def ask(self, **message: Any) -> dict[str, Any]:
        """The reply to a message; events that come before it are kept."""
        await self.tell(message)
        while True:
            for answer in await self.told():
                if answer["channel"] == message["channel"]:
                    return answer
                self.keep(answer)

    def keep(self, message: dict[str, Any]) -> None:
        self.events.append((message["channel"], message["data"]["data"]["id"]))

    async def event(self) -> tuple[str, str]:
        while not self.events:
            for message in await self.told():
                self.keep(message)
        return self.events.pop(0)

    async def handshake(self, **more: Any) -> dict[str, Any]:
        reply = await self.ask(
            channel="/meta/handshake", version="1.0", supportedConnectionTypes=["websocket"], **more
        )
        self.client_id = reply.get("clientId")
        return reply

    async def subscribe(self, channel: str = "/alarms/*") -> dict[str, Any]:
        return await self.ask(channel="/meta/subscribe", subscription=channel)

    async def connect(self, timeout: float = 0, **more: Any) -> dict[str, Any]:
        return await self.ask(**connect(timeout, **more))

    async def attach(self, *channels: str, **more: Any) -> BayeuxLine:
        assert (await self.handshake(**more))["successful"]
        for channel in channels or ("/alarms/*",):
            assert (await self.subscribe(channel))["successful"]
        assert (await self.connect())["successful"]
        return self


def connect(timeout: float = 30, **more: Any) -> dict[str, Any]:
    advice = {"timeout": round(timeout * 1000)}
    return {"channel": "/meta/connect", "connectionType": "websocket", "advice": advice, **more}


@asynccontextmanager
async def dialled(http: httpx.AsyncClient, path: str, make: Any = Line, **options: Any):
    """Open a WebSocket.

    Raises:
        RefusedUpgrade: The server does not let us in.
    """
    headers = {**UPGRADE, **options.pop("headers", {})}
    async with http.stream("GET", path, headers=headers, **options) as answer:
        if answer.status_code != 101:
            raise RefusedUpgrade(answer.status_code, await answer.aread(), answer.headers)
        line = make(answer.extensions["network_stream"])
        line.headers = answer.headers
        yield line


def bayeux(http: httpx.AsyncClient, path: str = "/notification/realtime", **options: Any):
    return dialled(http, path, BayeuxLine, **options)
