"""Who changed what: the audit records of alarms, and the routes that show them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from tocsin.emulator._access import AUDIT_READ
from tocsin.emulator._clock import to_text
from tocsin.emulator._errors import missing
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._query import collection, date_range, paging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.emulator._alarms import Alarm
    from tocsin.emulator._author import Author
    from tocsin.emulator._query import Range

_RECORDS: Final = "/audit/auditRecords"
_UNTOLD: Final = frozenset({"lastUpdated", "self"})


class Record(NamedTuple):
    """One write to one alarm; `before` is None where it was created."""

    number: int
    at: int
    author: Author
    before: Alarm | None
    after: Alarm


class AuditTrail:
    """The records of every alarm, the oldest of them forgotten beyond a limit.

    Args:
        limit: How many are kept.
        base: Scheme and host of URIs.
    """

    def __init__(self, limit: int, base: Callable[[], str]) -> None:
        self._base = base
        self._number = 0
        self._records: deque[Record] = deque(maxlen=limit)

    def add(self, at: int, author: Author, before: Alarm | None, after: Alarm) -> None:
        """Record a write; only the store calls this."""
        self._number += 1
        self._records.append(Record(self._number, at, author, before, after))

    def select(self, wanted: Mapping[str, str], within: Range) -> list[Record]:
        """The records that are wanted, newest first.

        Args:
            wanted: `source` (an alarm's id), `user`, `application` and `type`; others count for nothing.
            within: Their time.
        """
        if wanted.get("type", "Alarm") != "Alarm":
            return []
        source, user, application = (wanted.get(name) for name in ("source", "user", "application"))
        return [
            record
            for record in reversed(self._records)
            if source in (None, record.after.id)
            and user in (None, record.author.user)
            and application in (None, record.author.application)
            and record.at in within
        ]

    def find(self, id: str) -> Record:
        """One record.

        Raises:
            RefusedError: 404.
        """
        for record in self._records:
            if str(record.number) == id:
                return record
        raise missing("audit", id)

    def view(self, record: Record) -> dict[str, Any]:
        """The REST API's JSON of a record."""
        base = self._base()
        done = "created" if record.before is None else "updated"
        at = to_text(record.at)
        return {
            "id": str(record.number),
            "self": f"{base}{_RECORDS}/{record.number}",
            "type": "Alarm",
            "time": at,
            "creationTime": at,
            "activity": f"Alarm {done}",
            "text": f"Alarm {done}",
            "user": record.author.user,
            "application": record.author.application,
            "severity": "information",
            "source": {"id": record.after.id, "self": f"{base}/alarm/alarms/{record.after.id}"},
            "changes": [] if record.before is None else _changes(record.before.doc, record.after.doc),
        }


class AuditApi:
    """Answers `/audit/auditRecords…`. Every method is called with the store's lock held."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add(_RECORDS, GET=self.list)
        routes.add(_RECORDS + "/{id}", GET=self.get)

    def list(self, exchange: Exchange) -> Reply:
        """A page, newest first, by `source`, `user`, `application`, `type`, `dateFrom` and `dateTo`."""
        exchange.user.need(AUDIT_READ)
        page = paging(exchange.params)
        wanted = {name: values[0] for name, values in exchange.params.items()}
        found = self._trail.select(wanted, date_range(exchange.params))
        kept = {name: text for name, text in wanted.items() if name not in {"pageSize", "currentPage"}}
        url = f"{exchange.base}{_RECORDS}?{urlencode({**kept, 'pageSize': page.size, 'currentPage': ''})}"
        body = collection(url, "auditRecords", page, found, self._trail.view)
        return Reply(200, dump(body), "auditRecordCollection")

    def get(self, exchange: Exchange, id: str) -> Reply:
        """One record."""
        exchange.user.need(AUDIT_READ)
        return Reply(200, dump(self._trail.view(self._trail.find(id))), "auditRecord")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = [name for name in {**before, **after} if name not in _UNTOLD]
    return [
        {
            "attribute": name,
            "previousValue": before.get(name),
            "newValue": after.get(name),
            "type": "java.lang.String",
        }
        for name in names
        if before.get(name) != after.get(name)
    ]
