"""The background side of a stream: a task of the client that fills a buffer.

It holds no reference to the stream in front of it, so that a dropped stream can end its reader.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import CancelScope, Event, move_on_after
from anyio.lowlevel import EventLoopToken, current_token

from tocsin.errors import ConfigurationError, TocsinError
from tocsin.models import StreamState, StreamStats

if TYPE_CHECKING:
    from tocsin._stream._buffer import Buffer
    from tocsin._stream._receipts import Receipts
    from tocsin._stream._states import StateBoard
    from tocsin.models import Change, Gap

__all__ = ["Reader"]

A = TypeVar("A")

_log = logging.getLogger("tocsin.stream")


class Reader(ABC, Generic[A]):
    """One stream's task in the client's task group. It never raises into it.

    A reader that has to know what its consumer handled sets `keeps`, and overrides `handled` and `commit`.
    `Buffer.on_taken` tells it what left the buffer; each of these items is then handled once, in that order,
    or never.

    Args:
        buffer: Where the changes go; closed when the reader ends, with the error that ended it.
        board: Where the state is posted.
        close_timeout: Seconds that the clean-up may take.

    Attributes:
        keeps: Something is kept of what was handled: the stream then tells it, and gives nothing before it is
            open.
        unkept: What was handled could not be kept: the stream has ended with this error.
        receipts: Told what the consumer has handled, where a platform wants to know; None: nobody does.
    """

    keeps: bool = False
    unkept: TocsinError | None = None

    def __init__(self, buffer: Buffer[A], board: StateBoard, *, close_timeout: float) -> None:
        self.buffer = buffer
        self.board = board
        self.close_timeout = close_timeout
        self.abandoned = False
        self.receipts: Receipts | None = None
        self._opened = Event()
        self._ended = Event()
        self._scope = CancelScope()
        self._token: EventLoopToken | None = None
        self._stopping = False

    @abstractmethod
    async def feed(self) -> None:
        """Read the platform into the buffer until cancelled, or raise what cannot be mended."""

    @abstractmethod
    async def leave(self) -> None:
        """Take leave of the platform. Runs shielded, for `close_timeout` seconds at most."""

    @abstractmethod
    def stats(self) -> StreamStats:
        """The counters so far; `buffered` without what the stream itself still holds."""

    def handled(self, item: Change[A] | Gap) -> None:
        """The consumer is done with an item: each once, in the order given. Must not raise or wait."""

    async def commit(self) -> None:
        """Wait until all that was handled is kept.

        Raises:
            ConfigurationError: Nothing is kept.
            TocsinError: It could not be kept.
        """
        raise ConfigurationError("commit() has nothing to keep: give the stream a checkpoint")

    @property
    def is_open(self) -> bool:
        """Whether the stream was attached at least once."""
        return self._opened.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether the task is over, clean-up included."""
        return self._ended.is_set()

    def started(self) -> None:
        """Note in which event loop the reader runs. Called as it is handed to the task group."""
        self._token = current_token()

    def open(self) -> None:
        """Say that the stream is attached."""
        self._opened.set()

    async def wait_open(self) -> None:
        """Wait until the stream is attached or the reader has ended."""
        await self._opened.wait()

    async def run(self) -> None:
        """The task: `feed`, then close the buffer and `leave`. Raises nothing but a cancellation."""
        error: BaseException | None = ConfigurationError("the client of this stream was closed")
        try:
            with self._scope:
                await self.feed()
                error = None
            if self._scope.cancelled_caught:
                error = None  # aclose(), or the stream was dropped: a clean end
        except* Exception as group:  # noqa: BLE001 - trio may add what failed while being cancelled
            error = _sole(group)
        finally:
            self._finish(error)
            try:
                with move_on_after(self.close_timeout, shield=True):
                    await self._leave()
            finally:
                self.board.post(StreamState.CLOSED, _say(error))
                self._opened.set()
                self._ended.set()

    def stop(self) -> None:
        """End the reader; for the event loop it runs in. What waits in the buffer is thrown away."""
        self._stopping = True
        self.buffer.close(discard=True)
        self._scope.cancel()

    async def wait_end(self) -> None:
        """Wait until the task is over."""
        await self._ended.wait()

    def abandon(self) -> None:
        """End the reader because nobody holds its stream. Any thread may call it, at any moment.

        Outside of the reader's event loop only a mark is set, which `feed` looks at when it next wakes.
        """
        self.abandoned = True
        if self._ended.is_set():
            return
        try:
            here = current_token() == self._token
        except Exception:  # noqa: BLE001 - no loop runs in this thread; what says so depends on the backend
            return
        if here:
            self.stop()

    def _finish(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, TocsinError):
            _log.error("a stream ended by a fault of its own: %s", type(error).__name__, exc_info=error)
        self.buffer.close(error)

    async def _leave(self) -> None:
        try:
            await self.leave()
        except Exception as error:  # noqa: BLE001 - the stream is over; nobody is left to be told
            _log.debug("leaving the platform failed: %s", type(error).__name__)


def _sole(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first error inside a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, Exception):  # a group of exceptions holds nothing else
        raise AssertionError(error)
    return error


def _say(error: BaseException | None) -> str | None:
    said = error.reason if isinstance(error, TocsinError) else str(error or "")
    return None if error is None else said or type(error).__name__
