"""The inventory's query language, as much of it as clients ask by: comparisons, `has`, `bygroupid`, order."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._clock import to_text
from tocsin.emulator._errors import invalid

if TYPE_CHECKING:
    from tocsin.emulator._devices import Device

Test = Callable[["Device"], bool]
_WORDS: Final = re.compile(r"\s*(?:('(?:[^']|'')*')|([()])|([^\s()']+))")
_ORDER: Final = re.compile(r"(?:^|[\s+])\$orderby=", re.ASCII)
_FILTER: Final = re.compile(r"^\s*\$filter=", re.ASCII)
_CALL: Final = frozenset({"has", "bygroupid"})
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_DEEPEST: Final = 50  # parentheses within each other


class InventoryQuery:
    """What `query` or `q` asks for: a condition, and an order.

    Args:
        text: Such as `$filter=(name eq 'Door*' and has(c8y_IsDevice)) $orderby=name desc`; `$filter=` may be
            left out.

    Raises:
        RefusedError: 422, it cannot be read. A list that leaves a condition out would be worse.
    """

    def __init__(self, text: str) -> None:
        condition, *order = _ORDER.split(text, maxsplit=1)
        self._words = [match.group().strip() for match in _WORDS.finditer(_FILTER.sub("", condition))]
        self._at = self._depth = 0
        self._text = text
        self._order = order[0] if order else ""
        self.wants: Test = self._either() if self._words else _any
        if self._at < len(self._words):
            raise self._unread()

    def sort(self, devices: list[Device]) -> None:
        """Bring devices into the order that is asked for; by default it is theirs."""
        for part in reversed([part.split() for part in self._order.split(",") if part.strip()]):
            name, direction = part[0], part[-1].lower()
            devices.sort(key=lambda device: str(_value(device, name) or ""), reverse=direction == "desc")

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return _any_of(tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("and"):
            tests.append(self._one())
        return _all_of(tests)

    def _one(self) -> Test:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._unread()
        try:
            if self._take("not"):
                test = self._one()
                return lambda device: not test(device)
            if self._take("("):
                test = self._either()
                self._need(")")
                return test
            return self._simple()
        finally:
            self._depth -= 1

    def _simple(self) -> Test:
        name = self._next()
        if name in _CALL and self._take("("):
            argument = _text(self._next())
            self._need(")")
            if name == "has":
                return lambda device: _value(device, argument) is not None
            return lambda device: argument in device.parents["childAssets"]
        word, literal = self._next(), self._next()
        return self._comparison(name, word.lower(), literal)

    def _comparison(self, name: str, word: str, literal: str) -> Test:
        wanted = _text(literal)
        if word == "eq":
            return lambda device: _same(_value(device, name), wanted)
        if word == "ne":
            return lambda device: not _same(_value(device, name), wanted)
        if word not in _COMPARE:
            raise self._unread()
        compare = _COMPARE[word]
        return lambda device: _ranked(compare, _value(device, name), wanted)

    def _next(self) -> str:
        if self._at >= len(self._words):
            raise self._unread()
        self._at += 1
        return self._words[self._at - 1]

    def _take(self, word: str) -> bool:
        taken = self._at < len(self._words) and self._words[self._at].lower() == word
        self._at += taken
        return taken

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self._unread()

    def _unread(self) -> Exception:
        return invalid(f"The query cannot be read: {self._text:.200}")


def _any(_device: Device) -> bool:
    return True


def _all_of(tests: list[Test]) -> Test:
    return lambda device: all(test(device) for test in tests)


def _any_of(tests: list[Test]) -> Test:
    return lambda device: any(test(device) for test in tests)


def _text(literal: str) -> str:
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def _value(device: Device, name: str) -> Any:
    """What a device has under a dotted name."""
    if name == "id":
        return device.id
    if name in {"creationTime", "lastUpdated"}:
        return to_text(device.created if name == "creationTime" else device.updated)
    value: Any = device.doc
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _same(value: Any, wanted: str) -> bool:
    if value is None:
        return wanted == "null"
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    if isinstance(value, str):
        return fnmatchcase(value, wanted.replace("[", "[[]").replace("?", "[?]"))
    return _ranked(operator.eq, value, wanted)


def _ranked(compare: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return compare(value, wanted)
    try:
        return isinstance(value, int | float) and compare(value, float(wanted))
    except ValueError:
        return False
