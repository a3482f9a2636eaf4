"""What every test gets: both event loops, a time limit, and a check that no task is left behind.

Marks:
    virtual_time: run under a clock that jumps (`tocsin.testing.virtual_backend`); limits are then virtual.
    limit(seconds): a time limit of its own, by the event loop's clock (10 s, or a virtual hour).
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tocsin.testing import virtual_backend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 10.0
VIRTUAL_LIMIT = 3600.0
ROUNDS = 20
ROUND = 0.005


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: run under a clock that jumps")
    config.addinivalue_line("markers", "limit(seconds): a time limit by the event loop's clock")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str | tuple[str, dict[str, Any]]:
    if request.node.get_closest_marker("virtual_time"):
        return virtual_backend(request.param)
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        limit = limit_of(item)
        if (hypothesis := getattr(item.obj, "hypothesis", None)) is not None:
            # anyio runs this inner function once an example, so each example has its own limit.
            if inspect.iscoroutinefunction(hypothesis.inner_test):
                hypothesis.inner_test = guarded(hypothesis.inner_test, limit)
        elif inspect.iscoroutinefunction(item.obj):
            item.obj = guarded(item.obj, limit)


def limit_of(item: pytest.Item) -> float:
    if mark := item.get_closest_marker("limit"):
        return float(mark.args[0])
    return VIRTUAL_LIMIT if item.get_closest_marker("virtual_time") else LIMIT


def guarded(test: Callable[..., Awaitable[None]], limit: float) -> Callable[..., Awaitable[None]]:
    if getattr(test, "is_guarded", False):  # the items of one parametrised hypothesis test share it
        return test

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        before = {task.id for task in anyio.get_running_tasks()}
        with anyio.fail_after(limit):
            await test(*args, **kwargs)
        await check_leaks(before)

    run.is_guarded = True  # type: ignore[attr-defined]
    return run


async def check_leaks(before: set[int]) -> None:
    for _ in range(ROUNDS):
        left = [task for task in anyio.get_running_tasks() if task.id not in before]
        if not left:
            return
        await anyio.sleep(ROUND)
    pytest.fail("tasks left behind: " + ", ".join(sorted(str(task.name) for task in left)), pytrace=False)
