"""Chaos on real sockets: a client follows an emulator through a proxy that misbehaves, while writers work.

    python -m tests.sockets.chaos --seeds 20

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
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from tocsin import Change, Cumulocity, Gap, Origin, ReconnectPolicy, RecoveryPolicy, RetryPolicy, StreamState
from tocsin._http._request import Timeouts
from tocsin.cumulocity import BasicAuth
from tocsin.cumulocity.changes import follow
from tocsin.emulator import BayeuxSettings, Behaviour, Emulator, Fault, Ordered, serve
from tocsin.emulator._ledger import essence
from tocsin.testing import ChaosProxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.cumulocity import Alarm

CONVERGE = 20.0
"""Seconds after the last fault within which everything must be right; the policies below need about two."""

TOLD = 15.0
"""Seconds after that within which every gap must have been told."""

LATENCY = timedelta(seconds=1)
"""How old news may be when the proxy delivers it: a gap begins when the last sign of life *arrived*."""

RECOVERY = RecoveryPolicy(
    overlap=1.0,
    verify_first=0.3,
    verify_every=1.0,
    reconcile_every=1.5,
    grace=0.5,
    silence=5.0,
    page_size=50,
    check_rate=200.0,
    stale_wait=0.1,
    retry_first=0.1,
    retry_max=0.5,
)
RECONNECT = ReconnectPolicy(initial=0.1, maximum=0.5, quiet=0.5)
TIMEOUTS = Timeouts(connect=1.0, read=1.0, write=1.0, pool=2.0, total=3.0)
BAYEUX = BayeuxSettings(max_interval=2.0, heartbeat=0.2)

SERVER_FAULTS = (
    Fault("forget", channel="/meta/connect"),
    Fault("forget", channel="/meta/connect", advise=False),
    Fault("lose", channel="/alarms/*", times=3),
    Fault("duplicate", channel="/alarms/*", times=3),
    Fault("reorder", channel="/alarms/*", times=3),
    Fault("garble", channel="/alarms/*", times=2),
    Fault("status", path="/alarm/*", status=503, times=2),
    Fault("status", path="/alarm/*", status=429, retry_after="1", times=1),
    Fault("cut", path="/alarm/*", size=300, times=2),
    Fault("stale", path="/alarm/*", seconds=0.4, times=2),
    Fault("status", path="/notification/*", status=502, body="<html>Bad Gateway</html>", times=1),
    Fault("drop", path="/notification/*", when="reply", times=1),
)


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


class Writers:
    """Users and devices of the platform: they create, repeat, change, clear and delete alarms."""

    def __init__(self, emulator: Emulator, rng: random.Random) -> None:
        self._store = emulator.store
        self._rng = rng
        self._number = 0
        self.writes = 0

    async def work(self) -> None:
        while True:
            for _ in range(self._rng.choice((1, 1, 1, 2, 5))):
                self.write()
            await anyio.sleep(self._rng.uniform(0.002, 0.06))

    def write(self) -> None:
        rng = self._rng
        self.writes += 1
        self._number += 1
        alarms = self._store.alarms()
        opened = [alarm for alarm in alarms if alarm["status"] != "CLEARED"]
        if len(opened) < 10 or rng.random() < 0.3:
            self._store.create(self._new())
            return
        alarm = rng.choice(opened)
        match rng.choices(range(7), weights=(25, 10, 10, 20, 10, 8, 7))[0]:
            case 0:
                self._store.update(alarm["id"], {"text": f"text {self._number}"})
            case 1:
                severity = rng.choice(("CRITICAL", "MAJOR", "MINOR", "WARNING"))
                self._store.update(alarm["id"], {"severity": severity})
            case 2:
                self._store.update(alarm["id"], {"status": "ACKNOWLEDGED"})
            case 3:
                self._store.update(alarm["id"], {"status": "CLEARED"})
            case 4:
                self._store.create({"type": alarm["type"], "source": alarm["source"]["id"], "text": "again"})
            case 5:
                self._store.remove(rng.choice(alarms)["id"])
            case _:
                self._store.update(alarm["id"], {"acme_Note": {"number": self._number}})

    def _new(self) -> dict[str, Any]:
        return {
            "type": f"acme_{self._number}",
            "source": str(4711 + self._rng.randrange(5)),
            "severity": self._rng.choice(("CRITICAL", "MAJOR", "MINOR", "WARNING")),
            "text": f"alarm {self._number}",
        }


def make_emulator(seed: int) -> Emulator:
    """Half of the seeds speak as today's platform, half as the older document; the rest varies too."""
    return Emulator(
        profile="current" if seed % 4 < 2 else "seed",
        rng=random.Random(seed),
        bayeux=BAYEUX,
        behaviour=Behaviour(next_after_full_page=seed % 3 != 0),
    )


