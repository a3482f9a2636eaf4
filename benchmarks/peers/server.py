"""The server that all candidates talk to: no framework, no validation, no logging.

It prints one line of JSON, its ports, and ends when its standard input does. Whose turn it is and how long it
takes is in the request itself: the source of a list tells the milliseconds that each answer takes, its number
of alarms and a serial number. `/bench/…` is for the one who measures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, Final

from benchmarks.peers import bodies
from benchmarks.peers.bayeux import Sessions
from benchmarks.peers.core import pin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SPAN", "main", "source"]

_HEAD: Final = (
    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Length: %d\r\n\r\n"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_BASIC: Final = re.compile(rb"\r\nauthorization:\s*basic\s+(\S+)", re.IGNORECASE)
_QUERY: Final = re.compile(rb"[?&](\w+)=([^&\s]*)")
_MOVED: Final = (b"lastUpdatedFrom", b"dateFrom")
"""Who asks with these wants what changed since then. Nothing ever does."""
SPAN: Final = 10**7
"""Ids that a list has at most."""


def source(delay_ms: int, alarms: int, serial: int) -> str:
    """The source of a list that the server makes up."""
    return f"9{delay_ms:03d}{alarms:07d}{serial:05d}"


class Server:
    """What all connections share."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.sessions = Sessions()
        self.connections: set[_Connection] = set()
        self.numbers = count(1)
        self._tls = tls
        self._listening: list[asyncio.Server] = []
        self.ports: list[int] = []

    async def listen(self) -> None:
        """Open the ports: the same ones again after an outage."""
        loop = asyncio.get_running_loop()
        layers = [None, self._tls] if self._tls else [None]
        for tls, port in zip(layers, self.ports or [0] * len(layers), strict=True):
            made = await loop.create_server(
                lambda: _Connection(self), "127.0.0.1", port, ssl=tls, backlog=4096, reuse_address=True
            )
            self._listening.append(made)
        self.ports = [one.sockets[0].getsockname()[1] for one in self._listening]

    async def outage(self, seconds: float) -> float:
        """Go away and come back without any memory; gives the time of the return."""
        while self._listening:
            self._listening.pop().close()
        self.sessions.forget()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(seconds)
        await self.listen()
        return time.monotonic()


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._server.connections.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._handle(head, body)

    def send(self, body: bytes, status: bytes = b"200 OK") -> None:
        if self._transport is not None:
            self._transport.write(_HEAD % (status, len(body)) + body)

    def _handle(self, head: bytes, body: bytes) -> None:
        method, target = head[: head.index(b"\r\n")].split(b" ")[:2]
        path, _, rest = target.partition(b"?")
        if path.startswith(b"/bench/"):
            self._control(path.decode(), json.loads(body))
        elif method == b"GET":
            tail = path.rpartition(b"/")[2]
            if tail.isdigit():
                self.send(bodies.alarm(tail))
            else:
                self._list(dict(_QUERY.findall(b"?" + rest)))
        elif path.startswith(b"/alarm"):
            made = bodies.identity(next(self._server.numbers)).encode()
            self.send(bodies.alarm(made), b"201 Created")
        else:
            self._server.sessions.answer(_user(head), body, self.send)

    def _list(self, query: dict[bytes, bytes]) -> None:
        told = query.get(b"source", b"")
        number, size = int(query.get(b"currentPage", 1)), int(query.get(b"pageSize", 5))
        if len(told) != 16 or any(name in query for name in _MOVED):
            delay, alarms, first = int(told[1:4] or 0) if len(told) == 16 else 0, 0, 0
        else:
            delay, alarms, first = int(told[1:4]), int(told[4:11]), int(told[11:]) * SPAN
        if delay:
            loop = asyncio.get_running_loop()
            loop.call_later(delay / 1000, lambda: self.send(bodies.page(first, size, number, alarms)))
        else:
            self.send(bodies.page(first, size, number, alarms))

    def _control(self, path: str, asked: dict[str, object]) -> None:
        server = self._server
        if path == "/bench/feed":
            user, each, events = (
                str(asked["user"]).encode(),
                int(str(asked["each"])),
                int(str(asked["count"])),
            )
            first = int(str(asked["serial"])) * SPAN
            server.sessions.feed(user, first, events, each)
            self.send(b"{}")
        elif path == "/bench/held":
            server.sessions.watch(int(str(asked["subscriptions"])), self._told("at"))
        elif path == "/bench/outage":
            server.connections.discard(self)  # the one that hears of it stays
            task = asyncio.create_task(self._outage(float(str(asked["seconds"]))))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _outage(self, seconds: float) -> None:
        self._told("ready")(await self._server.outage(seconds))

    def _told(self, name: str) -> Callable[[float], None]:
        return lambda at: self.send(json.dumps({name: at}).encode())


def _user(head: bytes) -> bytes:
    found = _BASIC.search(head)
    return base64.b64decode(found[1]).partition(b":")[0].rpartition(b"/")[2] if found else b""


async def _serve(chain: str | None) -> None:
    tls = None
    if chain:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(chain)
    server = Server(tls)
    await server.listen()
    bodies.page(0, bodies.ROWS, 1, bodies.ROWS)  # rendered now, not in the first round
    print(json.dumps({"ports": server.ports}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve until standard input ends. An argument is the certificate chain with its key, for TLS."""
    pin()
    asyncio.run(_serve(sys.argv[1] if len(sys.argv) > 1 else None))


if __name__ == "__main__":
    main()
