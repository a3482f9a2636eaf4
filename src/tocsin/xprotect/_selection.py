"""A filter held against a site: what it asks the platform for, and what it looks through by itself.

What the platform cannot be asked for, or might ignore, is looked at again row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tocsin._wire import time_of
from tocsin.errors import ConfigurationError
from tocsin.xprotect._guids import guid
from tocsin.xprotect._query import equals, not_equals

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin.xprotect._lookups import Lookups, Table
    from tocsin.xprotect._query import AlarmFilter
    from tocsin.xprotect.models import Alarm, Rank

__all__ = ["CLOSED", "Selection", "closed_name", "select"]

_ROUNDED: Final = timedelta(microseconds=1)
CLOSED: Final = 11
"""The level of the state that every site has for alarms that are done with."""


class _Ranks:
    """The states, or the like, that are wanted or not wanted."""

    __slots__ = ("_excluded", "_ids", "_levels")

    def __init__(self, entries: tuple[Rank, ...], *, excluded: bool = False) -> None:
        self._ids = frozenset(identity for entry in entries if (identity := guid(entry.id)))
        self._levels = frozenset(entry.level for entry in entries if entry.level is not None)
        self._excluded = excluded

    def __call__(self, rank: Rank | None) -> bool:
        if rank is None:
            return self._excluded
        identity = guid(rank.id)
        # By the level too: ids are told for what a site had, and levels stay.
        within = identity in self._ids or (rank.level is not None and rank.level in self._levels)
        return within is not self._excluded


@dataclass(frozen=True, slots=True)
class Selection:
    """What to ask for, and what to keep of the answer.

    Attributes:
        query: The parameters, plain text.
        state: Which states are wanted; None: all.
        priority: Which priorities.
        category: Which categories.
        sources: The GUIDs of sources.
        date_from: From when on.
        date_to: Until when.
    """

    query: tuple[tuple[str, str], ...]
    state: _Ranks | None = None
    priority: _Ranks | None = None
    category: _Ranks | None = None
    sources: frozenset[str] | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None

    def asking(self, *pairs: tuple[str, str]) -> Selection:
        """The same with more in the query."""
        return replace(self, query=(*self.query, *pairs))

    def keeps(self, alarm: Alarm) -> bool:
        """Whether an alarm is wanted."""
        for name in ("state", "priority", "category"):
            wanted = getattr(self, name)
            if wanted is not None and not wanted(getattr(alarm, name)):
                return False
        if self.sources is not None and not {alarm.source_id, alarm.camera_id} & self.sources:
            return False
        if self.date_from is None and self.date_to is None:
            return True
        time = time_of(alarm, "time")
        if time is None:
            return True
        # Times have ticks of 100 ns on the wire and were rounded here: at the edge the platform has the word.
        return (self.date_from is None or time >= self.date_from - _ROUNDED) and (
            self.date_to is None or time <= self.date_to
        )


async def select(wanted: AlarmFilter, lookups: Lookups) -> Selection:
    """Hold a filter against what the site has.

    Raises:
        ConfigurationError: It has no such state, priority or category; the error lists what it has.
    """
    query = list(wanted.fixed())
    state = await _among("state", wanted.state, lookups.states, query)
    if wanted.resolved is not None:
        closed = await closed_name(lookups)
        query.append(("state.name", equals(closed) if wanted.resolved else not_equals(closed)))
        state = _Ranks(await lookups.states.find(CLOSED), excluded=not wanted.resolved)
    elif wanted.state is not None and len(wanted.state) > 1:
        meant = [one for given in wanted.state for one in await lookups.states.find(given)]
        if all(one.level != CLOSED for one in meant):
            query.append(("state.name", not_equals(await closed_name(lookups))))
    return Selection(
        query=tuple(query),
        state=state,
        priority=await _among("priority", wanted.priority, lookups.priorities, query),
        category=await _among("category", wanted.category, lookups.categories, query),
        sources=None
        if wanted.source is None
        else frozenset(found for path in wanted.source if (found := guid(path)) is not None),
        date_from=wanted.date_from,
        date_to=wanted.date_to,
    )


async def closed_name(lookups: Lookups) -> str:
    """What this site calls the state of level 11.

    Raises:
        ConfigurationError: It does not say.
    """
    entry = (await lookups.states.find(CLOSED))[0]
    if entry.name is None:
        raise ConfigurationError("the server does not tell the name of its state of level 11")
    return entry.name


async def _among(
    name: str, given: tuple[object, ...] | None, table: Table[Any], query: list[tuple[str, str]]
) -> _Ranks | None:
    """What of a list is wanted; if it is one entry, the platform is asked for it by its name."""
    if given is None:
        return None
    entries = tuple(dict.fromkeys([entry for one in given for entry in await table.find(one)]))
    if len(entries) == 1 and entries[0].name is not None:
        query.append((f"{name}.name", equals(entries[0].name)))
    return _Ranks(entries)
