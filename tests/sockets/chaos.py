"""Chaos on real sockets: a client follows an emulator through a proxy that misbehaves, while writers work.

    PYTHONPATH=tests python -m sockets.chaos --seeds 20 --transport websocket    # or notification2, …

prints a table; `test_chaos.py` asserts what it should say. A seed fixes what is ordered and when, though not
how threads and sockets interleave, so a seed repeats a kind of run, not each byte of it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from sockets.chaos_world import (
    BROKER_FAULTS,
    SERVER_FAULTS,
    Writers,
    broker_accidents,
    durable_taste,
    logs_in,
    make_client,
    make_emulator,
    others_meddle,
)
from tocsin import Change, Gap, Origin, StreamState
from tocsin.cumulocity.changes import follow
from tocsin.emulator import Emulator, Ordered, serve
from tocsin.emulator._ledger import essence
from tocsin.testing import ChaosProxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.cumulocity import Alarm
    from tocsin.cumulocity.changes import Transport

CONVERGE = 20.0
"""Seconds after the last fault within which everything must be right; the policies below need about two."""

TOLD = 15.0
"""Seconds after that within which every gap must have been told."""

OCCUPIED = 20.0
"""Seconds more that a durable consumer may need: twice a dead connection of its own is in its way (409)."""

TRANSPORTS = ("long-polling", "websocket", "auto", "notification2")

OVERTAKING = {"lose", "reorder", "garble"}


@dataclass
class Run:
    """What happened in one run.

    Attributes:
        lost: Alarms that the consumer has wrong at the end.
        duplicated: Changes given twice, out of order, or that never happened.
        merged: States written outside every gap that were not given, because a later one had come.
        overtaken: How many of those the server itself hid: it lost a message, or sent it after a later one.
            If the same alarm changes again before anybody reads it, nobody can know.
        seconds: From the end of the faults until everything was right; None if it never was.
        tells_all: Whether merged states are looked for. Not if the consumer asked for the latest state only,
            nor where a part of a backlog was dropped, or ended by others: a gap there begins when a message
            came, not when what it tells was written.
    """

    seed: int
    loop: str
    faults: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    recovered: int = 0
    lost: list[Any] = field(default_factory=list)
    duplicated: list[Any] = field(default_factory=list)
    merged: list[Any] = field(default_factory=list)
    overtaken: int = 0
    seconds: float | None = None
    tells_all: bool = True

    @property
    def good(self) -> bool:
        right = not self.lost and not self.duplicated and len(self.merged) <= self.overtaken
        return right and self.seconds is not None


class Fold:
    """What a consumer makes of the changes, by alarm."""

    def __init__(self, run: Run) -> None:
        self.alarms: dict[str, dict[str, Any] | None] = {}
        self._run = run

    def take(self, item: Change[Alarm] | Gap) -> None:
        if isinstance(item, Gap):
            self._run.gaps.append(item)
            return
        alarm = None if item.alarm is None else json.loads(item.alarm.raw)
        self.alarms[item.id] = alarm
        self._run.recovered += item.origin is Origin.RECOVERED
        self._run.changes.append({"action": item.action.value, "id": item.id, "alarm": alarm})


async def forget_and_lose(
    emulator: Emulator, rng: random.Random, run: Run, orders: list[Ordered], *, durable: bool
) -> None:
    """Have the server itself misbehave now and then."""
    accidents = broker_accidents(emulator, run.seed) if durable else {}
    while True:
        await anyio.sleep(rng.uniform(0.1, 0.8))
        if accidents and rng.random() < 0.3:
            name = rng.choice(list(accidents))
            accidents[name]()
            run.faults[name] += 1
            continue
        if logs_in(run.seed) and not run.faults["expire"] and rng.random() < 0.15:
            emulator.access.expire_tokens()
            run.faults["expire"] += 1
            continue
        fault = rng.choice(BROKER_FAULTS if durable else SERVER_FAULTS)
        if fault.kind == "status" and fault.status == 401:
            if run.faults["401"]:
                continue  # a second refusal in a row is taken for what it says, and raised
            run.faults["401"] += 1
        orders.append(emulator.faults.add(fault))
        run.faults[fault.kind] += 1


async def run_seed(
    seed: int, loop: str, *, faults: int = 10, sweeps: bool = True, transport: Transport = "long-polling"
) -> Run:
    """Follow one emulator through `faults` faults of the network and as many of the server.

    `sweeps=False` shows what the sweeps are worth: it must lose something.
    """
    run = Run(seed, loop)
    rng = random.Random(seed)
    durable = transport == "notification2"
    taste = durable_taste(seed) if durable else {}
    if durable:
        run.tells_all = taste["overflow"] == "block" and not others_meddle(seed)
    emulator = make_emulator(seed)
    async with (
        serve(emulator) as server,
        ChaosProxy(*address(server.url), rng=random.Random(seed + 1)) as proxy,
        make_client(proxy.url, seed) as client,
    ):
        writers = Writers(emulator, rng)
        for _ in range(20):
            writers.write()
        fold = Fold(run)
        orders: list[Ordered] = []
        following = replace(client._following, sweeps=sweeps)
        async with (
            follow(following, snapshot=True, transport=transport, **taste) as stream,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(consume, stream, fold)
            async with anyio.create_task_group() as trouble:
                trouble.start_soon(writers.work)
                trouble.start_soon(
                    partial(forget_and_lose, durable=durable),
                    *(emulator, random.Random(seed + 2), run, orders),
                )
                await proxy.storm(faults)
                trouble.cancel_scope.cancel()
            emulator.faults.clear()
            run.overtaken = sum(order.fired for order in orders if order.fault.kind in OVERTAKING)
            run.faults.update(proxy.faults)
            began = anyio.current_time()
            limit = CONVERGE + (OCCUPIED if durable else 0.0)
            run.seconds = await converge(emulator, fold, limit if sweeps else 3.0)
            if run.seconds is not None:
                await all_told(stream, run, emulator)
            if run.seconds is not None and wrong(emulator, fold):
                again = await converge(emulator, fold, CONVERGE)
                run.seconds = None if again is None else anyio.current_time() - began
            judge(run, emulator, fold)
            tasks.cancel_scope.cancel()
    run.writes = writers.writes
    return run


async def consume(stream: Any, fold: Fold) -> None:
    async for item in stream:
        fold.take(item)


async def converge(emulator: Emulator, fold: Fold, limit: float) -> float | None:
    """Wait until the consumer has everything right, and tell for how many seconds.

    To be right is not to stay right: what the proxy held back may come yet, say the CREATE of an alarm that
    the consumer never heard of and that is gone by now. Its DELETE must then follow, so ask again at the end.
    """
    began = anyio.current_time()
    with anyio.move_on_after(limit):
        while wrong(emulator, fold):
            await anyio.sleep(0.05)
        return anyio.current_time() - began
    return None


async def all_told(stream: Any, run: Run, emulator: Emulator) -> None:
    """Wait until the stream has told all gaps: that of a miss comes after the time of grace."""
    with anyio.move_on_after(TOLD):
        await stream.wait_state(StreamState.CONNECTED)
        while len(list(merged(run, emulator))) > run.overtaken:
            await anyio.sleep(0.05)


def wrong(emulator: Emulator, fold: Fold) -> list[Any]:
    """The alarms that differ: open ones, and closed ones that were seen, or written since it began."""
    return emulator.ledger.lost(fold.alarms) or emulator.ledger.lost(fold.alarms, since=20)


def judge(run: Run, emulator: Emulator, fold: Fold) -> None:
    run.lost = wrong(emulator, fold)
    run.duplicated = emulator.ledger.duplicates(run.changes)
    run.merged = list(merged(run, emulator))


def merged(run: Run, emulator: Emulator) -> Iterable[Any]:
    """States that were written outside every gap and not given: nothing may go missing there."""
    given: dict[str, list[dict[str, Any]]] = {}
    if not run.tells_all:
        return
    for change in run.changes:
        if change["alarm"] is not None:
            given.setdefault(change["id"], []).append(essence(change["alarm"]))
    written = [entry for entry in emulator.ledger.after(20) if entry.alarm is not None]
    stamps = Counter((entry.id, entry.alarm["lastUpdated"]) for entry in written)
    for entry in written:
        if stamps[entry.id, entry.alarm["lastUpdated"]] > 1:
            continue  # two writes of one millisecond: a read tells which was the last
        if essence(entry.alarm) in given.get(entry.id, ()):
            continue
        if not any(gap.since <= entry.at <= gap.until for gap in run.gaps):
            yield entry


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80)


async def run_seeds(
    seeds: Sequence[int],
    loop: str,
    *,
    at_once: int = 5,
    faults: int = 10,
    sweeps: bool = True,
    transport: Transport = "long-polling",
) -> list[Run]:
    """Run several seeds side by side in one event loop."""
    runs: list[Run] = []
    limiter = anyio.CapacityLimiter(at_once)

    async def one(seed: int) -> None:
        async with limiter:
            runs.append(await run_seed(seed, loop, faults=faults, sweeps=sweeps, transport=transport))

    async with anyio.create_task_group() as tasks:
        for seed in seeds:
            tasks.start_soon(one, seed)
    return sorted(runs, key=lambda run: run.seed)


def table(runs: Iterable[Run]) -> str:
    """The runs as people read them."""
    head = (
        "seed",
        "loop",
        "faults",
        "writes",
        "changes",
        "recovered",
        "gaps",
        "lost",
        "duplicated",
        "merged",
        "s",
    )
    rows = [
        (
            run.seed,
            run.loop,
            run.faults.total(),
            run.writes,
            len(run.changes),
            run.recovered,
            len(run.gaps),
            len(run.lost),
            len(run.duplicated),
            len(run.merged),
            "never" if run.seconds is None else f"{run.seconds:.2f}",
        )
        for run in runs
    ]
    widths = [max(len(str(row[i])) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        " ".join(str(cell).rjust(w) for cell, w in zip(row, widths, strict=True)) for row in (head, *rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="chaos on real sockets")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--faults", type=int, default=10, help="faults of the network in each run")
    parser.add_argument("--at-once", type=int, default=5)
    parser.add_argument("--transport", default="long-polling", choices=TRANSPORTS)
    options = parser.parse_args()
    runs: list[Run] = []
    for loop in ("asyncio", "trio"):
        odd = loop == "trio"
        seeds = [seed for seed in range(options.first, options.first + options.seeds) if seed % 2 == odd]

        async def go(seeds: list[int] = seeds, loop: str = loop) -> list[Run]:
            return await run_seeds(
                seeds, loop, at_once=options.at_once, faults=options.faults, transport=options.transport
            )

        runs += anyio.run(go, backend=loop)
    runs.sort(key=lambda run: run.seed)
    print(table(runs))
    worst = max((run.seconds for run in runs if run.seconds is not None), default=None)
    print(f"worst time to converge: {'none did' if worst is None else f'{worst:.2f} s'}")
    print(
        f"{options.transport}: {len(runs)} runs, {sum(run.faults.total() for run in runs)} faults, "
        f"{sum(run.writes for run in runs)} writes, {sum(len(run.lost) for run in runs)} lost, "
        f"{sum(len(run.duplicated) for run in runs)} duplicated, "
        f"{sum(not run.good for run in runs)} not good: {[run.seed for run in runs if not run.good]}"
    )
    sys.exit(0 if all(run.good for run in runs) else 1)


if __name__ == "__main__":
    main()
