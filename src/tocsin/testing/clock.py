"""Clocks for tests: hours of protocol time in milliseconds, on both event loops.

    @pytest.fixture(params=virtual_backends)
    def anyio_backend(request):
        return virtual_backend(request.param)

Under such a backend `anyio.sleep`, every time limit and `anyio.current_time` follow a clock that jumps to the
next timer as soon as nothing else can run. A test that hangs fails at once, at its virtual time limit.
Threads, name resolution and real sockets do not follow it: keep to `tocsin.testing.in_process`.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio

__all__ = ["VirtualWallClock", "virtual_backend", "virtual_backends"]

virtual_backends: Final = ("asyncio", "trio")
"""Parameters for a pytest fixture; `virtual_backend` makes a fresh backend of each."""

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Jump(selectors.DefaultSelector):
    """Never waits: where a real loop would sleep, its clock jumps."""

    loop: _VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: no task can run and no timer is set")
            self.loop.now += max(timeout, 0.0)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    now = 0.0

    def __init__(self) -> None:
        selector = _Jump()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.now


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """Make a backend with a virtual clock, to be returned by an ``anyio_backend`` fixture.

    Args:
        name: ``asyncio`` or ``trio``.

    Returns:
        What anyio's pytest plugin and ``anyio.run(backend=…, backend_options=…)`` take. Make a new one for
        each run.
    """
    if name == "asyncio":
        return name, {"loop_factory": _VirtualLoop}
    if name == "trio":
        from trio.testing import MockClock

        return name, {"clock": MockClock(autojump_threshold=0)}
    raise ValueError(f"no virtual clock for {name!r}; there is one for asyncio and one for trio")


class VirtualWallClock:
    """The time of day, in step with the event loop's clock; call it inside the loop.

    Stands in for ``lambda: datetime.now(UTC)``. It begins at `start` when it is first asked.

    Args:
        start: The time of day at the first call; aware.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._origin: float | None = None

    def __call__(self) -> datetime:
        """Tell the time: aware UTC."""
        now = anyio.current_time()
        if self._origin is None:
            self._origin = now
        return self._start + timedelta(seconds=now - self._origin)

    def jump(self, seconds: float) -> None:
        """Set the clock forward or back, as people and time servers do.

        Args:
            seconds: How far; a negative number is back.
        """
        self._start += timedelta(seconds=seconds)
