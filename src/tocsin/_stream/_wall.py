"""The time of day for a tracker, which counts on it never to go back, from a clock that people may set."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Past", "SteadyWall"]

_NOTES: Final = 64
_APART: Final = 1.0


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


class Past:
    """Tells the time of day of monotonic instants that are over, and never too late a one.

    A machine that sleeps does not count that time on its monotonic clock, so that the age of an instant says
    too little of when it was. The last reading of both clocks before it does.
    """

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: deque[tuple[float, datetime]] = deque(maxlen=_NOTES)

    def note(self, now: float, wall: datetime) -> None:
        """Keep a reading of both clocks. Once a second is enough, and no more are kept."""
        if not self._notes or now >= self._notes[-1][0] + _APART:
            self._notes.append((now, wall))

    def at(self, instant: float) -> datetime:
        """The time of day of an instant. Something must have been noted."""
        now, wall = next((note for note in reversed(self._notes) if note[0] <= instant), self._notes[0])
        return wall + timedelta(seconds=instant - now)
