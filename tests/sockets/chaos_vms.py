"""Who takes part in chaos around XProtect: an emulated site, its operators, a client in a hurry."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from sockets.chaos_world import RECONNECT, RECOVERY, TIMEOUTS
from tocsin import RetryPolicy, XProtect
from tocsin._stream._channel_terms import ChannelSettings
from tocsin.emulator import Fault, XProtectEmulator, XProtectSettings
from tocsin.xprotect import BasicUser
from tocsin.xprotect.events._filters import EventFilter, wire_filters
from tocsin.xprotect.events._line import LineSettings
from tocsin.xprotect.events._reader import EventReader
from tocsin.xprotect.events._session import SessionTimes
from tocsin.xprotect.events.stream import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable

REST, ALARM, SOCKET = "/api/rest/*", "/api/rest/v1/alarms*", "/api/ws/*"
MOTION = ("6eb95dd6-7ccc-4bce-99f8-af0d0b582d77", "6f55a7a7-d21c-4629-ac18-af1975e395a2")

LINE = LineSettings(
    channel=ChannelSettings(open_within=1.0, ping_every=0.4, pong_within=0.6, send_within=1.0),
    session=SessionTimes(reply_within=1.0, state_within=2.0, state_again=0.3, quiet=2.0, lag=2.0),
)

FAULTS = (
    Fault("status", path=REST, status=503, times=2),
    Fault("status", path=REST, status=500, body="<html>down</html>", times=1),
    Fault("status", path=REST, status=429, retry_after="1", times=1),
    Fault("status", path="/api/rest/v1/alarms/*", status=404, body="<html>not here</html>", times=3),
    Fault("body", path=REST, body="<html>log in</html>", content_type="text/html", times=2),
    Fault("cut", path=ALARM, size=300, times=2),
    Fault("silence", path=ALARM, size=100, times=1),
    Fault("stale", path=ALARM, seconds=0.4, times=2),
    Fault("delay", path=REST, seconds=0.5, times=2),
    Fault("drop", path=REST, when="reply", times=2),
    Fault("hang", path=REST, times=1),
    Fault("status", path=REST, status=401, times=1),
    Fault("status", path=SOCKET, status=503, times=1),
    Fault("status", path=SOCKET, status=500, times=1),
    Fault("status", path=SOCKET, status=401, times=1),
    Fault("hang", path=SOCKET, method="FRAME", times=1),
    Fault("drop", path=SOCKET, method="FRAME", times=1),
    Fault("cut", path=SOCKET, size=700, times=1),
    Fault("silence", path=SOCKET, size=700, times=1),
    Fault("drip", path=SOCKET, size=50, seconds=0.002, times=1),
    Fault("reject", channel="getState", error="503::busy", times=1),
    Fault("reject", channel="addSubscription", error="503::busy", times=1),
    Fault("reject", channel="startSession", error="500::no", times=1),
    Fault("duplicate", channel="cameras/*", times=3),
    Fault("garble", channel="cameras/*", times=2),
)
"""Events that the server itself loses without a word are not among them: nobody could know."""


def accidents(emulator: XProtectEmulator) -> dict[str, Callable[[], Any]]:
    """What else happens: servers restart, tokens expire, sessions and sockets vanish."""
    return {
        "tokens expire": emulator.access.expire_tokens,
        "tokens revoked": emulator.access.revoke_tokens,
        "restart": emulator.restart,
        "lost with the socket": lambda: emulator.drop_sockets(lose=True),
        "reset sockets": lambda: emulator.drop_sockets(reset=True),
        "silent sockets": emulator.silence_sockets,
        "sessions forgotten": emulator.forget_sessions,
        "deaf sessions": lambda: emulator.forget_sessions(tell=False),
    }


class Operators:
    """Operators raise, change, close, reopen and remove alarms; cameras see things.

    Attributes:
        raised: Each event: its id and when it happened.
    """

    def __init__(self, emulator: XProtectEmulator, rng: random.Random) -> None:
        self._emulator = emulator
        self._store = emulator.store
        self._rng = rng
        self._number = 0
        self._panic = next(iter(self._store.site.items["alarmDefinitions"].values()))["eventType"]
        self._cameras = list(self._store.site.items["cameras"])
        self.writes = 0
        self.raised: list[tuple[str, Any]] = []

    async def work(self) -> None:
        while True:
            for _ in range(self._rng.choice((1, 1, 1, 2, 5))):
                self.write()
                if self._rng.random() < 0.5:
                    self.happen()
            await anyio.sleep(self._rng.uniform(0.002, 0.06))

    def happen(self) -> None:
        """A camera sees something, or somebody presses the button, which makes an alarm."""
        clock = self._emulator.clock
        with self._store.lock:
            if self._rng.random() < 0.1:
                made = self._store.raise_event(self._panic)
                self.writes += 1
            else:
                source = f"cameras/{self._rng.choice(self._cameras)}"
                made = self._store.raise_event(self._rng.choice(MOTION), source)
            self.raised.append((made["id"].lower(), clock.now()))

    def write(self) -> None:
        rng, store = self._rng, self._store
        self.writes += 1
        self._number += 1
        alarms = store.alarms()
        opened = [alarm for alarm in alarms if alarm["state"]["level"] != 11]
        if len(opened) < 10 or rng.random() < 0.3:
            source = rng.choice(self._cameras) if rng.random() < 0.8 else None
            store.create({"name": f"alarm {self._number}", **({"source": source} if source else {})})
            return
        alarm = rng.choice(opened)["id"]
        match rng.choices(range(6), weights=(20, 20, 10, 20, 7, 5))[0]:
            case 0:
                store.update(alarm, {"priority": rng.choice((1, 2, 3))})
            case 1:
                store.update(alarm, {"state": rng.choice((1, 4, 9))})
            case 2:
                store.update(alarm, {"assignedTo.displayName": f"operator {self._number}"})
            case 3:
                store.close(alarm)
            case 4:
                store.remove(rng.choice(alarms)["id"])
            case _:
                store.update(rng.choice(alarms)["id"], {"state": 1})  # a closed one is opened again


def make_vms(seed: int) -> XProtectEmulator:
    """Seeds differ in discovery, pages, lag, sessions and the life of tokens."""
    return XProtectEmulator(
        rng=random.Random(seed),
        settings=XProtectSettings(
            discovery=("here", "absent", "internal")[seed % 3],
            token_lifetime=(20.0, 3600.0)[seed // 2 % 2],
            visible_after=(0.0, 0.3)[seed // 4 % 2],
            page_size_max=(2000, 50)[seed // 3 % 2],
            resume_window=(30.0, 0.3)[seed // 5 % 2],
            eager_resume=seed % 4 == 3,
            lock_after=None,
        ),
    )


def make_xprotect(url: str, seed: int) -> XProtect:
    return XProtect(
        url,
        BasicUser("demo", "demo"),
        timeouts=TIMEOUTS,
        retry=RetryPolicy(attempts=3, total=2.0, wait_initial=0.05, wait_max=0.3, retry_after_max=1.0),
        reconnect=RECONNECT,
        recovery=replace(RECOVERY, look_pause=0.1),
        rng=random.Random(seed),
    )


def live_events(client: XProtect, emulator: XProtectEmulator, buffer: int) -> EventStream:
    """The stream that `client.events.live()` makes, in a hurry."""
    window = emulator.settings.resume_window
    settings = replace(LINE, session=replace(LINE.session, window=window))
    following = client._following
    reader = EventReader(
        following, wire_filters([EventFilter()]), state=True, buffer=buffer, settings=settings
    )
    return EventStream(reader, following.owner, open_timeout=60.0, names=client.events.names)
