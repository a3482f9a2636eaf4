"""`ChangeStream`: the handle that users hold. The work is done by a `Reader` in the client's task group."""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from anyio import CancelScope, move_on_after

from tocsin._stream._states import StateChange, StateChanges
from tocsin.errors import ConfigurationError, GapError, RequestTimeoutError, TocsinError
from tocsin.models import Change, Gap, StreamHealth, StreamState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from types import TracebackType

    from tocsin._stream._owner import TaskOwner
    from tocsin._stream._reader import Reader
    from tocsin.models import StreamStats

__all__ = ["ChangeStream", "ChangesOnly"]

A = TypeVar("A")

_GRACE = 1.0
"""Seconds that `aclose` waits beyond the clean-up's own limit."""


class ChangeStream(Generic[A]):
    """Every change of the alarms in scope, as an async iterator of `Change[A] | Gap`.

    Use it as a context manager: entering returns when the stream is attached, leaving closes it. Without
    `async with`, the first step of `async for` starts it, and it lives until `aclose()` or until the client
    is left; dropping the last reference ends it too, as soon as Python notices.

    Only one task may iterate at a time. A fatal error is raised once, then iteration ends; what merely
    interrupts the stream is mended behind the scenes and told as a `Gap`.

    An item counts as handled when the next one is asked for, when `commit` is called, or when the `async
    with` block is left without an error. This matters where something is kept of it, such as a checkpoint.

    Made by a client, such as `Cumulocity.alarms.changes()`.
    """

    def __init__(self, reader: Reader[A], owner: TaskOwner, *, open_timeout: float | None) -> None:
        self._reader = reader
        self._owner = owner
        self._open_timeout = open_timeout
        self._batch: deque[Change[A] | Gap] = deque()
        self._in_hand: Change[A] | Gap | None = None
        self._told: TocsinError | None = None
        self._taking = False
        self._started = False
        self._closed = False

    def __repr__(self) -> str:
        now = self._reader.board.current
        return f"<ChangeStream of {now.platform} {now.site}: {now.state}>"

    async def __aenter__(self) -> Self:
        """Start the stream and wait until it is attached.

        Attached means: the server has confirmed the channels, a connect has succeeded since, and the first
        read is done (or has had 5 s). Cancelling it closes the stream.

        Raises:
            TocsinError: What cannot be mended: wrong credentials, a missing role, a refused channel.
            RequestTimeoutError: Not attached within `open_timeout`; the message has the last cause.
            ConfigurationError: The client is not open, or the stream was closed before.
        """
        self._start()
        try:
            with move_on_after(self._open_timeout) as limit:
                await self._reader.wait_open()
            if limit.cancelled_caught and not self._reader.is_open:
                raise self._too_late()
            if self._reader.has_ended or self._closed:
                self._reader.buffer.raise_error()
                raise ConfigurationError("the stream was closed while it was being opened")
        except BaseException as error:
            self._told = error if isinstance(error, TocsinError) else None
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            if isinstance(error, Exception) and self._reader.receipts is not None:
                self._reader.receipts.failed()
            await self._end()
            return
        self._handle()
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[A] | Gap:
        """Wait for the next change or gap. Cancelling it loses nothing.

        It also says that what was given before is handled: a platform that keeps what was not may forget it.

        Raises:
            StopAsyncIteration: The stream was closed, or has raised its error.
            TocsinError: What cannot be mended.
            ConfigurationError: The client is not open, or another task is iterating.
        """
        if self._reader.receipts is not None and not self._taking:
            self._reader.receipts.done()
        self._handle()
        if self._batch:
            return self._hand_out()
        if self._closed:
            raise StopAsyncIteration
        if self._taking:
            raise ConfigurationError("another task is iterating over this stream: make a stream for each")
        self._start()
        self._taking = True
        try:
            batch = await self._take()
        finally:
            self._taking = False
        if not batch or self._closed:
            raise StopAsyncIteration
        self._batch.extend(batch)
        return self._hand_out()

    def _hand_out(self) -> Change[A] | Gap:
        item = self._batch.popleft()
        if self._reader.receipts is not None:
            self._reader.receipts.gave(item)
        if self._reader.keeps:
            self._in_hand = item
        return item

    def _handle(self) -> None:
        """What was given last is handled."""
        item, self._in_hand = self._in_hand, None
        if item is not None:
            self._reader.handled(item)
        if self._reader.unkept is not None:
            self._batch.clear()  # nothing goes on that cannot be kept

    async def _take(self) -> list[Change[A] | Gap]:
        if self._reader.keeps:
            await self._reader.wait_open()  # before that nothing can be kept
        try:
            return await self._reader.buffer.take()
        except TocsinError as error:
            if error is self._told:
                return []
            self._told = error
            raise

    async def commit(self) -> None:
        """Say that all that was given so far is handled, and wait until that is kept.

        Without it, what was handled is kept a moment later. Cancelling it changes nothing of that.

        Raises:
            ConfigurationError: The stream keeps nothing: it has no checkpoint.
            CheckpointError: It could not be kept; the stream has ended.
        """
        self._handle()
        try:
            await self._reader.commit()
        except TocsinError as error:
            self._told = error
            raise

    def only_changes(self) -> ChangesOnly[A]:
        """Iterate over the changes alone.

        Gaps that were recovered are left out: their changes are there, with `Origin.RECOVERED`.

        Returns:
            An async iterator of `Change[A]`. It raises `GapError` where changes were lost for good; iterating
            on afterwards goes on after the gap.
        """
        return ChangesOnly(self)

    async def aclose(self) -> None:
        """End the stream: nothing more is given, the server is told, the task is gone.

        Any task may call it, also while another one iterates (its iteration ends), and more than once. It
        takes `close_timeout` at most. Cancelling it does not keep the stream open: the end is only no longer
        waited for beyond that limit.

        Raises:
            CheckpointError: What was handled last could not be kept.
        """
        await self._end()
        unkept = self._reader.unkept
        if unkept is not None and unkept is not self._told:
            self._told = unkept
            raise unkept

    async def _end(self) -> None:
        self._closed = True
        self._batch.clear()
        if not self._started:
            self._reader.board.post(StreamState.CLOSED, None)
            return
        self._reader.stop()
        with CancelScope(shield=True), move_on_after(self._reader.close_timeout + _GRACE):
            await self._reader.wait_end()
        self._finalizer.detach()

    @property
    def platform(self) -> str:
        """What its changes are marked with: ``cumulocity`` or ``xprotect``."""
        return self._reader.board.current.platform

    @property
    def site(self) -> str:
        """What its changes are marked with: the client's name."""
        return self._reader.board.current.site

    @property
    def state(self) -> StreamState:
        """What the stream is doing."""
        return self._reader.board.current.state

    @property
    def cause(self) -> str | None:
        """Why it is not simply connected, in a few words; None where there is nothing to explain."""
        return self._reader.board.current.cause

    async def wait_state(self, *states: StreamState) -> StateChange:
        """Wait until the stream is in one of the given states; start it if it has not been started.

        Args:
            states: The states to wait for; without any, `StreamState.CONNECTED`.

        Returns:
            The change that brought the state. If it holds already, returns at once.

        Raises:
            TocsinError: The stream has ended, and `CLOSED` was not among the states.
            ConfigurationError: The client is not open.
        """
        if not self._closed:
            self._start()
        return await self._reader.board.wait_for(states or (StreamState.CONNECTED,))

    def states(self) -> StateChanges:
        """Watch what the stream is doing, from any task, beginning with its present state.

        It can be called before the stream is entered, so that a first connection that fails is seen at once
        (`RECONNECTING` with a cause). It ends after `StreamState.CLOSED`.
        """
        return StateChanges(self._reader.board)

    @property
    def stats(self) -> StreamStats:
        """The counters so far."""
        stats = self._reader.stats()
        if not self._batch:
            return stats
        changes = sum(1 for item in self._batch if type(item) is Change)
        return replace(stats, delivered=stats.delivered - changes, buffered=stats.buffered + changes)

    def health(self) -> StreamHealth:
        """What a readiness probe of a daemon asks for: cheap, from any task of the event loop."""
        board, stats = self._reader.board, self.stats
        current, now = board.current, board.now()

        def age(since: datetime | None) -> float | None:
            return None if since is None else max(0.0, (now - since).total_seconds())

        state = current.state
        attached = state not in (StreamState.RECONNECTING, StreamState.CLOSED)
        return StreamHealth(
            state=state,
            cause=current.cause,
            ready=state is StreamState.CONNECTED and stats.gap_since is None,
            state_age=age(current.at) or 0.0,
            alive_age=age(stats.last_alive_at),
            attached_age=age(stats.connected_at) if attached else None,
            sweep_age=age(stats.last_sweep_at),
            gap_age=age(stats.gap_since),
            backlog=stats.buffered,
        )

    def _start(self) -> None:
        if self._closed:
            raise ConfigurationError("the stream is closed: make a new one")
        if self._started:
            return
        self._owner.check_open()
        self._reader.started()
        self._owner.start(self._reader.run, repr(self))
        self._started = True
        self._finalizer = weakref.finalize(self, self._reader.abandon)
        self._finalizer.atexit = False

    def _too_late(self) -> RequestTimeoutError:
        cause = self.cause
        return RequestTimeoutError(
            f"the stream was not attached within {self._open_timeout:g} s" + (f": {cause}" if cause else "")
        )


class ChangesOnly(Generic[A]):
    """The changes of a stream without its gaps; see `only_changes` of the stream."""

    def __init__(self, stream: AsyncIterator[Change[A] | Gap]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[A]:
        """Wait for the next change. Cancelling it loses nothing.

        Raises:
            GapError: Changes were lost for good.
            StopAsyncIteration: The stream has ended.
        """
        while True:
            item = await self._stream.__anext__()
            if not isinstance(item, Gap):
                return item
            if item.recovered is None:
                raise GapError(item)
