"""A simulated network between a client and an emulator: delays, cuts at a byte, half-open and frozen links.

It stands between httpx's transport interface and the in-process server, so that the very client runs over it,
by long polling and by WebSocket. All that it does is drawn from one `Random`; what passes is noted in a log
whose hash tells whether two runs were the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from tocsin.testing import InProcessServer

HEAD = 180
"""Bytes that status and headers count for."""
SLOW = 50
"""How much longer everything takes in a slow spell."""
MOST = 8
"""No delay is longer than so many mean ones."""


class Log:
    """What happened, in order, as a hash; the last lines are kept for people."""

    def __init__(self, keep: int = 0) -> None:
        self._hash = hashlib.sha256()
        self._keep = keep
        self.lines: list[str] = []

    def note(self, *words: object) -> None:
        line = " ".join([f"{anyio.current_time():.6f}", *map(str, words)])
        self._hash.update(line.encode() + b"\n")
        if self._keep:
            self.lines.append(line)
            del self.lines[: -self._keep]

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]


@dataclass(eq=False)
class Link:
    """One connection's part in the weather: a request and its answer, or a WebSocket."""

    number: int
    budget: int | None = None
    """Bytes that still come down before it is cut."""
    up_budget: int | None = None
    dead: bool = False
    """Half open: nothing arrives any more, on either side, and nobody is told."""
    inner: Any = field(default=None, repr=False)


class Network:
    """The weather on the way to one server.

    Args:
        server: Where all connections lead.
        rng: Draws delays and what is cut where.
        log: Told of all that passes.
        latency: The mean time that anything takes one way, in seconds.
    """

    def __init__(self, server: InProcessServer, rng: random.Random, log: Log, latency: float = 0.02) -> None:
        self._server = server
        self._rng = rng
        self._latency = latency
        self._links: dict[Link, None] = {}
        self._graves: list[tuple[float, Any]] = []
        self._thaw_at = 0.0
        self._slow_until = 0.0
        self._hole_until = 0.0
        self._next_cuts: list[tuple[int | None, int | None]] = []
        self._numbers = 0
        self.log = log

    def transport_factory(self) -> httpx.AsyncBaseTransport:
        return _Transport(self, self._server.transport_factory())

    @property
    def open_links(self) -> int:
        """Connections in use: how many there are must not grow."""
        return len(self._links)

    # What can go wrong.

    def freeze(self, seconds: float) -> None:
        """Let nothing pass; what was under way arrives later."""
        self._thaw_at = max(self._thaw_at, anyio.current_time() + seconds)

    def slow_down(self, seconds: float) -> None:
        """Let everything take fifty times as long."""
        self._slow_until = anyio.current_time() + seconds

    def swallow(self, seconds: float) -> None:
        """Let attempts to connect get no answer at all."""
        self._hole_until = anyio.current_time() + seconds

    def half_open(self) -> None:
        """Let all that is open fall silent for good, without telling anybody."""
        for link in self._links:
            link.dead = True

    def cut_all(self) -> None:
        self._server.cut()

    def cut_next(self) -> None:
        """Cut one of the next connections after some bytes, up or down."""
        up = self._rng.random() < 0.3
        size = int(self._rng.choice((0, 1, HEAD, HEAD + 1, self._rng.expovariate(1 / 2000))))
        self._next_cuts.append((size, None) if up else (None, size))

    def clear(self) -> None:
        """End of the bad weather."""
        self._thaw_at = self._slow_until = self._hole_until = 0.0
        self._next_cuts.clear()

    # What connections ask.

    def delay(self) -> float:
        now = anyio.current_time()
        mean = self._latency * (SLOW if now < self._slow_until else 1)
        wait = min(self._rng.expovariate(1 / mean), MOST * mean)
        return max(self._thaw_at - now, 0.0) + wait

    async def connect(self, limit: float | None) -> Link:
        wait = self.delay()
        if anyio.current_time() < self._hole_until or (limit is not None and wait > limit):
            await anyio.sleep(60.0 if limit is None else limit)
            raise httpx.ConnectTimeout("nobody answered")
        await anyio.sleep(wait)
        await self._bury()
        self._numbers += 1
        up, down = self._next_cuts.pop(0) if self._next_cuts and self._rng.random() < 0.5 else (None, None)
        link = Link(self._numbers, down, up)
        self._links[link] = None
        return link

    async def release(self, link: Link, closing: Any) -> None:
        """The client lets go. A server behind a dead link does not hear of it, for a while."""
        if self._links.pop(link, 0) == 0:
            return
        if link.dead:
            self._graves.append((anyio.current_time() + 120.0, closing))
        else:
            await closing()

    async def _bury(self) -> None:
        while self._graves and self._graves[0][0] <= anyio.current_time():
            await self._graves.pop(0)[1]()


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, network: Network, inner: httpx.AsyncBaseTransport) -> None:
        self._network = network
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        network, limits = self._network, request.extensions.get("timeout", {})
        link = await network.connect(limits.get("connect"))
        network.log.note(link.number, request.method, request.url.raw_path.decode())
        try:
            with anyio.move_on_after(limits.get("read")):
                return await self._travel(request, link)
            raise httpx.ReadTimeout("the server is silent")
        except BaseException as error:
            network.log.note(link.number, type(error).__name__)
            await network.release(link, _nothing)
            raise

    async def _travel(self, request: httpx.Request, link: Link) -> httpx.Response:
        await _pass(self._network, link, HEAD, "up_budget")
        try:
            response = await self._inner.handle_async_request(request)
        except httpx.TransportError:
            if link.dead:
                await anyio.sleep_forever()
            raise
        stream = response.stream
        try:
            await _pass(self._network, link, HEAD, "budget")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._network.release(link, stream.aclose)
            raise
        self._network.log.note(link.number, response.status_code)
        extensions = dict(response.extensions)
        if "network_stream" in extensions:
            extensions["network_stream"] = _Wire(self._network, link, extensions["network_stream"])
        limit = request.extensions.get("timeout", {}).get("read")
        return httpx.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=_Body(self._network, link, stream, limit),
            extensions=extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _nothing() -> None:
    """There is no answer to close."""


