"""One WebSocket's way both ways, and the faults that act on it.

One task talks, another one listens for it: so a client that leaves is noticed whatever the first one does.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.datastructures import Headers
from websockets.frames import Frame, Opcode

from tocsin.emulator._wire import Bell, GoneError, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tocsin.emulator._http import Reply
    from tocsin.emulator._wire import Receive, Scope, Send
    from tocsin.emulator.faults import Fault

_LINGER: Final = 5.0  # seconds to wait for a connection's end before the socket is given up anyhow
_AHEAD: Final = 64  # messages that are read before the first of them is handled
_TOO_BIG: Final = 1009
_GOODBYES: Final = frozenset({1000, 1001})


class Socket:
    """One WebSocket. Its attributes `cut`, `silence` and so on are as those of `Tap`.

    Attributes:
        accepted: The client was let in.
        parted: The client said goodbye.

    Args:
        scope: ASGI's scope.
        receive: ASGI's receive.
        send: ASGI's send.
        hang: Seconds after which a socket that a fault silenced is dropped.
        frame: The largest message that is taken, in bytes.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, hang: float, frame: int) -> None:
        self.wire: Any = scope.get("extensions", {}).get("tocsin.wire")
        self.path = path_of(scope)
        self.query = scope.get("query_string", b"").decode("latin-1")
        self.headers = Headers(scope=scope)
        self.bell = Bell(self.wire)
        self.cut: int | None = None
        self.silence: int | None = None
        self.reset = False
        self.accepted = False
        self.parted = False
        self._spoken = 0
        self._receive = receive
        self._send = send
        self._hang = hang
        self._frame = frame
        self._chunk = 0
        self._pause = 0.0
        self._rewrites: list[Callable[[bytes], bytes]] = []
        self._sent = 0
        self._said: deque[str] = deque()
        self._room = anyio.Event()

    @property
    def heard(self) -> int:
        """Grows with whatever comes from the client, pings too if the server below counts them."""
        return getattr(self.wire, "heard", 0) + self._spoken

    def notice_pings(self) -> None:
        """Ring the bell whenever anything comes from the client, if the server below tells."""
        if hasattr(self.wire, "on_bytes"):
            self.wire.on_bytes = self.bell.ring

    async def run(self, talk: Callable[[], Awaitable[None]]) -> None:
        """Talk until that ends or the client leaves."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, tasks.cancel_scope)
            try:
                await talk()
            except GoneError:
                pass
            finally:
                tasks.cancel_scope.cancel()

    def heed(self, faults: Iterable[Fault]) -> None:
        """Take on what concerns all that is sent from now on."""
        for fault in faults:
            match fault.kind:
                case "cut":
                    self.cut, self.reset = self._sent + fault.size, fault.reset
                case "drop" if fault.when == "reply":
                    self.cut, self.reset = self._sent, fault.reset
                case "silence":
                    self.silence = self._sent + fault.size
                case "drip":
                    self._chunk, self._pause = fault.size, fault.seconds
                case "body":
                    self._rewrites.append(fault.rewrite or partial(_changed, fault=fault))
                case _:
                    pass

    async def accept(self, date: str) -> None:
        """Let the client in.

        Args:
            date: The server's time, as HTTP writes it.

        Raises:
            GoneError: A fault forbids it.
        """
        await self._heeded(0)
        self.accepted = True
        await self._tell({"type": "websocket.accept", "headers": [(b"date", date.encode())]})

    async def refuse(self, reply: Reply, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answer the upgrade with another status than 101.

        Args:
            reply: The answer.
            headers: Of the server; those of the reply come besides.
        """
        await self._heeded(len(reply.body))
        given = [*headers, *((name.lower().encode(), value.encode()) for name, value in reply.headers)]
        names = {name for name, _value in given}
        if b"content-type" not in names:
            given.append((b"content-type", b"application/json"))
        given.append((b"content-length", b"%d" % len(reply.body)))
        start = {"type": "websocket.http.response.start", "status": reply.status, "headers": given}
        await self._tell(start)
        await self._tell({"type": "websocket.http.response.body", "body": reply.body})

    def take(self) -> list[str]:
        """What the client has said since the last time."""
        said = list(self._said)
        self._said.clear()
        self._room.set()
        return said

    async def send(self, text: bytes) -> None:
        """Send a message, or what the faults leave of it.

        Raises:
            GoneError: The connection is over.
        """
        rewrites, self._rewrites = self._rewrites, []
        for rewrite in rewrites:
            text = rewrite(text)
        await self._heeded(len(text), text)
        if self._chunk or rewrites:
            await self._raw(_framed(text))
        else:
            await self._tell({"type": "websocket.send", "text": text.decode()})
        self._sent += len(text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; nothing may be sent after it."""
        await self._heeded(0)
        await self._tell({"type": "websocket.close", "code": code, "reason": reason})

    async def drop(self) -> None:
        """End the connection without a goodbye.

        Raises:
            GoneError: Always.
        """
        self.abort(reset=self.reset)
        await anyio.sleep(_LINGER)  # the listener ends this as soon as the connection has ended
        raise GoneError

    async def mute(self) -> None:
        """Say nothing more until the client leaves.

        Raises:
            GoneError: Always.
        """
        self.hush()
        await anyio.sleep(self._hang)
        self.abort()
        raise GoneError

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection, if the server below can do that."""
        end = getattr(self.wire, "reset", None) if reset else None
        end = end or getattr(self.wire, "abort", None)
        if end is not None:
            end()

    def hush(self) -> None:
        """Let nothing more come through, answers to pings neither."""
        self.silence = 0
        quiet = getattr(self.wire, "silence", None)
        if quiet is not None:
            quiet()

    async def _listen(self, scope: anyio.CancelScope) -> None:
        while (message := await self._receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if text is None:
                continue  # nothing here is said in bytes
            if len(text) > self._frame or len(text.encode("utf-8", "replace")) > self._frame:
                await self._tell({"type": "websocket.close", "code": _TOO_BIG, "reason": "too large"})
                break
            while len(self._said) >= _AHEAD:
                self._room = anyio.Event()
                await self._room.wait()
            self._said.append(text)
            self._spoken += 1
            self.bell.ring()
        self.parted = message.get("code") in _GOODBYES
        scope.cancel()

    async def _heeded(self, size: int, text: bytes | None = None) -> None:
        """Let a fault have its way, if it does not let so many bytes more pass."""
        for limit, end in ((self.silence, self.mute), (self.cut, self.drop)):
            if limit is not None and self._sent + size >= limit:
                room = max(0, limit - self._sent)
                if text is not None and room:
                    frame = _framed(text)
                    await self._raw(frame[: len(frame) - len(text) + room])
                await end()

    async def _raw(self, data: bytes) -> None:
        """Send bytes below the frames, in the pieces that a fault wants."""
        write = getattr(self.wire, "write", None)
        if write is None:
            raise GoneError
        size = self._chunk or len(data)
        for at in range(0, len(data), size):
            if at:
                await anyio.sleep(self._pause)
            write(data[at : at + size])

    async def _tell(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError:  # what servers raise after the client has left
            raise GoneError from None


def _changed(text: bytes, fault: Fault) -> bytes:
    """What a fault makes of a message: its own text, or the same one blown up with spaces."""
    if fault.body is None and fault.size:
        return text.ljust(fault.size)
    return (fault.body or "").encode()


def _framed(text: bytes) -> bytes:
    return Frame(Opcode.TEXT, text).serialize(mask=False)
