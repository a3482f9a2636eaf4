"""Transports that say what a test tells them to, and a core over them."""

from __future__ import annotations

import json as jsonlib
from collections import Counter

import anyio
import httpx

from tocsin._http._core import HttpCore


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; counts how often it was closed. A number is a pause, an exception is raised."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.closed = 0

    def __aiter__(self):
        return self._run()

    async def _run(self):
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, int | float):
                await anyio.sleep(piece)
            else:
                await anyio.lowlevel.checkpoint()
                yield piece

    async def aclose(self):
        self.closed += 1


def answer(status=200, *, json=None, body=b"", headers=()):
    if json is not None:
        body = jsonlib.dumps(json).encode()
    return lambda: httpx.Response(status, headers=list(dict(headers).items()), stream=Pieces(body))


class Scripted(httpx.AsyncBaseTransport):
    """Gives one step of its script a request, the last one for ever.

    A step is an httpx.Response factory, an exception to raise, or an async function of the request.
    """

    def __init__(self, *script):
        self.script = list(script) or [answer(json={})]
        self.requests = []
        self.bodies = []
        self.at = []
        self.count = Counter()
        self.in_flight = self.most_in_flight = 0
        self.answers = []

    async def handle_async_request(self, request):
        self.count["requests"] += 1
        self.requests.append(request)
        self.at.append(anyio.current_time())
        self.bodies.append(b"".join([piece async for piece in request.stream]))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.lowlevel.checkpoint()
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(step, BaseException):
                raise step
            made = step(request) if getattr(step, "wants_request", False) else step()
            if hasattr(made, "__await__"):
                made = await made
            self.answers.append(made)
            return made
        finally:
            self.in_flight -= 1

    async def __aenter__(self):
        self.count["entered"] += 1
        return self

    async def aclose(self):
        self.count["closed"] += 1


def of_request(function):
    function.wants_request = True
    return function


def core(*script, url="http://localhost:8111", **options):
    """A core over one scripted transport, which is found as `core.wire`."""
    transport = Scripted(*script)
    made = HttpCore(url, transport_factory=lambda: transport, **options)
    return made, transport
