"""A small model of an alarm server: what it stores and what a read sees. Shares no code with tocsin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


@dataclass
class Version:
    """One stored state of one alarm."""

    id: str
    n: int
    at: float
    visible_at: float
    updated: int
    content: tuple
    open: bool
    deleted: bool = False
    told: bool = True
    sent: bool = True
    """A notification was made for it."""

    @property
    def core(self) -> bytes:
        return repr(self.content).encode()


@dataclass
class Alarm:
    id: str
    created: int
    is_late: bool = False
    """It was dated back."""
    versions: list[Version] = field(default_factory=list)

    @property
    def last(self) -> Version:
        return self.versions[-1]

    def seen_at(self, now: float) -> Version | None:
        """The state a read sees at this moment, None before the first is readable and after a deletion."""
        seen = None
        for version in self.versions:
            if version.visible_at <= now:
                seen = version
        return None if seen is None or seen.deleted else seen


@dataclass
class Model:
    """The server. Times are seconds; stamps on the wire are ms of a clock that is `skew` ms ahead."""

    rng: random.Random
    lag: float = 0.0
    skew: int = 0
    stamps: bool = True
    ranges: bool = True
    creations: bool = True
    bump: bool = True
    back: float = 0.0
    """Probability that an alarm is dated back."""
    restricted: bool = False
    """Pages are short, offsets count what was scanned, and `next` appears although nothing follows."""
    hidden: set[str] = field(default_factory=set)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    count: int = 0
    stamp: int = 0

    def ms(self, now: float) -> int:
        return 1_000_000 + int(now * 1000) + self.skew

    def _store(
        self,
        now: float,
        alarm: Alarm,
        content: tuple,
        *,
        is_open: bool,
        moved: bool = True,
        deleted: bool = False,
    ) -> Version:
        before = alarm.versions[-1] if alarm.versions else None
        updated = max(self.ms(now), before.updated + 1 if before else 0)
        if before and not moved:
            updated = before.updated
        visible = now + self.rng.uniform(0, self.lag)
        if before:
            visible = max(visible, before.visible_at)
        version = Version(alarm.id, len(alarm.versions), now, visible, updated, content, is_open, deleted)
        alarm.versions.append(version)
        return version

    def create(self, now: float) -> Version:
        self.count += 1
        back = self.rng.uniform(0, 40) if self.rng.random() < self.back else 0.0
        alarm = Alarm(str(self.count), self.ms(now - back), is_late=bool(back))
        self.alarms[alarm.id] = alarm
        return self._store(now, alarm, ("ACTIVE", "MAJOR", 1), is_open=True)

    def change(self, now: float, alarm: Alarm) -> Version:
        """Change it in place; the few severities make A→B→A common."""
        status, severity, count = alarm.last.content
        others = [s for s in ("MINOR", "MAJOR", "CRITICAL") if s != severity]
        return self._store(now, alarm, (status, self.rng.choice(others), count), is_open=alarm.last.open)

    def repeat(self, now: float, alarm: Alarm) -> Version:
        """A de-duplicated POST: only the count moves, and perhaps lastUpdated."""
        status, severity, count = alarm.last.content
        return self._store(now, alarm, (status, severity, count + 1), moved=self.bump, is_open=True)

    def clear(self, now: float, alarm: Alarm) -> Version:
        _, severity, count = alarm.last.content
        return self._store(now, alarm, ("CLEARED", severity, count), is_open=False)

    def delete(self, now: float, alarm: Alarm) -> Version:
        return self._store(now, alarm, alarm.last.content, is_open=False, deleted=True)

    def living(self) -> list[Alarm]:
        return [alarm for alarm in self.alarms.values() if not alarm.last.deleted]

    def sees(self, alarm: Alarm) -> bool:
        """Whether this user may ever see it."""
        return not self.restricted or int(alarm.id) % 3 > 0

    def page(self, read, now: float) -> tuple[list[tuple[Alarm, Version]], bool]:
        """One page of a query, newest change first, and whether there is a next one."""
        found = ((alarm, alarm.seen_at(now)) for alarm in self.alarms.values())
        rows = [(a, v) for a, v in found if v is not None and self._matches(a, v, read)]
        rows.sort(key=lambda row: (-row[1].at, row[0].id))
        start = (read.page - 1) * read.page_size
        page = rows[start : start + read.page_size]
        if self.restricted:
            return [row for row in page if self.sees(row[0])], len(rows) >= start + read.page_size
        return page, len(rows) > start + read.page_size

    def _matches(self, alarm: Alarm, version: Version, read) -> bool:
        if alarm.id in self.hidden or (
            read.partition is not None and int(alarm.id) % 2 != int(read.partition)
        ):
            return False
        if read.resolved is not None and version.open == read.resolved:
            return False
        if self.stamps and read.updated_from is not None and version.updated < read.updated_from:
            return False
        if not self.ranges:
            return True
        low, high = read.created_from, read.created_to
        return (low is None or alarm.created >= low) and (high is None or alarm.created < high)
