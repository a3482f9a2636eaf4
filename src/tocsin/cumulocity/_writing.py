"""Writing single alarms: raise, upsert, change, acknowledge, clear.

Source: Cumulocity OpenAPI "core", "Alarms"; reference `cumulocity.md` 2.6 and 2.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin._http._request import Request
from tocsin.cumulocity._service import WRITES_ONE, AlarmService, alarm_in, needing
from tocsin.cumulocity._upsert import complete, posted, upserted
from tocsin.cumulocity._window import ALARMS, alarm_path
from tocsin.cumulocity._write import alteration, answer, creation, judge, to_body
from tocsin.cumulocity.models import Status
from tocsin.errors import StatusError, TocsinError
from tocsin.models import UNSET, Unset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tocsin._http._request import Response
    from tocsin.cumulocity.models import Alarm, Created, Severity, Source, Upserted

__all__ = ["AlarmWriting"]

_NO_UPSERT: Final = frozenset({404, 405})


class AlarmWriting(AlarmService):
    """Writes the alarms of one tenant, one at a time."""

    __slots__ = ()

    async def create(
        self,
        *,
        type: str,  # noqa: A002 - the platform's word
        text: str,
        severity: Severity | str,
        source: str | int | Source,
        time: datetime | None = None,
        status: Status | str | Unset = UNSET,
        fragments: Mapping[str, Any] | None = None,
    ) -> Created:
        """Raise an alarm (``POST /alarm/alarms``).

        If an alarm of that source and type is open, the platform counts it up and takes the new time, and
        nothing else: see `Created.ignored`. It is not sent again where it may have been stored, for that
        would count it up: a `TransportError` says so in `maybe_applied`, and after a `ServerError` it may
        have been stored too.

        Args:
            type: What kind of alarm it is.
            text: What it says; may be empty.
            severity: How serious it is.
            source: The device or asset it belongs to.
            time: When it happened, aware; now if not given.
            status: `Status.ACTIVE` if not given.
            fragments: Further content by name. Names have no blanks and none of ``. , * [ ] ( ) @ $ / '``.

        Returns:
            What the platform made of it, and the alarm.

        Raises:
            ConfigurationError: Something in it could not be stored.
            UnprocessableError: The platform refused it; the source may not exist.
            ProtocolError: The answer cannot be understood. The alarm may have been raised.
        """
        asked = creation(
            type=type,
            text=text,
            severity=severity,
            source=source,
            time=self._clock() if time is None else time,
            status=status,
            fragments=fragments,
        )
        with needing(WRITES_ONE):
            response = await self._core.send(
                Request("POST", ALARMS, body=to_body(asked), headers=self._terms.headers)
            )
        created = answer(asked, response)
        if created.alarm is not None or created.id is None:
            return created
        try:  # only the address was told
            return judge(asked, alarm_in(await self._read(created.id), created.id))
        except TocsinError:
            return created  # it has been raised; that it cannot be read must not look like a failure

    async def upsert(
        self,
        *,
        type: str,  # noqa: A002 - the platform's word
        source: str | int | Source,
        text: str | Unset = UNSET,
        severity: Severity | str | Unset = UNSET,
        status: Status | str | Unset = UNSET,
        time: datetime | None = None,
        fragments: Mapping[str, Any] | None = None,
        increment_count: bool = False,
    ) -> Upserted:
        """Raise an alarm, or change the open one of that source and type (``POST /alarm/alarms/upsert``).

        An open alarm takes all that is given here but `time`; what is not given stays as it is. Unlike
        `create`, an escalation arrives, and unless `increment_count` is set it may be sent again after a
        failure.

        Platforms before 2026.165 have no such call. There it becomes a `create`, once a few minutes after
        asking in vain, and `Upserted.posted` says so: **a POST counts an open alarm up**, moves its `time`
        and takes nothing else; `Upserted.ignored` names what it did not take.

        Args:
            type: What kind of alarm it is.
            source: The device or asset it belongs to.
            text: What it says; a new alarm is empty without it.
            severity: How serious it is; a new alarm is `MAJOR` without it.
            status: A new alarm is `ACTIVE` without it.
            time: When it happened, aware; of a new alarm only, now if not given.
            fragments: Further content by name; see `create`.
            increment_count: Count an open alarm up, as a repeat does.

        Raises:
            ConfigurationError: Something in it could not be stored.
            UnprocessableError: The platform refused it; the source may not exist.
            ProtocolError: The answer cannot be understood. The alarm may have been stored.
        """
        asked = creation(
            type=type,
            source=source,
            text=text,
            severity=severity,
            status=status,
            time=time,
            fragments=fragments,
        )
        query = (("incrementCount", "true"),) if increment_count else ()
        headers, upserts = self._terms.headers, self._terms.upserts
        if not upserts.missing:
            path = f"{ALARMS}/upsert"
            request = Request("POST", path, query, to_body(asked), headers, idempotent=not increment_count)
            try:
                with needing(WRITES_ONE):
                    return upserted(await self._core.send(request))
            except StatusError as error:
                if error.status not in _NO_UPSERT:
                    raise
        asked = complete(asked, self._clock())
        with needing(WRITES_ONE):
            response = await self._core.send(Request("POST", ALARMS, body=to_body(asked), headers=headers))
        if not upserts.missing:  # and not the whole platform, or the source
            upserts.is_missing()
        return posted(answer(asked, response))

    async def update(
        self,
        alarm_id: str,
        *,
        status: Status | str | Unset = UNSET,
        severity: Severity | str | Unset = UNSET,
        text: str | Unset = UNSET,
        fragments: Mapping[str, Any] | None = None,
        remove: Iterable[str] = (),
    ) -> Alarm:
        """Change an alarm (``PUT /alarm/alarms/{id}``). Only what is named is sent.

        The last writer wins: the platform has no versions. Writing what is there already changes nothing and
        notifies nobody.

        Args:
            alarm_id: Its id.
            status: Any may follow any; a cleared alarm can be made active again.
            severity: How serious it is.
            text: What it says.
            fragments: Fragments to set, by name. Each is replaced whole.
            remove: Names of fragments to remove.

        Returns:
            The alarm as it stands now.

        Raises:
            ConfigurationError: Nothing is named, or something could not be stored.
            NotFoundError: There is no such alarm.
            ProtocolError: The answer is no alarm, or another one. The change may have been made.
        """
        path = alarm_path(alarm_id)
        wire = alteration(status=status, severity=severity, text=text, fragments=fragments, remove=remove)
        with needing(WRITES_ONE):
            response = await self._core.send(
                Request("PUT", path, body=to_body(wire), headers=self._terms.headers)
            )
        return alarm_in(response if response.body.strip() else await self._read(alarm_id), alarm_id)

    async def acknowledge(self, alarm_id: str) -> Alarm:
        """Acknowledge an alarm; see `update` for what it may raise.

        A cleared alarm is opened again by that: the platform lets it.

        Args:
            alarm_id: Its id.

        Returns:
            The alarm as it stands now.
        """
        return await self.update(alarm_id, status=Status.ACKNOWLEDGED)

    async def clear(self, alarm_id: str) -> Alarm:
        """Clear an alarm; see `update` for what it may raise. The next of its source and type is a new one.

        Args:
            alarm_id: Its id.

        Returns:
            The alarm as it stands now.
        """
        return await self.update(alarm_id, status=Status.CLEARED)

    async def _read(self, alarm_id: str) -> Response:
        return await self._core.send(Request("GET", alarm_path(alarm_id)))
