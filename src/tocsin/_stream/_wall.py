"""The time of day for a tracker, which counts on it never to go back, from a clock that people may set."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["SteadyWall"]


class SteadyWall:
    """Tells a time that never falls: each step back of the clock is added to what it says from then on.

    A step forward is believed, for that is also what a machine sees that was asleep.

    Args:
        clock: Aware UTC now, as the machine has it.
    """

    __slots__ = ("_clock", "_last", "_stepped")

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._last: datetime | None = None
        self._stepped = timedelta()

    def __call__(self) -> datetime:
        """The steady time."""
        now = self._clock() + self._stepped
        if self._last is not None and now < self._last:
            self._stepped += self._last - now
            now = self._last
        self._last = now
        return now

    def shown(self, moment: datetime) -> datetime:
        """A steady time as the clock, as it is set now, would have told it."""
        return moment - self._stepped if self._stepped else moment
