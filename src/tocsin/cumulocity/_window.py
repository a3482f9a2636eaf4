"""One request for alarms, and its answer cut into rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tocsin._http._pages import PageStatistics
from tocsin._http._request import Request
from tocsin._wire import cut_page
from tocsin.cumulocity._observe import alarm_id, read_alarm
from tocsin.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._http._core import HttpCore

__all__ = ["ALARMS", "Window", "alarm_path", "checked", "read_one", "read_rows", "read_window"]

ALARMS = "/alarm/alarms"


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one answer.

    Attributes:
        rows: The raw JSON of each alarm, in the server's order.
        more: Whether the server says that there is more.
        date: The server's clock when it answered; None if it did not say.
        next: The link to what comes next, as it came: its host may be an internal one.
        statistics: What the server says about the page; None if nothing.
    """

    rows: list[bytes]
    more: bool
    date: datetime | None
    next: str | None = None
    statistics: PageStatistics | None = None


async def read_window(
    core: HttpCore,
    query: tuple[tuple[str, str], ...],
    *,
    page_size: int,
    page: int = 1,
    max_bytes: int | None = None,
) -> Window:
    """Read one page of alarms (``GET /alarm/alarms``, OpenAPI "core"). Cancelling it is safe.

    Args:
        core: Sends it.
        query: The filters, plain text.
        page_size: The most rows; the platform gives no more than 2000.
        page: The page number, from 1.
        max_bytes: See `Request`.

    Raises:
        ProtocolError: The answer is no page of alarms.
        TocsinError: See `HttpCore.send`.
    """
    return await read_rows(core, ALARMS, "alarms", query, page_size=page_size, page=page, max_bytes=max_bytes)


async def read_rows(
    core: HttpCore,
    path: str,
    key: str,
    query: tuple[tuple[str, str], ...],
    *,
    page_size: int,
    page: int = 1,
    max_bytes: int | None = None,
) -> Window:
    """Read one page of any collection; see `read_window`.

    Args:
        core: Sends it.
        path: Where the collection is.
        key: The name of the list in a page of it.
        query: The filters, plain text.
        page_size: The most rows; the platform gives no more than 2000.
        page: The page number, from 1.
        max_bytes: See `Request`.

    Raises:
        ProtocolError: The answer is no page of that collection.
        TocsinError: See `HttpCore.send`.
    """
    paging = (("pageSize", str(page_size)), ("currentPage", str(page)))
    response = await core.send(Request("GET", path, (*query, *paging), max_bytes=max_bytes))
    cut = response.parsed(lambda body: cut_page(body, key))
    link = cut.rest.get("next")
    return Window(
        cut.items,
        bool(link),
        response.date,
        link if isinstance(link, str) else None,
        _statistics(cut.rest.get("statistics")),
    )


async def read_one(core: HttpCore, wanted: str) -> bytes:
    """Read one alarm as raw JSON (``GET /alarm/alarms/{id}``). Cancelling it is safe.

    Raises:
        ConfigurationError: It cannot be an id.
        NotFoundError: There is no such alarm.
        ProtocolError: The answer is no alarm, or another one.
        TocsinError: See `HttpCore.send`.
    """
    response = await core.send(Request("GET", alarm_path(wanted)))
    return response.parsed(lambda body: checked(body, wanted))


def checked(body: bytes, wanted: object) -> bytes:
    """The raw alarm that an answer holds, if it is the one that was asked for.

    Raises:
        ProtocolError: It is no alarm, or another one.
    """
    found = alarm_id(read_alarm(body))
    if found is None:
        raise ProtocolError("the alarm has no usable id")
    if found != str(wanted):
        raise ProtocolError(
            f"alarm {str(wanted)[:80]!r} was asked for, and the answer is alarm {found[:80]!r}"
        )
    return body


def alarm_path(given: object) -> str:
    """The path of an alarm.

    Raises:
        ConfigurationError: It cannot be an id.
    """
    text = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(text, str) or text.strip(" .") == "" or text == "null":
        raise ConfigurationError(f"an alarm's id is a text that is not empty, not {given!r:.80}")
    if not {".", ".."}.isdisjoint(text.split("/")):  # it would be resolved and ask for something else
        raise ConfigurationError(f"{given!r:.80} is not the id of an alarm")
    try:
        return f"{ALARMS}/{quote(text, safe='')}"
    except UnicodeEncodeError:
        raise ConfigurationError("an alarm's id has no lone surrogates") from None


def _statistics(found: object) -> PageStatistics | None:
    if not isinstance(found, dict):
        return None
    return PageStatistics(
        *(_count(found.get(name)) for name in ("currentPage", "pageSize", "totalPages", "totalElements"))
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
