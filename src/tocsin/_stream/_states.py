"""What a stream is doing, for whoever wants to watch it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from anyio import Event
from anyio.lowlevel import checkpoint

from tocsin.errors import TocsinError
from tocsin.models import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["StateBoard", "StateChange", "StateChanges"]

_KEPT = 64
"""State changes a slow watcher may fall behind before it misses the oldest."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """A stream began to do something else.

    Attributes:
        state: What it does now.
        cause: Why, in a few words; None where there is nothing to explain.
        at: When, aware UTC.
        platform: ``cumulocity`` or ``xprotect``.
        site: The client's name.
    """

    state: StreamState
    cause: str | None
    at: datetime
    platform: str
    site: str


class StateBoard:
    """Where a reader posts its state and others read it. It begins as `RECONNECTING` and ends as `CLOSED`."""

    __slots__ = ("_kept", "_posted", "_site", "_wall", "count", "current")

    def __init__(self, platform: str, site: str, wall: Callable[[], datetime]) -> None:
        self._site = (platform, site)
        self._wall = wall
        self._posted = Event()
        self._kept: deque[StateChange] = deque(maxlen=_KEPT)
        self.count = 0
        self.current = StateChange(StreamState.RECONNECTING, None, wall(), platform, site)
        self._keep(self.current)

    def now(self) -> datetime:
        """The clock that dates the changes."""
        return self._wall()

    def post(self, state: StreamState, cause: str | None) -> None:
        """Set the state. Posting what stands already, or anything after `CLOSED`, does nothing."""
        now = self.current
        if now.state is StreamState.CLOSED or (now.state is state and now.cause == cause):
            return
        self._keep(StateChange(state, cause, self._wall(), *self._site))

    def since(self, seen: int) -> list[StateChange]:
        """The changes after the first `seen` ones, as far as they are kept."""
        kept = list(self._kept)
        return kept[max(0, len(kept) - (self.count - seen)) :] if self.count > seen else []

    async def changed(self, seen: int) -> None:
        """Wait until there are more than `seen` changes."""
        while self.count <= seen:
            await self._posted.wait()

    async def wait_for(self, states: tuple[StreamState, ...]) -> StateChange:
        """Wait until the state is one of these; see `ChangeStream.wait_state`."""
        seen = self.count - 1
        await checkpoint()
        while True:
            for change in self.since(seen):
                if change.state in states:
                    return change
            if self.current.state is StreamState.CLOSED:
                wanted = " or ".join(states)
                cause = self.current.cause or "closed"
                raise TocsinError(f"the stream ended before it was {wanted}: {cause}")
            seen = self.count
            await self.changed(seen)

    def _keep(self, change: StateChange) -> None:
        self.current = change
        self._kept.append(change)
        self.count += 1
        posted, self._posted = self._posted, Event()
        posted.set()


class StateChanges:
    """The states of a stream from now on, beginning with the present one; ends after `CLOSED`.

    Each iterator is independent. It neither starts nor holds the stream. One that falls more than 64 changes
    behind misses the oldest. Cancelling it loses nothing.
    """

    def __init__(self, board: StateBoard) -> None:
        self._board = board
        self._seen = board.count - 1
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StateChange:
        if self._closed:
            raise StopAsyncIteration
        await checkpoint()
        await self._board.changed(self._seen)
        waiting = self._board.since(self._seen)
        self._seen = self._board.count - len(waiting) + 1
        self._closed = waiting[0].state is StreamState.CLOSED
        return waiting[0]
