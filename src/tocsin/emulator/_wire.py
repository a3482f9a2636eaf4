"""The way back to the client, and the faults that act on it: cut, silence, drip, a changed body.

The server below gives each request an object in `scope["extensions"]["tocsin.wire"]`. It has `abort()`,
which ends the connection after what was sent; it may have `reset()`, which ends it the hard way,
`post(callback)`, which runs a callback in the server's event loop from any thread, and for WebSockets
`write(data)`, which sends bytes as they are, and `silence()`, after which the peer hears nothing at all;
`heard` grows and `on_bytes()` is called with whatever the client sends, pings too.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import anyio

if TYPE_CHECKING:
    from tocsin.emulator.faults import Fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
_LINGER = 5.0  # seconds to wait for a connection's end before the request is given up anyhow


class GoneError(Exception):
    """The connection is over: the client left, or a fault ended it."""


class Bell:
    """Wakes the one task that waits on it; may be rung from any thread if the server below can post."""

    def __init__(self, wire: object) -> None:
        self._event = anyio.Event()
        self._thread = threading.get_ident()
        self._post: Callable[[Callable[[], None]], None] | None = getattr(wire, "post", None)

    def ring(self) -> None:
        """Wake it, now or when it next waits."""
        if threading.get_ident() == self._thread:
            self._event.set()
        elif self._post is not None:
            self._post(self._set)
        else:
            raise RuntimeError("an emulator served in process can only be written to from its own event loop")

    def _set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Wait to be woken, at most `seconds`."""
        with anyio.move_on_after(max(0.0, seconds)):
            await self._event.wait()
        if self._event.is_set():
            self._event = anyio.Event()


class Tap:
    """One request's way back. Without faults it passes everything on."""

    __slots__ = (
        "_body", "_headers", "_receive", "_send", "_sent", "_status",
        "chunk", "cut", "hang", "pause", "reset", "rewrites", "silence", "wire",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, hang: float) -> None:
        self.wire: Any = scope.get("extensions", {}).get("tocsin.wire")
        self.hang = hang
        self.cut: int | None = None
        self.silence: int | None = None
        self.reset = False
        self.chunk = 0
        self.pause = 0.0
        self.rewrites: list[Callable[[bytes], bytes]] = []
        self._receive = receive
        self._send = send
        self._sent = 0
        self._status = 0
        self._headers: Headers | None = None
        self._body = b""

    def heed(self, faults: Iterable[Fault]) -> None:
        """Take on what concerns the reply."""
        for fault in faults:
            match fault.kind:
                case "cut":
                    self.cut, self.reset = fault.size, fault.reset
                case "drop" if fault.when == "reply":
                    self.cut, self.reset = 0, fault.reset
                case "silence":
                    self.silence = fault.size
                case "drip":
                    self.chunk, self.pause = fault.size, fault.seconds
                case "body":
                    text = (fault.body or "").encode()
                    self.rewrites.append(fault.rewrite or (lambda _old, new=text: new))  # type: ignore[misc]
                case _:
                    pass

    @property
    def begun(self) -> bool:
        """Whether an answer was begun."""
        return self._status != 0

    async def start(self, status: int, headers: Headers) -> None:
        """Begin the answer. The headers leave with the first bytes if a fault may still hold them back."""
        self._status, self._headers = status, headers
        if self.cut is None and self.silence is None and not self.rewrites:
            await self._head()

    async def write(self, data: bytes, *, more: bool = False) -> None:
        """Send a part of the body, or what the faults leave of it.

        Raises:
            GoneError: A fault has ended the connection.
        """
        if self.rewrites:
            self._body += data
            if more:
                return
            data = self._rewritten()
        for limit, end in ((self.silence, self.mute), (self.cut, self.drop)):
            if limit is not None and (self._sent + len(data) >= limit):
                part = data[: max(0, limit - self._sent)]
                if part:
                    await self._pieces(part, more=True)
                await end()
        await self._pieces(data, more=more)

    async def beat(self) -> None:
        """Send a heartbeat. Faults that concern the reply itself let it pass, silence does not."""
        if self.silence is None and not self.rewrites:
            await self._head()
            await self._send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def drop(self) -> None:
        """End the connection.

        Raises:
            GoneError: Always.
        """
        self.abort(reset=self.reset)
        with anyio.move_on_after(_LINGER):
            await self.left()
        raise GoneError

    async def mute(self) -> None:
        """Say nothing more until the client leaves.

        Raises:
            GoneError: Always.
        """
        with anyio.move_on_after(self.hang):
            await self.left()
        self.abort()
        raise GoneError

    def hush(self) -> None:
        """Let nothing more come through."""
        self.silence = 0

    async def left(self) -> None:
        """Wait until the connection is over; the request must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection under the request, if the server below can do that."""
        end = getattr(self.wire, "reset", None) if reset else None
        end = end or getattr(self.wire, "abort", None)
        if end is not None:
            end()

    async def _head(self) -> None:
        if self._headers is not None:
            headers, self._headers = self._headers, None
            await self._send({"type": "http.response.start", "status": self._status, "headers": headers})

    async def _pieces(self, data: bytes, *, more: bool) -> None:
        await self._head()
        size = self.chunk or len(data) or 1
        for at in range(0, len(data), size):
            last = at + size >= len(data)
            if at:
                await anyio.sleep(self.pause)
            await self._part(data[at : at + size], more=more or not last)
        if not data:
            await self._part(data, more=more)

    async def _part(self, data: bytes, *, more: bool) -> None:
        self._sent += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def _rewritten(self) -> bytes:
        body, self._body = self._body, b""
        for rewrite in self.rewrites:
            body = rewrite(body)
        self.rewrites = []
        if self._headers is not None:
            self._headers = [
                (name, b"%d" % len(body) if name == b"content-length" else value)
                for name, value in self._headers
            ]
        return body


def path_of(scope: Scope) -> str:
    """The decoded path; slashes too many mean nothing, but a slash within a part (`%2F`) stays one."""
    raw = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    if "://" in raw and not raw.startswith("/"):  # the absolute form, as proxies are asked
        raw = raw.partition("://")[2].partition("/")[2]
    return "/" + "/".join(unquote(part) for part in raw.split("/") if part)
