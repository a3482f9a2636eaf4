"""What several sources are doing, told in one place."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from anyio import Event
from anyio.lowlevel import checkpoint

from tocsin._stream._states import StateChange
from tocsin.errors import TocsinError
from tocsin.models import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

__all__ = ["JoinedStates", "StatesOfAll"]

_KEPT = 64
"""State changes, for each source, that a slow watcher may fall behind before it misses the oldest."""


class JoinedStates:
    """Where the sources post their states. Each begins as `RECONNECTING` and ends as `CLOSED`.

    Args:
        sites: The platform of each site.
        wall: Aware UTC now.
    """

    def __init__(self, sites: Mapping[str, str], wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._posted = Event()
        self._kept: deque[StateChange] = deque(maxlen=_KEPT * len(sites))
        self.count = 0
        self.current = {
            site: StateChange(StreamState.RECONNECTING, None, wall(), platform, site)
            for site, platform in sites.items()
        }

    def now(self) -> datetime:
        """The clock that dates the changes."""
        return self._wall()

    def post(self, site: str, state: StreamState, cause: str | None, at: datetime | None = None) -> None:
        """Set a source's state. Posting what stands already, or anything after `CLOSED`, does nothing."""
        old = self.current[site]
        if old.state is StreamState.CLOSED or (old.state is state and old.cause == cause):
            return
        change = StateChange(state, cause, at or self._wall(), old.platform, site)
        self.current[site] = change
        self._kept.append(change)
        self.count += 1
        posted, self._posted = self._posted, Event()
        posted.set()

    @property
    def all_closed(self) -> bool:
        """Whether no source does anything any more."""
        return all(change.state is StreamState.CLOSED for change in self.current.values())

    def since(self, seen: int) -> list[StateChange]:
        """The changes after the first `seen` ones, as far as they are kept."""
        kept = list(self._kept)
        return kept[max(0, len(kept) - (self.count - seen)) :] if self.count > seen else []

    async def changed(self, seen: int) -> None:
        """Wait until there are more than `seen` changes."""
        while self.count <= seen:
            await self._posted.wait()

    async def wait_for(self, states: tuple[StreamState, ...]) -> None:
        """Wait until every source is in one of these states at once; see `Watch.wait_state`."""
        await checkpoint()
        while not all(change.state in states for change in self.current.values()):
            for change in self.current.values():
                if change.state is StreamState.CLOSED and change.state not in states:
                    wanted = " or ".join(states)
                    raise TocsinError(
                        f"{change.site} ended before it was {wanted}: {change.cause or 'closed'}"
                    )
            await self.changed(self.count)


class StatesOfAll:
    """The states of all sources from now on, beginning with the present one of each.

    Each iterator is independent. It ends once all sources are `CLOSED`. One that falls far behind misses the
    oldest. Cancelling it loses nothing.
    """

    def __init__(self, joined: JoinedStates) -> None:
        self._joined = joined
        self._seen = joined.count
        self._waiting = deque(joined.current.values())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StateChange:
        await checkpoint()
        if not self._waiting:
            if self._joined.all_closed and self._joined.count <= self._seen:
                raise StopAsyncIteration
            await self._joined.changed(self._seen)
            self._waiting.extend(self._joined.since(self._seen))
            self._seen = self._joined.count
        return self._waiting.popleft()
