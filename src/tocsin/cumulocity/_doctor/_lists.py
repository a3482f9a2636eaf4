"""What lists, counts and filters do: the ground on which pages are read and gaps refilled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, untold
from tocsin._doctor._visit import field, texts
from tocsin._times import write_time
from tocsin.cumulocity._doctor._page import EMPTY, look_at_page, moment
from tocsin.cumulocity._observe import alarm_id
from tocsin.cumulocity._window import ALARMS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tocsin._doctor._visit import Visit

    Query = tuple[tuple[str, str], ...]

__all__ = ["LISTS"]

_TRIES: Final = 3
"""Alarms that come and go meanwhile must not look like a fault of the lists."""
_MS: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Pages:
    """The same two alarms, as one page of two and as two pages of one.

    Attributes:
        together: Their ids, of one page.
        apart: Their ids, page by page.
        numbers: What the two pages say their numbers are.
        links: Whether they have a `next`.
        more: Whether the page of two has one.
    """

    together: list[str]
    apart: list[list[str]]
    numbers: list[Any]
    links: list[bool]
    more: bool = False

    @property
    def fits(self) -> bool:
        """Whether the pages follow one another."""
        return [one for page in self.apart for one in page] == self.together


@dataclass(frozen=True, slots=True)
class Ranges:
    """Whether an alarm is in three ranges of `lastUpdated`; None where there is no alarm."""

    at: bool
    above: bool
    below: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many alarms there are by one filter and by another; rows that a filter let through wrongly."""

    resolved: tuple[int, int]
    statuses: tuple[int, int]
    wrong: int


async def look_at_pages(visit: Visit) -> Pages:
    """Read two alarms in two ways, again if something came in between."""
    return await visit.once("pages", lambda visit: _steady(visit, _pages, lambda seen: seen.fits))


async def _pages(visit: Visit) -> Pages:
    together = await _list(visit, (("pageSize", "2"),))
    apart = [await _list(visit, (("pageSize", "1"), ("currentPage", number))) for number in ("1", "2")]
    return Pages(
        _ids(together),
        [_ids(page) for page in apart],
        [field(page, "statistics", "currentPage") for page in apart],
        [bool(field(page, "next")) for page in apart],
        bool(field(together, "next")),
    )


def judge_paging(seen: Pages) -> Judgement:
    """Whether page 2 begins where page 1 ends."""
    if (len(seen.together) < 2 and seen.more) or (len(seen.together) == 2 and not all(seen.apart)):
        return differs("a page is short though more alarms follow: this user has inventory roles only")
    if len(seen.together) < 2:
        return untold(EMPTY)
    if not seen.fits:
        return differs(f"two pages of one are {texts(_flat(seen.apart))}, one of two {texts(seen.together)}")
    if seen.numbers != [1, 2]:
        return differs(f"they follow, but currentPage says {seen.numbers[0]} and {seen.numbers[1]}")
    return assumed("page 2 begins where page 1 ends")


def judge_next(seen: Pages) -> Judgement:
    """Whether a page says that there is more: lists end where it does not."""
    if len(seen.together) < 2:
        return untold(EMPTY)
    if not seen.links[0]:
        return differs("a full page with more behind it has no next: lists would end too soon")
    return assumed("a full page with more behind it has one")


async def look_at_last_page(visit: Visit) -> bool | None:
    """Whether the only alarm of its time, on a page of one, has a `next`."""
    row = _oldest((await look_at_page(visit)).rows)
    at = moment(row.get("time")) if row else None
    if row is None or at is None:
        return None
    only = (*_about(row), ("dateFrom", write_time(at)), ("dateTo", write_time(at + _MS)))
    if len(_ids(await _list(visit, (*only, ("pageSize", "5"))))) != 1:
        return None
    return bool(field(await _list(visit, (*only, ("pageSize", "1"))), "next"))


def judge_last_page(linked: bool | None) -> Judgement:
    """Whether a full last page is followed by an empty one."""
    if linked is None:
        return untold(EMPTY)
    if linked:
        return assumed("it has a next; a list costs one more request then")
    return differs("it has none; that saves a request")


async def look_at_ranges(visit: Visit) -> Ranges | None:
    """Look for one alarm just at, just above and just below when it changed."""
    row = _oldest((await look_at_page(visit)).rows)
    at = moment(row.get("lastUpdated")) if row else None
    if row is None or at is None:
        return None

    async def within(low: datetime, high: datetime) -> bool:
        span = (("lastUpdatedFrom", write_time(low)), ("lastUpdatedTo", write_time(high)))
        return alarm_id(row) in _ids(await _list(visit, (*_about(row), *span, ("pageSize", "2000"))))

    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return Ranges(
        await within(at, at + _MS), await within(at + _MS, at + 1000 * _MS), await within(at - 1000 * _MS, at)
    )


