"""What all parts of the alarm service stand on: the gateway, and what the site has to choose from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tocsin.errors import ConfigurationError, PermissionDeniedError, TocsinError
from tocsin.xprotect._lookups import Lookups
from tocsin.xprotect._query import AlarmFilter
from tocsin.xprotect._window import checked
from tocsin.xprotect.models import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from tocsin._http._pages import Start
    from tocsin._http._request import Response
    from tocsin.xprotect._following import Following
    from tocsin.xprotect._window import Sender

__all__ = ["READS", "WRITES", "AlarmService", "alarm_in", "merged", "needing", "retold"]

READS: Final = "a role with the right to view alarms"
WRITES: Final = "a role with the right to manage alarms"


class AlarmService:
    """The connection to one site's alarms.

    Args:
        gateway: Sends the requests.
        start: Starts a task in the client's task group, for pages that are read ahead; None: none is.
        clock: Aware UTC now.
        following: What the client lends its streams; None: `changes` cannot be used.
        lookups: What the site has to choose from; None: one of its own.
    """

    __slots__ = ("_clock", "_following", "_gateway", "_lookups", "_start")

    def __init__(
        self,
        gateway: Sender,
        start: Start | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        following: Following | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        self._gateway = gateway
        self._start = start
        self._clock = clock
        self._following = following
        self._lookups = lookups or Lookups(gateway)

    def __repr__(self) -> str:
        site = self._following.site if self._following is not None else "a site"
        return f"<{type(self).__name__} of {site}>"


@contextmanager
def needing(right: str) -> Iterator[None]:
    """Say which right is missing where the platform says only that access is denied."""
    try:
        yield
    except PermissionDeniedError as error:
        retold(error, f"; it needs {right}")
        raise


def retold(error: TocsinError, more: str) -> None:
    """Add to the error's own text: notes are shown in tracebacks only."""
    error.args = (f"{error}{more}", *error.args[1:])


def merged(where: AlarmFilter | None, filters: Mapping[str, Any]) -> AlarmFilter:
    """A filter made before, with some of it replaced."""
    if where is None:
        return AlarmFilter(**filters)
    if not isinstance(where, AlarmFilter):
        raise ConfigurationError(f"filters are given by name, or as an AlarmFilter, not {where!r:.80}")
    return where.merged(filters)


def alarm_in(response: Response, wanted: str | None = None) -> Alarm:
    """The alarm in an answer, if it is the one that was asked for."""
    return response.parsed(lambda body: Alarm.from_raw(checked(body, wanted)))
