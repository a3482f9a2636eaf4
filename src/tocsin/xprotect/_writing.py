"""Writing single alarms: trigger, change, acknowledge, clear.

Source: Milestone's Alarms REST API; reference `xprotect.md` 2.3 and 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin._http._request import Request
from tocsin.errors import BadRequestError, ConfigurationError, NotFoundError, TocsinError, UnprocessableError
from tocsin.models import UNSET, Unset
from tocsin.xprotect._accepted import AcceptedAlarm
from tocsin.xprotect._selection import CLOSED
from tocsin.xprotect._service import WRITES, AlarmService, alarm_in, needing, retold
from tocsin.xprotect._window import ALARMS, alarm_path, item_path, read_one
from tocsin.xprotect._write import ASSIGNEE, KEYS, completed, creation, text, to_body
from tocsin.xprotect.models import Alarm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin._http._request import Response
    from tocsin.models import Level, Phase
    from tocsin.xprotect.models import AlarmCategory, AlarmPriority, AlarmState, Camera, CloseReason

__all__ = ["AlarmWriting"]

_IN_PROGRESS: Final = 4
_FIELDS: Final = ("state", "priority", "category", ASSIGNEE)
"""What a read shows of a change; a comment and a reason go to the history."""


class AlarmWriting(AlarmService):
    """Writes the alarms of one site, one at a time."""

    __slots__ = ()

    async def create(
        self,
        *,
        name: str,
        message: str | Unset = UNSET,
        source: Camera | str | Unset = UNSET,
        fields: Mapping[str, Any] | None = None,
    ) -> AcceptedAlarm:
        """Trigger an alarm (``POST /alarms``). No alarm definition is needed.

        The platform stores it behind its answer. It is not sent again where it may have been stored, for that
        would trigger two: a `TransportError` says so in `maybe_applied`, and after a `ServerError` it may
        have been stored too.

        Args:
            name: What it is called.
            message: What it says.
            source: The id of a camera, a path such as ``cameras/<id>``, or a `Camera`.
            fields: Further fields by wire name, sent as they are. Milestone shows none in public.

        Returns:
            What was accepted, with the alarm's `id`; ``await accepted.wait()`` until it can be read.

        Raises:
            ConfigurationError: Something in it could not be stored.
            BadRequestError: The platform refused it; the error says so if there is no such camera.
            ProtocolError: The answer cannot be understood. The alarm may have been triggered.
        """
        wire = creation(name=name, message=message, source=source, fields=fields)
        try:
            with needing(WRITES):
                response = await self._gateway.send(Request("POST", ALARMS, body=to_body(wire)))
        except (BadRequestError, NotFoundError, UnprocessableError) as error:
            await self._blame_camera(error, wire.get("source"))
            raise
        alarm = alarm_in(response)
        return AcceptedAlarm(
            "the new alarm",
            response.status,
            alarm.id,
            alarm,
            lambda: self._look(alarm.id),
            asked={},
            new=True,
        )

    async def update(
        self,
        alarm_id: str,
        *,
        state: AlarmState | Phase | int | str | Unset = UNSET,
        priority: AlarmPriority | Level | int | str | Unset = UNSET,
        category: AlarmCategory | int | str | Unset = UNSET,
        assigned_to: str | Unset | None = UNSET,
        comment: str | Unset = UNSET,
        reason: CloseReason | int | str | Unset = UNSET,
    ) -> AcceptedAlarm:
        r"""Change an alarm (``PATCH /alarms/{id}``). Only what is named is sent.

        The last writer wins: the platform has no versions. A server that answers 400 to that is sent all that
        the vendor's sample sends, once, with what the alarm has where nothing is named.

        States, priorities, categories and reasons are given by name as this site calls them (in any case), by
        level, by id, or as an object that a look-up gave. Sites name them as they like; levels are the same
        everywhere.

        Args:
            alarm_id: Its id.
            state: Any may follow any.
            priority: How serious it is.
            category: What kind it is.
            assigned_to: Who takes care of it, as the platform shows the name, ``Ada Lovelace (ACME\ada)``;
                None: nobody, sent as an empty name, for some servers leave alone what is null.
            comment: A text for its history.
            reason: Why it is closed; one of `close_reasons`.

        Returns:
            What was accepted; ``await accepted.wait()`` until a read shows it.

        Raises:
            ConfigurationError: Nothing is named, or the site has no such state, priority, category or reason.
            NotFoundError: There is no such alarm, or not any more, or the user may not see it.
            ProtocolError: The answer is no alarm, or another one. The change may have been made.
        """
        path = alarm_path(alarm_id)
        wire = await self._alteration(
            {
                "state": (self._lookups.states, state),
                "priority": (self._lookups.priorities, priority),
                "category": (self._lookups.categories, category),
            },
            reason,
        )
        if not isinstance(comment, Unset):
            wire["comment"] = text("comment", comment)
        if not isinstance(assigned_to, Unset):
            wire[ASSIGNEE] = "" if assigned_to is None else text("assigned_to", assigned_to)
        if not wire:
            raise ConfigurationError(
                "an update has nothing to change: give state, priority, category, assigned_to, comment or "
                "reason"
            )
        with needing(WRITES):
            response = await self._patch(path, alarm_id, wire)
        alarm = alarm_in(response, alarm_id) if response.body.strip() else None
        return AcceptedAlarm(
            f"the update of alarm {alarm_id}",
            response.status,
            alarm_id if alarm is None else alarm.id,
            alarm,
            lambda: self._look(alarm_id),
            asked={key: wire[key] for key in _FIELDS if key in wire},
        )

    async def acknowledge(self, alarm_id: str, *, comment: str | Unset = UNSET) -> AcceptedAlarm:
        """Take an alarm in progress (the state of level 4); see `update` for what it may raise.

        A closed alarm is opened again by that: the platform lets it.

        Args:
            alarm_id: Its id.
            comment: A text for its history.

        Returns:
            What was accepted; ``await accepted.wait()`` until a read shows it.
        """
        return await self.update(alarm_id, state=_IN_PROGRESS, comment=comment)

    async def clear(
        self,
        alarm_id: str,
        *,
        reason: CloseReason | int | str | Unset = UNSET,
        comment: str | Unset = UNSET,
    ) -> AcceptedAlarm:
        """Close an alarm (the state of level 11); see `update` for what it may raise.

        Args:
            alarm_id: Its id.
            reason: Why; one of `close_reasons`, by name or id.
            comment: A text for its history.

        Returns:
            What was accepted; ``await accepted.wait()`` until a read shows it.
        """
        return await self.update(alarm_id, state=CLOSED, reason=reason, comment=comment)

    async def _alteration(self, ranks: Mapping[str, tuple[Any, Any]], reason: object) -> dict[str, Any]:
        """What is looked up before it is sent: ids instead of names and levels."""
        wire: dict[str, Any] = {}
        for key, (table, wanted) in ranks.items():
            if not isinstance(wanted, Unset):
                wire[key] = (await table.one(wanted)).id
        if not isinstance(reason, Unset):
            wire["reasonForClosing"] = (await self._lookups.close_reasons.one(reason)).id
        return wire

    async def _patch(self, path: str, alarm_id: str, wire: dict[str, Any]) -> Response:
        def request(body: Mapping[str, Any]) -> Request:
            # Twice the same state is one; twice the same comment is two.
            return Request("PATCH", path, body=to_body(body), idempotent=body.get("comment") is None)

        try:
            return await self._gateway.send(request(wire))
        except BadRequestError as error:
            if not set(KEYS) - wire.keys():
                raise
            refused = error
        try:
            return await self._gateway.send(request(completed(wire, await self._look(alarm_id))))
        except BadRequestError:
            raise refused from None  # it was not for what was missing

    async def _look(self, alarm_id: str) -> Alarm:
        return Alarm.from_raw(await read_one(self._gateway, alarm_id))

    async def _blame_camera(self, error: TocsinError, source: object) -> None:
        """Say so if an alarm was refused for a camera that is not there."""
        if not isinstance(source, str) or "/" in source:
            return
        try:
            await self._gateway.send(Request("GET", item_path("/cameras", source, "camera")))
        except NotFoundError:
            retold(error, f"; there is no camera {source}, or this user may not see it")
        except TocsinError:
            return  # the refusal is what counts
