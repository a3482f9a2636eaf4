"""Which alarms: filters in Python's words, checked, and as the platform spells them.

Source: Cumulocity OpenAPI "core", `GET /alarm/alarms` and `GET /alarm/alarms/count`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

from tocsin._wire import write_time
from tocsin.cumulocity.models import Severity, Source, Status
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["FILTER_NAMES", "AlarmFilter", "CountFilters", "ListFilters", "word"]

W = TypeVar("W", Status, Severity)

_NAMES: Final = {
    "status": "status",
    "severity": "severity",
    "type": "type",
    "source": "source",
    "resolved": "resolved",
    "date_from": "dateFrom",
    "date_to": "dateTo",
    "created_from": "createdFrom",
    "created_to": "createdTo",
    "updated_from": "lastUpdatedFrom",
    "updated_to": "lastUpdatedTo",
    "with_assets": "withSourceAssets",
    "with_devices": "withSourceDevices",
    "with_children": "withSourceChildren",
    "with_additions": "withSourceAdditions",
}
FILTER_NAMES: Final = frozenset(_NAMES.values())
_WITH: Final = tuple(name for name in _NAMES if name.startswith("with_"))
_RANGES: Final = ("date", "created", "updated")
_ANCHORS: Final = ("source", "date_from", "date_to", "created_from", "created_to")
_NOT_COUNTED: Final = ("created_from", "created_to", "updated_from", "updated_to")


class CountFilters(TypedDict, total=False):
    """What `count` can filter by. See `AlarmFilter`."""

    status: Status | str | Iterable[Status | str] | None
    severity: Severity | str | Iterable[Severity | str] | None
    type: str | Iterable[str] | None
    source: str | int | Source | None
    resolved: bool | None
    date_from: datetime | None
    date_to: datetime | None
    with_assets: bool
    with_devices: bool
    with_children: bool
    with_additions: bool


class ListFilters(CountFilters, total=False):
    """What `list` can filter by. See `AlarmFilter`."""

    created_from: datetime | None
    created_to: datetime | None
    updated_from: datetime | None
    updated_to: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AlarmFilter:
    """Which alarms. Nothing given means all of them.

    Ranges are half-open, from ≤ time < to; times are aware. What is filtered by is what the platform has
    stored, to the millisecond.

    Args:
        status: One or several; a word of your platform that is not in `Status` is given as ``Status("…")``.
        severity: One or several, likewise.
        type: One or several. The platform cannot look for a type that has a comma in it.
        source: The device or asset; one only.
        resolved: True: cleared alarms; False: open ones. Not together with `status`, which it would override.
        date_from: By the alarm's own time, as the device gave it.
        date_to: Likewise.
        created_from: By the time at which the platform stored it (since 10.11; older ones ignore it).
        created_to: Likewise.
        updated_from: By the time of its last change (since 10.11; older ones ignore it).
        updated_to: Likewise. An alarm that changes meanwhile leaves the range.
        with_assets: The assets below `source` too.
        with_devices: The devices below `source` too.
        with_children: All below `source` too (since 2025.302).
        with_additions: The additions of `source` too (since 2025.302).

    Raises:
        ConfigurationError: Something that the platform could not look for, or would misread.
    """

    status: Status | str | Iterable[Status | str] | None = None
    severity: Severity | str | Iterable[Severity | str] | None = None
    type: str | Iterable[str] | None = None
    source: str | int | Source | None = None
    resolved: bool | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    with_assets: bool = False
    with_devices: bool = False
    with_children: bool = False
    with_additions: bool = False

    def __post_init__(self) -> None:
        self._set("status", _words("status", Status, self.status))
        self._set("severity", _words("severity", Severity, self.severity))
        self._set("type", _types(self.type))
        self._set("source", _source(self.source))
        if self.resolved is not None and not isinstance(self.resolved, bool):
            raise ConfigurationError(f"resolved is True, False or not given, not {self.resolved!r:.80}")
        if self.resolved is not None and self.status is not None:
            raise ConfigurationError("resolved and status exclude each other: the platform ignores status")
        for name in _RANGES:
            self._check_range(f"{name}_from", f"{name}_to")
        for name in _WITH:  # one that is not sent as it is meant would make an empty filter look full
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} is True or False, not {getattr(self, name)!r:.80}")
        if self.source is None and (given := [name for name in _WITH if getattr(self, name)]):
            raise ConfigurationError(
                f"{given[0]} needs a source: the platform looks below one device or asset"
            )

    def __repr__(self) -> str:
        given = (
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        )
        return f"AlarmFilter({', '.join(given)})"

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_range(self, first: str, last: str) -> None:
        moments = []
        for name in (first, last):
            moment = getattr(self, name)
            if moment is None:
                continue
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise ConfigurationError(
                    f"{name} is an aware datetime, not {moment!r:.80}: without a zone the platform "
                    "would assume UTC"
                )
            self._set(name, _ceil(name, moment))
            moments.append(getattr(self, name))
        if len(moments) == 2 and moments[0] >= moments[1]:
            raise ConfigurationError(
                f"{first} is not before {last}: the platform's ranges are half-open, from ≤ time < to, so "
                "nothing could match"
            )

    @property
    def types(self) -> tuple[str, ...]:
        """The types, each one."""
        return self.type if isinstance(self.type, tuple) else ()

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The statuses, each one."""
        return self.status if isinstance(self.status, tuple) else ()

    def query(self) -> tuple[tuple[str, str], ...]:
        """The query parameters, plain text, in a fixed order."""
        pairs: list[tuple[str, str]] = []
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if value is None or (value is False and field.name in _WITH):
                continue
            pairs.append((_NAMES[field.name], _plain(value)))
        return tuple(pairs)

    def merged(self, filters: Mapping[str, Any]) -> AlarmFilter:
        """The same filter with some of it replaced.

        Args:
            filters: New values, by the names above.

        Raises:
            ConfigurationError: One of them cannot work.
        """
        return replace(self, **filters) if filters else self

    def check_countable(self) -> None:
        """Refuse what the platform would ignore when it counts.

        Raises:
            ConfigurationError: It names the filter.
        """
        for name in _NOT_COUNTED:
            if getattr(self, name) is not None:
                raise ConfigurationError(f"the platform cannot count by {name}, it would count all")

    def check_updatable(self) -> None:
        """Refuse what a bulk update would ignore, and so change more than was meant.

        Raises:
            ConfigurationError: It names the platform's rule.
        """
        self._check_many("update")
        if self.type is not None:
            raise ConfigurationError(
                "the platform's bulk update cannot filter by type, it would change alarms of every type: "
                "list them and update each, or narrow them by source, severity or time"
            )

    def check_deletable(self) -> None:
        """Refuse a bulk delete that the platform refuses, or that old ones take for all alarms.

        Raises:
            ConfigurationError: It names the platform's rule.
        """
        self._check_many("delete")
        if all(getattr(self, name) is None for name in _ANCHORS):
            raise ConfigurationError(
                "the platform's bulk delete needs a source or a time range (date_… or created_…); "
                "older platforms delete every alarm without one"
            )

    def check_previewable(self) -> None:
        """Refuse what neither bulk call could filter by.

        Raises:
            ConfigurationError: It names the platform's rule.
        """
        self._check_many("change")

    def _check_many(self, verb: str) -> None:
        if not self.query():
            raise ConfigurationError(f"an empty filter would {verb} every alarm there is: name what you mean")
        for name in ("updated_from", "updated_to"):
            if getattr(self, name) is not None:
                raise ConfigurationError(
                    f"the platform's bulk calls cannot filter by the last update ({name}): they ignore it"
                )


