"""Reading alarms: lists, one, their history and pictures, how many, and what a site has to choose from.

Source: Milestone's Alarms REST API; reference `xprotect.md` 2.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from tocsin._http._pages import Pages
from tocsin._http._request import Request
from tocsin._wire import cut_page, parse_object, parse_time
from tocsin.errors import ProtocolError
from tocsin.xprotect._listing import PAGE_SIZE, RowWalk, WholeWalk, check_size
from tocsin.xprotect._selection import Selection, select
from tocsin.xprotect._service import READS, AlarmService, merged, needing
from tocsin.xprotect._window import ALARMS, DATA, alarm_path, read_one
from tocsin.xprotect.models import Alarm, AlarmHistory, AlarmStatistics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Unpack

    from tocsin.xprotect._query import AlarmFilter, ListFilters
    from tocsin.xprotect._window import Sender
    from tocsin.xprotect.models import AlarmCategory, AlarmPriority, AlarmState, CloseReason

__all__ = ["AlarmReading"]

_STATISTICS: Final = "/alarmStatistics"


class AlarmReading(AlarmService):
    """Reads the alarms of one site."""

    __slots__ = ()

    def list(
        self,
        where: AlarmFilter | None = None,
        *,
        include_data: bool = False,
        page_size: int = PAGE_SIZE,
        **filters: Unpack[ListFilters],
    ) -> Pages[Alarm]:
        """List alarms, newest first unless `order` says otherwise (``GET /alarms``).

        Await the result for its first page, iterate over it for all alarms, over its `pages()` for pages.
        Nothing is sent before that. Without filters it is all alarms, closed ones too.

        Iterated, a list that has more than one page has up to four requests under way; up to three of them
        may turn out to lie beyond its end.

        Iterated, each alarm that was there when it began and matches all the while is given once, however
        many arrive or go meanwhile. After an error the iteration can be gone on with, if you hold its
        iterator (``items = aiter(alarms.list())``): a page that could not be read is asked for again, an
        unreadable alarm is skipped. A new `async for` over the list begins anew.

        Args:
            where: A filter made before.
            include_data: The metadata of each alarm too; see `Alarm.data`.
            page_size: Alarms of a page, 1 to 2000. Choose less only if the first page is all you want.
            **filters: See `AlarmFilter`; they override those of `where`.

        Raises:
            ConfigurationError: A filter cannot work. When it is read: the site has no such state, priority or
                category.
        """
        check_size(page_size)
        wanted = merged(where, filters)

        async def selection() -> Selection:
            found = await select(wanted, self._lookups)
            return found.asking(DATA) if include_data else found

        return Pages(
            lambda: RowWalk(self._gateway, ALARMS, Alarm, "alarms", page_size=page_size, select=selection),
            self._start,
        )

    async def get(self, alarm_id: str, *, include_data: bool = True) -> Alarm:
        """Read one alarm (``GET /alarms/{id}``).

        Args:
            alarm_id: Its id.
            include_data: Its metadata too; see `Alarm.data`.

        Raises:
            ConfigurationError: It cannot be an id.
            NotFoundError: There is no such alarm, or not any more, or the user may not see it.
            PermissionDeniedError: The user may not read alarms.
            ProtocolError: The answer is no alarm, or another one.
        """
        with needing(READS):
            return Alarm.from_raw(await read_one(self._gateway, alarm_id, include_data=include_data))

    def history(self, alarm_id: str) -> Pages[AlarmHistory]:
        """List who did what to an alarm, in the platform's order (``GET /alarms/{id}/history``).

        Await the result, or iterate over it; it comes in one answer. Milestone does not describe the
        entries in public: what tocsin does not know is in `AlarmHistory.wire`.

        Args:
            alarm_id: The alarm's id.

        Raises:
            ConfigurationError: It cannot be an id.
        """
        path = f"{alarm_path(alarm_id)}/history"
        return Pages(lambda: WholeWalk(lambda: _rows(self._gateway, path), _entry, "entries"))

    async def snapshots(self, alarm_id: str) -> tuple[Mapping[str, Any], ...]:
        """Read what pictures belong to an alarm (``GET /alarms/{id}/snapshots``).

        Milestone does not describe them in public, so they are given as they came.

        Args:
            alarm_id: The alarm's id.

        Raises:
            ConfigurationError: It cannot be an id.
            NotFoundError: There is no such alarm.
        """
        rows = await _rows(self._gateway, f"{alarm_path(alarm_id)}/snapshots")
        return tuple(MappingProxyType(parse_object(row, what="snapshot")) for row in rows)

    async def statistics(self) -> AlarmStatistics:
        """Read how many alarms there are by state and by priority (``GET /alarmStatistics``).

        Raises:
            ProtocolError: The answer is no JSON object.
        """
        with needing(READS):
            response = await self._gateway.send(Request("GET", _STATISTICS))
        return response.parsed(_statistics)

    async def states(self) -> tuple[AlarmState, ...]:
        """The states that this site has (``GET /alarmStates``); asked for once in five minutes.

        Raises:
            ProtocolError: The answer is no list of states.
        """
        return await self._lookups.states.all()

    async def priorities(self) -> tuple[AlarmPriority, ...]:
        """The priorities that this site has (``GET /alarmPriorities``); asked for once in five minutes.

        Raises:
            ProtocolError: The answer is no list of priorities.
        """
        return await self._lookups.priorities.all()

    async def categories(self) -> tuple[AlarmCategory, ...]:
        """The categories that this site has (``GET /alarmCategories``); asked for once in five minutes.

        Raises:
            ProtocolError: The answer is no list of categories.
        """
        return await self._lookups.categories.all()

    async def close_reasons(self) -> tuple[CloseReason, ...]:
        """The reasons for closing that this site has (``GET /closeReasons``); asked for once in five minutes.

        Raises:
            NotFoundError: The server has no such list.
            ProtocolError: The answer is no list of reasons.
        """
        return await self._lookups.close_reasons.all()

    async def messages(self) -> tuple[str, ...]:
        """The texts that alarms of this site have (``GET /alarmMessages``); asked for once in five minutes.

        Raises:
            ProtocolError: The answer is no list of texts.
        """
        return await self._lookups.messages()


async def _rows(gateway: Sender, path: str) -> list[bytes]:
    with needing(READS):
        response = await gateway.send(Request("GET", path))
    return response.parsed(_listed)


def _listed(body: bytes) -> list[bytes]:
    """The rows of a list that nobody describes: named as lists are, or as single objects."""
    try:
        return cut_page(body, "array").items
    except ProtocolError:
        if not isinstance(parse_object(body, what="page").get("data"), list):
            raise
    return cut_page(body, "data").items


def _entry(raw: bytes) -> AlarmHistory:
    wire = parse_object(raw, what="entry")
    folded = {name.casefold(): value for name, value in wire.items()}
    return AlarmHistory(
        time=_time(folded.get("time")),
        author=_word(folded.get("author")),
        text=_word(folded.get("text", folded.get("comment"))),
        state=_word(folded.get("state")),
        priority=_word(folded.get("priority")),
        assigned_to=_word(folded.get("assignedto")),
        wire=MappingProxyType(wire),
    )


def _word(value: Any) -> str | None:
    """A text, or what names a state or a user."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("name", "displayName", "level") if value.get(key)), None)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _time(value: Any) -> datetime | None:
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _statistics(body: bytes) -> AlarmStatistics:
    wire = parse_object(body, what="statistics")
    counts: dict[str, dict[int, int]] = {"state": {}, "priority": {}}
    rows = wire.get("array", wire.get("data"))
    if rows is None:
        raise ProtocolError("the answer has no statistics")
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        kind, level, count = str(row.get("type")).casefold(), row.get("number"), row.get("value")
        if kind in counts and type(level) is int and type(count) is int:
            counts[kind][level] = count
    return AlarmStatistics(MappingProxyType(counts["state"]), MappingProxyType(counts["priority"]), wire)
