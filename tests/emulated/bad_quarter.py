"""A bad quarter of an hour on a platform of any kind: for runs that have a course of their own besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from emulated.simulation import SPAN
from tocsin.emulator import BayeuxSettings, Behaviour

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from emulated.following import Seen, Site
    from tocsin.emulator import Fault


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
            web_socket=rng.random() < 0.5,
        ),
        "behaviour": Behaviour(
            bump_last_updated_on_repeat=rng.random() < 0.7,
            next_after_full_page=rng.random() < 0.5,
            misspelt_first_occurrence=rng.random() < 0.2,
            last_updated=rng.random() < 0.85,
        ),
    }


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


def lost(site: Site, seen: Seen, start: int) -> list[Any]:
    """The alarms that the consumer has wrong."""
    wrong = site.wrong(seen)
    if not site.emulator.settings.behaviour.last_updated:
        # Such a server can only be asked for its open alarms: what was raised and cleared within a gap, or
        # deleted after it was cleared, cannot be found.
        return [found for found in wrong if found.expected or (found.got or {}).get("status") != "CLEARED"]
    return wrong or site.wrong(seen, since=start)
