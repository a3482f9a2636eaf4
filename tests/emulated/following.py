"""A client that follows an emulator in process, and what a consumer makes of it."""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio

from tocsin import Change, Cumulocity, Gap, Origin, TocsinError
from tocsin.cumulocity import BasicAuth
from tocsin.cumulocity.changes import follow
from tocsin.emulator import BayeuxSettings, Emulator
from tocsin.testing import InProcessServer, VirtualWallClock, in_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tocsin import ChangeStream
    from tocsin.cumulocity import Alarm


POLLED = BayeuxSettings(web_socket=False)
"""A tenant that is followed by long polling."""


@dataclass
class Seen:
    """What one consumer was given.

    Attributes:
        fold: The last state of each alarm; None where it is gone.
        changes: Every change, as objects with `action`, `id`, `alarm`.
    """

    fold: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    error: Exception | None = None
    ended: bool = False

    def take(self, item: Change[Any] | Gap) -> None:
        if isinstance(item, Gap):
            self.gaps.append(item)
            return
        alarm = None if item.alarm is None else json.loads(item.alarm.raw)
        self.fold[item.id] = alarm
        self.origins.append(item.origin)
        self.changes.append({"action": item.action.value, "id": item.id, "alarm": alarm})

    def texts(self) -> list[str]:
        return [change["alarm"]["text"] if change["alarm"] else "gone" for change in self.changes]


@dataclass
class Site:
    """One emulated tenant."""

    emulator: Emulator
    server: InProcessServer
    wall: VirtualWallClock
    ours: VirtualWallClock
    """The client's clock; it shows the same unless somebody sets one of them."""

    def wrong(self, seen: Seen, *, since: int | None = None) -> list[Any]:
        return self.emulator.ledger.lost(seen.fold, since=since)

    def twice(self, seen: Seen) -> list[Any]:
        return self.emulator.ledger.duplicates(seen.changes)

    def client(self, **options: Any) -> Cumulocity:
        settings: dict[str, Any] = {
            "auth": BasicAuth("demo", "demo", tenant="t1"),
            "clock": self.ours,
            "rng": random.Random(5),
            "transport_factory": self.server.transport_factory,
            **options,
        }
        return Cumulocity(self.server.url, **settings)

    def requests(self) -> int:
        """How many requests the platform has answered or is holding."""
        return self.emulator.requests.total


@asynccontextmanager
async def tenant(**options: Any) -> AsyncIterator[Site]:
    wall = VirtualWallClock()
    emulator = Emulator(clock=wall, rng=random.Random(3), **options)
    async with in_process(emulator) as server:
        ours = VirtualWallClock()
        ours()  # both begin now
        wall()
        yield Site(emulator, server, wall, ours)


def without_sweeps(client: Cumulocity, **options: Any) -> ChangeStream[Alarm]:
    """`client.alarms.changes` with the sweeps switched off, to see what they are worth."""
    return follow(replace(client._following, sweeps=False), **options)


@asynccontextmanager
async def following(stream: Any, *, pause: float = 0.0) -> AsyncIterator[Seen]:
    """Enter a stream and take in what it gives while the body runs; `pause` makes a slow consumer."""
    async with stream, consuming(stream, pause=pause) as seen:
        yield seen


@asynccontextmanager
async def consuming(stream: Any, *, pause: float = 0.0, log: Any = None) -> AsyncIterator[Seen]:
    """Take in what a stream that was entered gives while the body runs; `log.note` is told of each item."""
    seen = Seen()

    async def consume() -> None:
        try:
            async for item in stream:
                seen.take(item)
                if log is not None:
                    log.note(item)
                if pause and len(seen.changes) % 20 == 0:
                    await anyio.sleep(pause)
        except TocsinError as error:
            seen.error = error
        seen.ended = True

    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        try:
            yield seen
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - it leaves as itself, in no group
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def until(condition: Callable[[], bool], seconds: float, *, step: float = 0.25) -> bool:
    """Wait, in virtual time, until something holds; False if it did not within `seconds`."""
    with anyio.move_on_after(seconds):
        while not condition():
            await anyio.sleep(step)
        return True
    return condition()
