"""What every test gets: both event loops, a time limit, and a check that no task is left behind.

Marks:
    virtual_time: run under a clock that jumps (`tocsin.testing.virtual_backend`); limits are then virtual.
    limit(seconds): a time limit of its own, by the event loop's clock (25 s, or a virtual hour).

Limits are there to end what hangs, on a slow machine that does other things too; no test comes near them.
"""

from __future__ import annotations

import gc
import inspect
import os
from typing import Any

import pytest
from hypothesis import settings

from guard import guarded
from tocsin.testing import virtual_backend

LIMIT = 25.0
VIRTUAL_LIMIT = 3600.0

settings.register_profile("tocsin", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile(os.environ.get("TOCSIN_HYPOTHESIS", "tocsin"))  # "thorough" searches for minutes


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


def pytest_collection_finish() -> None:
    """Keep the garbage collector off the tests themselves: they stay, and a full round is long with them."""
    gc.collect()
    gc.freeze()


def limit_of(item: pytest.Item) -> float:
    if mark := item.get_closest_marker("limit"):
        return float(mark.args[0])
    return VIRTUAL_LIMIT if item.get_closest_marker("virtual_time") else LIMIT
