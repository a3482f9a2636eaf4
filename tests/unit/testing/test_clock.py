"""The virtual clocks: hours in milliseconds, in step with the wall clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tocsin.testing import VirtualWallClock, virtual_backend, virtual_backends


@pytest.mark.virtual_time
@pytest.mark.limit(100_000)
async def test_a_day_passes_at_once() -> None:
    real = time.monotonic()
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 40_000)
        await anyio.sleep(86_400)
    assert anyio.current_time() - began == pytest.approx(86_400)
    assert time.monotonic() - real < 5


@pytest.mark.virtual_time
async def test_timers_fire_in_order_and_exactly() -> None:
    fired: list[tuple[int, float]] = []
    began = anyio.current_time()

    async def after(seconds: int) -> None:
        await anyio.sleep(seconds)
        fired.append((seconds, anyio.current_time() - began))

    async with anyio.create_task_group() as tasks:
        for seconds in (7, 1, 30, 2):
            tasks.start_soon(after, seconds)
    assert [seconds for seconds, _ in fired] == [1, 2, 7, 30]
    assert [at for _, at in fired] == pytest.approx([1, 2, 7, 30])


@pytest.mark.parametrize("name", virtual_backends)
def test_a_hang_fails_at_its_virtual_limit(name: str) -> None:
    async def hang() -> None:
        with anyio.fail_after(3600):
            await anyio.Event().wait()

    backend, options = virtual_backend(name)
    real = time.monotonic()
    with pytest.raises(TimeoutError):
        anyio.run(hang, backend=backend, backend_options=options)
    assert time.monotonic() - real < 5


def test_a_deadlock_without_any_timer_is_told() -> None:
    async def hang() -> None:
        await anyio.Event().wait()

    backend, options = virtual_backend("asyncio")
    with pytest.raises(RuntimeError, match="deadlock"):
        anyio.run(hang, backend=backend, backend_options=options)


def test_no_other_loop_has_a_virtual_clock() -> None:
    with pytest.raises(ValueError, match="curio"):
        virtual_backend("curio")


@pytest.mark.virtual_time
async def test_the_wall_clock_keeps_step_and_can_be_set() -> None:
    wall = VirtualWallClock(datetime(2026, 3, 1, tzinfo=UTC))
    await anyio.sleep(1)
    began = wall()
    assert began == datetime(2026, 3, 1, tzinfo=UTC)
    await anyio.sleep(90)
    assert wall() - began == timedelta(seconds=90)
    wall.jump(-3600)
    assert wall() - began == timedelta(seconds=90 - 3600)
    assert wall().tzinfo is UTC