async def _pass(network: Network, link: Link, size: int, budget: str) -> None:
    """Let some bytes travel; the connection may break under them, or swallow them."""
    await anyio.sleep(network.delay())
    left = getattr(link, budget)
    if left is not None:
        setattr(link, budget, left - size)
        if left < size:
            network.log.note(link.number, "cut", budget, left)
            raise httpx.ReadError("connection reset by peer")
    if link.dead:
        await anyio.sleep_forever()


class _Body(httpx.AsyncByteStream):
    """An answer on its way. Its iterator is an object: trio complains about generators left half-way."""

    def __init__(self, network: Network, link: Link, inner: Any, limit: float | None) -> None:
        self._network = network
        self._link = link
        self._inner = inner
        self._chunks = aiter(inner)
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with anyio.move_on_after(self._limit):
            try:
                chunk: bytes = await anext(self._chunks)
            except httpx.TransportError:
                if self._link.dead:
                    await anyio.sleep_forever()
                raise
            await _pass(self._network, self._link, len(chunk), "budget")
            return chunk
        raise httpx.ReadTimeout("the server is silent")

    async def aclose(self) -> None:
        await self._network.release(self._link, self._inner.aclose)


class _Wire:
    """A WebSocket's bytes on their way."""

    def __init__(self, network: Network, link: Link, inner: Any) -> None:
        self._network = network
        self._link = link
        self._inner = inner
        self._pending: bytes | None = None
        self._due = 0.0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._pending is None:
            try:
                self._pending = await self._inner.read(max_bytes, timeout)
            except httpx.TransportError:
                if self._link.dead:
                    await anyio.sleep_forever()
                raise
            self._due = anyio.current_time() + self._network.delay()
        await anyio.sleep(max(0.0, self._due - anyio.current_time()))  # what is under way outlives a cancel
        data, self._pending = self._pending, None
        if self._link.dead:
            await anyio.sleep_forever()
        if self._link.budget is not None:
            self._link.budget -= len(data)
            if self._link.budget < 0:
                self._network.log.note(self._link.number, "cut")
                await self._inner.aclose()
                raise httpx.ReadError("connection reset by peer")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await anyio.sleep(self._network.delay())
        if self._link.dead:
            return
        if self._link.up_budget is not None:
            self._link.up_budget -= len(buffer)
            if self._link.up_budget < 0:
                await self._inner.aclose()
                raise httpx.WriteError("connection reset by peer")
        self._network.log.note(self._link.number, "sends", len(buffer))
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._network.release(self._link, self._inner.aclose)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
