"""Ten thousand reconnects in process, under a clock that jumps: nothing may grow.

    PYTHONPATH=tests python -m emulated.reconnects --times 10000 --transport long-polling --loop trio

Tasks, connections, descriptors, objects and memory are counted after each tenth of the way. The emulator's
own records (of writes, audits and requests) are kept short, so that what grows is the SDK's, or Python's.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from emulated.following import consuming, tenant, until
from emulated.network import Log, Network
from tocsin.emulator import Limits
from tocsin.testing import virtual_backend

if TYPE_CHECKING:
    from tocsin.emulator import Emulator


@dataclass(frozen=True)
class Count:
    """What is held at one moment, when the stream is connected and idle.

    Attributes:
        links: Connections in use, on the simulated network.
        files: File descriptors of the process.
        ours: Instances of the SDK's classes.
        objects: What Python's collector knows of: containers and instances.
        blocks: All pieces of memory that Python has handed out, strings and numbers included.
        resident: Bytes of the process.
    """

    reconnects: int
    tasks: int
    links: int
    files: int
    ours: int
    objects: int
    blocks: int
    resident: int

    def __str__(self) -> str:
        return (
            f"{self.reconnects:>7} {self.tasks:>6} {self.links:>6} {self.files:>6} {self.ours:>5} "
            f"{self.objects:>8} {self.blocks:>9} {self.resident / 2**20:>9.1f}"
        )


RECORDS = 20
"""So many writes the emulator remembers."""
HEAD = "reconnects tasks  links  files  ours  objects    blocks   RSS MiB"


def take_count(reconnects: int, network: Network) -> Count:
    gc.collect()
    resident = 0
    if (statm := Path("/proc/self/statm")).exists():
        resident = int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    tasks = len(anyio.get_running_tasks())
    objects = gc.get_objects()
    ours = sum(is_ours(str(type(one).__module__)) for one in objects)
    return Count(
        reconnects, tasks, network.open_links, files, ours, len(objects), sys.getallocatedblocks(), resident
    )


def is_ours(module: str) -> bool:
    """Whether a class is the SDK's; the emulator and the test network are the server's side."""
    return module.startswith("tocsin.") and not module.startswith(("tocsin.emulator", "tocsin.testing"))


async def reconnect(times: int, transport: str, *, parts: int = 10) -> list[Count]:
    """Break one stream's connection again and again, in each of the ways there are.

    Args:
        times: How often.
        transport: As `changes` has it.
        parts: Into so many parts the way is cut; what is held is counted at the end of each.
    """
    counts: list[Count] = []
    async with tenant(limits=Limits(ledger=RECORDS, audit=RECORDS)) as site:
        network = Network(site.server, random.Random(1), Log())
        async with site.client(transport_factory=network.transport_factory) as client:
            stream = client.alarms.changes(snapshot=True, transport=transport)
            async with stream, consuming(stream) as seen:
                alarm = str(site.emulator.store.create({"type": "acme", "source": "4711"})["id"])
                for number, break_it in enumerate(itertools.cycle(breaks(site.emulator, network))):
                    seen.changes.clear()
                    seen.gaps.clear()
                    seen.origins.clear()
                    if number % max(1, times // parts) == 0:
                        await anyio.sleep(65)  # past the sweep that follows a recovery
                        site.emulator.requests.clear()
                        counts.append(take_count(number, network))
                    if number == times:
                        return counts
                    break_it()
                    site.emulator.store.update(alarm, {"text": f"text {number}"})
                    wanted = f"text {number}"
                    held = lambda: (seen.fold.get(alarm) or {}).get("text")  # noqa: E731
                    assert await until(lambda: held() == wanted, 300), f"deaf after {number}"  # noqa: B023
    raise AssertionError("an endless cycle ended")


def breaks(emulator: Emulator, network: Network) -> list[Any]:
    return [
        emulator.restart,
        emulator.drop_polls,
        emulator.forget_sessions,
        network.cut_all,
        lambda: emulator.forget_sessions(advise=False),
        network.half_open,
        emulator.silence_polls,
    ]


def grown(counts: list[Count]) -> Counter[str]:
    """What is more at the end than a fifth of the way on, when every bounded history is full."""
    early, late = counts[max(1, len(counts) // 5)], counts[-1]
    return Counter(
        {
            what: getattr(late, what) - getattr(early, what)
            for what in ("tasks", "links", "files", "ours", "objects", "blocks", "resident")
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="reconnects without growth")
    parser.add_argument("--times", type=int, default=10_000)
    parser.add_argument("--transport", default="long-polling", choices=("long-polling", "websocket", "auto"))
    parser.add_argument("--loop", default="asyncio", choices=("asyncio", "trio"))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    backend, backend_options = virtual_backend(options.loop)
    counts = anyio.run(
        reconnect, options.times, options.transport, backend=backend, backend_options=backend_options
    )
    print(f"{options.transport} on {options.loop}", HEAD, *counts, sep="\n")
    print("grown:", ", ".join(f"{what} {more}" for what, more in grown(counts).items()))


if __name__ == "__main__":
    main()
