"""One request and its answer, between the task of the client and the task of the app: no socket, no bytes.

The client's side raises what httpx's own transport would; the app's side speaks ASGI as uvicorn does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import httpx
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableMapping

    from tocsin.testing._tunnel import Tunnel

__all__ = ["Exchange", "Message", "Signal", "TunnelWire", "Wire"]

Message: TypeAlias = "MutableMapping[str, Any]"
"""One ASGI message."""

WINDOW: Final = 65_536
"""Bytes that may wait in a direction before its sender has to: about what a socket's buffer holds."""


class Signal:
    """Wakes everybody who waits for a state to change."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def notify(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        await checkpoint()
        while not condition():
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()


class Wire:
    """What an app finds as ``scope["extensions"]["tocsin.wire"]``: faults of the connection under it."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange | Tunnel) -> None:
        self._exchange = exchange

    def abort(self) -> None:
        """End the connection; what was sent before still arrives, then the client sees an early end."""
        self._exchange.abort()

    def reset(self) -> None:
        """End it the hard way: the client sees a reset."""
        self._exchange.abort(reset=True)

    def silence(self) -> None:
        """Let nothing more reach the client, not even an end: a peer that is gone without a word."""
        self._exchange.silence()


class TunnelWire(Wire):
    """The same under a WebSocket."""

    __slots__ = ("_tunnel",)

    def __init__(self, tunnel: Tunnel) -> None:
        super().__init__(tunnel)
        self._tunnel = tunnel

    @property
    def on_bytes(self) -> Callable[[], None] | None:
        """Called whenever anything comes from the client."""
        return self._tunnel.on_bytes

    @on_bytes.setter
    def on_bytes(self, call: Callable[[], None] | None) -> None:
        self._tunnel.on_bytes = call

    @property
    def heard(self) -> int:
        """How often anything came from the client, pings too."""
        return self._tunnel.heard

    def write(self, data: bytes) -> None:
        """Send bytes as they are, below the frames."""
        self._tunnel.inject(data)


class Exchange:
    """One request and its answer."""

    def __init__(self, *, expects_body: bool = True) -> None:
        self._signal = Signal()
        self._expects_body = expects_body
        self._upload: deque[bytes] = deque()
        self._uploaded = False
        self._request_told = False
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._download: deque[bytes] = deque()
        self._downloaded = False
        self._received = 0
        self._left = False
        self._broken = False
        self._reset = False
        self._silent = False

    @property
    def started(self) -> bool:
        """The app has begun to answer."""
        return self._head is not None

    @property
    def over(self) -> bool:
        """Nothing that the app says matters any more."""
        return self._left or self._broken or self._downloaded

    @property
    def left(self) -> bool:
        """The client has gone."""
        return self._left

    @property
    def spent(self) -> bool:
        """The client has read everything."""
        return self._downloaded and not self._download

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection for both."""
        self._broken = True
        self._reset = reset
        self._signal.notify()

    def silence(self) -> None:
        """Let nothing more reach the client."""
        self._silent = True
        self._signal.notify()

    def leave(self) -> None:
        """The client goes; an app that waits in `receive` hears of it."""
        self._left = True
        self._signal.notify()

    # The app's side.

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        if not self._request_told:
            await self._signal.until(lambda: bool(self._upload) or self._uploaded or self.over)
            if not self.over:
                body = self._upload.popleft() if self._upload else b""
                self._request_told = self._uploaded and not self._upload
                self._signal.notify()
                return {"type": "http.request", "body": body, "more_body": not self._request_told}
        await self._signal.until(lambda: self.over)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's `send`. After the client has gone it does nothing, as uvicorn's."""
        await checkpoint()
        if self._unheard():
            return
        if message["type"] == "http.response.start":
            headers = [(bytes(k), bytes(v)) for k, v in message.get("headers", ())]
            self._head = (int(message["status"]), headers)
        elif message["type"] == "http.response.body":
            await self._signal.until(lambda: self._unheard() or self._waiting() < WINDOW)
            if self._unheard():
                return
            if body := bytes(message.get("body", b"")):
                self._download.append(body)
            self._downloaded = not message.get("more_body", False)
        self._signal.notify()

    def _unheard(self) -> bool:
        return self.over or self._silent

    def _waiting(self) -> int:
        return sum(map(len, self._download))

    # The client's side.

    async def put(self, chunks: AsyncIterator[bytes], limit: float | None) -> None:
        """Send the request's body, at the pace at which the app takes it.

        Raises:
            httpx.WriteTimeout: The app took nothing for `limit` seconds.
        """
        try:
            async for chunk in chunks:
                if chunk and not self.over:
                    self._upload.append(bytes(chunk))
                    self._signal.notify()
                    await self._wait(self._writable, limit, httpx.WriteTimeout("the server takes no more"))
        finally:
            if isinstance(chunks, AsyncGenerator):  # trio complains about those that are left half-way
                with anyio.CancelScope(shield=True):
                    await chunks.aclose()
        self._uploaded = True
        self._signal.notify()

    def _writable(self) -> bool:
        return self.over or self.started or sum(map(len, self._upload)) < WINDOW

    async def head(self, limit: float | None) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Wait for status and headers.

        Raises:
            httpx.ReadTimeout: Nothing came for `limit` seconds.
            httpx.ReadError: The connection broke.
            httpx.RemoteProtocolError: The server ended it without an answer.
        """
        await self._wait(lambda: self._left or self.started or self._audibly_broken(), limit, _read_timeout())
        if self._left:
            raise httpx.ReadError("the transport was closed")
        if self._head is None:
            raise self._loss("Server disconnected without sending a response.")
        return self._head

    async def chunk(self, limit: float | None) -> bytes | None:
        """Wait for the next part of the body; None at its end.

        Raises:
            httpx.ReadTimeout: Nothing came for `limit` seconds.
            httpx.ReadError: The connection broke in the middle.
            httpx.RemoteProtocolError: The body is shorter than its Content-Length.
        """
        await self._wait(
            lambda: self._left or bool(self._download) or self._downloaded or self._audibly_broken(),
            limit,
            _read_timeout(),
        )
        if self._left:
            raise httpx.ReadError("the transport was closed")
        if self._download:
            chunk = self._download.popleft()
            self._received += len(chunk)
            self._signal.notify()
            return chunk
        if self._downloaded:
            self._check_length()
            return None
        raise self._loss("peer closed connection without sending complete message body")

    def _loss(self, text: str) -> httpx.TransportError:
        return httpx.ReadError("connection reset by peer") if self._reset else httpx.RemoteProtocolError(text)

    def _audibly_broken(self) -> bool:
        return self._broken and not self._silent

    def _check_length(self) -> None:
        length = dict(self._head[1] if self._head else ()).get(b"content-length")
        if self._expects_body and length is not None and int(length) != self._received:
            raise httpx.RemoteProtocolError(
                "peer closed connection without sending complete message body "
                f"(received {self._received} bytes, expected {int(length)})"
            )

    async def _wait(self, condition: Callable[[], bool], limit: float | None, error: Exception) -> None:
        with anyio.move_on_after(limit):
            await self._signal.until(condition)
            return
        raise error


def _read_timeout() -> httpx.ReadTimeout:
    return httpx.ReadTimeout("the server is silent")
