"""One stream's scope of alarms, read over REST and heard over Bayeux. It is a follower's `Platform`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from tocsin._stream._answers import (
    Checked,
    Failed,
    Missing,
    NoSuchApi,
    OneAnswer,
    ReadOne,
    ReadWindow,
    WindowAnswer,
)
from tocsin.cumulocity._live import LiveAlarms
from tocsin.cumulocity._observe import observe, read_alarm
from tocsin.cumulocity._paging import next_page
from tocsin.cumulocity._reading import count_alarms
from tocsin.cumulocity._roles import ALARM_ADMIN, ALARM_READ, own_roles
from tocsin.cumulocity._window import read_one, read_window
from tocsin.cumulocity.models import Alarm
from tocsin.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    StatusError,
    TocsinError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tocsin._http._core import HttpCore
    from tocsin._stream._answers import Answer, Observed, Read
    from tocsin._stream._platform import Attachment, Inlet
    from tocsin.bayeux._listener import Listener
    from tocsin.cumulocity._proof import RestProof
    from tocsin.cumulocity._scope import Scope

    Listen = Callable[[Listener, Sequence[str]], Attachment]
    Consume = Callable[[Inlet[bytes]], Attachment]

__all__ = ["AlarmFeed"]

PLATFORM: Final = "cumulocity"

log = logging.getLogger("tocsin.cumulocity")

_ROLES: Final = frozenset({ALARM_READ, ALARM_ADMIN})

_CHUNK: Final = 256
"""Rows that are looked at in one go; others may run in between."""


class AlarmFeed:
    """Reads and hears one scope.

    Args:
        core: Sends the reads.
        proof: What is known of the REST API at that address.
        scope: Which alarms.
        site: The client's name.
        listen: Switches the live channel on; None for reads alone.
        consume: Becomes a consumer of Notification 2.0 instead.
        reads: Whether anything may be read at all; not so where others share what comes.
    """

    def __init__(
        self,
        core: HttpCore,
        proof: RestProof,
        scope: Scope,
        *,
        site: str,
        listen: Listen | None = None,
        consume: Consume | None = None,
        reads: bool = True,
    ) -> None:
        self.platform = PLATFORM
        self.site = site
        self._core = core
        self._proof = proof
        self._scope = scope
        self._listen = listen
        self._consume = consume
        self._reads = reads

    def attach(self, inlet: Inlet[bytes]) -> Attachment | None:
        """Switch the live channel on."""
        if self._consume is not None:
            return self._consume(inlet)
        if self._listen is None:
            return None
        return self._listen(LiveAlarms(inlet, self._scope), self._scope.channels)

    def present(self, alarm: bytes) -> Alarm:
        """The alarm as users get it."""
        try:
            return Alarm.from_raw(alarm)
        except ProtocolError:  # nested too deep for the model, yet it was observed: give what can be given
            flat = {k: v for k, v in read_alarm(alarm).items() if not isinstance(v, dict | list)}
            return Alarm.from_wire(flat)

    async def read(self, read: Read) -> Answer[bytes]:
        """Send one read.

        Raises:
            AuthenticationError: The credentials were refused.
            PermissionDeniedError: A role is missing.
            TocsinError: There is no live channel, and nothing at that address that could be read.
        """
        try:
            if isinstance(read, ReadWindow):
                return await self._window(read)
            if isinstance(read, ReadOne):
                return await self._one(read)
            return await self._check()
        except (AuthenticationError, PermissionDeniedError):
            raise
        except TocsinError as error:
            live = self._listen is not None or self._consume is not None
            # Only lists can deny the API: after a restart the first answer may be a 404 for one alarm.
            listed = not isinstance(read, ReadOne)
            if listed and await self._proof.is_missing(self._core, error, live=live):
                if not live:
                    raise
                return NoSuchApi()
            log.info("a read of alarms failed: %s", error)
            return Failed(error.reason, error.retry_after if isinstance(error, StatusError) else None)

    async def has_api(self) -> bool:
        """Look once more whether there is a REST API."""
        return self._reads and await self._proof.look(self._core)

    async def _window(self, read: ReadWindow) -> WindowAnswer[bytes]:
        core = self._proof.view(self._core)
        window = await read_window(core, self._scope.query(read), page_size=read.page_size, page=read.page)
        self._proof.proved = True
        rows: list[Observed[bytes]] = []
        unreadable = 0
        for index, raw in enumerate(window.rows):
            if index % _CHUNK == _CHUNK - 1:
                await checkpoint()
            try:
                alarm = read_alarm(raw)
                if self._scope.follows_type(alarm.get("type")):
                    rows.append(observe(alarm, raw, severities=self._scope.severities))
            except ProtocolError:
                unreadable += 1
        return WindowAnswer(rows, window.more, _millis(window.date), unreadable, next_page(window))

    async def _one(self, read: ReadOne) -> Answer[bytes]:
        try:
            raw = await read_one(self._proof.view(self._core), read.id)
        except NotFoundError as error:
            # Only the platform's own words say that an alarm is gone; a proxy's 404 may mean anything.
            if error.error is not None and self._proof.proved:
                return Missing()
            raise
        return OneAnswer(observe(read_alarm(raw), raw, severities=self._scope.severities))

    async def _check(self) -> Checked:
        """Whether the user may still read alarms: lost rights look like an empty page, not like 403."""
        if await own_roles(self._core) & _ROLES:
            return Checked(sound=True)
        core = self._proof.view(self._core)
        for partition in self._scope.partitions:  # inventory roles open devices one by one
            probe = self._scope.probe(partition)
            window = await read_window(core, probe, page_size=1)
            # An empty page that others follow may have looked at alarms of other devices only.
            if window.rows or (window.more and await count_alarms(core, probe)):
                return Checked(sound=True)
        return Checked(sound=False)


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
