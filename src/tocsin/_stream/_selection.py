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

_CLOSED: Final = 100_000
"""Cleared alarms that are remembered as shown; open ones all are."""


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
    """

    __slots__ = ("_cleared", "_open", "_selection")

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._open: set[str] = set()
        self._cleared: dict[str, None] = {}

    def lets(self, change: Change[AlarmLike]) -> bool:
        """Whether the consumer is to be given this change; the answer is remembered."""
        if self._selection.takes_all:
            return True
        shown = self._forget(change.id)
        alarm = change.alarm
        if alarm is None or not self._selection.takes(alarm):
            return shown
        if alarm.phase is not Phase.CLEARED:
            self._open.add(change.id)
            return True
        self._cleared[change.id] = None
        if len(self._cleared) > _CLOSED:
            del self._cleared[next(iter(self._cleared))]
        return True

    def _forget(self, alarm_id: str) -> bool:
        if alarm_id in self._open:
            self._open.discard(alarm_id)
            return True
        return self._cleared.pop(alarm_id, self) is None


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
