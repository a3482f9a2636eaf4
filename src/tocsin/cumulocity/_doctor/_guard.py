"""Bulk deletion of one alarm, and of that one alone, whatever filters the platform takes for granted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._visit import field
from tocsin._http._request import Request
from tocsin._times import write_time
from tocsin.cumulocity._doctor._page import moment
from tocsin.cumulocity._observe import alarm_id
from tocsin.cumulocity._window import ALARMS
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from tocsin._doctor._visit import Visit

    Query = tuple[tuple[str, str], ...]

__all__ = ["delete_alone", "open_ones"]

_MS: Final = timedelta(milliseconds=1)


async def delete_alone(visit: Visit, alarm: dict[str, Any]) -> None:
    """Delete an alarm by its source, its time and its type.

    The time alone must leave nothing else of that device: a platform that ignores the type, as old ones
    do with filters that they do not know, then still deletes nothing else.

    Raises:
        ProtocolError: It is not alone.
        TocsinError: The platform refused.
    """
    at, source, kind = moment(alarm.get("time")), alarm_id(alarm.get("source")), alarm.get("type")
    if at is None or source is None or not isinstance(kind, str):
        raise ProtocolError("the test alarm has no time, no source or no type to delete it by")
    span: Query = (("source", source), ("dateFrom", write_time(at)), ("dateTo", write_time(at + _MS)))
    if await _ids(visit, (*span, ("pageSize", "10"))) != [alarm_id(alarm)]:
        raise ProtocolError("other alarms have the same time: nothing was deleted")
    await visit.send(Request("DELETE", ALARMS, (*span, ("type", kind))))


async def open_ones(visit: Visit, source: str, kind: str) -> list[str]:
    """The open alarms of one source and type."""
    query = (("source", source), ("type", kind), ("resolved", "false"), ("pageSize", "10"))
    found = (await visit.get(ALARMS, query)).json()
    rows = field(found, "alarms")
    rows = rows if isinstance(rows, list) else []
    # Only what bears the type itself: a platform that ignored the filter must not have its alarms cleared.
    return [one for row in rows if field(row, "type") == kind and (one := alarm_id(row))]


async def _ids(visit: Visit, query: Query) -> list[str | None]:
    rows = field((await visit.get(ALARMS, query)).json(), "alarms")
    return [alarm_id(row) for row in rows] if isinstance(rows, list) else []
