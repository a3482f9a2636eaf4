"""What a consumer is brought, as a follower's input, and what came of it, as acknowledgements."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tocsin.cumulocity._live import UnreadableError, read_told
from tocsin.cumulocity._payload import tell
from tocsin.cumulocity.notification2._frames import FrameError, parse_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._stream._platform import Inlet
    from tocsin.cumulocity._scope import Scope
    from tocsin.cumulocity.notification2._aside import SetAside
    from tocsin.cumulocity.notification2._frames import Notification
    from tocsin.errors import TocsinError

    Acknowledge = Callable[[int, bytes], None]

__all__ = ["LiveNotifications"]

log = logging.getLogger("tocsin.cumulocity")

_APIS: Final = frozenset({"alarms", "alarmsWithChildren"})
_LATE: Final = timedelta(minutes=5)
_SILENCE: Final = timedelta(minutes=10)


class _Receipt:
    """One message of one socket."""

    __slots__ = ("_ack", "_acknowledge", "_aside", "_mark", "_socket")

    def __init__(
        self, acknowledge: Acknowledge, socket: int, ack: bytes, aside: SetAside, mark: bytes
    ) -> None:
        self._acknowledge = acknowledge
        self._socket = socket
        self._ack = ack
        self._aside = aside
        self._mark = mark

    def handled(self) -> None:
        """Acknowledge it."""
        self._aside.handled(self._mark)
        self._acknowledge(self._socket, self._ack)

    def failed(self) -> None:
        """Count it."""
        self._aside.failed(self._mark)


class LiveNotifications:
    """The consumer's `ConsumerListener` for one stream.

    Args:
        inlet: Where it goes.
        scope: Which alarms the stream follows.
        aside: What is not to be given again.
        clock: Aware UTC now.
    """

    def __init__(
        self, inlet: Inlet[bytes], scope: Scope, aside: SetAside, clock: Callable[[], datetime]
    ) -> None:
        self._inlet = inlet
        self._scope = scope
        self._aside = aside
        self._clock = clock
        self._warned: datetime | None = None
        self.acknowledge: Acknowledge = lambda _socket, _ack: None
        """Sends an acknowledgement; set by whoever makes the consumer."""

    def on_frame(self, frame: bytes, *, socket: int) -> None:
        """A message came."""
        try:
            told = parse_frame(frame)
        except FrameError as error:
            log.warning("Notification 2.0: %s: %s", error, error.detail)
            self._inlet.unreadable(None)
            if error.ack is not None:
                receipt = _Receipt(self.acknowledge, socket, error.ack, self._aside, b"")
                self._inlet.when_handled(None, receipt)
            return
        if told.api in _APIS:
            self._take(told, socket)
        else:  # somebody feeds the topic with more than this stream asked for
            self.acknowledge(socket, told.ack)

    def on_attached(self, *, socket: int) -> None:
        """A socket stands."""
        self._inlet.connected(session=socket, date=None)

    def on_alive(self) -> None:
        """The server has just shown that it is there: of how old its messages are, that says nothing."""
        self._inlet.alive(None)

    def on_lost(self, cause: str) -> None:
        """There is no socket."""
        self._inlet.disconnected(cause)

    def on_closed(self, error: TocsinError) -> None:
        """It is over for good."""
        self._inlet.failed(error)

    def on_missed(self, cause: str, *, within: float) -> None:
        """Messages were perhaps not sent that should have been."""
        self._inlet.missed(cause, within=within)

    async def room(self) -> None:
        """Wait until the stream can take more in."""
        await self._inlet.room()

    def _take(self, told: Notification, socket: int) -> None:
        mark = self._aside.mark(told.action, told.body)
        receipt = _Receipt(self.acknowledge, socket, told.ack, self._aside, mark)
        about: str | None = None
        try:
            message = read_told(tell(told.action, told.body), self._scope)
        except UnreadableError as unreadable:
            # It would read the same each time: what it told is looked up, and it is not asked for again.
            about = unreadable.id
            log.warning("Notification 2.0: a message of device %s cannot be read", _shown(told.source))
            self._inlet.unreadable(about)
        else:
            if message is None:
                receipt.handled()
                return
            about = message[1]
            if self._aside.holds(mark):
                log.error(
                    "Notification 2.0: a change of alarm %s is set aside and not given again: its consumer "
                    "failed over it several times",
                    _shown(about),
                )
                self.acknowledge(socket, told.ack)  # its failures stay counted: it may come again
                return
            self._check_lag(None if message[2] is None else message[2].updated)
            self._inlet.live((message,), session=socket, ordered=True)
        self._inlet.when_handled(about, receipt)

    def _check_lag(self, updated: int | None) -> None:
        """Warn, now and then, of a backlog that grows old: a full one stops the writers of the platform."""
        if updated is None:
            return
        now = self._clock()
        behind = timedelta(seconds=now.timestamp() - updated / 1000)
        if behind < _LATE or (self._warned is not None and now < self._warned + _SILENCE):
            return
        self._warned = now
        log.warning(
            "Notification 2.0: this consumer is %d min behind. What waits is kept for 36 h and up to 25 MiB; "
            "when that is full the platform refuses what devices send",
            behind.total_seconds() // 60,
        )


def _shown(text: str) -> str:
    return "".join(char for char in text[:80] if char.isprintable())
