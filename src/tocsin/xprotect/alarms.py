"""The alarms of one site: list, read, trigger, change, follow.

Source: Milestone's Alarms REST API; reference `xprotect.md` 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin._http._pages import Page, PageIterator, Pages
from tocsin.errors import ConfigurationError
from tocsin.xprotect._accepted import AcceptedAlarm
from tocsin.xprotect._query import AlarmFilter, Order
from tocsin.xprotect._reading import AlarmReading
from tocsin.xprotect._writing import AlarmWriting

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from tocsin._stream._buffer import Overflow
    from tocsin._stream._store import CheckpointStore
    from tocsin._stream._stream import ChangeStream
    from tocsin.models import Level
    from tocsin.xprotect.models import Alarm

__all__ = ["AcceptedAlarm", "AlarmFilter", "Alarms", "Order", "Page", "PageIterator", "Pages"]


class Alarms(AlarmReading, AlarmWriting):
    """The alarms of one site.

    Every method may be cancelled; whether a write that was cancelled took effect is unknown. All raise the
    errors of `tocsin.errors`: `AuthenticationError`, `PermissionDeniedError`, `TransportError` and the rest.

    Args:
        gateway: Sends the requests.
        start: Starts a task in the client's task group, for pages that are read ahead; None: none is.
        clock: Aware UTC now.
        following: What the client lends its streams; None: `changes` cannot be used.
        lookups: What the site has to choose from; None: one of its own.
    """

    __slots__ = ()

    def changes(
        self,
        source: str | Iterable[str] = "*",
        *,
        level: Level | str | Iterable[Level | str] | None = None,
        snapshot: Literal[False, True, "all"] = False,
        overflow: Overflow = "recover",
        buffer: int = 5000,
        latency: float = 5.0,
        period: float = 30.0,
        wake: bool = True,
        sessions: bool = False,
        checkpoint: CheckpointStore | None = None,
    ) -> ChangeStream[Alarm]:
        """Follow every change of alarms, as an async context manager and async iterator.

        Nothing is sent before it is entered or iterated. The platform has no channel for alarms, so they are
        read: new ones every `latency` seconds, or as soon as an event wakes the stream, and all open ones
        every `period` seconds, to see what changed. Each span in which something may have been missed is
        told by a `Gap`.

        Args:
            source: The id of a camera or other source, or several; ``"*"`` for every one.
            level: Only alarms of these levels; one that leaves them is given once more.
            snapshot: Begin with what is there: True for the open alarms, "all" for all; False for neither.
            overflow: What happens when `buffer` is full. "recover" drops what waits and reads it again once
                the consumer has caught up; "conflate" merges the changes of one alarm; "drop_oldest" loses
                the oldest for good and says so by a `Gap`; "block" takes no more until there is room.
            buffer: Changes that may wait for the consumer.
            latency: Seconds between two looks for new alarms.
            period: Seconds between two readings of all open alarms.
            wake: Have the Events WebSocket wake the stream, so that new alarms come at once.
            sessions: Ask a session of the server (``/alarmSessions``) every `latency` seconds, 30 at most,
                what changed, and read that at once, not after `period`. How sessions answer is not
                published: what is understood of them is a guess. Where the server has none, or others, the
                stream goes on without, and says so once in the log.
            checkpoint: Where the stream keeps what was handled, such as `FileCheckpoint(path)`: after a
                restart it goes on from there, and tells the time between by a `Gap`. `snapshot` gives only
                what was not handled before.

        Raises:
            ConfigurationError: The arguments make no sense.
        """
        if self._following is None:
            raise ConfigurationError("changes() needs a client: use XProtect(…).alarms")
        from tocsin.xprotect.changes import follow

        return follow(
            self._following,
            source,
            level=level,
            snapshot=snapshot,
            overflow=overflow,
            buffer=buffer,
            latency=latency,
            period=period,
            wake=wake,
            sessions=sessions,
            checkpoint=checkpoint,
        )
