"""Which alarms a stream follows: as queries, and as a filter of what they bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tocsin.errors import ConfigurationError
from tocsin.models import Level
from tocsin.xprotect._guids import guid, same
from tocsin.xprotect._query import Order, after, before, equals, not_equals, ordered, source_path

if TYPE_CHECKING:
    from tocsin._stream._answers import ReadWindow
    from tocsin.xprotect.models import Camera

    Source = str | Camera

__all__ = ["ALL", "Scope"]

ALL: Final = "*"
"""The source that stands for every one."""

_CAMERAS: Final = "cameras/"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """The alarms of some sources, or of all, perhaps of some levels only.

    An alarm's source never changes, so what does not match is not even read, where the platform can look for
    it: for cameras. Its level does: an alarm that leaves the filter is told once more.

    Attributes:
        sources: Paths such as ``cameras/<guid>``; empty for every one.
        levels: The levels, or None for all.
    """

    sources: tuple[str, ...] = ()
    levels: frozenset[Level] | None = None

    @classmethod
    def of(
        cls, source: Source | Iterable[Source], *, level: Level | str | Iterable[Level | str] | None = None
    ) -> Scope:
        """Read what a user asks for.

        Raises:
            ConfigurationError: It makes no sense, or there is nothing in it.
        """
        return cls(_sources(source), _levels(level))

    @property
    def partitions(self) -> tuple[str | None, ...]:
        """What is read separately: a query takes one camera only, and nothing that is none."""
        if all(source.startswith(_CAMERAS) for source in self.sources):
            return tuple(guid(source) for source in self.sources) or (None,)
        return (None,)

    def follows(self, alarm: dict[str, Any]) -> bool:
        """Whether an alarm belongs to it, whatever its level."""
        if not self.sources:
            return True
        return any(
            same(alarm.get("source"), source)
            or (source.startswith(_CAMERAS) and same(alarm.get("cameraId"), source))
            for source in self.sources
        )

    def described(self) -> dict[str, object]:
        """It in JSON's types, the same for the same alarms."""
        return {
            "source": sorted(self.sources) or ALL,
            "level": None if self.levels is None else sorted(self.levels),
        }

    def query(self, read: ReadWindow, closed: str | None) -> tuple[tuple[str, str], ...]:
        """The query of a read, without its paging.

        Args:
            read: What is asked for.
            closed: What this site calls the state of closed alarms; None: unknown, so all states are read.
        """
        pairs = [*self.probe(read.partition)]
        times = [
            *([] if read.created_from is None else [after(_moment(read.created_from))]),
            *([] if read.created_to is None else [before(_moment(read.created_to))]),
        ]
        if times:
            pairs.append(("time", ",".join(times)))
        if read.resolved is not None and closed is not None:
            pairs.append(("state.name", equals(closed) if read.resolved else not_equals(closed)))
        # What is raised meanwhile comes last and pushes nothing on.
        return (*pairs, ordered("time", Order.OLDEST))

    def probe(self, partition: str | None) -> tuple[tuple[str, str], ...]:
        """A query that finds any alarm of a partition."""
        return () if partition is None else (("cameraId", equals(partition)),)


def _moment(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)


def _sources(source: Source | Iterable[Source]) -> tuple[str, ...]:
    if source == ALL:
        return ()
    many = (source,) if isinstance(source, str) or not isinstance(source, Iterable) else source
    paths = tuple(dict.fromkeys(source_path(one) for one in many))
    if not paths:
        raise ConfigurationError("no source was given: name at least one id, or '*' for every one")
    return paths


def _levels(level: Level | str | Iterable[Level | str] | None) -> frozenset[Level] | None:
    if level is None:
        return None
    try:
        many = (level,) if isinstance(level, str) else tuple(level)
        found = frozenset(Level(one.upper()) for one in many)
    except (ValueError, AttributeError, TypeError):
        known = ", ".join(Level)
        raise ConfigurationError(f"level={level!r:.80} is unknown: use one of {known}") from None
    if not found:
        raise ConfigurationError("level is empty: leave it out to follow all")
    return found
