"""A platform inside this process, behind httpx's transport interface: no socket, no parsing, no rules.

Every candidate of a benchmark gets the same bytes from it, so that what differs is the client.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

import anyio
import httpx
from anyio.lowlevel import checkpoint

from benchmarks import sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Site"]

_HEADERS = [("Content-Type", "application/json"), ("Date", "Sat, 21 Nov 2026 12:00:00 GMT")]
_MOVED = ("dateFrom", "lastUpdatedFrom")
"""Who asks with these wants what changed since then. Nothing ever does."""
_PIECE = 64 * 1024
_ID = re.compile(rb'"id":\s*"([^"]*)"')
_CHANNEL = re.compile(rb'"subscription":\s*"([^"]*)"')


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self._body), _PIECE):
            await checkpoint()
            yield self._body[begin : begin + _PIECE]


class Site(httpx.AsyncBaseTransport):
    """Lists alarms in pages, and gives what `feed` was given to whoever polls.

    Args:
        rows: The alarms that a list has, raw. A single one is found by its place, which is its id.
    """

    def __init__(self, rows: list[bytes] | None = None) -> None:
        self._rows = rows or []
        self._pages: dict[tuple[int, int], bytes] = {}
        self._waiting: deque[bytes] = deque()
        self._fed = anyio.Event()
        self._polled = False

    def feed(self, events: list[bytes]) -> None:
        """Lay the events of one response ready for the next poll."""
        self._waiting.append(b"".join(event + b"," for event in events))
        self._fed.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer at once, but for a poll that nothing waits for."""
        await checkpoint()
        if request.method == "GET":
            number = request.url.path.rpartition("/")[2]
            if number.isdecimal():
                return _answer(self._rows[int(number)])
            return _answer(self._list(request.url.params))
        return _answer(await self._bayeux(await request.aread()))

    async def aclose(self) -> None:
        """Nothing to close: several clients may share it."""

    def _list(self, params: httpx.QueryParams) -> bytes:
        if any(name in params for name in _MOVED):
            return sample.page([], 1, 5, more=False)
        number, size = int(params.get("currentPage", 1)), int(params.get("pageSize", 5))
        made = self._pages.get((number, size))
        if made is None:
            rows = self._rows[(number - 1) * size : number * size]
            more = number * size < len(self._rows)
            made = self._pages[number, size] = sample.page(rows, number, size, more=more)
        return made

    async def _bayeux(self, body: bytes) -> bytes:
        found = _ID.search(body)
        number = found[1] if found else b""
        if b'"/meta/connect"' in body:
            return b'[%s{"channel":"/meta/connect","id":"%s","successful":true}]' % (
                await self._next_events(),
                number,
            )
        if b'"/meta/handshake"' in body:
            return (
                b'[{"channel":"/meta/handshake","id":"%s","successful":true,"version":"1.0","clientId":"c1",'
                b'"supportedConnectionTypes":["long-polling"],'
                b'"advice":{"reconnect":"retry","interval":0,"timeout":30000}}]' % number
            )
        if b'"/meta/subscribe"' in body:
            return b"[%s]" % b",".join(
                b'{"channel":"/meta/subscribe","id":"%s","subscription":"%s","successful":true}' % pair
                for pair in zip(_ID.findall(body), _CHANNEL.findall(body), strict=True)
            )
        return b'[{"channel":"/meta/disconnect","id":"%s","successful":true}]' % number

    async def _next_events(self) -> bytes:
        if not self._polled:  # the first poll is answered at once
            self._polled = True
            return b""
        while not self._waiting:
            self._fed = anyio.Event()
            await self._fed.wait()
        return self._waiting.popleft()


def _answer(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers=_HEADERS, stream=_Body(body))
