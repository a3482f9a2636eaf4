"""Events and states of the emulated XProtect, as users of the client follow them."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager

import anyio
import pytest

from tocsin.emulator import XProtectEmulator
from tocsin.models import Gap
from tocsin.testing import VirtualWallClock, in_process
from tocsin.xprotect import BasicUser, XProtect
from tocsin.xprotect.events import StateEvent

pytestmark = pytest.mark.virtual_time

MOTION = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
STILL = "6f55a7a7-d21c-4629-ac18-af1975e395a2"


@asynccontextmanager
async def following():
    clock = VirtualWallClock()
    emulator = XProtectEmulator(clock=clock, rng=random.Random(5))
    async with in_process(emulator) as server:
        client = XProtect(
            server.url, BasicUser("demo", "demo"), transport_factory=server.transport_factory,
            clock=clock, rng=random.Random(6),
        )  # fmt: skip
        async with client:
            yield emulator, server, client


def cameras(emulator: XProtectEmulator) -> list[str]:
    return [f"cameras/{camera}" for camera in emulator.store.site.items["cameras"]]


def fold(items) -> dict[tuple[str, str], str]:
    """The state of the site, as its users keep it."""
    return {(item.source, item.state_group_id): item.type for item in items if item.state_group_id}


async def test_the_state_is_known_whatever_happens_to_the_connection():
    async with following() as (emulator, server, client), client.events.live() as stream:
        items, gaps, raised = [], 0, []
        rng = random.Random(8)

        async def follow() -> None:
            nonlocal gaps
            async for item in stream:
                if isinstance(item, Gap):
                    gaps += 1
                else:
                    items.append(item)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await stream.wait_state()
            for number in range(300):
                kind = rng.choice([MOTION, STILL])
                raised.append(emulator.store.raise_event(kind, rng.choice(cameras(emulator)))["id"])
                await anyio.sleep(rng.random())
                if number % 40 == 20:
                    server.cut()
                if number == 150:
                    assert gaps == 0  # short breaks lose nothing
                    emulator.access.expire_tokens()
                    emulator.forget()
                    server.cut()
            await anyio.sleep(60)
            tasks.cancel_scope.cancel()
        events = [item.id for item in items if not isinstance(item, StateEvent)]
        assert len(events) == len(set(events))
        assert [one for one in raised if one in set(events)] == events  # in order
        assert events[:151] == raised[:151]
        assert gaps == 1
        now = {(one["source"], one["stategroupid"]): one["type"] for one in emulator.states()}
        assert fold(items).items() >= now.items()


async def test_names_and_hints():
    async with following() as (emulator, _, client), client.events.live() as stream:
        rung = 0

        def ring() -> None:
            nonlocal rung
            rung += 1

        async with client.events.hints(ring):
            state = await anext(stream)
            names = await stream.names.of(state)
            assert names.source == "Camera 1"
            assert all((names.type, names.state_group, names.state))
            with anyio.fail_after(30):
                while not rung:
                    await anyio.sleep(0.1)
            before = rung
            emulator.store.raise_event(MOTION, cameras(emulator)[0])  # makes no alarm
            await anyio.sleep(5)
            assert rung == before
            (button,) = (
                one["id"] for one in emulator.store.site.items["userDefinedEvents"].values()
                if one["name"] == "Panic button"
            )  # fmt: skip
            await client.events.trigger(button)
            await anyio.sleep(5)
            assert rung == before + 1


async def test_a_session_that_the_server_forgot_without_a_word_is_noticed():
    async with following() as (emulator, _, client), client.events.live() as stream:
        assert emulator.forget_sessions(tell=False) == 1
        emulator.store.raise_event(MOTION, cameras(emulator)[0])
        with anyio.fail_after(330):
            async for item in stream:
                if isinstance(item, Gap):
                    break
            states = [await anext(stream) for _ in emulator.states()]
        assert any(item.type == MOTION for item in states)
