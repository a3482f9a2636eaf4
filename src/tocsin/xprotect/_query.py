"""Which alarms: filters in Python's words, checked, and as the platform spells them.

Source: reference `xprotect.md` 2.4: ``key='value'``, ``key=operator:'value'``, conditions of one key joined
with commas, a quote in a value doubled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypedDict

from tocsin.errors import ConfigurationError
from tocsin.xprotect._guids import guid, is_guid, path_of
from tocsin.xprotect.models import AlarmCategory, AlarmPriority, AlarmState, Camera

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tocsin.models import Level, Phase

__all__ = [
    "AlarmFilter",
    "ListFilters",
    "Order",
    "after",
    "before",
    "contains",
    "equals",
    "not_equals",
    "ordered",
    "several",
    "source_path",
]

_TICK: Final = timedelta(microseconds=1)


class Order(StrEnum):
    """In which order alarms are listed, by the time at which they were triggered."""

    NEWEST = "desc"
    OLDEST = "asc"


class ListFilters(TypedDict, total=False):
    """What `list` can filter by. See `AlarmFilter`."""

    state: AlarmState | Phase | int | str | Iterable[AlarmState | Phase | int | str] | None
    priority: AlarmPriority | Level | int | str | Iterable[AlarmPriority | Level | int | str] | None
    category: AlarmCategory | int | str | Iterable[AlarmCategory | int | str] | None
    source: Camera | str | Iterable[Camera | str] | None
    resolved: bool | None
    name: str | None
    message: str | None
    text_contains: str | None
    date_from: datetime | None
    date_to: datetime | None
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AlarmFilter:
    """Which alarms. Nothing given means all of them, newest first.

    States, priorities and categories are given by name as this site calls them (in any case), by level, by
    id, or as an object that a look-up gave; `Phase` and `Level` stand for what they mean here. Whether they
    exist is known when the list is read. The platform can look for one of them; for several, and for sources
    that are no cameras, tocsin looks through what it sends.

    Args:
        state: Where they stand, one or several.
        priority: How serious they are, one or several.
        category: What kind they are, one or several.
        source: What they came from, one or several: the id of a camera, a path such as
            ``hardware/<guid>``, or a `Camera`.
        resolved: True: closed alarms; False: all others. Not together with `state`.
        name: What they are called, exactly.
        message: What they say, exactly.
        text_contains: Words in their message.
        date_from: When they were triggered: from ≤ time < to; aware.
        date_to: Likewise.
        order: Newest or oldest first.

    Raises:
        ConfigurationError: Something that the platform could not look for, or would misread.
    """

    state: Any = None
    priority: Any = None
    category: Any = None
    source: Any = None
    resolved: bool | None = None
    name: str | None = None
    message: str | None = None
    text_contains: str | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None
    order: Order = Order.NEWEST

    def __post_init__(self) -> None:
        self._set("state", several("state", self.state, AlarmState))
        self._set("priority", several("priority", self.priority, AlarmPriority))
        self._set("category", several("category", self.category, AlarmCategory))
        self._set("source", _sources(self.source))
        if self.resolved is not None and not isinstance(self.resolved, bool):
            raise ConfigurationError(f"resolved is True, False or not given, not {self.resolved!r:.80}")
        if self.resolved is not None and self.state is not None:
            raise ConfigurationError("resolved and state exclude each other: both say where an alarm stands")
        for text in ("name", "message", "text_contains"):
            _check_text(text, getattr(self, text))
        if self.message is not None and self.text_contains is not None:
            raise ConfigurationError("message and text_contains exclude each other: give the whole or a part")
        self._check_range()
        try:
            self._set("order", Order(self.order))
        except ValueError:
            raise ConfigurationError(
                f"order is Order.NEWEST or Order.OLDEST, not {self.order!r:.80}"
            ) from None

    def __repr__(self) -> str:
        given = (
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        )
        return f"AlarmFilter({', '.join(given)})"

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_range(self) -> None:
        for name in ("date_from", "date_to"):
            moment = getattr(self, name)
            if moment is None:
                continue
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise ConfigurationError(
                    f"{name} is an aware datetime, not {moment!r:.80}: the platform knows UTC only"
                )
            self._set(name, _utc(name, moment))
        if self.date_from is not None and self.date_to is not None and self.date_from >= self.date_to:
            raise ConfigurationError(
                "date_from is not before date_to: from ≤ time < to, so nothing could match"
            )

    def merged(self, filters: Mapping[str, Any]) -> AlarmFilter:
        """The same filter with some of it replaced.

        Args:
            filters: New values, by the names above.

        Raises:
            ConfigurationError: One of them cannot work.
        """
        return replace(self, **filters) if filters else self

    def fixed(self) -> tuple[tuple[str, str], ...]:
        """The part of the query that needs no look-up: name, message, camera, times, order."""
        pairs: list[tuple[str, str]] = []
        if self.name is not None:
            pairs.append(("name", equals(self.name)))
        if self.message is not None:
            pairs.append(("message", equals(self.message)))
        if self.text_contains is not None:
            pairs.append(("message", contains(self.text_contains)))
        if self.source is not None and len(self.source) == 1 and self.source[0].startswith("cameras/"):
            pairs.append(("cameraId", equals(guid(self.source[0]) or "")))
        times = [
            *([] if self.date_from is None else [after(self.date_from)]),
            *([] if self.date_to is None else [before(self.date_to)]),
        ]
        if times:
            pairs.append(("time", ",".join(times)))
        pairs.append(ordered("time", self.order))
        return tuple(pairs)


def equals(value: str) -> str:
    """A condition: exactly this."""
    return _quoted(value)


def not_equals(value: str) -> str:
    """A condition: anything but this."""
    return f"notEquals:{_quoted(value)}"


def contains(value: str) -> str:
    """A condition: a text with this in it."""
    return f"contains:{_quoted(value)}"


def after(moment: datetime) -> str:
    """A condition on a time: then, or later. The platform knows "later" only, and ticks of 100 ns."""
    try:
        earlier = moment.astimezone(UTC) - _TICK
    except OverflowError:
        raise ConfigurationError(f"{moment!r} lies outside of the calendar") from None
    return f"gt:'{earlier.replace(tzinfo=None).isoformat(timespec='microseconds')}9Z'"


def before(moment: datetime) -> str:
    """A condition on a time: before then."""
    return f"lt:'{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}0Z'"


def ordered(name: str, order: Order) -> tuple[str, str]:
    """The pair of a query that sorts by a field."""
    return ("orderBy", f"{order.value}:{_quoted(name)}")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def several(name: str, given: object, kind: type) -> tuple[Any, ...] | None:
    """One or several of something, as a tuple.

    Args:
        name: The argument's, for errors.
        given: An object of `kind`, a name, a level, or several.
        kind: What a look-up gives.

    Raises:
        ConfigurationError: It is none of these, or empty.
    """
    if given is None:
        return None
    if isinstance(given, (str, int, kind)):
        given = (given,)
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"{name} is a name, a level, an id, or several, not {given!r:.80}")
    values = tuple(given)
    if not values:
        raise ConfigurationError(f"{name} is empty: leave it out for all, or ask for one at least")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (str, int, kind)):
            raise ConfigurationError(f"{name} is a name, a level or an id, not {value!r:.80}")
        _check_text(name, value if isinstance(value, str) else None)
    return tuple(dict.fromkeys(values))


def source_path(source: object) -> str:
    """The path of what alarms come from: a bare id is a camera's.

    Raises:
        ConfigurationError: It is no id of XProtect, or the one that stands for nothing.
    """
    path = source.path if isinstance(source, Camera) else source
    if not isinstance(path, str) or not is_guid(path.strip().rpartition("/")[2]):
        raise ConfigurationError(
            f"a source is the id of a camera (a GUID), a path such as 'cameras/<id>', or a Camera, "
            f"not {source!r:.80}; client.cameras() lists them"
        )
    if guid(path) is None:
        raise ConfigurationError("the empty GUID is no source: leave source out")
    return path_of(path)


def _sources(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, (str, Camera)) or not isinstance(given, Iterable):
        given = (given,)
    paths = tuple(dict.fromkeys(source_path(source) for source in given))
    if not paths:
        raise ConfigurationError("source is empty: leave it out for every one, or ask for one at least")
    return paths


def _check_text(name: str, text: object) -> None:
    if text is None:
        return
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{name} is a text that is not empty, not {text!r:.80}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} has no lone surrogates: {text!r:.80}") from None
    if not text.isprintable():
        raise ConfigurationError(
            f"{name} has a control character, which no filter can look for: {text!r:.80}"
        )


def _utc(name: str, moment: datetime) -> datetime:
    try:
        found = moment.astimezone(UTC)
        _ = found - _TICK
    except OverflowError:
        raise ConfigurationError(f"{name} lies outside of the calendar") from None
    return found
