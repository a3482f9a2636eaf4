"""A quarter of an hour of a bad network and a bad server in a second or two, with the default policies.

    PYTHONPATH=tests python -m emulated.simulation --seeds 100

runs many and prints those that went wrong. Under the virtual clock a seed on asyncio always does the same.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from emulated.following import Seen, Site, following, tenant, until
from tocsin import RecoveryPolicy
from tocsin.emulator import BayeuxSettings, Behaviour, Fault
from tocsin.testing import virtual_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RECOVERY_TIME = 45 + 60 + 30 + 30
RECONCILE = 900.0
SPAN = 900.0
"""Virtual seconds of trouble."""

FAULTS = (
    Fault("forget", channel="/meta/connect"),
    Fault("forget", channel="/meta/connect", advise=False),
    Fault("forget", channel="/meta/subscribe", advise=False),
    Fault("lose", channel="/alarms/*", times=3),
    Fault("duplicate", channel="/alarms/*", times=3),
    Fault("garble", channel="/alarms/*", times=2),
    Fault("status", path="/alarm/*", status=503, times=5),
    Fault("status", path="/alarm/*", status=429, retry_after="20", times=2),
    Fault("status", path="/alarm/*", status=401, times=1),
    Fault("status", path="/alarm/*", status=403, times=1),
    Fault("status", path="/alarm/alarms/*", status=404, body="<html>not here</html>", times=2),
    Fault("cut", path="/alarm/*", size=300, times=3),
    Fault("silence", path="/alarm/*", size=100, times=1),
    Fault("body", path="/alarm/*", body='{"alarms":[]}', times=1, method="GET", query="withTotal"),
    Fault("delay", path="/alarm/*", seconds=12, times=2),
    Fault("drip", path="/alarm/*", seconds=0.2, size=200, times=1),
    Fault("status", path="/notification/*", status=502, body="<html>Bad Gateway</html>", times=3),
    Fault("status", path="/notification/*", status=429, retry_after="30", times=1),
    Fault("body", path="/notification/*", body="[{", times=2),
    Fault("body", path="/notification/*", body="", times=2),
    Fault("drop", path="/notification/*", when="reply", times=2),
    Fault("hang", path="/notification/*", times=1),
)


LIES = (
    Fault("reorder", channel="/alarms/*", times=3),
    Fault("stale", path="/alarm/*", seconds=20, times=3),
)
"""A platform whose nodes disagree: the order of changes cannot be known, but the end must still be right."""


@dataclass
class Outcome:
    """What one simulated quarter of an hour came to."""

    seed: int
    lost: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    duplicated: list[Any] = field(default_factory=list)
    error: Exception | None = None
    gaps: int = 0
    changes: int = 0
    requests: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.late or self.duplicated or self.error)


def settings(rng: random.Random) -> dict[str, Any]:
    """A platform of one of the many kinds that there are."""
    return {
        "profile": rng.choice(("current", "seed")),
        "bayeux": BayeuxSettings(
            live_last_updated=rng.random() < 0.7,
            array_data=rng.random() < 0.2,
            null_data=rng.random() < 0.5,
            delete_shape=rng.choice(("string", "number", "object")),
            copy_per_subscription=rng.random() < 0.2,
            heartbeat=rng.choice((None, 10.0)),
            notification_path=rng.random() < 0.9,
        ),
        "behaviour": Behaviour(
            bump_last_updated_on_repeat=rng.random() < 0.7,
            next_after_full_page=rng.random() < 0.5,
            misspelt_first_occurrence=rng.random() < 0.2,
            last_updated=rng.random() < 0.85,
        ),
    }


class Writers:
    """Users and devices: a burst of writes every few seconds."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._store = site.emulator.store
        self._rng = rng
        self._number = 0

    async def work(self) -> None:
        while True:
            for _ in range(self._rng.choice((1, 1, 2, 3, 8))):
                self.write()
                await anyio.sleep(self._rng.choice((0.001, 0.002, 0.05)))
            await anyio.sleep(self._rng.expovariate(1 / 6))

    def write(self) -> None:
        rng, store = self._rng, self._store
        self._number += 1
        alarms = store.alarms()
        opened = [alarm for alarm in alarms if alarm["status"] != "CLEARED"]
        if len(opened) < 5 or rng.random() < 0.25:
            store.create({"type": f"acme_{self._number}", "source": str(4711 + rng.randrange(3))})
            return
        alarm = rng.choice(opened)
        match rng.choices(range(7), weights=(25, 10, 10, 20, 10, 8, 4))[0]:
            case 0:
                store.update(alarm["id"], {"text": f"text {rng.randrange(3)}"})
            case 1:
                store.update(alarm["id"], {"severity": rng.choice(("CRITICAL", "MINOR"))})
            case 2:
                store.update(alarm["id"], {"status": "ACKNOWLEDGED"})
            case 3:
                store.update(alarm["id"], {"status": "CLEARED"})
            case 4:
                store.create({"type": alarm["type"], "source": alarm["source"]["id"], "text": "again"})
            case 5:
                store.remove(rng.choice(alarms)["id"])
            case _:
                store.update(alarm["id"], {"acme_Note": {"number": self._number}}, silent=True)


