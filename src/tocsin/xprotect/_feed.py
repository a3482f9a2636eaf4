"""One stream's scope of alarms, read over REST; others say when. It is a follower's `Platform`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from tocsin._stream._answers import (
    Checked,
    Failed,
    Missing,
    OneAnswer,
    ReadOne,
    ReadWindow,
    WindowAnswer,
)
from tocsin.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    StatusError,
    TocsinError,
)
from tocsin.xprotect._observe import CLOSED, observe, read_alarm
from tocsin.xprotect._window import read_one, read_window
from tocsin.xprotect.models import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._stream._answers import Answer, Observed, Read
    from tocsin._stream._platform import Attachment, Inlet
    from tocsin.xprotect._lookups import Lookups
    from tocsin.xprotect._scope import Scope
    from tocsin.xprotect._window import Sender, Window

    Wake = Callable[[Inlet[bytes]], Attachment]

__all__ = ["PLATFORM", "AlarmFeed"]

PLATFORM: Final = "xprotect"

log = logging.getLogger("tocsin.xprotect")

_LARGEST: Final = 2000
"""Rows that a server gives at once where nobody says otherwise."""
_SMALL: Final = 10
"""A page that no server refuses because of its size."""
_CHUNK: Final = 256
"""Rows that are looked at in one go; others may run in between."""


class AlarmFeed:
    """Reads one scope.

    Args:
        gateway: Sends the reads.
        lookups: What the site calls its states.
        scope: Which alarms.
        site: The client's name.
        wake: Attaches what says when to read; None: nothing wakes the stream.
    """

    def __init__(
        self, gateway: Sender, lookups: Lookups, scope: Scope, *, site: str, wake: Wake | None = None
    ) -> None:
        self.platform = PLATFORM
        self.site = site
        self._gateway = gateway
        self._lookups = lookups
        self._scope = scope
        self._wake = wake
        self._most = _LARGEST
        self._sizes: dict[tuple[object, ...], int] = {}

    def attach(self, inlet: Inlet[bytes]) -> Attachment | None:
        """Attach what wakes the stream."""
        return None if self._wake is None else self._wake(inlet)

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
            PermissionDeniedError: The right to view alarms is missing.
            ConfigurationError: There is no API Gateway at that address, or one that is too old.
        """
        try:
            if isinstance(read, ReadWindow):
                return await self._window(read)
            if isinstance(read, ReadOne):
                return await self._one(read)
            return await self._check()
        except (AuthenticationError, PermissionDeniedError, ConfigurationError):
            raise
        except TocsinError as error:
            log.info("a read of alarms failed: %s", error)
            return Failed(error.reason, error.retry_after if isinstance(error, StatusError) else None)

    async def has_api(self) -> bool:
        """There always is one: without it there is no stream."""
        return True

    async def _window(self, read: ReadWindow) -> WindowAnswer[bytes]:
        closed = None if read.resolved is None else await self._closed()
        key = (read.partition, read.created_from, read.created_to, read.resolved)
        size = read.page_size if read.page == 1 else self._sizes.get(key, read.page_size)
        window, size = await self._page(self._scope.query(read, closed), size, read.page - 1)
        self._sizes.pop(key, None)
        if window.more:
            # A server with a limit of its own counts its pages by that.
            told = None if window.statistics is None else window.statistics.page_size
            self._sizes[key] = told or size
        rows: list[Observed[bytes]] = []
        unreadable = 0
        for index, raw in enumerate(window.rows):
            if index % _CHUNK == _CHUNK - 1:
                await checkpoint()
            try:
                alarm = read_alarm(raw)
                if self._scope.follows(alarm):
                    rows.append(observe(alarm, raw, levels=self._scope.levels))
            except ProtocolError:
                unreadable += 1
        return WindowAnswer(rows, window.more, _millis(window.date), unreadable)

    async def _page(self, query: tuple[tuple[str, str], ...], size: int, page: int) -> tuple[Window, int]:
        """One page, and the size that was asked for: smaller ones where the server refuses what is usual."""
        while True:
            asked = size if page else min(size, self._most)
            try:
                return await read_window(self._gateway, query, page_size=asked, page=page), asked
            except BadRequestError:
                if page or asked <= _SMALL:
                    self._most = _LARGEST
                    raise
                self._most = max(_SMALL, asked // 2)

    async def _one(self, read: ReadOne) -> Answer[bytes]:
        try:
            raw = await read_one(self._gateway, read.id)
        except NotFoundError as error:
            # Only the platform's own words say that it is not there; a proxy's 404 may mean anything.
            if error.error is not None:
                return Missing()
            raise
        alarm = read_alarm(raw)
        if not self._scope.follows(alarm):
            return Missing()  # a session of alarms told of it, which knows no scope
        observed = observe(alarm, raw, levels=self._scope.levels)
        return OneAnswer(observed._replace(id=read.id))  # it may be spelled in another way than lists do

    async def _check(self) -> Checked:
        """Whether the user may still view alarms.

        Lost rights may look like an empty list, or like alarms that are not there. So only an alarm that can
        be seen proves them: that all are gone is not believed.
        """
        for partition in self._scope.partitions:
            window = await read_window(self._gateway, self._scope.probe(partition), page_size=1)
            if window.rows:
                return Checked(sound=True)
        return Checked(sound=False, cause="no alarm can be seen: the rights of the user may be gone")

    async def _closed(self) -> str | None:
        """What the site calls the state of closed alarms; None where it does not tell."""
        try:
            states = await self._lookups.states.all()
        except NotFoundError:
            return None
        names = {state.name for state in states if state.level == CLOSED and state.name}
        # Of several only one could be left out; none of them, then, and their rows tell.
        return names.pop() if len(names) == 1 else None


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
