"""A consumer that is killed and started again, in trouble, and what it handled over all its lives.

    PYTHONPATH=tests python -m emulated.restarting --seeds 100

runs many and prints those that went wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from emulated.bad_quarter import lost, settings, trouble
from emulated.following import Seen, Site, tenant, until
from emulated.simulation import RECONCILE, RECOVERY_TIME, tasks_ordered_by
from emulated.worlds import FAULTS, Writers
from tocsin import Gap, RecoveryPolicy, StatusError
from tocsin.testing import MemoryCheckpoint, virtual_backend

if TYPE_CHECKING:
    from collections.abc import Mapping


class Consumer:
    """Takes items, handles them, and remembers up to where the checkpoint says so.

    Attributes:
        seen: All that it was given, over all lives.
        handled: How many items of that are handled.
        kept: How many of the items of `line` were handled when the store last returned.
        line: The items that stand: after a crash without those that were not kept.
        repeated: Items that were given, not kept, and so may come again.
        unkept: Their alarms.
        begun: There is a checkpoint.
    """

    def __init__(self) -> None:
        self.seen = Seen()
        self.line: list[Any] = []
        self.kept = 0
        self.handled = 0
        self.repeated = 0
        self.unkept: set[str] = set()
        self.begun = False

    async def follow(self, stream: Any, disk: Disk, *, pause: float = 0.0, commit: bool = False) -> None:
        while True:
            self.handled = len(self.line)
            try:
                item = await anext(stream)
            except StopAsyncIteration:
                return
            self.line.append(item)
            self.seen.take(item)
            if commit:
                self.handled = len(self.line)
                await stream.commit()
                assert disk.dead or isinstance(item, Gap) or self.kept == len(self.line)
            if pause:
                await anyio.sleep(pause)

    def crashed(self) -> None:
        self.repeated += len(self.line) - self.kept
        self.unkept |= {item.id for item in self.line[self.kept :] if not isinstance(item, Gap)}
        del self.line[self.kept :]
        self.handled = self.kept

    def changes(self) -> list[dict[str, Any]]:
        return [
            {
                "action": item.action.value,
                "id": item.id,
                "alarm": None if item.alarm is None else json.loads(item.alarm.raw),
            }
            for item in self.line
            if not isinstance(item, Gap)
        ]

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.line if isinstance(item, Gap)]


class Disk(MemoryCheckpoint):
    """Keeps what is written, until the process that writes is killed: at a chosen write, or from outside."""

    def __init__(self, consumer: Consumer, records: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.records = dict(records or {})
        self.consumer = consumer
        self.life = anyio.CancelScope()
        self.dead = False
        self.kill_before: int | None = None
        self.kill_after: int | None = None
        self.slow = 0.0

    def kill(self) -> None:
        self.dead = True
        self.life.cancel()

    async def save(self, records: Mapping[str, str | None]) -> None:
        handled = self.consumer.handled
        if self.saves == self.kill_before:
            self.kill()
        if self.slow:
            await anyio.sleep(self.slow)
        if self.dead:
            return
        await super().save(records)
        self.consumer.kept = handled
        self.consumer.begun = True
        if self.saves == self.kill_after:
            self.kill()
            await anyio.lowlevel.checkpoint()


@dataclass
class Result:
    """What the lives came to."""

    seed: int
    lost: list[Any] = field(default_factory=list)
    forgotten: list[Any] = field(default_factory=list)
    duplicated: list[Any] = field(default_factory=list)
    untold: int = 0
    error: BaseException | None = None
    lives: int = 0
    repeated: int = 0
    changes: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.forgotten or self.duplicated or self.untold or self.error)


async def simulate(seed: int) -> Result:
    """Some minutes of trouble, in which the consumer dies again and again in every way."""
    rng = random.Random(seed)
    result = Result(seed)
    recovery = RecoveryPolicy(page_size=rng.choice((7, 50, 2000)))
    taste: dict[str, Any] = {
        "snapshot": rng.choice((True, True, "all")),
        "overflow": rng.choice(("recover", "conflate")),
        "buffer": rng.choice((20, 200, 5000)),
        "transport": rng.choice(("auto", "long-polling", "polling")),
    }
    consumer = Consumer()
    records: dict[str, str] = {}
    async with tenant(**settings(rng)) as site:
        writers = Writers(site, random.Random(seed + 1), 6.0)
        for _ in range(20):
            writers.write()
        faults = FAULTS if rng.random() < 0.5 else ()
        done = anyio.Event()

        async def live() -> None:
            nonlocal records
            last = False
            while result.error is None and not last:
                last = done.is_set()
                disk = await _life(site, consumer, records, rng, recovery, taste, done, result)
                records = disk.records
                result.lives += 1
                await anyio.sleep(rng.choice((0.0, 1.0, 20.0, 200.0)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            await until(lambda: consumer.begun, 1000)  # until then it was killed before it could begin
            await anyio.sleep(1)
            start = site.emulator.ledger.seq
            async with anyio.create_task_group() as work:
                work.start_soon(writers.work)
                if faults:
                    await trouble(site, random.Random(seed + 2), faults)
                else:
                    await anyio.sleep(900)
                work.cancel_scope.cancel()
            site.emulator.faults.clear()
            done.set()
            await until(lambda: not _wrong(site, consumer, start), RECONCILE + 2 * RECOVERY_TIME, step=5)
            # Of an alarm that was first given after the last write, and deleted before the next life (or
            # cleared, on a server that tells no lastUpdated), there is no trace: the documentation says so.
            stamped = site.emulator.settings.behaviour.last_updated
            result.lost = [
                wrong
                for wrong in lost(site, consumer.seen, start)
                if (stamped and wrong.expected is not None) or wrong.id not in consumer.unkept
            ]
            result.forgotten = _wrong(site, consumer, start)
            tasks.cancel_scope.cancel()
        result.duplicated = site.emulator.ledger.duplicates(consumer.changes())
        result.untold = max(0, result.lives - 1 - len(consumer.gaps)) if result.lives > 20 else 0
        result.repeated, result.changes = consumer.repeated, len(consumer.seen.changes)
    return result


def _wrong(site: Site, consumer: Consumer, start: int) -> list[Any]:
    """What is wrong for a consumer that keeps only what the checkpoint says is handled."""
    kept = Seen()
    for item in consumer.line:
        kept.take(item)
    return lost(site, kept, start)


async def _life(
    site: Site,
    consumer: Consumer,
    records: dict[str, str],
    rng: random.Random,
    recovery: RecoveryPolicy,
    taste: dict[str, Any],
    done: anyio.Event,
    result: Result,
) -> Disk:
    last = done.is_set()
    disk = Disk(consumer, records, every=rng.choice((0.0, 1.0, 10.0)))
    disk.slow = rng.choice((0.0, 0.0, 0.2))
    end = rng.choice(("timed", "before", "after", "closed", "error"))
    if not last:
        disk.kill_before = rng.randrange(12) if end == "before" else None
        disk.kill_after = rng.randrange(1, 12) if end == "after" else None
    pause = rng.choice((0.0, 0.0, 0.05, 2.0))
    try:
        with disk.life:
            async with site.client(recovery=recovery, open_timeout=None) as client:  # noqa: SIM117
                async with client.alarms.changes(checkpoint=disk, **taste) as stream:
                    with anyio.move_on_after(rng.expovariate(1 / 60)) as limit:
                        if last:
                            limit.deadline = float("inf")
                        await consumer.follow(stream, disk, pause=pause, commit=rng.random() < 0.1)
                    if end in ("timed", "before", "after"):
                        disk.kill()
                        await anyio.lowlevel.checkpoint()
                    consumer.handled = len(consumer.line) if end == "closed" else consumer.handled
                    if end == "error":
                        raise KeyError
    except (KeyError, StatusError) as error:  # a supervisor starts it again
        result.error = error if last else None
    except Exception as error:  # noqa: BLE001 - it is what the test is about
        result.error = error
    consumer.crashed()
    return disk


def run(seed: int, loop: str) -> Result:
    """Run one seed on a loop of its own; on trio the seed also draws the order in which tasks run."""
    backend, options = virtual_backend(loop)
    with tasks_ordered_by(seed) if loop == "trio" else nullcontext():
        return anyio.run(simulate, seed, backend=backend, backend_options=options)


def main() -> None:
    parser = argparse.ArgumentParser(description="simulated lives of a consumer")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--loop", default="asyncio")
    options = parser.parse_args()
    bad = lives = repeated = changes = 0
    logging.getLogger("tocsin").setLevel(logging.ERROR)
    for seed in range(options.first, options.first + options.seeds):
        found = run(seed, options.loop)
        lives, repeated, changes = lives + found.lives, repeated + found.repeated, changes + found.changes
        if not found.good:
            bad += 1
            print(
                f"seed {seed}: lost {len(found.lost)}, forgotten {len(found.forgotten)},"
                f" duplicated {len(found.duplicated)}, untold {found.untold}, {found.error!r}"
            )
    print(f"{bad} of {options.seeds} seeds went wrong; {lives} lives, {repeated} of {changes} repeated")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
