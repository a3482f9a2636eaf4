"""An examination of an emulated tenant, in virtual time."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio

from tocsin import Cumulocity
from tocsin._doctor._visit import VisitOptions
from tocsin.cumulocity import BasicAuth
from tocsin.cumulocity._doctor._examine import PROBES, Examination
from tocsin.emulator import Emulator
from tocsin.testing import VirtualWallClock, in_process

PASSWORD = "canary-password-4Kz"
TEST_TYPE = "tocsin_DoctorTest_"
BY_NAME = {probe.name: probe for probe in PROBES}


class Clinic:
    """An emulator, a client, and what an examination found."""

    def __init__(self, emulator, server, client, wall):
        self.emulator = emulator
        self.server = server
        self.client = client
        self.wall = wall
        self.ahead = timedelta()

    def examination(self, *names, **options):
        """Of some questions, or of all."""
        given = {"source": "4711", "write": True, **options}
        probes = [BY_NAME[name] for name in names] or PROBES
        return Examination(
            self.client,
            VisitOptions(**given),
            probes=probes,
            wall=lambda: self.wall() + self.ahead,
            rng=random.Random(7),
        )

    async def ask(self, *names, **options):
        """The findings by name."""
        examination = self.examination(*names, **options)
        await examination.run(ignore)
        assert examination.complete
        return {finding.probe.name: finding for finding in examination.findings}

    def tests(self):
        """The test alarms that are there."""
        return [alarm for alarm in self.emulator.store.alarms() if alarm["type"].startswith(TEST_TYPE)]


async def ignore(_):
    """Findings are kept by the examination too."""


@asynccontextmanager
async def clinic(*, alarms=4, user="demo", kind="full", sources=(), device="4711", **options):
    wall = VirtualWallClock()
    emulator = Emulator(clock=wall, rng=random.Random(3), base_url="http://127.0.0.1:8111", **options)
    emulator.access.add_user(user, PASSWORD, kind, sources=frozenset(sources))
    emulator.store.add_device(id="4711")
    for number in range(alarms):
        alarm = {"type": f"acme_{number}", "source": device, "text": f"alarm {number}"}
        emulator.store.create({**alarm, "status": "CLEARED" if number == 1 else "ACTIVE"})
        await anyio.sleep(1.007)
    async with in_process(emulator) as server:
        auth = BasicAuth(user, PASSWORD, tenant="t1")
        client = Cumulocity(server.url, auth, transport_factory=server.transport_factory, clock=wall)
        async with client:
            yield Clinic(emulator, server, client, wall)
