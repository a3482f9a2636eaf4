"""One page of alarms as large as it gets, which several probes judge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, untold
from tocsin._doctor._visit import field, texts
from tocsin._times import parse_time
from tocsin.cumulocity._window import ALARMS

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._doctor._visit import Visit

__all__ = ["EMPTY", "PAGE", "Page", "look_at_page", "moment"]

EMPTY: Final = "there are no alarms to tell it by"
_MOST: Final = 2000
_WORTH: Final = 4096
"""Bytes of a body that a server can be expected to compress."""
_MILLIS: Final = re.compile(r"\.(\d*[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of 2001 alarms, or what the server made of it.

    Attributes:
        rows: The alarms.
        said: The page size that the server says.
        encoding: How the body was compressed.
        size: Bytes of the body, decompressed.
        host: Where it was asked for.
        links: Hosts of all links.
    """

    rows: list[dict[str, Any]]
    said: Any
    encoding: str | None
    size: int
    host: str
    links: frozenset[str]


async def look_at_page(visit: Visit) -> Page:
    """Ask for one more than the platform gives."""
    return await visit.once("page", _look)


async def _look(visit: Visit) -> Page:
    response = await visit.get(ALARMS, (("pageSize", str(_MOST + 1)),))
    body = response.json()
    alarms = field(body, "alarms")
    rows = [row for row in alarms if isinstance(row, dict)] if isinstance(alarms, list) else []
    links = [*(field(row, "self") for row in rows), *(field(body, name) for name in ("self", "next"))]
    hosts = frozenset(host for link in links if isinstance(link, str) and (host := _host(link)))
    visit.name(*hosts)
    return Page(
        rows,
        field(body, "statistics", "pageSize"),
        response.headers.get("content-encoding"),
        len(response.body),
        visit.host,
        hosts,
    )


def judge_size(page: Page) -> Judgement:
    """Whether a page has 2000 alarms at most."""
    found = len(page.rows)
    if found > _MOST or page.said == _MOST + 1:
        return differs(f"asked for 2001, it gave {found} and says {page.said}")
    if found == _MOST or page.said == _MOST:
        return assumed(f"asked for 2001, it gave {found} and says {page.said}")
    if isinstance(page.said, int) and page.said < _MOST:
        return differs(f"a page has {page.said} at most")
    return untold(f"it does not say how large a page is, and there are only {found} alarms")


def judge_order(page: Page) -> Judgement:
    """Whether the newest alarm comes first."""
    times = [time for row in page.rows if (time := moment(row.get("time"))) is not None]
    if len(times) < 2:
        return untold(EMPTY)
    wrong = sum(second > first for first, second in pairwise(times))
    if wrong:
        return differs(f"{wrong} of {len(times)} alarms are newer than the one before")
    return assumed(f"{len(times)} alarms, by time")


def judge_last_updated(page: Page) -> Judgement:
    """Whether recovery has what it goes by."""
    if not page.rows:
        return untold(EMPTY)
    stamps = [stamp for row in page.rows if isinstance(stamp := row.get("lastUpdated"), str)]
    if len(stamps) < len(page.rows):
        missing = len(page.rows) - len(stamps)
        return differs(f"{missing} of {len(page.rows)} alarms have none: is it older than 10.11?")
    if not any(_MILLIS.search(stamp) for stamp in stamps):
        if len(stamps) < 3:
            return untold("too few alarms to tell whether it has milliseconds")
        return differs("it has no milliseconds: changes within a second look alike")
    return assumed(f"{len(stamps)} alarms have it, with milliseconds")


def judge_links(page: Page) -> Judgement:
    """Whether links name the host that was asked."""
    others = sorted(page.links - {page.host})
    if not page.links:
        return untold(EMPTY)
    if others:
        return differs(f"they name {texts(others, 3)}; it does no harm, they are not followed")
    return assumed("they name the host that was asked")


def judge_gzip(page: Page) -> Judgement:
    """Whether pages come compressed."""
    if page.encoding:
        return assumed(f"{page.encoding}, {page.size} bytes decompressed")
    if page.size < _WORTH:
        return untold(f"a page of {page.size} bytes is not worth it")
    return differs(f"{page.size} bytes came as they are")


def moment(value: object) -> datetime | None:
    """A time; None where it is none."""
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _host(link: str) -> str | None:
    try:
        return urlsplit(link).netloc.rpartition("@")[2]
    except ValueError:
        return None


PAGE: Final[tuple[Probe[Any], ...]] = (
    Probe("page-size", "How large is a page at most?", "2000 alarms", look_at_page, judge_size),
    Probe("order", "In which order are alarms listed?", "newest first", look_at_page, judge_order),
    Probe(
        "last-updated",
        "Do alarms say when they changed?",
        "to the millisecond",
        look_at_page,
        judge_last_updated,
    ),
    Probe("links", "Which host do links name?", "any; never followed", look_at_page, judge_links),
    Probe("gzip", "Do pages come compressed?", "yes", look_at_page, judge_gzip),
)
