"""Hours of a bad network and a bad server in seconds, with the default policies: deterministic simulation.

    PYTHONPATH=tests python -m emulated.simulation --hours 1 --seeds 100 --transport long-polling

Client, network and emulator run in one process under a clock that jumps. The platform, the consumer, the
writes, every fault, every delay and, on trio, the order in which tasks run are drawn from one seed, which
replays exactly: the hash of all that passed is the same each time (`--replay`).
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio

from emulated.following import Seen, Site, consuming, tenant, until
from emulated.network import Log, Network
from emulated.worlds import Trouble, World, Writers, draw, recovery
from tocsin import Origin
from tocsin.cumulocity import OAuthInternal
from tocsin.cumulocity.changes import follow
from tocsin.emulator import Entry, essence
from tocsin.testing import virtual_backend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tocsin import Cumulocity

RECOVERY_TIME = 45 + 60 + 30 + 30
RECONCILE = 900.0
SPAN = 900.0
"""Virtual seconds of trouble, unless another span is asked for."""

TRANSPORTS = ("long-polling", "websocket", "auto", "notification2")


@dataclass
class Outcome:
    """What one simulated world came to.

    Attributes:
        late: What was still wrong when the recovery time was up, but for what only a reconcile pass finds.
        lost: What was still wrong when that had its time too.
        merged: States outside every gap that were not given, beyond those that the server itself hid.
        seconds: From the end of the trouble until all was right; deletions may take a reconcile period.
        hours: Virtual hours, quiet ones included.
    """

    seed: int
    loop: str = "asyncio"
    lost: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    duplicated: list[Any] = field(default_factory=list)
    merged: list[Any] = field(default_factory=list)
    error: Exception | None = None
    gaps: int = 0
    changes: int = 0
    requests: int = 0
    writes: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float | None = None
    hours: float = 0.0
    digest: str = ""

    @property
    def good(self) -> bool:
        return not (self.lost or self.late or self.duplicated or self.merged or self.error)

    def told(self) -> str:
        words = [f"{len(getattr(self, what))} {what}" for what in ("lost", "late", "duplicated", "merged")]
        return f"seed {self.seed} on {self.loop}: {', '.join(words)}, {self.error!r}, {self.gaps} gaps"


async def simulate(
    seed: int, *, span: float = SPAN, transport: str = "long-polling", log: Log | None = None
) -> Outcome:
    """Follow one platform through its bad time."""
    world, outcome, log = draw(seed, transport), Outcome(seed), log or Log()
    async with tenant(**world.platform) as site:
        network = Network(site.server, random.Random(seed + 3), log, world.latency)
        client = site.client(recovery=recovery(world), transport_factory=network.transport_factory)
        if world.login:
            client = site.client(
                auth=OAuthInternal("demo", "demo", tenant="t1"),
                recovery=recovery(world),
                transport_factory=network.transport_factory,
            )
        async with client:
            await live_through(site, network, client, world, outcome, span)
        outcome.hours = anyio.current_time() / 3600
        outcome.requests = site.requests()
    outcome.digest = log.digest
    return outcome


async def live_through(
    site: Site, network: Network, client: Cumulocity, world: World, outcome: Outcome, span: float
) -> None:
    writers = Writers(site, random.Random(world.seed + 1), world.idle)
    for _ in range(30):
        writers.write()
    start = site.emulator.ledger.seq
    trouble = Trouble(site, network, world, random.Random(world.seed + 2))
    stream = follow(client._following, **world.taste)
    async with stream, consuming(stream, pause=world.pause, log=network.log) as seen:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writers.work)
            await trouble.run(span)
            tasks.cancel_scope.cancel()
        began = anyio.current_time()
        await until(lambda: not late(site, world, seen, start), RECOVERY_TIME, step=1)
        outcome.late = late(site, world, seen, start)
        if await until(lambda: not lost(site, world, seen, start), RECONCILE + RECOVERY_TIME, step=5):
            outcome.seconds = anyio.current_time() - began
        outcome.lost = lost(site, world, seen, start)
        outcome.duplicated = site.twice(seen) if world.tells_twice else []
        if world.tells_all:
            await until(lambda: len(list(merged(site, seen, start))) <= trouble.hidden, 120, step=5)
            left_out = list(merged(site, seen, start))
            outcome.merged = left_out if len(left_out) > trouble.hidden else []
        outcome.error = seen.error
        outcome.gaps, outcome.changes = len(seen.gaps), len(seen.changes)
        outcome.writes, outcome.faults = writers.writes, trouble.counts


def lost(site: Site, world: World, seen: Seen, start: int) -> list[Any]:
    """The alarms that the consumer has wrong."""
    wrong = site.wrong(seen)
    if not world.stamped:
        # Such a server can only be asked for its open alarms: what was raised and cleared within a gap, or
        # deleted after it was cleared, cannot be found.
        return [found for found in wrong if found.expected or (found.got or {}).get("status") != "CLEARED"]
    return wrong or site.wrong(seen, since=start)


def late(site: Site, world: World, seen: Seen, start: int) -> list[Any]:
    """What is wrong but for what only a reconcile pass can find: deletions, silent repeats."""
    behaviour = site.emulator.settings.behaviour
    if not behaviour.bump_last_updated_on_repeat or not behaviour.last_updated:
        return []
    return [found for found in lost(site, world, seen, start) if found.expected is not None]


def merged(site: Site, seen: Seen, start: int) -> Iterator[Entry]:
    """States that were written outside every gap, were told by the server, and were not given.

    Not those before the state in which the snapshot first showed an alarm: it shows what stands when its page
    is read, which may be seconds after the first, and before a subscription takes effect.
    """
    given: dict[str, list[dict[str, Any]]] = {}
    shown: dict[str, tuple[str | None, dict[str, Any]]] = {}
    for change, origin in zip(seen.changes, seen.origins, strict=True):
        if change["alarm"] is not None:
            if origin is Origin.SNAPSHOT and change["id"] not in given:
                shown[change["id"]] = stamped(change["alarm"])
            given.setdefault(change["id"], []).append(essence(change["alarm"]))
    entries = site.emulator.ledger.after(start)
    first = {e.id: e.seq for e in entries if e.alarm is not None and stamped(e.alarm) == shown.get(e.id)}
    for entry in entries:
        if entry.alarm is None or entry.silent or essence(entry.alarm) in given.get(entry.id, ()):
            continue
        if entry.seq < first.get(entry.id, 0):
            continue
        if not any(gap.since <= entry.at <= gap.until for gap in seen.gaps):
            yield entry


def stamped(alarm: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """A state of an alarm, and when it was written."""
    return alarm.get("lastUpdated"), essence(alarm)


def run(seed: int, loop: str, *, span: float, transport: str, log: Log | None = None) -> Outcome:
    """Run one seed on a loop of its own."""
    backend, options = virtual_backend(loop)
    with tasks_ordered_by(seed) if loop == "trio" else nullcontext():
        found = anyio.run(
            lambda: simulate(seed, span=span, transport=transport, log=log),
            backend=backend,
            backend_options=options,
        )
    return replace(found, loop=loop)


@contextmanager
def tasks_ordered_by(seed: int) -> Iterator[None]:
    """Have trio draw the order in which tasks run from a seed; it has no public way to ask for that."""
    from trio._core import _run

    before = _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]


def summary(runs: list[Outcome], seconds: float) -> str:
    """The table's row for so many runs."""
    worst = max((run.seconds for run in runs if run.seconds is not None), default=0.0)
    return (
        f"{len(runs)} seeds, {sum(run.hours for run in runs):.1f} simulated hours in {seconds:.0f} s, "
        f"{sum(run.faults.total() for run in runs)} faults, {sum(run.writes for run in runs)} writes, "
        f"{sum(run.changes for run in runs)} changes, {sum(run.gaps for run in runs)} gaps, "
        f"{sum(run.requests for run in runs)} requests; "
        f"{sum(len(run.lost) for run in runs)} lost, {sum(len(run.late) for run in runs)} late, "
        f"{sum(len(run.duplicated) for run in runs)} duplicated, "
        f"{sum(len(run.merged) for run in runs)} merged outside gaps, "
        f"{sum(run.error is not None for run in runs)} ended by an error; "
        f"worst time to converge {worst:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="simulated hours of trouble")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--hours", type=float, default=SPAN / 3600, help="of trouble, for each seed")
    parser.add_argument("--minutes", type=float, default=1e9, help="real ones, after which no seed is begun")
    parser.add_argument("--loop", default="both", choices=("asyncio", "trio", "both"))
    parser.add_argument("--transport", default="long-polling", choices=TRANSPORTS)
    parser.add_argument("--replay", action="store_true", help="run each seed twice and compare the hashes")
    parser.add_argument("--show", type=int, default=0, help="print the last lines of each log")
    parser.add_argument("--digests", action="store_true", help="print the hash of each run")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # a thousand worlds that warn of their troubles
    runs: list[Outcome] = []
    differ = 0
    began = time.monotonic()
    for seed in range(options.first, options.first + options.seeds):
        if time.monotonic() - began > options.minutes * 60:
            break
        for loop in ("asyncio", "trio") if options.loop == "both" else (options.loop,):
            log = Log(options.show)
            found = run(seed, loop, span=options.hours * 3600, transport=options.transport, log=log)
            runs.append(found)
            if options.replay:
                again = run(seed, loop, span=options.hours * 3600, transport=options.transport)
                differ += again.digest != found.digest
                print(f"seed {seed} on {loop}: {found.digest} {again.digest}")
            if options.digests:
                print(f"seed {seed} on {loop}: {found.digest}")
            if not found.good:
                print(found.told(), flush=True)
            print(*log.lines, sep="\n", end="\n" if log.lines else "")
    bad = sum(not run.good for run in runs)
    print(f"{options.transport}: {summary(runs, time.monotonic() - began)}")
    print(f"{bad} of {len(runs)} runs went wrong" + (f", {differ} differ" if options.replay else ""))
    sys.exit(1 if bad or differ else 0)


if __name__ == "__main__":
    main()