def judge_ranges(seen: Ranges | None) -> Judgement:
    """Whether from is within and to is not."""
    if seen is None:
        return untold("no alarm says when it changed")
    if seen.at and seen.above and seen.below:
        return differs("lastUpdated filters are ignored: is it older than 10.11? Each sweep reads everything")
    if not seen.at:
        return differs("from is not within: a sweep could miss what changed in its first millisecond")
    if seen.above:
        return differs("from is rounded down, to whole seconds or more")
    if seen.below:
        return differs("to is within: a row at the edge of two windows comes twice")
    return assumed("from is within, to is not")


async def look_at_filters(visit: Visit) -> Counts:
    """Count by `resolved` and by `status`, again if something came in between."""
    seen: Counts = await _steady(visit, _counts, lambda seen: seen.resolved == seen.statuses)
    return seen


async def _counts(visit: Visit) -> Counts:
    closed = await _count(visit, (("resolved", "true"),)), await _count(visit, (("status", "CLEARED"),))
    opened = (
        await _count(visit, (("resolved", "false"),)),
        await _count(visit, (("status", "ACTIVE,ACKNOWLEDGED"),)),
    )
    rows = _rows(await _list(visit, (("resolved", "false"), ("pageSize", "100"))))
    wrong = sum(row.get("status") == "CLEARED" for row in rows)
    return Counts((closed[0], opened[0]), (closed[1], opened[1]), wrong)


def judge_filters(seen: Counts) -> Judgement:
    """Whether two ways to ask for open alarms give the same."""
    if seen.wrong:
        return differs(f"resolved=false gives {seen.wrong} alarms that are cleared")
    if seen.resolved != seen.statuses:
        return differs(f"cleared and open are {seen.resolved} by resolved, {seen.statuses} by status")
    if not any(seen.resolved):
        return untold(EMPTY)
    return assumed(f"{seen.resolved[1]} open, {seen.resolved[0]} cleared, by both")


async def look_at_totals(visit: Visit) -> tuple[Any, int]:
    """The total of a list, and the count."""
    listed = await _list(visit, (("pageSize", "1"), ("withTotalElements", "true")))
    return field(listed, "statistics", "totalElements"), await _count(visit, ())


def judge_totals(seen: tuple[Any, int]) -> Judgement:
    """Whether a list tells how long it is if asked."""
    total, count = seen
    if not isinstance(total, int):
        return differs("it is not told: is it older than 10.13, or has this user inventory roles only?")
    return assumed(f"it says {total}; count says {count}")


async def _steady(visit: Visit, look: Callable[[Visit], Awaitable[Any]], good: Callable[[Any], bool]) -> Any:
    for _ in range(_TRIES - 1):
        if good(seen := await look(visit)):
            return seen
    return await look(visit)


async def _list(visit: Visit, query: Query) -> Any:
    return (await visit.get(ALARMS, query)).json()


async def _count(visit: Visit, query: Query) -> int:
    return int((await visit.get(f"{ALARMS}/count", query)).body)


def _rows(body: Any) -> list[dict[str, Any]]:
    found = field(body, "alarms")
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _ids(body: Any) -> list[str]:
    return [alarm_id(row) or "" for row in _rows(body)]


def _flat(pages: list[list[str]]) -> list[str]:
    return [one for page in pages for one in page]


def _oldest(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The alarm that is least likely to change meanwhile."""
    dated = [(at, index) for index, row in enumerate(rows) if (at := moment(row.get("lastUpdated")))]
    return rows[min(dated)[1]] if dated else (rows[-1] if rows else None)


def _about(row: dict[str, Any]) -> Query:
    """Filters that leave few others."""
    source = alarm_id(row.get("source"))
    return (("source", source),) if source else ()


LISTS: Final[tuple[Probe[Any], ...]] = (
    Probe("paging", "Do pages follow one another?", "by currentPage, from 1", look_at_pages, judge_paging),
    Probe("next", "Does a page say that there is more?", "by a next", look_at_pages, judge_next),
    Probe("last-page", "Has a full last page a next?", "it may", look_at_last_page, judge_last_page),
    Probe("ranges", "Are ranges of lastUpdated half-open?", "yes", look_at_ranges, judge_ranges),
    Probe("filters", "Do resolved and status agree?", "yes", look_at_filters, judge_filters),
    Probe("totals", "Is a list's length told if asked for?", "yes", look_at_totals, judge_totals),
)  # fmt: skip
