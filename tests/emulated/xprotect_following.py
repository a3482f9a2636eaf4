"""An emulated XProtect in process, and a client that follows it."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tocsin import XProtect
from tocsin.emulator import XProtectEmulator
from tocsin.testing import InProcessServer, VirtualWallClock, in_process
from tocsin.xprotect import BasicUser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emulated.following import Seen


@dataclass
class Vms:
    """One emulated site.

    Attributes:
        wall: The server's clock.
        ours: The client's; it shows the same unless somebody sets one of them.
        asked: Path and query of each request that the client sent.
    """

    emulator: XProtectEmulator
    server: InProcessServer
    wall: VirtualWallClock
    ours: VirtualWallClock
    asked: list[tuple[str, dict[str, str]]]

    def wrong(self, seen: Seen, *, since: int | None = None) -> list[Any]:
        return self.emulator.ledger.lost(seen.fold, since=since)

    def twice(self, seen: Seen) -> list[Any]:
        return self.emulator.ledger.duplicates(seen.changes)

    def add(self, name: str = "Alarm", *, priority: int | None = None, **fields: Any) -> str:
        """Raise an alarm; the priority is given by its level."""
        if priority is not None:
            ranks = self.emulator.store.site.priorities
            fields["priority"] = next(rank["id"] for rank in ranks if rank["level"] == priority)
        return str(self.emulator.store.create({"name": name, **fields})["id"])

    def client(self, **options: Any) -> XProtect:
        async def watch(request: Any, call_next: Any) -> Any:
            self.asked.append((request.path, dict(request.query)))
            return await call_next(request)

        settings: dict[str, Any] = {
            "auth": BasicUser("demo", "demo"),
            "clock": self.ours,
            "rng": random.Random(5),
            "transport_factory": self.server.transport_factory,
            "middleware": [watch],
            **options,
        }
        return XProtect(self.server.url, **settings)


@asynccontextmanager
async def vms(**options: Any) -> AsyncIterator[Vms]:
    wall = VirtualWallClock()
    emulator = XProtectEmulator(clock=wall, rng=random.Random(3), **options)
    async with in_process(emulator) as server:
        ours = VirtualWallClock()
        ours()  # both begin now
        wall()
        yield Vms(emulator, server, wall, ours, [])
