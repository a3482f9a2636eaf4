"""Reading alarms: lists, one, how many, their history, and what the platform says of its API.

Source: Cumulocity OpenAPI "core", "Alarms" and "Audits"; reference `cumulocity.md` 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin._http._pages import Pages
from tocsin._http._request import Request
from tocsin._wire import parse_object
from tocsin.cumulocity._audit import AuditWalk
from tocsin.cumulocity._creation import CreationWalk
from tocsin.cumulocity._listing import AlarmWalk
from tocsin.cumulocity._service import READS_ONE, AlarmService, alarm_in, merged, needing
from tocsin.cumulocity._window import ALARMS, alarm_path
from tocsin.cumulocity.models import AlarmResource
from tocsin.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Unpack

    from tocsin._http._core import HttpCore
    from tocsin._http._pages import Walk
    from tocsin.cumulocity._query import AlarmFilter, CountFilters, ListFilters
    from tocsin.cumulocity.models import Alarm, AuditRecord

__all__ = ["PAGE_SIZE", "AlarmReading", "count_alarms"]

PAGE_SIZE: Final = 2000
"""The most rows that the platform gives at a time."""


class AlarmReading(AlarmService):
    """Reads the alarms of one tenant."""

    __slots__ = ()

    def list(
        self,
        where: AlarmFilter | None = None,
        *,
        page_size: int = PAGE_SIZE,
        stable: bool = False,
        **filters: Unpack[ListFilters],
    ) -> Pages[Alarm]:
        """List alarms, newest first as the platform has it (``GET /alarm/alarms``).

        Await the result for its first page, iterate over it for all alarms, over its `pages()` for pages.
        Nothing is sent before that. Without filters it is all alarms.

        Iterated, a list that has more than one page has up to four requests under way; up to three of them
        may turn out to lie beyond its end.

        Iterated, each alarm that was there when it began and matches all the while is given once, however the
        list moves meanwhile; those that came or changed since then may be among them, and in a list of more
        than 100 000 one that changed meanwhile may come twice. (A user who has inventory roles only gets
        pages that cannot be checked for that.) After an error the iteration can be gone on with, if you hold
        its iterator (``items = aiter(alarms.list())``): a page that could not be read is asked for again, an
        unreadable alarm is skipped. A new `async for` over the list begins anew.

        Args:
            where: A filter made before.
            page_size: Alarms of a page, 1 to 2000. Choose less only if the first page is all you want.
            stable: Read by windows of creation time, which never changes, instead of page numbers: nothing
                can shift, so each alarm comes once however long the list is, and nothing is remembered. The
                order is then by creation, newest first, roughly; it costs some more requests, and platforms
                before 10.11 cannot.
            **filters: See `AlarmFilter`; they override those of `where`.

        Raises:
            ConfigurationError: A filter cannot work.
        """
        _check_size(page_size)
        wanted = merged(where, filters)
        walk: Callable[..., Walk[Alarm]] = CreationWalk if stable else AlarmWalk
        return Pages(lambda: walk(self._core, wanted, page_size=page_size), self._start)

    async def get(self, alarm_id: str) -> Alarm:
        """Read one alarm (``GET /alarm/alarms/{id}``).

        Args:
            alarm_id: Its id.

        Raises:
            ConfigurationError: It cannot be an id.
            NotFoundError: There is no such alarm.
            PermissionDeniedError: The user may not read it; the error says what is needed.
            ProtocolError: The answer is no alarm, or another one.
        """
        with needing(READS_ONE):
            response = await self._core.send(Request("GET", alarm_path(alarm_id)))
        return alarm_in(response, alarm_id)

    async def count(self, where: AlarmFilter | None = None, **filters: Unpack[CountFilters]) -> int:
        """Count alarms (``GET /alarm/alarms/count``), in any status unless one is given.

        For a user who has inventory roles only, the platform counts no further than 100.

        Args:
            where: A filter made before.
            **filters: See `AlarmFilter`; they override those of `where`. The platform cannot count by
                creation or change.

        Raises:
            ConfigurationError: A filter cannot work.
            ProtocolError: The answer is no number.
        """
        wanted = merged(where, filters)
        wanted.check_countable()
        total = await self._count(wanted)
        if total == 0 and len(wanted.types) > 1:  # before 10.18.540.274 several types counted as none
            for type_ in wanted.types:
                total += await self._count(merged(wanted, {"type": type_}))
        return total

    def history(self, alarm_id: str, *, page_size: int = PAGE_SIZE) -> Pages[AuditRecord]:
        """List who did what to an alarm, newest first (``GET /audit/auditRecords?source={id}``).

        Await the result for its first page, iterate over it for all records; see `list`. Repeats of an open
        alarm leave no record. It needs ROLE_AUDIT_READ. An alarm that does not exist has no records.

        Args:
            alarm_id: The alarm's id.
            page_size: Records of a page, 1 to 2000.

        Raises:
            ConfigurationError: It cannot be an id, or `page_size` is out of range.
            PermissionDeniedError: When it is read: ROLE_AUDIT_READ is missing.
        """
        alarm_path(alarm_id)
        _check_size(page_size)
        return Pages(lambda: AuditWalk(self._core, str(alarm_id), page_size=page_size), self._start)

    async def api(self) -> AlarmResource:
        """Read what the platform says of its alarm API: addresses and URI templates (``GET /alarm``).

        Raises:
            PermissionDeniedError: ROLE_ALARM_READ is missing.
            ProtocolError: The answer is no such description.
        """
        with needing("ROLE_ALARM_READ"):
            response = await self._core.send(Request("GET", "/alarm"))
        return response.parsed(_resource)

    async def _count(self, wanted: AlarmFilter) -> int:
        return await count_alarms(self._core, wanted.query())


async def count_alarms(core: HttpCore, query: tuple[tuple[str, str], ...]) -> int:
    """Ask how many alarms a query finds. Cancelling it is safe.

    Raises:
        ProtocolError: The answer is no number.
        TocsinError: See `HttpCore.send`.
    """
    request = Request("GET", f"{ALARMS}/count", query, accept="application/json, text/plain")
    return (await core.send(request)).parsed(_number)


def _check_size(page_size: object) -> None:
    if type(page_size) is not int or not 1 <= page_size <= PAGE_SIZE:
        raise ConfigurationError(f"page_size is 1 to {PAGE_SIZE}, not {page_size!r:.80}")


def _resource(body: bytes) -> AlarmResource:
    wire = parse_object(body, what="description of the alarm API")
    alarms = wire.get("alarms")
    templates = {name: value for name, value in wire.items() if isinstance(value, str) and "{" in value}
    if not templates and alarms is None:
        raise ProtocolError("the answer does not describe an alarm API")
    return AlarmResource(
        _text(wire.get("self")), _text(alarms.get("self")) if isinstance(alarms, dict) else None, templates
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(body: bytes) -> int:
    text = body.decode("utf-8", "replace").strip().strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ProtocolError("the count of alarms is not a number")
    return int(text)
