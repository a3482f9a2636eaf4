"""Which events a subscription asks for. No I/O.

Source: reference `xprotect.md` 5.2. A list that is empty, or a subscription without filters, is accepted by
the server and yields nothing: neither can be asked for here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tocsin.errors import ConfigurationError

__all__ = ["EventFilter", "wire_filters"]

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_ALL: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Events that are wanted, or with `exclude` those among them that are not. All of its terms must hold.

    Attributes:
        resource_types: Kinds of sources as the REST API names its collections, such as ``cameras``,
            ``inputEvents``, ``hardware``; ``"*"``: all.
        sources: Ids of sources, bare or as ``cameras/<id>``; ``"*"``: all.
        event_types: Ids of event types; ``"*"``: all.
        exclude: Leave these out.
    """

    resource_types: str | Iterable[str] = _ALL
    sources: str | Iterable[str] = _ALL
    event_types: str | Iterable[str] = _ALL
    exclude: bool = False

    def __post_init__(self) -> None:
        for name in ("resource_types", "sources", "event_types"):
            object.__setattr__(self, name, _texts(getattr(self, name), name))
        for kind in self.resource_types:
            if kind != _ALL and not _TYPE.fullmatch(kind):
                raise ConfigurationError(f"no kind of sources: {kind[:60]!r}; one is 'cameras'")
        for source in self.sources:
            kind, slash, bare = source.rpartition("/")
            if source != _ALL and not (_GUID.fullmatch(bare) and (not slash or _TYPE.fullmatch(kind))):
                raise ConfigurationError(f"no id of a source: {source[:60]!r}; one is 'cameras/<GUID>'")
        for event_type in self.event_types:
            if event_type != _ALL and not _GUID.fullmatch(event_type):
                raise ConfigurationError(f"no id of an event type: {event_type[:60]!r}; it is a GUID")

    def wire(self) -> list[dict[str, Any]]:
        """As the server takes it: one filter for each kind that the sources name themselves."""
        by_kind: dict[tuple[str, ...], list[str]] = {}
        for source in self.sources:
            kind, _, bare = source.rpartition("/")
            by_kind.setdefault((kind,) if kind else tuple(self.resource_types), []).append(bare)
        return [
            {
                "modifier": "exclude" if self.exclude else "include",
                "resourceTypes": list(kinds),
                "sourceIds": ids,
                "eventTypes": list(self.event_types),
            }
            for kinds, ids in by_kind.items()
        ]


def wire_filters(filters: Iterable[EventFilter]) -> list[dict[str, Any]]:
    """All filters of one subscription, as the server takes them.

    Raises:
        ConfigurationError: There are none, or nothing but exclusions: nothing would come.
    """
    given = tuple(filters)
    if not any(not one.exclude for one in given):
        raise ConfigurationError("a subscription needs a filter that includes something")
    return [part for one in given for part in one.wire()]


def _texts(value: object, name: str) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ConfigurationError(f"{name} needs at least one text; without it, every one is asked for")
    return (_ALL,) if _ALL in texts else tuple(dict.fromkeys(texts))
