"""`EventStream`: what happens at a site, and how things stand there, as an async iterator.

Source: Milestone's public samples of the Events and State WebSocket; reference `xprotect.md` 5.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from tocsin._stream._stream import ChangeStream
from tocsin.models import Gap
from tocsin.xprotect.models import Event

if TYPE_CHECKING:
    from types import TracebackType

    from tocsin._stream._owner import TaskOwner
    from tocsin._stream._states import StateChange, StateChanges
    from tocsin.models import StreamState, StreamStats
    from tocsin.xprotect.events._names import Names
    from tocsin.xprotect.events._reader import EventReader, Parcel

__all__ = ["EventItem", "EventStream", "StateEvent"]


class StateEvent(Event):
    """How something stands: the latest event of a source and state group, as the server told it when asked.

    It did not just happen. Kept by ``(source, state_group_id)``, beside each `Event` that has a
    `state_group_id`, it is the state of the site.
    """

    _is_plain = True


EventItem: TypeAlias = Event | StateEvent | Gap


class EventStream:
    """What happens at a site, as an async iterator of `Event | StateEvent | Gap`. Made by `Events.live`.

    Use it as a context manager: entering returns when the subscription stands, leaving closes it. A
    connection that breaks is replaced behind the scenes. The server keeps a session for 30 s, so that a short
    break loses nothing and is not told; after a longer one, or where the server knows the session no more, a
    `Gap` with ``recovered=None`` says what may be missing, and, if states were asked for, all of them follow.

    Match `StateEvent` before `Event`, which it is too. Each event is given once, in the order in which the
    server told them. When the consumer is too slow for its buffer, the oldest are dropped, and a `Gap` says
    so.

    Only one task may iterate at a time. A fatal error is raised once, then iteration ends.
    """

    def __init__(
        self, reader: EventReader, owner: TaskOwner, *, open_timeout: float | None, names: Names
    ) -> None:
        self._reader = reader
        self._inner: ChangeStream[Any] = ChangeStream(reader, owner, open_timeout=open_timeout)
        self._states: deque[StateEvent] = deque()
        self._given = 0
        self.names = names
        """The names of what events are about."""

    def __repr__(self) -> str:
        now = self._reader.board.current
        return f"<EventStream of {now.platform} {now.site}: {now.state}>"

    async def __aenter__(self) -> Self:
        """Start the stream and wait until the subscription stands. Cancelling it closes the stream.

        Raises:
            TocsinError: What cannot be mended: wrong credentials, missing rights, a refused subscription.
            RequestTimeoutError: It did not stand within the client's `open_timeout`.
            ConfigurationError: The client is not open, or the stream was closed before; or the site has no
                such WebSocket.
        """
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventItem:
        """Wait for the next event, state or gap. Cancelling it loses nothing.

        Raises:
            StopAsyncIteration: The stream was closed, or has raised its error.
            TocsinError: What cannot be mended.
            ConfigurationError: The client is not open, or another task is iterating.
        """
        if self._states:
            self._given += 1
            return self._states.popleft()
        item: Gap | Parcel = await self._inner.__anext__()  # type: ignore[assignment]  # what the reader puts
        if isinstance(item, Gap):
            return item
        self._given += 1
        if not item.stands:
            return Event.from_raw(item.rows[0].raw)
        self._states.extend(StateEvent.from_raw(row.raw) for row in item.rows)
        return self._states.popleft()

    async def aclose(self) -> None:
        """End the stream. Any task may call it, more than once; it takes `close_timeout` at most."""
        self._states.clear()
        await self._inner.aclose()

    @property
    def state(self) -> StreamState:
        """What the stream is doing. `RECOVERING`: events come, the states are still being read."""
        return self._inner.state

    @property
    def cause(self) -> str | None:
        """Why it is not simply connected, in a few words; None where there is nothing to explain."""
        return self._inner.cause

    def states(self) -> StateChanges:
        """Watch what the stream is doing, from any task, beginning with its present state."""
        return self._inner.states()

    async def wait_state(self, *states: StreamState) -> StateChange:
        """Wait until the stream is in one of the given states; start it if it has not been started.

        Args:
            states: The states to wait for; without any, `StreamState.CONNECTED`.

        Raises:
            TocsinError: The stream has ended, and `CLOSED` was not among the states.
        """
        return await self._inner.wait_state(*states)

    @property
    def stats(self) -> StreamStats:
        """The counters so far: events and states as `delivered`, those that wait as `buffered`."""
        waiting = len(self._reader.buffer) + len(self._states)
        return replace(self._reader.stats(), delivered=self._given, buffered=waiting)
