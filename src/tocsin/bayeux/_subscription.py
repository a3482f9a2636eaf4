"""What users of the Bayeux client iterate over: a bounded buffer between the session and one consumer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from anyio import Event as Flag
from anyio import current_time, move_on_after
from anyio.lowlevel import checkpoint

from tocsin._stream._wall import Past
from tocsin.bayeux._messages import Event
from tocsin.errors import ConfigurationError, RequestTimeoutError, SubscriptionRefusedError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from tocsin.bayeux._registration import Registration
    from tocsin.bayeux._subscriber import Subscriber

__all__ = ["Interruption", "Subscription"]

# cometd-nodejs-server sends a copy for each matching subscription; the first one releases the held poll, the
# others come with the next one.
COPIES_WITHIN = 1.0

# Items that the consumer gets without giving way to the loop in between. Giving way for each would let the
# reader, which brings whole answers, outrun the fastest consumer.
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Interruption:
    """A span in which messages may have been missed. Bayeux itself keeps nothing to read them back from.

    Attributes:
        since: The last moment at which nothing was missing; aware UTC.
        until: When it was whole again; aware UTC.
        cause: Why, in a few words.
        session_lost: The server had forgotten the session, so that all was missed that came in between.
        dropped: How many messages the full buffer dropped.
    """

    since: datetime
    until: datetime
    cause: str
    session_lost: bool = False
    dropped: int = 0


class Subscription:
    """Channels that are listened to: an async context manager and an async iterator.

    Made by `BayeuxClient.subscribe`. Entering it returns when the server has confirmed every channel and has
    answered a connect since. The iterator gives each `Event`, and one `Interruption` at the end of each
    outage. It goes on through outages; it ends with an error when going on is ruled out, and cleanly when the
    client is closed.

    When the consumer is slower than the server, the oldest messages of the buffer are dropped, and an
    `Interruption` with their number is given in their place. What waited when the consumer last turned to the
    buffer is out of it already, so up to twice the buffer is held.
    """

    def __init__(
        self,
        subscriber: Callable[[], Subscriber],
        channels: tuple[str, ...],
        *,
        buffer: int,
        unique: bool,
        open_timeout: float | None,
        wall: Callable[[], datetime],
    ) -> None:
        if buffer < 1:
            raise ConfigurationError("the buffer must hold at least one message")
        self._subscriber = subscriber
        self._channels = channels
        self._limit = buffer
        self._unique = unique
        self._open_timeout = open_timeout
        self._wall = wall
        self._items: deque[Event | Interruption] = deque()
        self._batch: deque[Event | Interruption] = deque()  # the consumer's: out of the buffer already
        self._given = 0  # since the loop had its turn
        self._overflow: Interruption | None = None
        self._registration: Registration | None = None
        self._attached = Flag()
        self._ready: Flag | None = None
        self._past = Past()
        self._proved: tuple[float, datetime] | None = None
        self._whole_at: tuple[float, datetime] | None = None
        self._outage: Interruption | None = None
        self._cause: str | None = None
        self._error: TocsinError | None = None
        self._closed = False
        self._recent: dict[Event, float] = {}

    # ── for the user ─────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        if self._registration is not None:
            raise ConfigurationError("a subscription is entered once; subscribe again for another one")
        self._registration = self._subscriber().add(self, self._channels)
        try:
            with move_on_after(self._open_timeout):
                await self._attached.wait()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._closed:
                raise ConfigurationError("the Bayeux client was closed")
            if not self._attached.is_set():
                why = self._cause or "the server is silent"
                raise RequestTimeoutError(f"no subscription within {self._open_timeout:g} s: {why}")
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Interruption:
        """Return the next message or interruption. Cancelling it loses nothing.

        Raises:
            TocsinError: It is over for good; raised once, then the iteration ends.
            ConfigurationError: The subscription is not entered, or another task is waiting here.
        """
        if self._registration is None:
            raise ConfigurationError("a subscription is not open: use it with `async with`")
        if self._ready is not None:
            raise ConfigurationError("another task is waiting for the next message of this subscription")
        if self._batch and self._given < _BATCH:
            self._given += 1
            return self._batch.popleft()
        self._given = 1
        await checkpoint()  # before anything is taken out
        if self._batch:
            return self._batch.popleft()
        while self._overflow is None and not self._items:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._closed:
                raise StopAsyncIteration
            self._ready = Flag()
            try:
                await self._ready.wait()
            finally:
                self._ready = None
        if self._overflow is not None:
            item, self._overflow = self._overflow, None
            return item
        self._batch, self._items = self._items, self._batch
        return self._batch.popleft()

    # ── what the subscriber tells (`Listener`) ───────────────────────────────────────────────────────────

    def on_events(self, events: Sequence[Event], *, session: int, ordered: bool) -> None:  # noqa: ARG002
        """Take them in; drop the oldest when full."""
        now = current_time()
        if self._unique:
            self._recent = {event: at for event, at in self._recent.items() if now - at < COPIES_WITHIN}
        for event in events:
            if self._unique:
                if event in self._recent:
                    continue
                self._recent[event] = now
            self._put(event)

    def on_attached(self, *, session: int, date: datetime | None) -> None:  # noqa: ARG002
        """Whole again: tell since when it was not."""
        self._attached.set()
        outage, self._outage = self._outage, None
        self._whole_at = self._proved or (current_time(), self._now())
        if outage is not None:
            self._put(replace(outage, until=self._now()))

    def on_alive(self, proved: float) -> None:
        """Note until when nothing is missing."""
        now, wall = current_time(), self._now()
        self._past.note(now, wall)
        self._proved = (proved, self._past.at(proved))
        if self._outage is None:
            self._whole_at = self._proved

    def on_lost(self, *, cause: str, session_lost: bool) -> None:
        """Begin an outage, or go on with it."""
        self._cause = cause
        if self._whole_at is None:
            return  # it has not begun yet: nothing was promised
        if self._outage is None:
            since = self._whole_at[1]
            self._outage = Interruption(since, since, cause, session_lost)
        elif session_lost:
            self._outage = replace(self._outage, session_lost=True)

    def on_refused(self, channel: str, error: SubscriptionRefusedError) -> None:  # noqa: ARG002
        """End: half of what was asked for is not what was asked for."""
        self.on_closed(error)

    def on_unreadable(self, raw: bytes) -> None:  # noqa: ARG002
        """Something may be missing that was meant for us."""
        now = self._now()
        if self._outage is None and self._whole_at is not None:
            self._put(Interruption(self._whole_at[1], now, "a message could not be read"))

    def on_closed(self, error: TocsinError | None) -> None:
        """Give what is left, then end."""
        if not self._closed:
            self._closed, self._error = True, error
        self._attached.set()
        self._notify()

    def _put(self, item: Event | Interruption) -> None:
        if self._closed:
            return
        last = self._items[-1] if self._items else None
        if isinstance(item, Interruption) and isinstance(last, Interruption):
            self._items[-1] = _joined(last, item)
        else:
            self._items.append(item)
        if len(self._items) > self._limit:
            self._drop(self._items.popleft())
        self._notify()

    def _drop(self, oldest: Event | Interruption) -> None:
        now = self._now()
        if isinstance(oldest, Event):
            oldest = Interruption(now, now, "the consumer was too slow and the buffer was full", dropped=1)
        self._overflow = oldest if self._overflow is None else _joined(self._overflow, oldest)

    def _notify(self) -> None:
        if self._ready is not None:
            self._ready.set()

    def _now(self) -> datetime:
        """The time of day, moved on by the monotonic clock: no interruption ends before it begins."""
        if self._whole_at is None:
            return self._wall()
        at, wall = self._whole_at
        return wall + timedelta(seconds=current_time() - at)

    async def _leave(self) -> None:
        self._closed = True
        self._notify()
        if self._registration is not None:
            await self._registration.remove()


def _joined(first: Interruption, then: Interruption) -> Interruption:
    return Interruption(
        min(first.since, then.since),
        max(first.until, then.until),
        first.cause,
        session_lost=first.session_lost or then.session_lost,
        dropped=first.dropped + then.dropped,
    )
