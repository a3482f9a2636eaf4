"""One request for alarms or other rows, and its answer cut into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from tocsin._http._pages import PageStatistics
from tocsin._http._request import Request
from tocsin._wire import cut_object, cut_page, parse_object
from tocsin.errors import ConfigurationError, ProtocolError
from tocsin.xprotect._guids import guid, is_guid

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._http._request import Response

__all__ = [
    "ALARMS",
    "DATA",
    "Sender",
    "Window",
    "alarm_path",
    "checked",
    "item_path",
    "read_one",
    "read_rows",
    "read_window",
]

ALARMS: Final = "/alarms"
DATA: Final = ("include", "data")
"""The pair of a query that asks for the metadata too."""
_ROUND: Final = 50
"""Servers that give fewer rows than were asked for give round numbers of them."""


class Sender(Protocol):
    """What a service needs of a `Gateway`."""

    async def send(self, request: Request) -> Response:
        """Send a request whose path is below the REST base; raise for all answers but 2xx."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one answer.

    Attributes:
        rows: The raw JSON of each, in the server's order.
        more: Whether there may be more.
        date: The server's clock when it answered; None if it did not say.
        statistics: The page and its size, where the size is not what was asked for.
    """

    rows: list[bytes]
    more: bool
    date: datetime | None
    statistics: PageStatistics | None = None


async def read_window(
    gateway: Sender,
    query: tuple[tuple[str, str], ...],
    *,
    page_size: int,
    page: int = 0,
    max_bytes: int | None = None,
) -> Window:
    """Read one page of alarms (``GET /alarms``). Cancelling it is safe.

    Args:
        gateway: Sends it.
        query: The filters, plain text; see `_query`.
        page_size: The most rows.
        page: The page number, from 0.
        max_bytes: See `Request`.

    Raises:
        ProtocolError: The answer is no page of alarms.
        TocsinError: See `Gateway.send`.
    """
    return await read_rows(gateway, ALARMS, query, page_size=page_size, page=page, max_bytes=max_bytes)


async def read_rows(
    gateway: Sender,
    path: str,
    query: tuple[tuple[str, str], ...] = (),
    *,
    page_size: int,
    page: int = 0,
    max_bytes: int | None = None,
) -> Window:
    """Read one page of any collection; see `read_window`.

    The platform tells no total, and its links may lead nowhere. A page that is not full is the last one;
    only a first page with a round number of rows may come of a server that has a limit of its own, so that
    there may be more.

    Args:
        gateway: Sends it.
        path: Where the collection is.
        query: The filters, plain text.
        page_size: The most rows.
        page: The page number, from 0.
        max_bytes: See `Request`.

    Raises:
        ProtocolError: The answer is no page of that collection.
        TocsinError: See `Gateway.send`.
    """
    paging = (("page", str(page)), ("size", str(page_size)))
    response = await gateway.send(Request("GET", path, (*query, *paging), max_bytes=max_bytes))
    rows = response.parsed(lambda body: cut_page(body, "array").items)
    if page == 0 and rows and len(rows) < page_size and len(rows) % _ROUND == 0:
        return Window(rows, more=True, date=response.date, statistics=PageStatistics(1, len(rows)))
    return Window(rows, more=len(rows) >= page_size, date=response.date)


async def read_one(gateway: Sender, wanted: str, *, include_data: bool = False) -> bytes:
    """Read one alarm as raw JSON (``GET /alarms/{id}``). Cancelling it is safe.

    Args:
        gateway: Sends it.
        wanted: Its id.
        include_data: Its metadata too.

    Raises:
        ConfigurationError: It cannot be an id.
        NotFoundError: There is no such alarm, or the user may not see it.
        ProtocolError: The answer is no alarm, or another one.
        TocsinError: See `Gateway.send`.
    """
    query = (DATA,) if include_data else ()
    response = await gateway.send(Request("GET", alarm_path(wanted), query))
    return response.parsed(lambda body: checked(body, wanted))


def checked(body: bytes, wanted: str | None = None, *, noun: str = "alarm") -> bytes:
    """The raw object that an answer holds, if it is the one that was asked for.

    Args:
        body: The answer.
        wanted: The id that was asked for; None: any.
        noun: What it is, for errors.

    Raises:
        ProtocolError: It is no such object, or another one.
    """
    raw = cut_object(body)
    found = parse_object(raw, what=noun).get("id")
    if not isinstance(found, str) or not found:
        raise ProtocolError(f"the {noun} has no usable id")
    if wanted is not None and (guid(found) or "").lower() != (guid(wanted) or "").lower():
        raise ProtocolError(f"{noun} {wanted[:80]!r} was asked for, and the answer is {noun} {found[:80]!r}")
    return raw


def alarm_path(given: object) -> str:
    """The path of an alarm.

    Raises:
        ConfigurationError: It cannot be an id.
    """
    return item_path(ALARMS, given, "alarm")


def item_path(collection: str, given: object, noun: str) -> str:
    """The path of one thing of a collection; its id may come with the collection's name in front.

    Args:
        collection: The path of the collection.
        given: The id.
        noun: What it is, for errors.

    Raises:
        ConfigurationError: It cannot be an id.
    """
    text = given.removeprefix(f"{collection[1:]}/") if isinstance(given, str) else given
    if not isinstance(text, str) or guid(text) is None or "/" in text or text.strip(" .") == "":
        raise ConfigurationError(f"the id of the {noun} is a text such as a GUID, not {given!r:.80}")
    identity = text.strip().strip("{}") if is_guid(text) else text.strip()
    try:
        return f"{collection}/{quote(identity, safe='')}"
    except UnicodeEncodeError:
        raise ConfigurationError(f"the id of the {noun} has no lone surrogates") from None
