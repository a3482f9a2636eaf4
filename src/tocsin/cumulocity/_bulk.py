"""Changing or deleting many alarms at once, and finding out when that is done.

The platform answers after half a second at most and goes on, without a job id or a signal (OpenAPI "core",
`PUT` and `DELETE /alarm/alarms`; reference 2.7). What is left is looked for in the list: only that can
be bounded by creation: a count would never fall to zero while new alarms come in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tocsin._http._accepted import Accepted
from tocsin._http._request import Request
from tocsin.cumulocity._query import AlarmFilter, word
from tocsin.cumulocity._reading import AlarmReading
from tocsin.cumulocity._roles import ALARM_READ, own_roles
from tocsin.cumulocity._service import needing, retold
from tocsin.cumulocity._window import ALARMS, read_window
from tocsin.cumulocity._write import to_body
from tocsin.cumulocity.models import Status
from tocsin.errors import ConfigurationError, ProtocolError, ServerError, TransportError

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._http._request import Response

__all__ = ["AlarmBulk"]

_DONE: Final = 200
_OPEN: Final = (Status.ACTIVE, Status.ACKNOWLEDGED)
_SECOND: Final = timedelta(seconds=1)
"""The Date header cuts off fractions."""
_HALFWAY: Final = (
    "; the platform may have begun it, so some alarms may be changed and others not: the same call can be "
    "made again"
)
_TOTALS: Final = (("withTotalElements", "true"),)


class AlarmBulk(AlarmReading):
    """Changes many alarms of one tenant at once."""

    __slots__ = ()

    async def preview(self, where: AlarmFilter) -> int:
        """Count the alarms that a bulk change with this filter would meet now. Nothing is changed.

        A user who has inventory roles only is told 100 at most.

        Args:
            where: Which alarms.

        Raises:
            ConfigurationError: The filter is empty, or no bulk call knows one of its parts.
            ProtocolError: The answer cannot be understood.
        """
        _filter(where).check_previewable()
        if where.created_from is None and where.created_to is None:
            return await self.count(where)
        left = await self._left(where)  # the platform cannot count by creation
        if left:
            return left
        count = 0
        async for _ in self.list(where):
            count += 1
        return count

    async def update_many(self, where: AlarmFilter, *, status: Status | str) -> Accepted:
        """Set the status of all alarms that a filter finds (``PUT /alarm/alarms?…``).

        Nothing but the status can be changed so. Name the state that they are in too: acknowledging all
        alarms of a source opens its cleared ones again.

        The platform does it in the background if it takes more than half a second; `Accepted` tells, and
        waits. If it stops halfway, or the call fails or is cancelled, some alarms may be changed and some
        not; asking again is safe.

        Args:
            where: Which alarms. Not by `type` or last update: the platform's bulk update ignores them.
            status: Their new status.

        Returns:
            `done` if the platform has finished (200). Otherwise `wait` until no alarm that was there before
            the answer is left in another of the three documented states.

        Raises:
            ConfigurationError: The filter is empty or has a part that the platform would ignore.
            PermissionDeniedError: ROLE_ALARM_ADMIN is missing.
            ServerError: It failed; the error says that it may have been begun.
            TransportError: No answer came; `maybe_applied` says whether it may have been begun.
            ProtocolError: Something else than the platform answered.
        """
        _filter(where).check_updatable()
        new = word(Status, status, "status")
        body = to_body({"status": new.value})
        response = await self._order(Request("PUT", ALARMS, where.query(), body, self._terms.headers))
        others = tuple(one for one in _statuses(where) if one.upper() != new.upper())
        if response.status == _DONE or not others:
            return Accepted("the bulk update", response.status, None)
        left = _before(replace(where, resolved=None, status=others), response.date)
        return Accepted("the bulk update", response.status, lambda: self._left(left))

    async def delete_many(self, where: AlarmFilter) -> Accepted:
        """Delete all alarms that a filter finds (``DELETE /alarm/alarms?…``). Nothing brings them back.

        Today's platform tells no subscriber; a change stream notices up to a quarter of an hour later.

        Args:
            where: Which alarms: at least a source or a time range (`date_…`, `created_…`).

        Returns:
            Never `done` at once: the platform answers (204) before it deletes. `wait` until nothing is left
            of what was there before the answer.

        Raises:
            ConfigurationError: The filter could delete everything, or has a part that the platform would
                ignore.
            PermissionDeniedError: ROLE_ALARM_ADMIN is missing.
            ServerError: It failed; the error says that it may have been begun.
            TransportError: No answer came; `maybe_applied` says whether it may have been begun.
            ProtocolError: Something else than the platform answered.
        """
        _filter(where).check_deletable()
        response = await self._order(Request("DELETE", ALARMS, where.query(), headers=self._terms.headers))
        left = _before(where, response.date)
        return Accepted("the bulk delete", response.status, lambda: self._left(left))

    async def _order(self, request: Request) -> Response:
        """Send a bulk change, and tell a failure as what it is: perhaps one halfway."""
        try:
            with needing("ROLE_ALARM_ADMIN"):
                response = await self._core.send(request)
        except (ServerError, TransportError) as error:
            if isinstance(error, ServerError) or error.maybe_applied:
                retold(error, _HALFWAY)
            raise
        if response.body.strip():  # the platform's answer is empty; that of a log-in page is not
            response.json()
        return response

    async def _left(self, where: AlarmFilter) -> int | None:
        """How many alarms a filter finds; None if the platform tells only that there are some.

        Raises:
            ProtocolError: The user may not see them all, so that nobody can know.
        """
        window = await read_window(self._core, (*where.query(), *_TOTALS), page_size=1)
        told = window.statistics
        total = None if told is None else told.total_elements
        if window.rows and total is not None:
            return max(total, 1)  # the platform remembers totals for 10 s
        # For users with inventory roles alone there are no totals; nor were there any before 10.13.
        empty = not window.rows and window.more
        if total is None and (empty or ALARM_READ not in await own_roles(self._core)):
            raise ProtocolError(
                "what is left cannot be told: without ROLE_ALARM_READ the platform shows some alarms only"
            )
        return None if window.rows else 0


def _filter(where: object) -> AlarmFilter:
    if not isinstance(where, AlarmFilter):
        raise ConfigurationError(
            "what changes many alarms takes an AlarmFilter, such as AlarmFilter(source=…)"
        )
    return where


def _statuses(where: AlarmFilter) -> tuple[Status, ...]:
    """The states in which a filter finds alarms, as far as they are documented."""
    if where.resolved is not None:
        return (Status.CLEARED,) if where.resolved else _OPEN
    return where.statuses or tuple(Status)


def _before(where: AlarmFilter, moment: datetime | None) -> AlarmFilter:
    """The same filter for alarms that were there at `moment`: those that came later nobody will change."""
    if moment is None:
        return where
    bound = moment + _SECOND
    if where.created_to is not None and where.created_to <= bound:
        return where
    if where.created_from is not None and where.created_from >= bound:
        return where
    return replace(where, created_to=bound)
