"""A thousand subscribers and one server that restarts: how their return is spread.

    PYTHONPATH=tests python -m emulated.crowd --subscribers 1000 --down 10

In process, under a clock that jumps: each subscriber is a client of its own with its own jitter.
"""

from __future__ import annotations

import argparse
import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx

from emulated.following import Site, tenant
from tocsin import StreamState
from tocsin.emulator import BayeuxSettings, Limits
from tocsin.testing import virtual_backend

if TYPE_CHECKING:
    from tocsin.emulator import Emulator


@dataclass
class Return:
    """How a crowd came back; times are seconds after the server was there again.

    Attributes:
        attempts: Requests of each second from the fall on, refused ones included.
        answered: Requests of each second that the server got.
        back: When each subscriber was connected and had read what it missed.
    """

    down: float
    attempts: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    back: list[float] = field(default_factory=list)

    def share(self, part: float) -> float:
        return sorted(self.back)[int(part * (len(self.back) - 1))]

    def __str__(self) -> str:
        return (
            f"{len(self.back)} subscribers, down {self.down:g} s: half back after {self.share(0.5):.1f} s, "
            f"95 % after {self.share(0.95):.1f} s, all after {self.share(1):.1f} s; "
            f"at most {max(self.attempts.values())} attempts and {max(self.answered.values())} answered "
            f"requests in one second, {sum(self.answered.values()) / len(self.back):.1f} each"
        )


class _Counting(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, crowd: Crowd) -> None:
        self._inner = inner
        self._crowd = crowd

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._crowd.count(answered=not self._crowd.site.emulator.down)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Crowd:
    """Subscribers, and the count of what they ask."""

    def __init__(self, site: Site, down: float) -> None:
        self.site = site
        self.seen = Return(down)
        self.fell: float | None = None
        self.rose = 0.0
        self.attached = 0
        self.everybody = anyio.Event()
        self.done = anyio.Event()

    def count(self, *, answered: bool) -> None:
        if self.fell is not None and not self.done.is_set():
            second = int(anyio.current_time() - self.fell)
            self.seen.attempts[second] += 1
            if answered:
                self.seen.answered[second] += 1

    def transport_factory(self) -> httpx.AsyncBaseTransport:
        return _Counting(self.site.server.transport_factory(), self)

    async def subscriber(self, number: int, of: int, transport: str) -> None:
        await anyio.sleep(number * 45 / of)  # they did not all come at once, nor do their periods agree
        options = {"transport_factory": self.transport_factory, "rng": random.Random(number)}
        async with self.site.client(**options) as client:
            stream = client.alarms.changes(transport=transport, snapshot=True)
            async with stream, anyio.create_task_group() as tasks:
                tasks.start_soon(drain, stream)
                self.attached += 1
                if self.attached == of:
                    self.everybody.set()
                await self.everybody.wait()
                await stream.wait_state(StreamState.RECONNECTING)
                await stream.wait_state(StreamState.CONNECTED)
                self.seen.back.append(anyio.current_time() - self.rose)
                if len(self.seen.back) == of:
                    self.done.set()
                await self.done.wait()
                tasks.cancel_scope.cancel()

    async def fall_and_rise(self, emulator: Emulator) -> None:
        await self.everybody.wait()
        await anyio.sleep(60)
        self.fell = anyio.current_time()
        emulator.go_down()
        await anyio.sleep(self.seen.down)
        emulator.come_up()
        self.rose = anyio.current_time()


async def drain(stream: object) -> None:
    async for _ in stream:  # type: ignore[attr-defined]
        pass


async def come_back(subscribers: int, down: float, transport: str = "long-polling") -> Return:
    """Let a server fall under so many subscribers, and see how they return."""
    limits = Limits(sessions=4 * subscribers, held=4 * subscribers)
    async with tenant(limits=limits, bayeux=BayeuxSettings(connections=None)) as site:
        for number in range(50):
            site.emulator.store.create({"type": f"acme_{number}", "source": "4711"})
        crowd = Crowd(site, down)
        async with anyio.create_task_group() as tasks:
            for number in range(subscribers):
                tasks.start_soon(crowd.subscriber, number, subscribers, transport)
            await crowd.fall_and_rise(site.emulator)
    return crowd.seen


def main() -> None:
    parser = argparse.ArgumentParser(description="a crowd comes back")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--down", type=float, nargs="+", default=[0.0, 10.0, 60.0])
    parser.add_argument("--transport", default="long-polling", choices=("long-polling", "websocket", "auto"))
    parser.add_argument("--loop", default="asyncio", choices=("asyncio", "trio"))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    for down in options.down:
        backend, backend_options = virtual_backend(options.loop)
        seen = anyio.run(
            come_back,
            options.subscribers,
            down,
            options.transport,
            backend=backend,
            backend_options=backend_options,
        )
        print(f"{options.transport} on {options.loop}, {seen}", flush=True)
        print("  answered each second:", [seen.answered[s] for s in range(max(seen.answered) + 1)][:90])


if __name__ == "__main__":
    main()
