"""Who takes part in chaos on real sockets: an emulator, its users, and a client in a hurry."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio

from tocsin import Cumulocity, ReconnectPolicy, RecoveryPolicy, RetryPolicy
from tocsin._http._request import Timeouts
from tocsin.cumulocity import BasicAuth, OAuthInternal
from tocsin.emulator import BayeuxSettings, Behaviour, Emulator, Fault, Limits, Notification2Settings

if TYPE_CHECKING:
    from collections.abc import Callable

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
    Fault("status", path="/notification/*", status=429, retry_after="1", times=1),
    Fault("status", path="/alarm/*", status=401, times=1),
    Fault("status", path="/alarm/*", status=402, times=1),
    Fault("status", path="/alarm/*", status=403, times=1),
    Fault("reject", channel="/meta/connect", error="402::Unknown client", times=1),
)

BROKER_FAULTS = (
    *(fault for fault in SERVER_FAULTS if fault.path == "/alarm/*"),
    Fault("lose", channel="*/alarms/*", times=3),
    Fault("duplicate", channel="*/alarms/*", times=3),
    Fault("reorder", channel="*/alarms/*", times=3),
    Fault("garble", channel="*/alarms/*", times=2),
    Fault("status", path="/notification2/*", status=502, body="<html>Bad Gateway</html>", times=1),
    Fault("status", path="/notification2/*", status=429, retry_after="1", times=1),
    Fault("status", path="/notification2/consumer*", status=401, times=1),
    Fault("status", path="/notification2/consumer*", status=409, times=1),
    Fault("drop", path="/notification2/token", when="reply", times=1),
    Fault("hang", path="/notification2/consumer*", method="FRAME", times=5),
    Fault("drop", path="/notification2/consumer*", method="FRAME", times=1),
    Fault("cut", path="/notification2/consumer*", size=700, times=1),
    Fault("silence", path="/notification2/consumer*", size=700, times=1),
    Fault("drip", path="/notification2/consumer*", size=50, seconds=0.002, times=1),
)
"""With Notification 2.0; `hang` passes over acknowledgements, `drop` ends the socket at one."""


def broker_accidents(emulator: Emulator, seed: int) -> dict[str, Callable[[], Any]]:
    """What else happens to Notification 2.0: servers restart, and others end subscriptions and consumers."""
    broker, lock = emulator.broker, emulator.store.lock

    def unfeed() -> None:
        with lock:
            broker.subscriptions.clear()

    def unsubscribe() -> None:
        with lock:
            for topic, name in list(broker._subscribers):
                broker.unsubscribe(topic, name)

    accidents: dict[str, Callable[[], Any]] = {
        "tokens expire": emulator.expire_notification_tokens,
        "restart": emulator.restart,
        "lost with the socket": lambda: emulator.drop_sockets(lose=True),
        "silent sockets": emulator.silence_sockets,
    }
    if others_meddle(seed):
        accidents |= {"subscriptions deleted": unfeed, "consumer ended by others": unsubscribe}
    return accidents


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
        limits=Limits(hang=2.0),
        notification2=Notification2Settings(
            delay=0.3 if seed % 4 > 1 else 0.0,
            unacknowledged=20 if seed % 3 == 1 else 1000,
            redeliver_after=0.5 if seed % 3 == 2 else None,
            idle=1.0,
            lingering=0.7 if seed % 8 in (3, 6) else 0.0,
            header_lines=("more",) if seed % 5 == 2 else (),
        ),
    )


def logs_in(seed: int) -> bool:
    """Whether the client of a seed has a token, which may expire; the others send a password."""
    return seed % 5 in (1, 4)


def others_meddle(seed: int) -> bool:
    """Whether others end what a seed's consumer lives on: what is written then is in no backlog."""
    return seed % 4 in (1, 2)


def durable_taste(seed: int) -> dict[str, Any]:
    """How the consumer of a seed takes Notification 2.0."""
    overflow = ("recover", "block", "conflate")[seed // 2 % 3]
    return {"subscriber": "pager", "overflow": overflow, "buffer": (20, 5000)[seed // 6 % 2]}


def make_client(url: str, seed: int) -> Cumulocity:
    auth = OAuthInternal if logs_in(seed) else BasicAuth
    return Cumulocity(
        url,
        auth("demo", "demo", tenant="t1"),
        timeouts=TIMEOUTS,
        retry=RetryPolicy(attempts=3, total=2.0, wait_initial=0.05, wait_max=0.3, retry_after_max=1.0),
        reconnect=RECONNECT,
        recovery=RECOVERY,
        advice_timeout=0.6,
        liveness=1.2,
        rng=random.Random(seed),
    )
