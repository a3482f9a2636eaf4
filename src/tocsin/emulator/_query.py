"""What a query asks for: filters, half-open ranges, and the oddities of the platform's paging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from tocsin.emulator._clock import to_ms
from tocsin.emulator._errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tocsin.emulator._alarms import Alarm

T = TypeVar("T")

PAGE_DEFAULT: Final = 5
PAGE_MAX: Final = 2000

Use = Literal["list", "count", "update", "delete"]
_RANGES: Final = {"dateFrom": "time", "createdFrom": "created", "lastUpdatedFrom": "updated"}
_WITH: Final = ("withSourceAssets", "withSourceDevices", "withSourceChildren", "withSourceAdditions")
# cumulocity.md §2.4: which of the parameters each of the four calls knows.
_KNOWN: Final[Mapping[Use, frozenset[str]]] = {
    "list": frozenset({"type", "createdFrom", "lastUpdatedFrom"}),
    "count": frozenset({"type"}),
    "update": frozenset({"createdFrom"}),
    "delete": frozenset({"type", "createdFrom"}),
}


@dataclass(frozen=True, slots=True)
class Range:
    """Half-open: `low <= value < high`, in ms; None is no bound."""

    low: int | None = None
    high: int | None = None

    def __contains__(self, value: int) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None


@dataclass(frozen=True, slots=True)
class Query:
    """One query over alarms; hashable, so that its result can be remembered while nothing is written.

    Args:
        sources: The devices wanted; None is every device.
        kinds: Which kinds of children of the sources count too.
        statuses: None is every status.
        severities: None is every severity.
        types: None is every type.
        resolved: True is CLEARED, False ACTIVE and ACKNOWLEDGED; it wins over `statuses`.
        time: Range of the alarm's own time.
        created: Range of `creationTime`.
        updated: Range of `lastUpdated`.
    """

    sources: frozenset[str] | None = None
    kinds: frozenset[str] = frozenset()
    statuses: frozenset[str] | None = None
    severities: frozenset[str] | None = None
    types: frozenset[str] | None = None
    resolved: bool | None = None
    time: Range = Range()
    created: Range = Range()
    updated: Range = Range()

    def tests(self) -> list[Callable[[Alarm], bool]]:
        """The conditions that are set; an alarm is wanted if all of them hold."""
        found: list[Callable[[Alarm], bool]] = []
        if self.sources is not None:
            sources = self.sources
            found.append(lambda alarm: alarm.source in sources)
        if self.resolved is not None:
            cleared = self.resolved
            found.append(lambda alarm: (alarm.status == "CLEARED") is cleared)
        elif self.statuses is not None:
            statuses = self.statuses
            found.append(lambda alarm: alarm.status in statuses)
        if self.severities is not None:
            severities = self.severities
            found.append(lambda alarm: alarm.severity in severities)
        if self.types is not None:
            types = self.types
            found.append(lambda alarm: alarm.type in types)
        if self.time:
            found.append(lambda alarm: alarm.time in self.time)
        if self.created:
            found.append(lambda alarm: alarm.created in self.created)
        if self.updated:
            found.append(lambda alarm: alarm.updated in self.updated)
        return found

    def pick(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """Those of `alarms` that are wanted, in the same order."""
        for test in self.tests():
            alarms = filter(test, alarms)
        return list(alarms)


def parse(params: Mapping[str, Sequence[str]], use: Use = "list", *, last_updated: bool = True) -> Query:
    """Read the query string of one of the four calls.

    Args:
        params: Values by name; several values of one name count as one comma-separated list.
        use: Which call it is; parameters that it does not know are ignored, as the platform does.
        last_updated: False is a server before 10.11, which ignores the filters over `lastUpdated`.

    Raises:
        RefusedError: 422 for a value that is no date or no boolean.
    """
    known = _KNOWN[use]
    if use == "update" and "type" in params:
        raise invalid("type is no filter of this call")  # ignoring it would change more than was asked for
    ranges = {
        field: _range(params, low)
        for low, field in _RANGES.items()
        if low == "dateFrom" or (low in known and (last_updated or low != "lastUpdatedFrom"))
    }
    source = _one(params, "source")
    with_kinds = frozenset(name for name in _WITH if flag(params, name))
    if with_kinds and source is None:
        raise invalid(f"{min(with_kinds)} needs source")
    return Query(
        sources=None if source is None else frozenset({source}),
        kinds=_kinds(with_kinds),
        statuses=_several(params, "status", upper=True),
        severities=_several(params, "severity", upper=True),
        types=_several(params, "type") if "type" in known else None,
        resolved=flag(params, "resolved"),
        time=ranges["time"],
        created=ranges.get("created", Range()),
        updated=ranges.get("updated", Range()),
    )


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for, and which totals."""

    size: int = PAGE_DEFAULT
    page: int = 1
    total_pages: bool = False
    total_elements: bool = False


