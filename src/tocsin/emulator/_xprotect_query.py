"""Filters, order and pages in the queries of XProtect's REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tocsin.emulator._clock import ticks_text, to_ticks
from tocsin.emulator._xprotect_errors import bad

Kind = Literal["text", "guid", "time", "number"]
_TERM: Final = re.compile(r"(?:([A-Za-z]+):)?(?:'((?:[^']|'')*)'|([^',]+))(,|$)", re.DOTALL)
_ORDER: Final = re.compile(r"(?:(asc|desc):)?'?([A-Za-z.]+)'?$")
_TAKES: Final[Mapping[Kind, frozenset[str]]] = {
    "text": frozenset({"equals", "notEquals", "startsWith", "contains", "oneOf"}),
    "guid": frozenset({"equals", "notEquals", "oneOf"}),
    "time": frozenset({"equals", "lt", "gt"}),
    "number": frozenset({"equals", "notEquals", "lt", "gt", "oneOf"}),
}
ALARM_FIELDS: Final[Mapping[str, Kind]] = {
    "id": "guid", "localId": "number", "name": "text", "message": "text", "source": "text",
    "cameraId": "guid", "time": "time", "tag": "text", "legacyType": "text",
    "state.id": "guid", "state.name": "text", "state.level": "number",
    "priority.id": "guid", "priority.name": "text", "priority.level": "number",
    "category.id": "guid", "category.name": "text", "category.level": "number",
    "assignedTo.displayName": "text",
}  # fmt: skip
EVENT_FIELDS: Final[Mapping[str, Kind]] = {
    "id": "guid", "type": "guid", "source": "guid", "time": "time",
}  # fmt: skip
_BARE: Final = frozenset({"disabled", "tasks", "noData", "resources", "definitions", "includeChildren"})

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What a GET of a list asks for.

    Attributes:
        page: From 0.
        size: Objects on a page.
        data: `include=data`.
        tests: All must hold.
        order: A field and whether it falls; None: as the server likes.
    """

    page: int
    size: int
    data: bool
    tests: tuple[Callable[[Document], bool], ...]
    order: tuple[str, bool] | None

    def select(self, documents: Sequence[Document]) -> list[Document]:
        """Those on the page, and one more if there are more."""
        return self.cut(self.ordered([item for item in documents if self.wants(item)]))

    def wants(self, document: Document) -> bool:
        """Whether all filters let it pass."""
        return all(test(document) for test in self.tests)

    def ordered(self, documents: list[Document]) -> list[Document]:
        """In the order that was asked for."""
        if self.order is None:
            return documents
        field, falls = self.order
        return sorted(documents, key=lambda item: _rank(value_of(item, field)), reverse=falls)

    def cut(self, documents: list[Document]) -> list[Document]:
        """The page, and one more if there are more."""
        start = self.page * self.size
        return documents[start : start + self.size + 1]


def read_query(
    params: Mapping[str, list[str]],
    fields: Mapping[str, Kind],
    *,
    size: int,
    size_max: int,
    bare: bool = False,
) -> Query:
    """Read a query.

    Args:
        params: Decoded values by name.
        fields: What can be filtered by, and what kind of value it has.
        size: Objects on a page by default.
        size_max: The most.
        bare: Whether texts need no quotes, as public clients send them to the Config REST API.

    Raises:
        ApiError: 400.
    """
    page = _count(params, "page", 0, 0, 1_000_000_000)
    wanted = _count(params, "size", size, 1, size_max)
    tests: list[Callable[[Document], bool]] = []
    order = None
    for name, values in params.items():
        if name in {"page", "size"} or name in _BARE:
            continue
        if name == "include":
            if any(part.strip() != "data" for value in values for part in value.split(",")):
                raise bad("Only data can be included", "include")
        elif name == "orderBy":
            order = _order(values[-1], fields)
        elif name in fields:
            tests += [test for value in values for test in read_filter(name, value, fields[name], bare)]
        else:
            raise bad(f"It is not possible to filter by {name:.60}", name[:60])
    return Query(page, wanted, "include" in params, tuple(tests), order)


def read_filter(name: str, text: str, kind: Kind, bare: bool = False) -> list[Callable[[Document], bool]]:
    """The tests in a filter such as `gt:'…',lt:'…'`.

    Raises:
        ApiError: 400.
    """
    place, operator = 0, ""
    groups: list[tuple[str, list[Any]]] = []
    while place < len(text) or not groups:
        match = _TERM.match(text, place)
        if match is None or (match[4] == "," and match.end() == len(text)) or not (bare or _quoted(match)):
            raise bad(f"The filter cannot be read: {text:.100}", name)
        value = _typed(name, match[2].replace("''", "'") if match[2] is not None else match[3], kind)
        if match[1] is None and operator == "oneOf":
            groups[-1][1].append(value)
        else:
            operator = match[1] or "equals"
            if operator not in _TAKES[kind]:
                raise bad(f"{name} cannot be filtered with {operator:.30}", name)
            groups.append((operator, [value]))
        place = match.end()
    return [_test(name, kind, operator, values) for operator, values in groups]


def value_of(document: Document, field: str) -> Any:
    """What stands in a dotted field."""
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _quoted(match: re.Match[str]) -> bool:
    return match[3] is None or match[3].removeprefix("-").isdigit()


def _test(name: str, kind: Kind, operator: str, values: list[Any]) -> Callable[[Document], bool]:
    def holds(document: Document) -> bool:
        found = value_of(document, name)
        if kind == "guid" and isinstance(found, str):
            found = found.rpartition("/")[2].lower()
        if found is None:
            return operator == "notEquals"
        match operator:
            case "notEquals":
                return bool(found != values[0])
            case "lt":
                return bool(found < values[0])
            case "gt":
                return bool(found > values[0])
            case "startsWith":
                return bool(found.startswith(values[0]))
            case "contains":
                return bool(values[0] in found)
            case _:
                return found in values

    return holds


def _typed(name: str, text: str, kind: Kind) -> Any:
    try:
        match kind:
            case "time":
                return ticks_text(to_ticks(text))  # stored times are written so: texts compare as times
            case "number":
                return int(text) if len(text) < 19 else _fail(text)
            case "guid":
                return text.rpartition("/")[2].lower()
            case _:
                return text
    except (ValueError, OverflowError):
        raise bad(f"No value of {name}: {text:.60}", name) from None


def _fail(text: str) -> int:
    raise ValueError(text)


def _count(params: Mapping[str, list[str]], name: str, default: int, least: int, most: int) -> int:
    text = params.get(name, [str(default)])[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 11 and least <= int(text) <= most):
        raise bad(f"{name} is a number from {least} to {most}", name)
    return int(text)


def _order(text: str, fields: Mapping[str, Kind]) -> tuple[str, bool]:
    match = _ORDER.match(text)
    if match is None or match[2] not in fields:
        raise bad(f"The order cannot be read: {text:.100}", "orderBy")
    return match[2], match[1] == "desc"


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)