def word(kind: type[W], value: object, name: str) -> W:
    """One word of the platform, in its own spelling.

    Raises:
        ConfigurationError: It is not one that we know. One that only your platform knows is given as a
            member, ``Status("…")``.
    """
    if isinstance(value, kind):
        found = value
    elif isinstance(value, str) and kind(value).is_known:
        return kind(value)
    else:
        known = ", ".join(kind)
        raise ConfigurationError(f'{name} is one of {known}, or {kind.__name__}("…"), not {value!r:.80}')
    if not found.strip() or "," in found:
        raise ConfigurationError(f"a {name} is a word without commas, not {str(value)!r:.80}")
    return found


def _words(name: str, kind: type[W], given: object) -> tuple[W, ...] | None:
    if given is None:
        return None
    values = _several(name, given)
    return tuple(dict.fromkeys(word(kind, value, name) for value in values))


def _types(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    values = _several("type", given)
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(f"a type is a text that is not empty, not {value!r:.80}")
        if "," in value:
            raise ConfigurationError(
                f"a type with a comma cannot be looked for, the platform takes it for several: "
                f"{value!r:.80}; give several as a list"
            )
        _check_sendable("type", value)
    return tuple(dict.fromkeys(values))


def _several(name: str, given: object) -> tuple[Any, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"{name} is a text or several, not {given!r:.80}")
    values = tuple(given)
    if not values:
        raise ConfigurationError(f"{name} is empty: leave it out for all, or ask for one at least")
    return values


def _source(given: object) -> str | None:
    if given is None:
        return None
    if isinstance(given, Source):
        given = given.id
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or not given.strip() or "," in given:
        raise ConfigurationError(
            f"source is the id of one device or asset, not {given!r:.80}: the platform takes no more than one"
        )
    if given.strip() == "*":
        raise ConfigurationError("source='*' is no id: leave source out for every device")
    _check_sendable("source", given)
    return given


def _check_sendable(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"a {name} has no lone surrogates: {text!r:.80}") from None


def _ceil(name: str, moment: datetime) -> datetime:
    """The millisecond from which on it is not before `moment`: the platform stores milliseconds."""
    try:
        moment = moment.astimezone(UTC)
        below = moment.microsecond % 1000
        return moment + timedelta(microseconds=1000 - below) if below else moment
    except OverflowError:
        raise ConfigurationError(f"{name} lies outside of the calendar") from None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return write_time(value)
    return ",".join(value) if isinstance(value, tuple) else str(value)
