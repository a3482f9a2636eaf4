"""The background side of an event stream: what its line brings, in a bounded buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from anyio import current_time

from tocsin._stream._buffer import Buffer
from tocsin._stream._reader import Reader
from tocsin._stream._states import StateBoard
from tocsin._times import parse_time
from tocsin.models import Gap, StreamState, StreamStats
from tocsin.xprotect.events._line import EventLine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tocsin.xprotect._following import Following
    from tocsin.xprotect.events._frames import Row
    from tocsin.xprotect.events._line import LineSettings

__all__ = ["PLATFORM", "EventReader", "Parcel"]

PLATFORM = "xprotect"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What waits for the consumer, not yet read: one event, or all states that one reply told.

    Attributes:
        rows: At least one.
        arrived_at: When; aware UTC.
        site: For the gap that is told when the buffer has to drop it.
        stands: They are states.
        platform: Likewise for the gap.
    """

    rows: tuple[Row, ...]
    arrived_at: datetime
    site: str
    stands: bool = False
    platform: str = PLATFORM

    @property
    def received_at(self) -> datetime:
        """Where the gap begins or ends if it is dropped: an event that was replayed is older than it came."""
        if self.stands:
            return self.arrived_at
        try:
            return min(self.arrived_at, parse_time(self.rows[0].time))
        except ValueError:
            return self.arrived_at


class EventReader(Reader[Any]):
    """One event stream's task. It is its line's `EventListener`.

    Args:
        following: What the client lends.
        filters: Of the subscription, as the server takes them.
        state: Whether the state of all sources is asked for.
        buffer: Events that may wait.
        settings: Times and limits.
    """

    keeps = True  # what was handled is where a session is resumed

    def __init__(
        self,
        following: Following,
        filters: Sequence[dict[str, Any]],
        *,
        state: bool,
        buffer: int,
        settings: LineSettings,
    ) -> None:
        board = StateBoard(PLATFORM, following.site, following.clock)
        super().__init__(Buffer(buffer, "drop_oldest"), board, close_timeout=following.close_timeout)
        self._site = following.site
        self._clock = following.clock
        self._line = EventLine(following, filters, state=state, listener=self, settings=settings)
        self._received = self._gaps = self._reconnects = 0
        self._connected_at: datetime | None = None
        self._stale = False
        self._live_at: datetime | None = None
        self._alive_at: datetime | None = None

    async def feed(self) -> None:
        """Drive the line until cancelled, or raise what cannot be mended."""
        await self._line.run()

    async def leave(self) -> None:
        """Nothing: the server ends what it keeps half a minute after the socket."""

    def handled(self, item: Any) -> None:
        """Note where the session would be resumed."""
        if isinstance(item, Parcel) and not item.stands:
            self._line.session.handled(item.rows[-1].id)

    def stats(self) -> StreamStats:
        """The counters so far."""
        session = self._line.session
        return StreamStats(
            received=self._received,
            duplicates=session.duplicates,
            dropped=self.buffer.dropped,
            gaps=self._gaps,
            reconnects=self._reconnects,
            unreadable=session.unreadable,
            connected_at=self._connected_at,
            last_live_at=self._live_at,
            last_alive_at=self._alive_at,
        )

    # ── what the line tells (`EventListener`) ────────────────────────────────────────────────────────────

    def on_events(self, events: Sequence[Row]) -> None:
        """Take them in; the oldest are dropped when there is no room."""
        self._live_at = now = self._clock()
        self._received += len(events)
        self._put([Parcel((row,), now, self._site) for row in events])

    def on_states(self, states: Sequence[Row]) -> None:
        """Take them in, as one."""
        if states:
            self._put([Parcel(tuple(states), self._clock(), self._site, stands=True)])

    def on_missed(self, since: datetime, until: datetime, cause: str) -> None:
        """Tell the span."""
        self._gaps += 1
        self._put([Gap(since, until, cause, None, PLATFORM, self._site)])

    def on_attached(self, *, resumed: bool, complete: bool) -> None:  # noqa: ARG002 - a gap says it
        """Whole from here on."""
        self._connected_at = self._alive_at = self._clock()
        state = StreamState.CONNECTED if complete else StreamState.RECOVERING
        self.board.post(state, None if complete else "reading the states")
        self.open()

    def on_alive(self) -> None:
        """Note it; and end if nobody holds the stream any more."""
        if self.board.current.state is not StreamState.RECONNECTING:
            self._alive_at = self._clock()
        if self._stale and not len(self.buffer):
            self._stale = False
            self._line.session.renew_state(current_time())
        if self.abandoned:
            self.stop()

    def on_lost(self, cause: str) -> None:
        """Say so."""
        self._reconnects += self.board.current.state is not StreamState.RECONNECTING
        self.board.post(StreamState.RECONNECTING, cause)

    def _put(self, items: list[Any]) -> None:
        before = self.buffer.dropped
        self.buffer.push(cast("list[Gap]", items))
        self._stale = self._stale or self.buffer.dropped > before