def paging(params: Mapping[str, Sequence[str]]) -> Paging:
    """Read the paging parameters: five by default, at most 2000, anything else than a number is 422."""
    return Paging(
        size=min(_number(params, "pageSize", PAGE_DEFAULT), PAGE_MAX),
        page=_number(params, "currentPage", 1),
        total_pages=bool(flag(params, "withTotalPages")),
        total_elements=bool(flag(params, "withTotalElements")),
    )


def totals(page: Paging, number: int) -> dict[str, int]:
    """The totals that are asked for, of so many rows."""
    found = {}
    if page.total_pages:
        found["totalPages"] = -(-number // page.size)
    if page.total_elements:
        found["totalElements"] = number
    return found


def collection(
    url: str, name: str, page: Paging, found: Sequence[T], view: Callable[[T], Any]
) -> dict[str, Any]:
    """The body of one page of a plain collection.

    Args:
        url: What asks for a page, but for its number at the end.
        name: What the rows are called in it.
        page: Which page.
        found: All rows.
        view: Shows one.
    """
    start = (page.page - 1) * page.size
    shown = found[start : start + page.size]
    body: dict[str, Any] = {
        "self": f"{url}{page.page}",
        name: [view(row) for row in shown],
        "statistics": {"currentPage": page.page, "pageSize": page.size, **totals(page, len(found))},
    }
    if len(shown) == page.size:
        body["next"] = f"{url}{page.page + 1}"
    if page.page > 1:
        body["prev"] = f"{url}{page.page - 1}"
    return body


def date_range(params: Mapping[str, Sequence[str]]) -> Range:
    """`dateFrom` and `dateTo`."""
    return _range(params, "dateFrom")


def _kinds(names: frozenset[str]) -> frozenset[str]:
    if "withSourceChildren" in names:
        return frozenset({"childDevices", "childAssets", "childAdditions"})
    table = {
        "withSourceAssets": "childAssets",
        "withSourceDevices": "childDevices",
        "withSourceAdditions": "childAdditions",
    }
    return frozenset(table[name] for name in names)


def _one(params: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = params.get(name)
    return values[0] if values else None


def _several(params: Mapping[str, Sequence[str]], name: str, *, upper: bool = False) -> frozenset[str] | None:
    if name not in params:
        return None
    words = [word for value in params[name] for word in value.split(",") if word]
    return frozenset(word.upper() for word in words) if upper else frozenset(words)


def flag(params: Mapping[str, Sequence[str]], name: str) -> bool | None:
    """A boolean parameter; None if it is not given, 422 if it is none."""
    text = _one(params, name)
    if text is None:
        return None
    if text.lower() not in {"true", "false"}:
        raise invalid(f"{name} must be true or false")
    return text.lower() == "true"


def _number(params: Mapping[str, Sequence[str]], name: str, default: int) -> int:
    text = _one(params, name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise invalid(f"{name} must be a positive number")
    return int(text)


def _range(params: Mapping[str, Sequence[str]], low: str) -> Range:
    return Range(_bound(params, low), _bound(params, low.replace("From", "To")))


def _bound(params: Mapping[str, Sequence[str]], name: str) -> int | None:
    text = _one(params, name)
    if text is None:
        return None
    try:
        return to_ms(text)
    except ValueError as error:
        raise invalid(f"{name}: {error}") from None
