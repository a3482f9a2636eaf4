"""What all parts of the alarm service stand on: the connection, and the terms of its writes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time

from tocsin.cumulocity._query import AlarmFilter
from tocsin.cumulocity._window import checked
from tocsin.cumulocity.models import Alarm, ProcessingMode
from tocsin.errors import ConfigurationError, PermissionDeniedError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tocsin._http._core import HttpCore
    from tocsin._http._pages import Start
    from tocsin._http._request import Response
    from tocsin.cumulocity.changes import Following

__all__ = [
    "READS_ONE",
    "WRITES_ONE",
    "AlarmService",
    "UpsertRoute",
    "WriteTerms",
    "alarm_in",
    "merged",
    "needing",
    "processing",
    "retold",
]

READS_ONE: Final = "ROLE_ALARM_READ, or ALARM_READ on the source, or to own it"
WRITES_ONE: Final = "ROLE_ALARM_ADMIN, or ALARM_ADMIN on the source, or to own it"

_MODE: Final = "X-Cumulocity-Processing-Mode"
_AGAIN: Final = 300.0
"""Seconds after which a platform that had no upsert is asked again: it may have been upgraded."""


class UpsertRoute:
    """Whether a platform has upserts, as far as is known; shared by the views of a client."""

    __slots__ = ("_missing_until",)

    def __init__(self) -> None:
        self._missing_until = 0.0

    @property
    def missing(self) -> bool:
        """Whether it was missing a short while ago."""
        return current_time() < self._missing_until

    def is_missing(self) -> None:
        """Note that it has just been missing."""
        self._missing_until = current_time() + _AGAIN


@dataclass(frozen=True, slots=True)
class WriteTerms:
    """How the writes of a client are sent.

    Args:
        mode: What the platform does with them; None: its default, PERSISTENT.
        upserts: What is known of the platform.
    """

    mode: ProcessingMode | None = None
    upserts: UpsertRoute = field(default_factory=UpsertRoute)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of each write."""
        return () if self.mode is None else ((_MODE, self.mode.value),)


class AlarmService:
    """The connection to one tenant's alarms.

    Args:
        core: Sends the requests.
        start: Starts a task in the client's task group, for pages that are read ahead; None: none is.
        clock: Aware UTC now, for an alarm without a time.
        following: What the client lends its streams; None: `changes` cannot be used.
        terms: How writes are sent.
    """

    __slots__ = ("_clock", "_core", "_following", "_start", "_terms")

    def __init__(
        self,
        core: HttpCore,
        start: Start | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        following: Following | None = None,
        terms: WriteTerms | None = None,
    ) -> None:
        self._following = following
        self._core = core
        self._start = start
        self._clock = clock or _utc_now
        self._terms = terms or WriteTerms()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._core.base_url}>"


@contextmanager
def needing(role: str) -> Iterator[None]:
    """Say which role is missing where the platform says only that access is denied (reference 2.8)."""
    try:
        yield
    except PermissionDeniedError as error:
        retold(error, f"; it needs {role}")
        raise


def retold(error: TocsinError, more: str) -> None:
    """Add to the error's own text: notes are shown in tracebacks only."""
    error.args = (f"{error}{more}", *error.args[1:])


def processing(mode: ProcessingMode | str | None) -> ProcessingMode | None:
    """Read a processing mode.

    Raises:
        ConfigurationError: There is no such mode.
    """
    if mode is None:
        return None
    try:
        return ProcessingMode(mode.upper())
    except (ValueError, AttributeError):
        known = ", ".join(ProcessingMode)
        raise ConfigurationError(f"processing_mode is one of {known}, not {mode!r:.80}") from None


def merged(where: AlarmFilter | None, filters: Mapping[str, Any]) -> AlarmFilter:
    """A filter made before, with some of it replaced."""
    if where is None:
        return AlarmFilter(**filters)
    if not isinstance(where, AlarmFilter):
        raise ConfigurationError(f"filters are given by name, or as an AlarmFilter, not {where!r:.80}")
    return where.merged(filters)


def alarm_in(response: Response, wanted: str) -> Alarm:
    """The alarm in an answer, if it is the one that was asked for."""
    return response.parsed(lambda body: Alarm.from_raw(checked(body, wanted)))


def _utc_now() -> datetime:
    return datetime.now(UTC)
