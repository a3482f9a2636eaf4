"""Which alarms a stream follows: as channels, as REST queries, and as a filter of what arrives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tocsin._times import write_time
from tocsin.cumulocity._query import AlarmFilter
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin._stream._answers import ReadWindow

__all__ = ["ALL", "Scope"]

ALL: Final = "*"
"""The source that stands for every device."""

_ID: Final = re.compile(r"[^\s/*,]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """The alarms of some sources, or of all, perhaps of some types and severities only.

    An alarm's source and type never change, so what does not match is not even read. Its severity does: an
    alarm that leaves the filter is told once more, so it is read and followed all the same.

    Attributes:
        sources: The ids; empty for every device.
        children: Whether their descendants belong to it.
        types: The types, or None for all.
        severities: The severities in upper case, or None for all.
    """

    sources: tuple[str, ...] = ()
    children: bool = False
    types: frozenset[str] | None = None
    severities: frozenset[str] | None = None

    @classmethod
    def of(
        cls,
        source: str | int | Iterable[str | int],
        *,
        children: bool = False,
        severity: str | Iterable[str] | None = None,
        type: str | Iterable[str] | None = None,  # noqa: A002 - the platform's word
    ) -> Scope:
        """Read what a user asks for.

        Raises:
            ConfigurationError: It makes no sense, or there is nothing in it.
        """
        sources = _sources(source)
        if children and not sources:
            raise ConfigurationError(
                "children=True needs the ids of sources; '*' covers every device already"
            )
        severities = AlarmFilter(severity=severity).query()
        return cls(
            sources=sources,
            children=children,
            types=_types(type),
            severities=frozenset(severities[0][1].upper().split(",")) if severities else None,
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """The Bayeux channels that bring them (Cumulocity reference 3.1)."""
        if not self.sources:
            return ("/alarms/*",)
        kind = "alarmsWithChildren" if self.children else "alarms"
        return tuple(f"/{kind}/{source}" for source in self.sources)

    @property
    def partitions(self) -> tuple[str | None, ...]:
        """What is read separately: a query takes one source only."""
        return self.sources or (None,)

    def follows_type(self, kind: object) -> bool:
        """Whether alarms of a type belong to it."""
        return self.types is None or kind in self.types

    def described(self) -> dict[str, object]:
        """It in JSON's types, the same for the same alarms."""
        return {
            "source": sorted(self.sources) or ALL,
            "children": self.children,
            "type": None if self.types is None else sorted(self.types),
            "severity": None if self.severities is None else sorted(self.severities),
        }

    def query(self, read: ReadWindow) -> tuple[tuple[str, str], ...]:
        """The query of a read, without its paging."""
        return (*self._part(read.partition), *_range(read))

    def probe(self, partition: str | None) -> tuple[tuple[str, str], ...]:
        """A query that finds any alarm of a partition."""
        return self._part(partition)

    def _part(self, partition: str | None) -> tuple[tuple[str, str], ...]:
        query: list[tuple[str, str]] = []
        if partition is not None:
            query.append(("source", partition))
            if self.children:
                query += [("withSourceAssets", "true"), ("withSourceDevices", "true")]
        # A type with a comma cannot be asked for (reference 2.4): then all types are read and sorted out.
        if self.types is not None and not any("," in kind for kind in self.types):
            query.append(("type", ",".join(sorted(self.types))))
        return tuple(query)


def _range(read: ReadWindow) -> list[tuple[str, str]]:
    limits = (
        ("lastUpdatedFrom", read.updated_from),
        ("createdFrom", read.created_from),
        ("createdTo", read.created_to),
    )
    query = [
        (name, write_time(datetime.fromtimestamp(millis / 1000, UTC)))
        for name, millis in limits
        if millis is not None
    ]
    if read.resolved is not None:
        query.append(("resolved", "true" if read.resolved else "false"))
    return query


def _sources(source: str | int | Iterable[str | int]) -> tuple[str, ...]:
    if isinstance(source, str | int):
        source = (source,)
    ids = tuple(dict.fromkeys(str(one) for one in source))
    if ALL in ids:
        if len(ids) > 1:
            raise ConfigurationError("source='*' covers every device: give it alone")
        return ()
    if not ids:
        raise ConfigurationError("no source was given: name at least one id, or '*' for every device")
    for one in ids:
        if _ID.fullmatch(one) is None:
            raise ConfigurationError(f"{one!r} is not the id of a source")
    return ids


def _types(types: str | Iterable[str] | None) -> frozenset[str] | None:
    if types is None:
        return None
    found = frozenset((types,)) if isinstance(types, str) else frozenset(types)
    if not found or not all(kind.strip() for kind in found):
        raise ConfigurationError("type is empty: leave it out to follow all")
    return found
