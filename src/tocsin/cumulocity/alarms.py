"""The alarms of one tenant: list, read, raise, change, count.

Source: Cumulocity OpenAPI "core", "Alarms"; reference `cumulocity.md` 2.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tocsin._http._pages import Page, PageIterator, Pages, PageStatistics
from tocsin._http._request import Request
from tocsin.cumulocity._listing import AlarmWalk
from tocsin.cumulocity._query import AlarmFilter
from tocsin.cumulocity._window import ALARMS, Window, alarm_path, checked, read_one, read_window
from tocsin.cumulocity._write import alteration, answer, creation, judge, to_body
from tocsin.cumulocity.changes import ALL, DEFAULT_BUFFER, follow
from tocsin.cumulocity.models import Alarm, Created, Severity, Source, Status
from tocsin.errors import ConfigurationError, ProtocolError, TocsinError
from tocsin.models import UNSET, Unset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Literal, Unpack

    from tocsin._http._core import HttpCore
    from tocsin._http._pages import Start
    from tocsin._http._request import Response
    from tocsin._stream._buffer import Overflow
    from tocsin._stream._stream import ChangeStream
    from tocsin.cumulocity._query import CountFilters, ListFilters
    from tocsin.cumulocity.changes import Following, Transport

__all__ = [
    "AlarmFilter",
    "Alarms",
    "Page",
    "PageIterator",
    "PageStatistics",
    "Pages",
    "Window",
    "read_one",
    "read_window",
]

PAGE_SIZE = 2000
"""The most rows that the platform gives at a time."""


class Alarms:
    """The alarms of one tenant.

    Every method may be cancelled; whether a write that was cancelled took effect is unknown. All raise the
    errors of `tocsin.errors`: `AuthenticationError`, `PermissionDeniedError`, `TransportError` and the rest.

    Args:
        core: Sends the requests.
        start: Starts a task in the client's task group, for the page that is read ahead; None: none is.
        clock: Aware UTC now, for an alarm without a time.
        following: What the client lends its streams; None: `changes` cannot be used.
    """

    __slots__ = ("_clock", "_core", "_following", "_start")

    def __init__(
        self,
        core: HttpCore,
        start: Start | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        following: Following | None = None,
    ) -> None:
        self._following = following
        self._core = core
        self._start = start
        self._clock = clock or _utc_now

    def list(
        self,
        where: AlarmFilter | None = None,
        *,
        page_size: int = PAGE_SIZE,
        **filters: Unpack[ListFilters],
    ) -> Pages[Alarm]:
        """List alarms, newest first as the platform has it (``GET /alarm/alarms``).

        Await the result for its first page, iterate over it for all alarms, over its `pages()` for pages.
        Nothing is sent before that. Without filters it is all alarms.

        Iterated, each alarm that was there when it began and matches all the while is given once, however the
        list moves meanwhile; those that came or changed since then may be among them, and in a list of more
        than 100 000 one that changed meanwhile may come twice. (A user who has inventory roles only gets
        pages that cannot be checked for that.) After an error the iteration can be gone on with, if you hold
        its iterator (``items = aiter(alarms.list())``): a page that could not be read is asked for again, an
        unreadable alarm is skipped. A new `async for` over the list begins anew.

        Args:
            where: A filter made before.
            page_size: Alarms of a page, 1 to 2000. Choose less only if the first page is all you want.
            **filters: See `AlarmFilter`; they override those of `where`.

        Raises:
            ConfigurationError: A filter cannot work.
        """
        if type(page_size) is not int or not 1 <= page_size <= PAGE_SIZE:
            raise ConfigurationError(f"page_size is 1 to {PAGE_SIZE}, not {page_size!r:.80}")
        wanted = _merged(where, filters)
        return Pages(lambda: AlarmWalk(self._core, wanted, page_size=page_size), self._start)

    async def get(self, alarm_id: str) -> Alarm:
        """Read one alarm (``GET /alarm/alarms/{id}``).

        Args:
            alarm_id: Its id.

        Raises:
            ConfigurationError: It cannot be an id.
            NotFoundError: There is no such alarm.
            ProtocolError: The answer is no alarm, or another one.
        """
        return _alarm(await self._core.send(Request("GET", alarm_path(alarm_id))), alarm_id)

    async def create(
        self,
        *,
        type: str,  # noqa: A002 - the platform's word
        text: str,
        severity: Severity | str,
        source: str | int | Source,
        time: datetime | None = None,
        status: Status | str | Unset = UNSET,
        fragments: Mapping[str, Any] | None = None,
    ) -> Created:
        """Raise an alarm (``POST /alarm/alarms``).

        If an alarm of that source and type is open, the platform counts it up and takes the new time, and
        nothing else: see `Created.ignored`. It is not sent again where it may have been stored, for that
        would count it up: a `TransportError` says so in `maybe_applied`, and after a `ServerError` it may
        have been stored too.

        Args:
            type: What kind of alarm it is.
            text: What it says; may be empty.
            severity: How serious it is.
            source: The device or asset it belongs to.
            time: When it happened, aware; now if not given.
            status: `Status.ACTIVE` if not given.
            fragments: Further content by name. Names have no blanks and none of ``. , * [ ] ( ) @ $ / '``.

        Returns:
            What the platform made of it, and the alarm.

        Raises:
            ConfigurationError: Something in it could not be stored.
            UnprocessableError: The platform refused it; the source may not exist.
            ProtocolError: The answer cannot be understood. The alarm may have been raised.
        """
        asked = creation(
            type=type,
            text=text,
            severity=severity,
            source=source,
            time=self._clock() if time is None else time,
            status=status,
            fragments=fragments,
        )
        response = await self._core.send(Request("POST", ALARMS, body=to_body(asked)))
        created = answer(asked, response)
        if created.alarm is not None or created.id is None:
            return created
        try:  # only the address was told
            return judge(asked, await self.get(created.id))
        except TocsinError:
            return created  # it has been raised; that it cannot be read must not look like a failure

    async def update(
        self,
        alarm_id: str,
        *,
        status: Status | str | Unset = UNSET,
        severity: Severity | str | Unset = UNSET,
        text: str | Unset = UNSET,
        fragments: Mapping[str, Any] | None = None,
        remove: Iterable[str] = (),
    ) -> Alarm:
        """Change an alarm (``PUT /alarm/alarms/{id}``). Only what is named is sent.

        The last writer wins: the platform has no versions. Writing what is there already changes nothing and
        notifies nobody.

        Args:
            alarm_id: Its id.
            status: Any may follow any; a cleared alarm can be made active again.
            severity: How serious it is.
            text: What it says.
            fragments: Fragments to set, by name. Each is replaced whole.
            remove: Names of fragments to remove.

        Returns:
            The alarm as it stands now.

        Raises:
            ConfigurationError: Nothing is named, or something could not be stored.
            NotFoundError: There is no such alarm.
            ProtocolError: The answer is no alarm, or another one. The change may have been made.
        """
        path = alarm_path(alarm_id)
        wire = alteration(status=status, severity=severity, text=text, fragments=fragments, remove=remove)
        response = await self._core.send(Request("PUT", path, body=to_body(wire)))
        return _alarm(response, alarm_id) if response.body.strip() else await self.get(alarm_id)

    async def acknowledge(self, alarm_id: str) -> Alarm:
        """Acknowledge an alarm; see `update`."""
        return await self.update(alarm_id, status=Status.ACKNOWLEDGED)

    async def clear(self, alarm_id: str) -> Alarm:
        """Clear an alarm; see `update`. The next one of its source and type is a new alarm."""
        return await self.update(alarm_id, status=Status.CLEARED)

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
        wanted = _merged(where, filters)
        wanted.check_countable()
        total = await self._count(wanted)
        if total == 0 and len(wanted.types) > 1:  # before 10.18.540.274 several types counted as none
            for type_ in wanted.types:
                total += await self._count(_merged(wanted, {"type": type_}))
        return total

    def changes(
        self,
        source: str | int | Iterable[str | int] = ALL,
        *,
        children: bool = False,
        severity: str | Iterable[str] | None = None,
        type: str | Iterable[str] | None = None,  # noqa: A002 - the platform's word
        snapshot: bool | Literal["all"] = False,
        overflow: Overflow = "recover",
        buffer: int = DEFAULT_BUFFER,
        transport: Transport = "auto",
        checkpoint: None = None,
    ) -> ChangeStream[Alarm]:
        """Follow every change of alarms, as an async context manager and async iterator.

        Nothing is sent before it is entered or iterated. What live messages did not bring is read back
        (`Origin.RECOVERED`), and each span in which something may have been missed is told by a `Gap`.

        Args:
            source: The id of a device or asset, or several; ``"*"`` for every one.
            children: The descendants of the sources too.
            severity: Only alarms of these severities; one that leaves them is given once more.
            type: Only alarms of these types.
            snapshot: Begin with what is there: True for the open alarms, "all" for all; False for neither.
            overflow: What happens when `buffer` is full. "recover" drops what waits and reads it again once
                the consumer has caught up; "conflate" merges the changes of one alarm; "drop_oldest" loses
                the oldest for good and says so by a `Gap`; "block" is refused, because the real-time
                API does not keep what is not taken.
            buffer: Changes that may wait for the consumer.
            transport: "long-polling", or "polling" for reads alone, every 10 s. "auto" is the former.
            checkpoint: For a later version.

        Raises:
            ConfigurationError: The arguments make no sense, or ask for what is not there yet.
        """
        if self._following is None:
            raise ConfigurationError("changes() needs a client: use Cumulocity(…).alarms")
        return follow(
            self._following,
            source,
            children=children,
            severity=severity,
            type=type,
            snapshot=snapshot,
            overflow=overflow,
            buffer=buffer,
            transport=transport,
            checkpoint=checkpoint,
        )

    async def _count(self, wanted: AlarmFilter) -> int:
        request = Request("GET", f"{ALARMS}/count", wanted.query(), accept="application/json, text/plain")
        response = await self._core.send(request)
        return response.parsed(_number)


def _merged(where: AlarmFilter | None, filters: Mapping[str, Any]) -> AlarmFilter:
    if where is None:
        return AlarmFilter(**filters)
    if not isinstance(where, AlarmFilter):
        raise ConfigurationError("filters are given by name, or as an AlarmFilter")
    return where.merged(filters)


def _alarm(response: Response, wanted: str) -> Alarm:
    return response.parsed(lambda body: Alarm.from_raw(checked(body, wanted)))


def _number(body: bytes) -> int:
    text = body.decode("utf-8", "replace").strip().strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ProtocolError("the count of alarms is not a number")
    return int(text)


def _utc_now() -> datetime:
    return datetime.now(UTC)
