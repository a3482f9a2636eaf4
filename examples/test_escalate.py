"""Tests the daemon of escalate.py: a platform in process, its bad days on order, ten minutes in no time.

pip install 'tocsin[emulator]' pytest trio
pytest examples/test_escalate.py
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from escalate import escalate

from tocsin import Cumulocity
from tocsin.cumulocity import BasicAuth
from tocsin.emulator import Emulator, Fault
from tocsin.testing import VirtualWallClock, in_process, virtual_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tocsin.cumulocity import Alarm

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both event loops, under a clock that jumps to the next timer when nobody can do anything."""
    return virtual_backend(request.param)


class Site:
    """A platform, the daemon that follows it, and whom it called."""

    def __init__(self) -> None:
        self.emulator = Emulator(clock=VirtualWallClock())
        self.emulator.store.add_device(id="4711")
        self.called: list[str | None] = []

    def alarm(self, text: str, severity: str = "CRITICAL") -> str:
        """A device raises an alarm."""
        fields = {"type": f"acme_{text}", "text": text, "severity": severity, "source": {"id": "4711"}}
        return str(self.emulator.store.create(fields)["id"])

    async def call(self, alarm: Alarm) -> None:
        """Takes the daemon's call."""
        self.called.append(alarm.text)


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    """A site whose daemon runs for as long as the block."""
    site = Site()
    async with in_process(site.emulator) as server:
        auth = BasicAuth("demo", "demo", tenant="t1")
        async with Cumulocity(server.url, auth, transport_factory=server.transport_factory) as c8y:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(escalate, c8y, site.call)
                await anyio.sleep(5)
                yield site
                tasks.cancel_scope.cancel()


async def test_somebody_is_called_after_ten_minutes_and_not_before() -> None:
    async with running() as site:
        site.alarm("Fire")
        site.alarm("Draught", "MINOR")
        await anyio.sleep(590)
        assert site.called == []
        await anyio.sleep(20)
        assert site.called == ["Fire"]
        await anyio.sleep(3600)
        assert site.called == ["Fire"]


async def test_nobody_is_called_for_what_was_acknowledged_in_time() -> None:
    async with running() as site:
        fire = site.alarm("Fire")
        await anyio.sleep(300)
        site.emulator.store.update(fire, {"status": "ACKNOWLEDGED"})
        await anyio.sleep(3600)
        assert site.called == []


async def test_an_alarm_raised_while_the_platform_cannot_be_reached_is_not_forgotten() -> None:
    async with running() as site:
        site.emulator.go_down()
        site.alarm("Fire")
        await anyio.sleep(120)
        site.emulator.come_up()
        await anyio.sleep(720)
        assert site.called == ["Fire"]


async def test_an_acknowledgement_that_no_message_told_counts_too() -> None:
    async with running() as site:
        fire = site.alarm("Fire")
        await anyio.sleep(60)
        site.emulator.faults.add(Fault("lose", channel="/alarms/*", times=None))
        site.emulator.store.update(fire, {"status": "ACKNOWLEDGED"})
        await anyio.sleep(3600)
        assert site.called == []
