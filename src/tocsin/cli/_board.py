"""What the live table knows: open alarms by severity, what just went, and counts. It draws nothing."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tocsin.cli._text import plain
from tocsin.models import Action, Change, Gap, Level, Origin, Phase, StreamState

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._stream._states import StateChange
    from tocsin.models import AlarmLike

__all__ = ["Board", "Row"]

LINGER: Final = 8.0
"""Seconds that an alarm which was cleared or deleted stays in sight."""

_ORDER: Final = (Level.CRITICAL, Level.MAJOR, Level.MINOR, Level.WARNING, None)


_BADNESS: Final = (
    StreamState.CONNECTED,
    StreamState.RECOVERING,
    StreamState.DEGRADED,
    StreamState.RECONNECTING,
    StreamState.CLOSED,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One alarm as the table shows it; all text is plain already."""

    id: str
    site: str
    level: Level | None
    phase: Phase | None
    source: str
    text: str
    action: Action
    origin: Origin
    at: datetime

    @property
    def is_over(self) -> bool:
        """Cleared or deleted."""
        return self.action is Action.DELETE or self.phase is Phase.CLEARED


class Board:
    """Folds changes into rows. Each step costs the same however many alarms there are.

    Attributes:
        states: What each site's stream does.
        changes: How many changes came.
        recovered: How many of them only a read brought.
        gaps: How many gaps were told.
        last_gap: The latest one.
    """

    def __init__(self) -> None:
        self.states: dict[str, StateChange] = {}
        self.changes = 0
        self.recovered = 0
        self.gaps = 0
        self.last_gap: Gap | None = None
        self.last_at: datetime | None = None
        self.notes: deque[str] = deque(maxlen=3)
        self._rows: dict[Level | None, dict[tuple[str, str], Row]] = {level: {} for level in _ORDER}
        self._where: dict[tuple[str, str], Level | None] = {}
        self._leaving: deque[tuple[float, tuple[str, str], Row]] = deque()
        self._over = Counter[Level | None]()

    def set_state(self, change: StateChange) -> None:
        """Note what a stream does now."""
        self.states[change.site] = replace(
            change, cause=plain(change.cause, 200) or None, site=plain(change.site, 40)
        )

    def add(self, item: Change[AlarmLike] | Gap, now: float) -> None:
        """Take in what the stream gave; `now` is in monotonic seconds."""
        if isinstance(item, Gap):
            self.gaps += 1
            self.last_gap = item
            return
        self.changes += 1
        self.recovered += item.origin is Origin.RECOVERED
        self.last_at = item.received_at
        old = self._take(item.key)
        row = _row(item, old)
        if row is None:
            return
        self._rows[row.level][item.key] = row
        self._where[item.key] = row.level
        if row.is_over:
            self._over[row.level] += 1
            self._leaving.append((now + LINGER, item.key, row))

    def expire(self, now: float) -> bool:
        """Forget what has been in sight long enough; True if that changed anything."""
        before = len(self._where)
        while self._leaving and self._leaving[0][0] <= now:
            _, key, row = self._leaving.popleft()
            if key in self._where and self._rows[self._where[key]][key] is row:
                self._take(key)
        return len(self._where) != before

    def open_counts(self) -> dict[Level | None, int]:
        """How many alarms are open, by severity, the worst first; zeros are left out."""
        counts = {level: len(self._rows[level]) - self._over[level] for level in _ORDER}
        return {level: count for level, count in counts.items() if count}

    def rows(self, limit: int) -> list[Row]:
        """The rows to show: the worst first, within a severity the latest change first."""
        shown: list[Row] = []
        for level in _ORDER:
            for row in reversed(self._rows[level].values()):
                if len(shown) >= limit:
                    return shown
                shown.append(row)
        return shown

    def __len__(self) -> int:
        return len(self._where)

    @property
    def state(self) -> StateChange | None:
        """The worst of what the streams do; None before the first word of one."""
        return max(self.states.values(), key=lambda change: _BADNESS.index(change.state), default=None)

    @property
    def is_attached(self) -> bool:
        """Whether changes flow, of all sites."""
        return self.state is not None and self.state.state in (StreamState.CONNECTED, StreamState.RECOVERING)

    def _take(self, key: tuple[str, str]) -> Row | None:
        if key not in self._where:
            return None
        level = self._where.pop(key)
        row = self._rows[level].pop(key)
        self._over[level] -= row.is_over
        return row


def _row(change: Change[AlarmLike], old: Row | None) -> Row | None:
    alarm = change.alarm
    if alarm is None:  # what went is shown as it last was
        return old and replace(old, action=change.action, origin=change.origin, at=change.received_at)
    return Row(
        id=plain(change.id, 40),
        site=plain(change.site, 40),
        level=alarm.level,
        phase=alarm.phase,
        source=plain(alarm.source_id, 40),
        text=plain(alarm.text),
        action=change.action,
        origin=change.origin,
        at=change.received_at,
    )
