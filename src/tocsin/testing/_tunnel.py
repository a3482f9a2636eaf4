"""A WebSocket between a client in this process and an ASGI application, without a socket.

The client's side carries real frames, so that what runs over it is what runs over a socket.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx
from anyio.lowlevel import checkpoint

from tocsin.emulator._web_socket import ServerFrames, accept_header
from tocsin.testing._exchange import Message, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Tunnel", "wants_web_socket"]

WINDOW: Final = 65_536
"""Bytes that may wait for the client before the application has to: about what a socket's buffer holds."""


def wants_web_socket(request: httpx.Request) -> bool:
    """Whether a request asks for a WebSocket."""
    wanted: str = request.headers.get("upgrade", "")
    return wanted.lower() == "websocket"


class Tunnel:
    """Both sides of one WebSocket. It is also what httpx calls a network stream.

    Args:
        key: The client's ``Sec-WebSocket-Key``.
        done: Called when the client has closed it.
    """

    def __init__(self, key: bytes, done: Callable[[Tunnel], None]) -> None:
        self._key = key
        self._done = done
        self._signal = Signal()
        self._frames = ServerFrames()
        self._for_app: deque[Message] = deque([{"type": "websocket.connect"}])
        self._for_client: deque[bytes] = deque()
        self.heard = 0
        self.on_bytes: Callable[[], None] | None = None
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._body = b""
        self._denied = False
        self._left = self._broken = self._reset = self._silent = self._ended = False

    # What faults use; see `Exchange`.

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection for both."""
        self._broken = True
        self._reset = self._reset or reset
        self._hang_up()

    def silence(self) -> None:
        """Let nothing more reach the client."""
        self._silent = True
        self._signal.notify()

    def inject(self, data: bytes) -> None:
        """Send the client bytes that the application made itself."""
        if not (self.over or self._silent):
            self._for_client.append(data)
            self._signal.notify()

    def leave(self) -> None:
        """The client goes."""
        self._left = True
        self._hang_up()

    @property
    def left(self) -> bool:
        """The client has gone."""
        return self._left

    @property
    def over(self) -> bool:
        """Nothing that the application says matters any more."""
        return self._left or self._broken or self._ended

    @property
    def started(self) -> bool:
        """The application has answered the handshake."""
        return self._head is not None and not (self._denied and not self._ended)

    def _hang_up(self) -> None:
        self._for_app.extend(self._frames.received(b""))
        self._signal.notify()

    # The application's side.

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        await self._signal.until(lambda: bool(self._for_app))
        return self._for_app.popleft()

    async def send(self, message: Message) -> None:
        """ASGI's `send`. After the client has gone it does nothing."""
        await checkpoint()
        if self.over or self._silent:
            return
        kind = message["type"]
        headers = [(bytes(k), bytes(v)) for k, v in message.get("headers", ())]
        if kind == "websocket.accept":
            given = [
                (b"upgrade", b"websocket"),
                (b"connection", b"Upgrade"),
                (b"sec-websocket-accept", accept_header(self._key)),
            ]
            self._head = (101, given + headers)
        elif kind == "websocket.http.response.start":
            self._head, self._denied = (int(message["status"]), headers), True
        elif kind == "websocket.http.response.body":
            self._body += bytes(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        elif self._head is None:
            self._head, self._denied, self._ended = (403, []), True, True
        else:
            self._frames.send(message)
            self._forward()
            await self._signal.until(lambda: self.over or sum(map(len, self._for_client)) < WINDOW)
        self._signal.notify()

    def _forward(self) -> None:
        if data := self._frames.to_send():
            self._for_client.append(data)
        self._ended = self._frames.ended
        self._signal.notify()

    # The client's side.

    async def head(self, limit: float | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Wait for the answer to the handshake.

        Raises:
            httpx.ReadTimeout: Nothing came for `limit` seconds.
            httpx.ReadError: The connection broke.
            httpx.RemoteProtocolError: The server ended it without an answer.
        """
        await self._wait(lambda: self._left or self.started or self._audibly_broken(), limit)
        if self._head is None or self._left:
            raise self._loss()
        return (*self._head, self._body)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What httpcore's network streams do."""
        await self._wait(
            lambda: self._left or bool(self._for_client) or self._ended or self._audibly_broken(), timeout
        )
        if self._left:
            raise httpx.ReadError("the transport was closed")
        if self._for_client:
            data = self._for_client.popleft()
            if len(data) > max_bytes:
                self._for_client.appendleft(data[max_bytes:])
            self._signal.notify()
            return data[:max_bytes]
        if self._broken and self._reset:
            raise self._loss()
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - httpcore's shape
        """What httpcore's network streams do."""
        await checkpoint()
        if self._left or self._audibly_broken():
            raise httpx.WriteError("the connection is gone")
        if self._silent:
            return  # nobody is there, and nobody says so
        if not buffer:  # to the frames it would be the end
            return
        self.heard += 1
        if self.on_bytes is not None:
            self.on_bytes()
        self._for_app.extend(self._frames.received(buffer))
        self._forward()

    async def aclose(self) -> None:
        """The client hangs up."""
        self.leave()
        self._done(self)
        await checkpoint()

    def get_extra_info(self, info: str) -> Any:
        """Nothing is known of a socket that is not there."""
        del info

    def _audibly_broken(self) -> bool:
        return self._broken and not self._silent

    def _loss(self) -> httpx.TransportError:
        if self._reset or self._left:
            return httpx.ReadError("connection reset by peer")
        return httpx.RemoteProtocolError("Server disconnected without sending a response.")

    async def _wait(self, condition: Callable[[], bool], limit: float | None) -> None:
        with anyio.move_on_after(limit):
            await self._signal.until(
                lambda: self._left or bool(self._for_client) or (condition() and not self._silent)
            )
            return
        raise httpx.ReadTimeout("the server is silent")
