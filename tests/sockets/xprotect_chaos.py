"""Chaos on real sockets around XProtect: alarms and events are followed through a proxy that misbehaves.

    PYTHONPATH=tests python -m sockets.xprotect_chaos --seeds 20

prints a table; `test_xprotect_chaos.py` asserts what it should say. Alarms are read, so that states between
two reads merge: what is asked is that the fold of the changes is what the server has, and no state is given
twice. Events come one by one: each was given, once and in order, or lies within a gap that was told.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio

from sockets.chaos import address
from sockets.chaos_vms import FAULTS, Operators, accidents, live_events, make_vms, make_xprotect
from tocsin import Change, Gap, StreamState
from tocsin.emulator import serve
from tocsin.testing import ChaosProxy
from tocsin.xprotect import StateEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.emulator import XProtectEmulator

CONVERGE = 25.0
"""Seconds after the last fault within which everything must be right."""

MOMENT = timedelta(milliseconds=1)
"""The ledger's clock; the platform writes its times more finely."""


@dataclass
class Run:
    """What happened in one run.

    Attributes:
        lost: Alarms that the consumer has wrong at the end.
        duplicated: Changes given twice, out of order, or that never happened.
        missed: Events that were neither given nor within a gap.
        repeated: Events given twice, or out of order.
        states: Sources whose state the consumer has wrong at the end.
        seconds: From the end of the faults until everything was right; None if it never was.
    """

    seed: int
    loop: str
    faults: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    events: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    event_gaps: list[Gap] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    lost: list[Any] = field(default_factory=list)
    duplicated: list[Any] = field(default_factory=list)
    missed: list[Any] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    seconds: float | None = None
    ended: str = ""

    @property
    def good(self) -> bool:
        bad = self.lost or self.duplicated or self.missed or self.repeated or self.states or self.ended
        return not bad and self.seconds is not None


