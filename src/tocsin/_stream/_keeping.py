"""A reader that keeps in a checkpoint what its consumer handled, and goes on from there."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from anyio import current_time

from tocsin._stream._reader import Reader
from tocsin._stream._wall import SteadyWall
from tocsin.errors import ConfigurationError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tocsin._stream._buffer import Buffer
    from tocsin._stream._keeper import Keeper
    from tocsin._stream._platform import Platform
    from tocsin._stream._states import StateBoard
    from tocsin._stream._tracker import Tracker
    from tocsin.models import Change, Gap

__all__ = ["NOT_RUNNING", "Keeping"]

R = TypeVar("R")
A = TypeVar("A")

NOT_RUNNING: Final = "no consumer was running"
"""The cause of the gap between two lives of a stream."""

_log = logging.getLogger("tocsin.stream")


class Keeping(Reader[A], Generic[R, A]):
    """Tells a keeper what a tracker gave and a consumer handled. Without a keeper it does nothing.

    Args:
        tracker: The recovery rules, fresh.
        platform: What is followed.
        buffer, board, close_timeout: See `Reader`.
        wall: The wall clock, aware UTC.
        keeper: Keeps what the consumer handled; None: nothing is kept.
    """

    def __init__(
        self,
        tracker: Tracker[R],
        platform: Platform[R, A],
        buffer: Buffer[A],
        board: StateBoard,
        *,
        wall: Callable[[], datetime],
        close_timeout: float,
        keeper: Keeper | None,
    ) -> None:
        super().__init__(buffer, board, close_timeout=close_timeout)
        self._tracker = tracker
        self._platform = platform
        self._wall = SteadyWall(wall)
        self._keeper = keeper
        self._resumed = False
        if keeper is not None:
            self.keeps = True
            buffer.on_taken = self._taken

    @abstractmethod
    def _fail(self, error: BaseException) -> None:
        """End the stream with an error."""

    @abstractmethod
    def _check_open(self) -> None:
        """Open the stream if nothing stands against it any more."""

    @property
    def _founded(self) -> bool:
        """Whether a restart could go on from here."""
        return self._keeper is None or self._keeper.founded

    async def _go_on(self, keeper: Keeper) -> None:
        """Begin from what is kept."""
        start = await keeper.open()
        if start is not None:
            self._resumed = True
            self._tracker.resume(current_time(), self._wall(), start, cause=NOT_RUNNING)
        self._tracker.remember()  # not before: what was just read needs no writing

    async def _keep(self, keeper: Keeper) -> None:
        """The task that writes."""
        try:
            await keeper.run(self._check_open)
        except TocsinError as error:
            self._cannot_keep(error)

    def _cannot_keep(self, error: TocsinError) -> None:
        """What cannot be kept must not be handled: nothing that waits is given any more."""
        if self.unkept is None:
            _log.error("%s %s: %s", self._platform.platform, self._platform.site, error)
        self.unkept = error
        self.buffer.close(error, discard=True)
        self._fail(error)

    async def _stop_keeping(self) -> None:
        """Write what was handled last."""
        if self._keeper is not None:
            try:
                await self._keeper.close()
            except TocsinError as error:
                self._cannot_keep(error)

    def _taken(self, batch: Sequence[Change[A] | Gap]) -> None:
        if self._keeper is not None:
            self._keeper.progress.taken(batch, gaps_left=self.buffer.gaps)

    def handled(self, item: Change[A] | Gap) -> None:
        """The consumer is done with an item."""
        del item
        if self._keeper is not None:
            self._keeper.progress.handled(self._tracker.knows)
            self._keeper.poke()

    async def commit(self) -> None:
        """Wait until all that was handled is in the store."""
        if self._keeper is None:
            await super().commit()
        elif self.has_ended or self._keeper.closed:
            self.buffer.raise_error()  # what ended it, unless that was told
            raise ConfigurationError("the stream is closed: only what was handled before that is kept")
        else:
            try:
                await self._keeper.save()
            except TocsinError as error:
                self._cannot_keep(error)
                raise

    def _note(self, keeper: Keeper) -> None:
        """Take down what the tracker knows now."""
        for alarm_id, known in self._tracker.learned():
            keeper.progress.learned(alarm_id, known)
        mark = self._tracker.mark()
        if mark is not None:
            keeper.progress.marked(mark._replace(at=self._wall.shown(mark.at)))
        keeper.poke()
