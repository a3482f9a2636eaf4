"""The guard that `tests/conftest.py` puts round each async test must itself be able to fail."""

from __future__ import annotations

import inspect

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard import check_leaks, guarded


async def hang() -> None:
    await anyio.Event().wait()


async def test_a_hang_is_ended_by_the_limit() -> None:
    with pytest.raises(TimeoutError):
        await guarded(hang, 0.01)()


async def test_a_task_left_behind_is_named() -> None:
    async with anyio.create_task_group() as tasks:

        async def leak() -> None:
            tasks.start_soon(hang, name="the stray")
            await anyio.lowlevel.checkpoint()

        with pytest.raises(pytest.fail.Exception, match="the stray"):
            await guarded(leak, 5)()
        tasks.cancel_scope.cancel()


async def test_a_task_that_ends_by_itself_is_no_leak() -> None:
    before = {task.id for task in anyio.get_running_tasks()}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 0.01)
        await check_leaks(before)


def running_test_is_guarded() -> bool:
    return any(
        frame.function == "run" and frame.filename.endswith("tests/guard.py") for frame in inspect.stack()
    )


async def test_plain_tests_are_guarded() -> None:
    assert running_test_is_guarded()


class TestMethods:
    async def test_methods_are_guarded(self) -> None:
        assert running_test_is_guarded()


@given(number=st.integers())
@settings(max_examples=3)
async def test_hypothesis_examples_are_guarded(number: int) -> None:
    assert running_test_is_guarded()
    await anyio.lowlevel.checkpoint()


@pytest.mark.virtual_time
@pytest.mark.parametrize("factor", [1, 2])
@given(seconds=st.integers(1, 1000))
@settings(max_examples=3)
async def test_hypothesis_runs_under_the_virtual_clock(factor: int, seconds: int) -> None:
    assert running_test_is_guarded()
    began = anyio.current_time()
    await anyio.sleep(seconds * factor)
    assert anyio.current_time() - began == pytest.approx(seconds * factor)
