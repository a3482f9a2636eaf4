"""Lists of alarms: how long pages get, in which order, what filters do, and what an alarm looks like."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, untold
from tocsin._doctor._visit import field, texts
from tocsin.errors import BadRequestError, NotFoundError
from tocsin.xprotect._doctor._server import as_judged, read_rows
from tocsin.xprotect._query import equals, not_equals

if TYPE_CHECKING:
    from tocsin._doctor._visit import Visit

__all__ = ["LISTS"]

_MOST: Final = 2000
_SOME: Final = ("size", "200")
_NEWEST: Final = ("orderBy", "desc:'time'")
_NOBODY: Final = "99999999-9999-4999-8999-999999999999"
_FIELDS: Final = ("id", "name", "time", "lastUpdatedTime", "state", "priority", "source")
_EMPTY: Final = "there are too few alarms to tell it by"


async def _some(visit: Visit) -> list[dict[str, Any]]:
    return await visit.once("some", lambda visit: read_rows(visit, "/alarms", _NEWEST, _SOME))


async def _sizes(visit: Visit) -> Judgement:
    counts: list[int | None] = []
    for page, size in (("0", _MOST), ("1", _MOST), ("0", _MOST + 1)):
        try:
            rows = await read_rows(visit, "/alarms", _NEWEST, ("page", page), ("size", str(size)))
            counts.append(len(rows))
        except BadRequestError:
            counts.append(None)
    first, second, over = counts
    if first is None:
        return differs("2000 are refused (HTTP 400): smaller pages are asked for")
    if first < _MOST and second:
        return differs(f"it gives {first} at a time, or its pages begin at 1")
    if over is None:
        return assumed(f"2001 are refused (HTTP 400); of 2000 it gave {first}")
    if over > _MOST:
        return differs("2001 can be had")
    return assumed("asked for 2001, it gave 2000") if over == _MOST else untold(_EMPTY)


async def _order(visit: Visit) -> Judgement:
    wrong = []
    for way in ("desc", "asc"):
        rows = await read_rows(visit, "/alarms", ("orderBy", f"{way}:'time'"), _SOME)
        times = [str(row.get("time")) for row in rows]
        if len(set(times)) < 2:
            return untold(_EMPTY)
        if any(a < b if way == "desc" else a > b for a, b in pairwise(times)):
            wrong.append(way)
    return differs(f"not for {texts(wrong)}") if wrong else assumed("newest first and oldest first")


async def _filters(visit: Visit) -> Judgement:
    """Ask for the newer half of some alarms, for those in one state, and for the others."""
    rows = await _some(visit)
    states = [str(field(row, "state", "name")) for row in rows]
    middle = str(rows[len(rows) // 2].get("time")) if rows else ""
    asked = {
        "gt": ("time", f"gt:'{middle}'", [str(row.get("time")) > middle for row in rows]),
        "equals": ("state.name", equals(states[0] if rows else ""), [one == states[0] for one in states]),
        "notEquals": (
            "state.name",
            not_equals(states[0] if rows else ""),
            [one != states[0] for one in states],
        ),
    }
    wrong: list[str] = []
    right: list[str] = []
    for name, (key, value, wanted) in asked.items():
        if len(set(wanted)) < 2:  # it would be right without any filter, or with nothing at all
            continue
        try:
            came = {row.get("id") for row in await read_rows(visit, "/alarms", (key, value), _NEWEST, _SOME)}
        except BadRequestError:
            wrong.append(f"{name} (refused)")
            continue
        good = all((row.get("id") in came) is want for row, want in zip(rows, wanted, strict=True))
        (right if good else wrong).append(name)
    if wrong:
        return differs(f"not {texts(wrong)}")
    return assumed(texts(right)) if right else untold(_EMPTY)


async def _updated(visit: Visit) -> Judgement:
    """Ask for what will be changed in the far future: nothing."""
    if not await _some(visit):
        return untold(_EMPTY)
    try:
        rows = await read_rows(visit, "/alarms", ("lastUpdatedTime", "gt:'2099-01-01T00:00:00Z'"), _SOME)
    except BadRequestError:
        return assumed("it is refused (HTTP 400)")
    return assumed("it is ignored") if rows else differs("it filters; not used yet")


async def _form(visit: Visit) -> Judgement:
    rows = await _some(visit)
    missing = [name for name in _FIELDS if any(row.get(name) is None for row in rows)]
    if not rows:
        return untold(_EMPTY)
    return differs(f"some are without {texts(missing)}") if missing else assumed(f"all {len(rows)} of them")


async def _missing(visit: Visit) -> Judgement:
    try:
        await visit.get(f"/alarms/{_NOBODY}")
    except NotFoundError as error:
        if error.error is None:
            return differs("HTTP 404 as any proxy answers: that an alarm is gone is not believed")
        bare = error.error.isdecimal()  # without an errorTextId its httpCode stands in
        return assumed("HTTP 404, without an errorTextId" if bare else f"HTTP 404, {error.error}")
    return differs("something is found: what is gone is not noticed")


async def _history(visit: Visit) -> Judgement:
    rows = await _some(visit)
    entries = await read_rows(visit, f"/alarms/{rows[0].get('id')}/history") if rows else []
    if not entries:
        return untold(_EMPTY if not rows else "nothing was done to the newest alarm")
    names = sorted({name for entry in entries for name in entry})
    known = {name.casefold() for name in names}
    good = {"time", "author"} <= known and known & {"text", "comment"}
    return assumed(texts(names)) if good else differs(f"it has {texts(names)}")


async def _statistics(visit: Visit) -> Judgement:
    body = (await visit.get("/alarmStatistics")).json()
    rows = field(body, "array") or field(body, "data")
    if not isinstance(rows, list) or not rows:
        return differs(
            f"no rows; the answer has {texts(map(str, body)) if isinstance(body, dict) else 'none'}"
        )
    names = sorted({name for row in rows if isinstance(row, dict) for name in row})
    told = f"{len(rows)} rows of {texts(names)}"
    return assumed(told) if {"type", "number", "value"} <= set(names) else differs(told)


LISTS: Final[tuple[Probe[Any], ...]] = (
    Probe("page-size", "How many alarms has a page at most?", "2000", _sizes, as_judged),
    Probe("order", "Do they come in order of time?", "yes, both ways", _order, as_judged),
    Probe("filters", "Which filters work?", "gt, equals, notEquals", _filters, as_judged),
    Probe("filter-updated", "Can changes be asked for?", "no; not used", _updated, as_judged),
    Probe("form", "What has every alarm?", texts(_FIELDS), _form, as_judged),
    Probe(
        "missing-alarm",
        "What is said of an alarm that is not there?",
        "a 404 of the platform",
        _missing,
        as_judged,
    ),
    Probe("history", "What has an entry of a history?", "time, author, text", _history, as_judged),
    Probe("statistics", "What are statistics?", "rows of type, number, value", _statistics, as_judged),
)
