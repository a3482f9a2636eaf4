"""The alarms of one tenant: list, read, raise, change, count, follow.

Source: Cumulocity OpenAPI "core", "Alarms"; reference `cumulocity.md` 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin._http._pages import Page, PageIterator, Pages, PageStatistics
from tocsin.cumulocity._bulk import AlarmBulk
from tocsin.cumulocity._query import AlarmFilter
from tocsin.cumulocity._reading import AlarmReading
from tocsin.cumulocity._window import Window, read_one, read_window
from tocsin.cumulocity._writing import AlarmWriting
from tocsin.cumulocity.changes import ALL, DEFAULT_BUFFER, follow
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from tocsin._stream._buffer import Overflow
    from tocsin._stream._store import CheckpointStore
    from tocsin._stream._stream import ChangeStream
    from tocsin.cumulocity.changes import Transport
    from tocsin.cumulocity.models import Alarm

__all__ = [
    "AlarmFilter",
    "Alarms",
    "Page",
    "PageIterator",
    "PageStatistics",
    "Pages",
    "Window",
    "read_one",
    "read_window",
]


class Alarms(AlarmBulk, AlarmReading, AlarmWriting):
    """The alarms of one tenant.

    Every method may be cancelled; whether a write that was cancelled took effect is unknown. All raise the
    errors of `tocsin.errors`: `AuthenticationError`, `PermissionDeniedError`, `TransportError` and the rest.

    Args:
        core: Sends the requests.
        start: Starts a task in the client's task group, for pages that are read ahead; None: none is.
        clock: Aware UTC now, for an alarm without a time.
        following: What the client lends its streams; None: `changes` cannot be used.
        terms: How writes are sent.
    """

    __slots__ = ()

    def changes(
        self,
        source: str | int | Iterable[str | int] = ALL,
        *,
        children: bool = False,
        severity: str | Iterable[str] | None = None,
        type: str | Iterable[str] | None = None,  # noqa: A002 - the platform's word
        snapshot: bool | Literal["all"] = False,
        overflow: Overflow = "recover",
        buffer: int = DEFAULT_BUFFER,
        transport: Transport = "auto",
        subscriber: str | None = None,
        shared: bool = False,
        consumer: str | None = None,
        checkpoint: CheckpointStore | None = None,
    ) -> ChangeStream[Alarm]:
        """Follow every change of alarms, as an async context manager and async iterator.

        Nothing is sent before it is entered or iterated. What live messages did not bring is read back
        (`Origin.RECOVERED`), and each span in which something may have been missed is told by a `Gap`.

        Args:
            source: The id of a device or asset, or several; ``"*"`` for every one.
            children: The descendants of the sources too.
            severity: Only alarms of these severities; one that leaves them is given once more.
            type: Only alarms of these types.
            snapshot: Begin with what is there: True for the open alarms, "all" for all; False for neither.
            overflow: What happens when `buffer` is full. "recover" drops what waits and reads it again once
                the consumer has caught up; "conflate" merges the changes of one alarm; "drop_oldest" loses
                the oldest for good and says so by a `Gap`; "block" takes no more from the platform until
                there is room, and only Notification 2.0 keeps what is not taken.
            buffer: Changes that may wait for the consumer.
            transport: How live changes come: "websocket", "long-polling", or "auto", which is the first where
                it can be had and else the second; "notification2" for a durable consumer; "polling" for
                reads alone, every 10 s.
            subscriber: With "notification2", and only there: the name of the durable consumer. What came and
                was not handled comes again to whoever is next connected by this name. An item is handled
                once the next one is asked for, or by ``await change.ack()``.
            shared: Several clients of that name share what comes, all of one device to one of them. There
                are no reads then: no snapshot, no deletions, nothing recovered.
            consumer: The name of this client among those that share.
            checkpoint: Where the stream keeps what was handled, such as `FileCheckpoint(path)`: after a
                restart it goes on from there, and tells the time between by a `Gap`. `snapshot` gives only
                what was not handled before.

        Raises:
            ConfigurationError: The arguments make no sense, or ask for what is not there yet.
        """
        if self._following is None:
            raise ConfigurationError("changes() needs a client: use Cumulocity(…).alarms")
        return follow(
            self._following,
            source,
            children=children,
            severity=severity,
            type=type,
            snapshot=snapshot,
            overflow=overflow,
            buffer=buffer,
            transport=transport,
            subscriber=subscriber,
            shared=shared,
            consumer=consumer,
            checkpoint=checkpoint,
        )
