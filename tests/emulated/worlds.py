"""Worlds to simulate: what kind of platform, which consumer, who writes, and all that goes wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from tocsin import RecoveryPolicy
from tocsin.emulator import BayeuxSettings, Behaviour, Fault, Limits, LoginSettings, Notification2Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulated.following import Site
    from emulated.network import Network
    from tocsin.emulator import Ordered

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
    Fault("status", path="/alarm/*", status=402, times=1),
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

BROKER_FAULTS = (
    *(fault for fault in FAULTS if fault.path is not None and fault.path.startswith("/alarm/")),
    Fault("lose", channel="*/alarms/*", times=3),
    Fault("duplicate", channel="*/alarms/*", times=3),
    Fault("garble", channel="*/alarms/*", times=2),
    Fault("status", path="/notification2/*", status=502, body="<html>Bad Gateway</html>", times=3),
    Fault("status", path="/notification2/*", status=429, retry_after="30", times=1),
    Fault("status", path="/notification2/consumer*", status=401, times=1),
    Fault("status", path="/notification2/consumer*", status=409, times=2),
    Fault("body", path="/notification2/token", body="[{", times=1),
    Fault("drop", path="/notification2/*", when="reply", times=2),
    Fault("hang", path="/notification2/consumer*", method="FRAME", times=5),
    Fault("cut", path="/notification2/consumer*", size=700, times=1),
    Fault("silence", path="/notification2/consumer*", size=700, times=1),
    Fault("drip", path="/notification2/consumer*", seconds=0.2, size=200, times=1),
)
"""Where Notification 2.0 is followed; `hang` passes over acknowledgements."""

LIES = (
    Fault("reorder", channel="/alarms/*", times=3),
    Fault("stale", path="/alarm/*", seconds=20, times=3),
)
"""A platform whose nodes disagree: the order of changes cannot be known, but the end must still be right."""

HIDING = {"lose", "garble", "reorder"}
"""Faults by which the server itself hides a state: what came after it may be all that anybody can know."""


@dataclass(frozen=True)
class World:
    """One platform, one consumer, one network."""

    seed: int
    lies: bool
    platform: dict[str, Any]
    login: bool
    page_size: int
    taste: dict[str, Any]
    pause: float
    latency: float
    calm: float
    """Mean seconds between two faults."""
    idle: float
    """Mean seconds between two bursts of writes."""
    jumps: bool
    """The clocks of both machines are set, forward and back."""

    @property
    def stamped(self) -> bool:
        return bool(self.platform["behaviour"].last_updated)

    @property
    def tells_twice(self) -> bool:
        """Whether a state that is given twice must be a mistake of ours.

        Not where the order is a lie, or where a durable queue brings an unstamped state again.
        """
        return not self.lies and (self.stamped or not self.durable)

    @property
    def tells_all(self) -> bool:
        """Whether every state that is not given must lie in a gap.

        Not where messages lack stamps, or stamps stand still: what is in doubt is settled by a read, and the
        read shows the latest state alone.
        """
        exact = self.stamped and self.platform["bayeux"].live_last_updated
        moves = self.platform["behaviour"].bump_last_updated_on_repeat
        odd = self.lies or self.jumps or self.taste["overflow"] != ("block" if self.durable else "recover")
        return bool(exact and moves and not odd)

    @property
    def durable(self) -> bool:
        return self.taste["transport"] == "notification2"


def draw(seed: int, transport: str) -> World:
    """The world of a seed; with odd seeds the platform also lies about the order."""
    rng = random.Random(seed)
    lies = seed % 2 == 1
    login = rng.random() < 0.35
    page_size = rng.choice((7, 50, 2000))
    platform = {
        "profile": rng.choice(("current", "seed")),
        "bayeux": BayeuxSettings(
            live_last_updated=rng.random() < 0.8,
            array_data=rng.random() < 0.2,
            null_data=rng.random() < 0.5,
            delete_shape=rng.choice(("string", "number", "object")),
            copy_per_subscription=rng.random() < 0.2,
            heartbeat=rng.choice((None, 10.0)),
            notification_path=rng.random() < 0.9,
        ),
        "behaviour": Behaviour(
            bump_last_updated_on_repeat=rng.random() < 0.8,
            next_after_full_page=rng.random() < 0.5,
            misspelt_first_occurrence=rng.random() < 0.2,
            last_updated=rng.random() < 0.9,
        ),
        "login": LoginSettings(lifetime=rng.choice((300.0, 3600.0)), basic=not login),
    }
    taste: dict[str, Any] = {
        "snapshot": rng.choice((True, "all")),
        "overflow": rng.choice(("recover", "recover", "recover", "conflate")),
        "buffer": rng.choice((20, 200, 5000)),
        "transport": transport,
    }
    if transport == "notification2":
        platform["notification2"] = Notification2Settings(
            delay=rng.choice((0.0, 3.0)),
            unacknowledged=rng.choice((20, 1000)),
            redeliver_after=rng.choice((None, 60.0)),
            lingering=rng.choice((0.0, 20.0)),
        )
        platform["limits"] = Limits(hang=300.0)
        taste["subscriber"] = "pager"
        taste["overflow"] = rng.choice(("recover", "block", "block", "conflate"))
    return World(
        seed,
        lies,
        platform,
        login,
        page_size,
        taste,
        pause=rng.choice((0.0, 0.0, 0.5, 5.0)),
        latency=rng.choice((0.002, 0.02, 0.15)),
        calm=rng.choice((45.0, 120.0, 300.0)),
        idle=rng.choice((6.0, 30.0, 120.0)),
        jumps=rng.random() < 0.2,
    )


def recovery(world: World) -> RecoveryPolicy:
    return RecoveryPolicy(page_size=world.page_size)


class Writers:
    """Users and devices: a burst of writes every few seconds."""

    def __init__(self, site: Site, rng: random.Random, idle: float) -> None:
        self._store = site.emulator.store
        self._rng = rng
        self._idle = idle
        self.writes = 0

    async def work(self) -> None:
        while True:
            for _ in range(self._rng.choice((1, 1, 2, 3, 8))):
                self.write()
                await anyio.sleep(self._rng.choice((0.001, 0.002, 0.05)))
            await anyio.sleep(self._rng.expovariate(1 / self._idle))

    def write(self) -> None:
        rng, store = self._rng, self._store
        self.writes += 1
        alarms = store.alarms()
        opened = [alarm for alarm in alarms if alarm["status"] != "CLEARED"]
        if len(opened) < 5 or (rng.random() < 0.25 and len(opened) < 60):
            store.create({"type": f"acme_{self.writes}", "source": str(4711 + rng.randrange(3))})
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
                store.update(alarm["id"], {"acme_Note": {"number": self.writes}}, silent=True)


@dataclass
class Trouble:
    """All that goes wrong, one thing after another.

    Attributes:
        counts: How often each thing happened.
        orders: The faults that the server was ordered to have.
    """

    site: Site
    network: Network
    world: World
    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    orders: list[Ordered] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        emulator = self.site.emulator
        with anyio.move_on_after(seconds):
            while True:
                await anyio.sleep(self.rng.expovariate(1 / self.world.calm))
                await self.accident()
        emulator.come_up()
        emulator.faults.clear()
        self.network.clear()

    @property
    def hidden(self) -> int:
        """How many states the server itself may have hidden."""
        return sum(order.fired for order in self.orders if order.fault.kind in HIDING)

    async def accident(self) -> None:
        rng, emulator, network = self.rng, self.site.emulator, self.network
        roll = rng.random()
        if roll < 0.10:
            self.note("down")
            emulator.go_down()
            await anyio.sleep(rng.choice((1, 5, 30, 120)))
            emulator.come_up()
            return
        if roll < 0.50:
            usual = BROKER_FAULTS if self.world.durable else FAULTS
            fault = rng.choice(usual + LIES if self.world.lies else usual)
            self.note(f"server: {fault.kind}" + (f" {fault.status}" if fault.kind == "status" else ""))
            self.orders.append(emulator.faults.add(fault))
            return
        accidents: dict[str, Callable[[], Any]] = {
            "restart": emulator.restart,
            "silent polls": emulator.silence_polls,
            "forget": emulator.forget_sessions,
            "forget, unadvised": lambda: emulator.forget_sessions(advise=False),
            "drop": emulator.drop_polls,
            "lose": lambda: emulator.drop_polls(lose=True),
            "freeze": lambda: network.freeze(rng.choice((1, 8, 40, 90))),
            "slow": lambda: network.slow_down(rng.choice((20, 90))),
            "no answer": lambda: network.swallow(rng.choice((5, 60))),
            "half open": network.half_open,
            "cut all": network.cut_all,
            "cut at a byte": lambda: [network.cut_next() for _ in range(rng.choice((1, 4, 12)))],
        }
        if self.world.durable:
            accidents["consumer's tokens expire"] = emulator.expire_notification_tokens
            accidents["lost with the socket"] = lambda: emulator.drop_sockets(lose=True)
            accidents["silent sockets"] = emulator.silence_sockets
        if self.world.login:
            accidents["tokens expire"] = emulator.access.expire_tokens
        if self.world.jumps:
            accidents["server's clock"] = lambda: self.site.wall.jump(rng.choice((-3600, -30, 30, 3600)))
            accidents["client's clock"] = lambda: self.site.ours.jump(rng.choice((-3600, -30, 30, 3600)))
        name = rng.choice(list(accidents))
        self.note(name)
        accidents[name]()

    def note(self, name: str) -> None:
        self.counts[name] += 1
        self.network.log.note("!", name)