class Consumers:
    """What is made of both streams."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.alarms: dict[str, dict[str, Any] | None] = {}
        self.states: dict[tuple[str, str], str] = {}

    async def take_changes(self, stream: Any) -> None:
        async for item in stream:
            if isinstance(item, Gap):
                self.run.gaps.append(item)
                continue
            assert isinstance(item, Change)
            alarm = None if item.alarm is None else json.loads(item.alarm.raw)
            self.alarms[item.id] = alarm
            self.run.changes.append({"action": item.action.value, "id": item.id, "alarm": alarm})

    async def take_events(self, stream: Any, *, slow: bool) -> None:
        async for item in stream:
            if isinstance(item, Gap):
                self.run.event_gaps.append(item)
                continue
            if item.state_group_id:
                self.states[item.source, item.state_group_id] = item.id
            if not isinstance(item, StateEvent):
                self.run.given.append(item.id.lower())
                if slow:
                    await anyio.sleep(0.03)


async def misbehave(emulator: XProtectEmulator, rng: random.Random, run: Run) -> None:
    """Have the server itself misbehave now and then."""
    others = accidents(emulator)
    while True:
        await anyio.sleep(rng.uniform(0.1, 0.8))
        if rng.random() < 0.35:
            name = rng.choice(list(others))
            if name.startswith("tokens") and run.faults["tokens expire"] + run.faults["tokens revoked"]:
                continue  # who has to log in all the time is held up
            others[name]()
            run.faults[name] += 1
            continue
        fault = rng.choice(FAULTS)
        if fault.kind == "status" and fault.status == 401:
            if run.faults["401"]:
                continue  # refusals in a row are taken for what they say, and raised
            run.faults["401"] += 1
        emulator.faults.add(fault)
        run.faults[fault.kind] += 1


async def run_seed(seed: int, loop: str, *, faults: int = 10) -> Run:
    """Follow one emulator through `faults` faults of the network and about as many of the server."""
    run = Run(seed, loop)
    rng = random.Random(seed)
    emulator = make_vms(seed)
    overflow: Any = ("recover", "conflate")[seed // 2 % 2]
    async with (
        serve(emulator) as server,
        ChaosProxy(*address(server.url), rng=random.Random(seed + 1)) as proxy,
        make_xprotect(proxy.url, seed) as client,
    ):
        operators = Operators(emulator, rng)
        for _ in range(20):
            operators.write()
        seen = Consumers(run)
        slow = seed % 6 == 5
        changes = client.alarms.changes(
            snapshot=True, latency=0.2, period=0.6, overflow=overflow, buffer=(5000, 20)[seed // 4 % 2]
        )
        events = live_events(client, emulator, buffer=30 if slow else 5000)
        async with changes, events, anyio.create_task_group() as tasks:
            tasks.start_soon(seen.take_changes, changes)
            tasks.start_soon(lambda: seen.take_events(events, slow=slow))
            async with anyio.create_task_group() as trouble:
                trouble.start_soon(operators.work)
                trouble.start_soon(misbehave, emulator, random.Random(seed + 2), run)
                await proxy.storm(faults)
                trouble.cancel_scope.cancel()
            emulator.faults.clear()
            run.faults.update(proxy.faults)
            began = anyio.current_time()
            with anyio.move_on_after(CONVERGE):
                while judge(run, emulator, operators, seen) or not quiet(changes, events):
                    await anyio.sleep(0.1)
                run.seconds = anyio.current_time() - began
                await anyio.sleep(1.0)  # and it stays so
            judge(run, emulator, operators, seen)
            run.ended = "" if quiet(changes) else str(changes.cause)
            tasks.cancel_scope.cancel()
    run.writes, run.events = operators.writes, len(operators.raised)
    return run


def quiet(*streams: Any) -> bool:
    return all(stream.state is StreamState.CONNECTED for stream in streams)


def judge(run: Run, emulator: XProtectEmulator, operators: Operators, seen: Consumers) -> bool:
    """Hold what was given against what happened; whether anything is wrong."""
    ledger = emulator.ledger
    run.lost = ledger.lost(seen.alarms) or ledger.lost(seen.alarms, since=20)
    run.duplicated = ledger.duplicates(run.changes)
    place = {one: number for number, (one, _) in enumerate(operators.raised)}
    given = set(run.given)
    run.missed = [
        (one, at)
        for one, at in operators.raised
        if one not in given and not any(gap.since - MOMENT <= at <= gap.until for gap in run.event_gaps)
    ]
    places = [place.get(one, -1) for one in run.given]
    run.repeated = [one for one, a, b in zip(run.given[1:], places, places[1:], strict=False) if b <= a]
    truth = {(row["source"], row["stategroupid"]): row["id"] for row in emulator.states()}
    run.states = [key for key, one in truth.items() if seen.states.get(key) != one]
    return bool(run.lost or run.duplicated or run.missed or run.repeated or run.states)


async def run_seeds(seeds: Sequence[int], loop: str, *, at_once: int = 4, faults: int = 10) -> list[Run]:
    """Run several seeds side by side in one event loop."""
    runs: list[Run] = []
    limiter = anyio.CapacityLimiter(at_once)

    async def one(seed: int) -> None:
        async with limiter:
            runs.append(await run_seed(seed, loop, faults=faults))

    async with anyio.create_task_group() as tasks:
        for seed in seeds:
            tasks.start_soon(one, seed)
    return sorted(runs, key=lambda run: run.seed)


HEAD = (
    "seed", "loop", "faults", "writes", "changes", "gaps", "lost", "duplicated",
    "events", "given", "gaps", "missed", "repeated", "states", "s",
)  # fmt: skip


def _row(run: Run) -> tuple[Any, ...]:
    return (
        run.seed, run.loop, run.faults.total(), run.writes,
        len(run.changes), len(run.gaps), len(run.lost), len(run.duplicated),
        run.events, len(run.given), len(run.event_gaps), len(run.missed), len(run.repeated), len(run.states),
        "never" if run.seconds is None else f"{run.seconds:.2f}",
    )  # fmt: skip


def table(runs: Iterable[Run]) -> str:
    """The runs as people read them."""
    rows = [_row(run) for run in runs]
    widths = [max(len(str(row[i])) for row in (HEAD, *rows)) for i in range(len(HEAD))]
    return "\n".join(
        " ".join(str(cell).rjust(w) for cell, w in zip(row, widths, strict=True)) for row in (HEAD, *rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="chaos on real sockets around XProtect")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--faults", type=int, default=10, help="faults of the network in each run")
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    runs: list[Run] = []
    for loop in ("asyncio", "trio"):
        seeds = range(options.first + (loop == "trio"), options.first + options.seeds, 2)

        async def go(seeds: Sequence[int] = seeds, loop: str = loop) -> list[Run]:
            return await run_seeds(seeds, loop, at_once=options.at_once, faults=options.faults)

        runs += anyio.run(go, backend=loop)
    runs.sort(key=lambda run: run.seed)
    print(table(runs))
    for run in runs:
        if not run.good:
            print(run.seed, run.ended, dict(run.faults), *run.lost[:3], *run.duplicated[:3])
            print([(one, str(at)) for one, at in run.missed[:9]], *run.event_gaps)
    print(
        f"{len(runs)} runs, {sum(run.faults.total() for run in runs)} faults, "
        f"{sum(run.writes for run in runs)} writes, {sum(len(run.lost) for run in runs)} lost, "
        f"{sum(len(run.duplicated) for run in runs)} duplicated; {sum(run.events for run in runs)} events, "
        f"{sum(len(run.missed) for run in runs)} missed, {sum(len(run.repeated) for run in runs)} repeated; "
        f"not good: {[run.seed for run in runs if not run.good]}; "
        f"worst time to converge: {max((run.seconds or CONVERGE for run in runs), default=0):.2f} s"
    )
    sys.exit(0 if all(run.good for run in runs) else 1)


if __name__ == "__main__":
    main()