async def trouble(site: Site, rng: random.Random, faults: Sequence[Fault]) -> None:
    """Something goes wrong every minute or so."""
    emulator = site.emulator
    accidents: list[Callable[[], Any]] = [
        emulator.restart,
        emulator.silence_polls,
        emulator.forget_sessions,
        emulator.drop_polls,
        lambda: emulator.drop_polls(lose=True),
        lambda: emulator.forget_sessions(advise=False),
    ]
    with anyio.move_on_after(SPAN):
        while True:
            await anyio.sleep(rng.expovariate(1 / 45))
            if rng.random() < 0.15:
                emulator.go_down()
                await anyio.sleep(rng.choice((1, 5, 30, 120)))
                emulator.come_up()
            elif rng.random() < 0.4:
                rng.choice(accidents)()
            else:
                emulator.faults.add(rng.choice(faults))
    emulator.come_up()
    emulator.faults.clear()


async def simulate(seed: int) -> Outcome:
    """Follow one platform through its bad quarter of an hour; with odd seeds it also lies about the order."""
    rng = random.Random(seed)
    outcome = Outcome(seed)
    lies = seed % 2 == 1
    recovery = RecoveryPolicy(page_size=rng.choice((7, 50, 2000)))
    taste: dict[str, Any] = {
        "snapshot": rng.choice((True, "all")),
        "overflow": rng.choice(("recover", "recover", "conflate")),
        "buffer": rng.choice((20, 200, 5000)),
    }
    pause = rng.choice((0.0, 0.0, 0.5, 5.0))
    async with tenant(**settings(rng)) as site, site.client(recovery=recovery) as client:
        writers = Writers(site, random.Random(seed + 1))
        for _ in range(30):
            writers.write()
        start = site.emulator.ledger.seq
        async with following(client.alarms.changes(**taste), pause=pause) as seen:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(writers.work)
                await trouble(site, random.Random(seed + 2), FAULTS + LIES if lies else FAULTS)
                tasks.cancel_scope.cancel()
            await until(lambda: not late(site, seen, start), RECOVERY_TIME, step=1)
            outcome.late = late(site, seen, start)
            await until(lambda: not lost(site, seen, start), RECONCILE + RECOVERY_TIME, step=5)
            outcome.lost = lost(site, seen, start)
            outcome.duplicated = [] if lies else site.twice(seen)
            outcome.error = seen.error
            outcome.gaps, outcome.changes = len(seen.gaps), len(seen.changes)
            outcome.requests = site.requests()
    return outcome


def lost(site: Site, seen: Seen, start: int) -> list[Any]:
    """The alarms that the consumer has wrong."""
    wrong = site.wrong(seen)
    if not site.emulator.settings.behaviour.last_updated:
        # Such a server can only be asked for its open alarms: what was raised and cleared within a gap, or
        # deleted after it was cleared, cannot be found.
        return [found for found in wrong if found.expected or (found.got or {}).get("status") != "CLEARED"]
    return wrong or site.wrong(seen, since=start)


def late(site: Site, seen: Seen, start: int) -> list[Any]:
    """What is wrong but for what only a reconcile pass can find: deletions, silent repeats."""
    behaviour = site.emulator.settings.behaviour
    if not behaviour.bump_last_updated_on_repeat or not behaviour.last_updated:
        return []
    return [found for found in lost(site, seen, start) if found.expected is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description="simulated quarters of an hour")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--loop", default="asyncio")
    options = parser.parse_args()
    bad = 0
    for seed in range(options.first, options.first + options.seeds):
        backend, backend_options = virtual_backend(options.loop)
        found = anyio.run(simulate, seed, backend=backend, backend_options=backend_options)
        if not found.good:
            bad += 1
            print(f"seed {seed}: {len(found.lost)} lost, {len(found.late)} late, {found.error!r}", end=" ")
            print(f"{len(found.duplicated)} duplicated of {found.changes}, {found.gaps} gaps")
    print(f"{bad} of {options.seeds} seeds went wrong")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
