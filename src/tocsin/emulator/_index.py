"""The alarms in memory, and the sorted lists by which a window of them is found without a walk over all."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tocsin.emulator._alarms import Alarm
    from tocsin.emulator._query import Query, Range

_REMEMBERED = 8  # results kept while nothing is written
_DEPTH = 6  # former states kept of each alarm, for reads that lag behind


class Index:
    """The current state of every alarm.

    `creationTime` and `lastUpdated` never fall, so the lists over them only ever grow at the end; entries
    that no longer hold are passed over, and swept out when they outnumber the rest.
    """

    def __init__(self) -> None:
        self._alarms: dict[int, Alarm] = {}
        self._open: dict[tuple[str, str], dict[int, None]] = {}
        self._sources: dict[str, dict[int, None]] = {}
        self._times: list[tuple[int, int]] = []
        self._created: list[tuple[int, int]] = []
        self._updated: list[tuple[int, int]] = []
        self._results: dict[Query, list[Alarm]] = {}

    def __len__(self) -> int:
        return len(self._alarms)

    def __iter__(self) -> Iterator[Alarm]:
        return iter(list(self._alarms.values()))

    def get(self, id: str) -> Alarm | None:
        """The alarm's current state."""
        alarm = self._alarms.get(int(id)) if id.isascii() and id.isdigit() and len(id) < 20 else None
        return alarm if alarm is not None and alarm.id == id else None

    def repeat_of(self, source: str, kind: str) -> Alarm | None:
        """The open alarm on which a POST with this source and type would be counted."""
        numbers = self._open.get((source, kind))
        return self._alarms[next(reversed(numbers))] if numbers else None

    def of_source(self, source: str) -> list[Alarm]:
        """All alarms of one device."""
        return [self._alarms[number] for number in self._sources.get(source, ())]

    def put(self, alarm: Alarm) -> None:
        """Store a new alarm, or the next state of one."""
        self._results.clear()
        number = alarm.number
        before = self._alarms.get(number)
        self._alarms[number] = alarm
        if before is None:
            self._sources.setdefault(alarm.source, {})[number] = None
            self._created.append((alarm.created, number))
        else:
            self._chain(alarm, before)
        if before is None or before.time != alarm.time:
            if before is not None:
                self._forget_time(before)
            insort(self._times, (alarm.time, number))
        if before is None or before.updated != alarm.updated:
            self._updated.append((alarm.updated, number))
        if alarm.open:
            self._open.setdefault((alarm.source, alarm.type), {})[number] = None
        elif before is not None and before.open:
            self._close(before)
        self._sweep()

    def remove(self, alarm: Alarm) -> None:
        """Take an alarm out."""
        self._results.clear()
        del self._alarms[alarm.number]
        self._forget_time(alarm)
        numbers = self._sources[alarm.source]
        del numbers[alarm.number]
        if not numbers:
            del self._sources[alarm.source]
        if alarm.open:
            self._close(alarm)
        self._sweep()

    def select(self, query: Query) -> list[Alarm]:
        """The alarms that a query wants, newest first by their time; the list is shared, do not change it."""
        found = self._results.get(query)
        if found is None:
            found = newest_first(query, self._candidates(query))
            if len(self._results) >= _REMEMBERED:
                del self._results[next(iter(self._results))]
            self._results[query] = found
        return found

    def _candidates(self, query: Query) -> Iterable[Alarm]:
        if query.updated.low is not None:
            return self._window(self._updated, query.updated)
        if query.sources is not None:
            return (alarm for source in sorted(query.sources) for alarm in self.of_source(source))
        if query.created:
            return self._window(self._created, query.created)
        if query.time:
            return self._window(self._times, query.time)
        return (self._alarms[number] for _time, number in self._times)

    def _window(self, entries: list[tuple[int, int]], wanted: Range) -> list[Alarm]:
        low = 0 if wanted.low is None else bisect_left(entries, (wanted.low, -1))
        high = len(entries) if wanted.high is None else bisect_left(entries, (wanted.high, -1))
        numbers = {number: None for _stamp, number in entries[low:high]}  # one alarm may be in it twice
        return [self._alarms[number] for number in numbers if number in self._alarms]

    def _forget_time(self, alarm: Alarm) -> None:
        del self._times[bisect_left(self._times, (alarm.time, alarm.number))]

    def _close(self, alarm: Alarm) -> None:
        key = (alarm.source, alarm.type)
        numbers = self._open[key]
        numbers.pop(alarm.number, None)
        if not numbers:
            del self._open[key]

    def _sweep(self) -> None:
        alarms = self._alarms
        if len(self._created) > 2 * len(alarms) + 1000:
            self._created = [entry for entry in self._created if entry[1] in alarms]
        if len(self._updated) > 2 * len(alarms) + 1000:
            self._updated = sorted((alarm.updated, alarm.number) for alarm in alarms.values())

    def _chain(self, alarm: Alarm, before: Alarm) -> None:
        alarm.before = state = before
        for _ in range(_DEPTH - 1):
            if state.before is None:
                return
            state = state.before
        state.before = None


def newest_first(query: Query, alarms: Iterable[Alarm]) -> list[Alarm]:
    """Those that the query wants, in the order in which the platform lists them."""
    found = query.pick(alarms)
    found.sort(key=lambda alarm: (alarm.time, alarm.number), reverse=True)
    return found


def widened(query: Query, sources: Iterable[str]) -> Query:
    """The query over these devices, its kinds of children spent."""
    return replace(query, sources=frozenset(sources), kinds=frozenset())
