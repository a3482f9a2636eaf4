"""Which alarms a consumer wants, by the words that all platforms share. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tocsin.errors import ConfigurationError
from tocsin.models import Level, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.models import AlarmLike, Change

__all__ = ["Selection", "Selector"]

W = TypeVar("W", Level, Phase)

_OPEN: Final = 1_000_000
_CLOSED: Final = 100_000
"""Open and cleared alarms that are remembered as shown. A stream that drops what it cannot hand over may drop
the end of an alarm, so that nothing but a number bounds those that seem open."""


class Selection:
    """Levels and phases, None for all of them.

    Args:
        level: One, several, or None.
        phase: One, several, or None.

    Raises:
        ConfigurationError: A word is none that is known, or none was given at all.
    """

    def __init__(
        self,
        level: Level | str | Iterable[Level | str] | None,
        phase: Phase | str | Iterable[Phase | str] | None,
    ) -> None:
        self._levels = _words(Level, "level", level)
        self._phases = _words(Phase, "phase", phase)

    def takes(self, alarm: AlarmLike) -> bool:
        """Whether it is wanted as it stands. What the platform does not tell is not."""
        levels, phases = self._levels, self._phases
        return (levels is None or alarm.level in levels) and (phases is None or alarm.phase in phases)

    @property
    def takes_all(self) -> bool:
        """Whether nothing is left out."""
        return self._levels is None and self._phases is None


class Selector:
    """Applies a selection to the changes of one site: what leaves it is let through once more.

    So a fold of what came through holds no alarm that is not wanted any more.

    Args:
        selection: What is wanted.
        most: How many alarms that seem open are remembered.
    """

    __slots__ = ("_cleared", "_most", "_open", "_selection")

    def __init__(self, selection: Selection, *, most: int = _OPEN) -> None:
        self._selection = selection
        self._most = most
        self._open: dict[str, None] = {}
        self._cleared: dict[str, None] = {}

    def lets(self, change: Change[AlarmLike]) -> bool:
        """Whether the consumer is to be given this change; the answer is remembered."""
        if self._selection.takes_all:
            return True
        was_shown = self._forget(change.id)
        alarm = change.alarm
        if alarm is None or not self._selection.takes(alarm):
            return was_shown
        if alarm.phase is Phase.CLEARED:
            shown, limit = self._cleared, _CLOSED
        else:
            shown, limit = self._open, self._most
        shown[change.id] = None
        if len(shown) > limit:
            del shown[next(iter(shown))]
        return True

    def _forget(self, alarm_id: str) -> bool:
        """Whether it was shown; it counts as shown no more."""
        return any(alarm_id in shown and shown.pop(alarm_id) is None for shown in (self._open, self._cleared))


def _words(kind: type[W], name: str, given: str | Iterable[str] | None) -> frozenset[W] | None:
    if given is None:
        return None
    words = [given] if isinstance(given, str) else list(given)
    known = ", ".join(kind)
    if not words:
        raise ConfigurationError(f"{name}= is empty, which is no alarm at all: use None, or some of {known}")
    try:
        return frozenset(kind(word) for word in words)
    except ValueError:
        raise ConfigurationError(f"{name}={given!r} is unknown: use some of {known}") from None