def make_client(url: str, seed: int) -> Cumulocity:
    return Cumulocity(
        url,
        BasicAuth("demo", "demo", tenant="t1"),
        timeouts=TIMEOUTS,
        retry=RetryPolicy(attempts=3, total=2.0, wait_initial=0.05, wait_max=0.3, retry_after_max=1.0),
        reconnect=RECONNECT,
        recovery=RECOVERY,
        advice_timeout=0.6,
        liveness=1.2,
        rng=random.Random(seed),
    )


async def forget_and_lose(emulator: Emulator, rng: random.Random, run: Run, orders: list[Ordered]) -> None:
    """Have the server itself misbehave now and then."""
    while True:
        await anyio.sleep(rng.uniform(0.1, 0.8))
        fault = rng.choice(SERVER_FAULTS)
        orders.append(emulator.faults.add(fault))
        run.faults[fault.kind] += 1


async def run_seed(seed: int, loop: str, *, faults: int = 10, sweeps: bool = True) -> Run:
    """Follow one emulator through `faults` faults of the network and as many of the server.

    `sweeps=False` shows what the sweeps are worth: it must lose something.
    """
    run = Run(seed, loop)
    rng = random.Random(seed)
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
        async with follow(following, snapshot=True) as stream, anyio.create_task_group() as tasks:
            tasks.start_soon(consume, stream, fold)
            async with anyio.create_task_group() as trouble:
                trouble.start_soon(writers.work)
                trouble.start_soon(forget_and_lose, emulator, random.Random(seed + 2), run, orders)
                await proxy.storm(faults)
                trouble.cancel_scope.cancel()
            emulator.faults.clear()
            run.overtaken = sum(order.fired for order in orders if order.fault.kind in OVERTAKING)
            run.faults.update(proxy.faults)
            began = anyio.current_time()
            run.seconds = await converge(emulator, fold, CONVERGE if sweeps else 3.0)
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
    for change in run.changes:
        if change["alarm"] is not None:
            given.setdefault(change["id"], []).append(essence(change["alarm"]))
    for entry in emulator.ledger.after(20):
        if entry.alarm is None:
            continue
        if essence(entry.alarm) in given.get(entry.id, ()):
            continue
        if not any(gap.since - LATENCY <= entry.at <= gap.until for gap in run.gaps):
            yield entry


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80)


async def run_seeds(
    seeds: Sequence[int], loop: str, *, at_once: int = 5, faults: int = 10, sweeps: bool = True
) -> list[Run]:
    """Run several seeds side by side in one event loop."""
    runs: list[Run] = []
    limiter = anyio.CapacityLimiter(at_once)

    async def one(seed: int) -> None:
        async with limiter:
            runs.append(await run_seed(seed, loop, faults=faults, sweeps=sweeps))

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
    options = parser.parse_args()
    runs: list[Run] = []
    for loop in ("asyncio", "trio"):
        odd = loop == "trio"
        seeds = [seed for seed in range(options.first, options.first + options.seeds) if seed % 2 == odd]

        async def go(seeds: list[int] = seeds, loop: str = loop) -> list[Run]:
            return await run_seeds(seeds, loop, at_once=options.at_once, faults=options.faults)

        runs += anyio.run(go, backend=loop)
    runs.sort(key=lambda run: run.seed)
    print(table(runs))
    worst = max((run.seconds for run in runs if run.seconds is not None), default=None)
    print(f"worst time to converge: {'none did' if worst is None else f'{worst:.2f} s'}")
    sys.exit(0 if all(run.good for run in runs) else 1)


if __name__ == "__main__":
    main()
