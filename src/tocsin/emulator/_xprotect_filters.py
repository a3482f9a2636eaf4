"""What an Events and State subscription lets through: include and exclude filters with wildcards, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANY: Final = "*"
_LISTS: Final = ("resourceTypes", "sourceIds", "eventTypes")
_MODIFIERS: Final = {"include": True, "exclude": False}


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One event on its way to whoever subscribed.

    Args:
        id: Its GUID.
        source: What it is of, such as `cameras/<guid>`; empty if nothing in particular.
        type: The GUID of its type.
        group: The GUID of its state group; empty if it is no state.
        body: Its JSON text, as it crosses the WebSocket.
    """

    id: str
    source: str
    type: str
    group: str
    body: bytes

    @property
    def kind(self) -> str:
        """The source's kind in lower case: `cameras`."""
        return self.source.rpartition("/")[0].lower()

    @property
    def source_id(self) -> str:
        """The source's GUID in lower case."""
        return self.source.rpartition("/")[2].lower()


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter; each of its sets holds names in lower case, or the wildcard."""

    include: bool
    kinds: frozenset[str]
    sources: frozenset[str]
    types: frozenset[str]

    def matches(self, event: LiveEvent) -> bool:
        """Whether an event is what all three sets name. An empty set names nothing."""
        return (
            _names(self.kinds, event.kind)
            and _names(self.sources, event.source_id)
            and _names(self.types, event.type.lower())
        )


def passes(filters: Sequence[Filter], event: LiveEvent) -> bool:
    """Whether some filter includes an event and none excludes it."""
    included = False
    for filter in filters:
        if filter.matches(event):
            if not filter.include:
                return False
            included = True
    return included


def read_filters(given: object) -> tuple[Filter, ...]:
    """Filters from what `addSubscription` brings; none at all are none.

    Raises:
        ValueError: They are not what the platform takes; its text is for the client.
    """
    if given is None:
        return ()
    if not isinstance(given, list):
        raise ValueError("filters must be a list")
    return tuple(_filter(item) for item in given)


def _filter(given: Any) -> Filter:
    if not isinstance(given, Mapping):
        raise ValueError("a filter must be an object")
    modifier = given.get("modifier")
    include = _MODIFIERS.get(modifier.lower()) if isinstance(modifier, str) else None
    if include is None:
        raise ValueError(f"modifier must be include or exclude, not {modifier!r:.60}")
    kinds, sources, types = (_texts(given, name) for name in _LISTS)
    return Filter(include, kinds, sources, types)


def _texts(given: Mapping[str, Any], name: str) -> frozenset[str]:
    values = given.get(name)
    if values is None:
        return frozenset()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} must be a list of strings")
    return frozenset(value.lower() for value in values)


def _names(wanted: frozenset[str], name: str) -> bool:
    return _ANY in wanted or name in wanted
