"""A time limit and a check for stray tasks round every async test; `conftest.py` puts it there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio
import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 20
ROUND = 0.005
"""Seconds; a task that is ending anyway may take all rounds."""


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
