"""Keeps a stream's progress in a checkpoint store: the thin I/O around `Progress`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import Event, Lock, sleep

from tocsin._stream._checkpoint import SCOPE, read_start, write_scope
from tocsin._stream._progress import Progress
from tocsin.errors import CheckpointError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tocsin._stream._checkpoint import Start
    from tocsin._stream._store import CheckpointStore

__all__ = ["Keeper"]

T = TypeVar("T")

_log = logging.getLogger("tocsin.stream")


class Keeper:
    """Writes what is handled, at most every `store.every` seconds, and at the end.

    Args:
        store: Where it is kept.
        scope: What the stream follows, in JSON's types; a checkpoint of another scope is not gone on from.
        merges: See `Progress`.

    Attributes:
        progress: What is handled.
        founded: The store says whose checkpoint it is and from when on: a restart can go on from it.
        closed: The store was let go of: what is handled from then on is not kept.
        failure: What could not be kept; nothing is written any more.
    """

    def __init__(self, store: CheckpointStore, scope: Mapping[str, Any], *, merges: bool) -> None:
        self.progress = Progress(merges=merges)
        self.founded = False
        self.closed = False
        self.failure: TocsinError | None = None
        self._store = store
        self._scope = scope
        self._lock = Lock()
        self._wake = Event()
        self._opened = False

    async def open(self) -> Start | None:
        """Read what was kept.

        Raises:
            CheckpointError: It cannot be used.
        """
        if self._store.in_use:  # its lock would let the same object in, and its first stream out
            raise CheckpointError(
                f"{self._store!r} is in use by another stream: give each a checkpoint of its own"
            )
        self._store.in_use = self._opened = True
        try:
            start = read_start(await self._load(), self._scope)
        except CheckpointError as error:
            if not (error.mismatch and self._store.on_mismatch == "fresh"):
                raise
            _log.warning("the stream begins anew: %s", error)
            await self._ask("put aside", self._store.reset())
            start = None
        self.founded = self.progress.begun = start is not None
        return start

    async def run(self, saved: Callable[[], None]) -> None:
        """Write whenever there is something, with a pause in between, until cancelled.

        Args:
            saved: Called after each time.

        Raises:
            CheckpointError: It could not be written.
        """
        while True:
            await self._wake.wait()
            self._wake = Event()
            await self.save()
            saved()
            await sleep(self._store.every)

    def poke(self) -> None:
        """Something may have to be written."""
        if self.progress.is_dirty and not self._wake.is_set():
            self._wake.set()

    async def save(self) -> None:
        """Write all that is handled. When it returns, it is kept.

        Raises:
            CheckpointError: It could not be written; then, and ever after.
        """
        async with self._lock:
            if self.failure is not None:
                raise self.failure
            while self.progress.is_dirty:
                if self.closed:
                    raise CheckpointError("the stream has ended: what was handled since is not kept")
                await self._write(self.progress.take())

    async def _write(self, batch: dict[str, str | None]) -> None:
        written = False
        records = batch if self.founded else {SCOPE: write_scope(self._scope), **batch}
        try:
            await self._ask("written", self._store.save(records))
            written = True
        except TocsinError as error:
            self.failure = error
            raise
        finally:
            if not written:
                self.progress.put_back(batch)
        self.founded = True

    async def close(self) -> None:
        """Write what is left, and let go of the store.

        Raises:
            CheckpointError: It could not be written.
        """
        if not self._opened or self.closed:
            return
        try:
            if self.founded and self.failure is None:
                await self.save()
        finally:
            self.closed = True
            try:
                await self._store.aclose()
            finally:
                self._store.in_use = False

    async def _load(self) -> Mapping[str, str]:
        return await self._ask("read", self._store.load())

    async def _ask(self, what: str, work: Awaitable[T]) -> T:
        """A store of the user's own may raise anything."""
        try:
            return await work
        except (TocsinError, AssertionError):
            raise
        except Exception as error:
            raise CheckpointError(
                f"the checkpoint could not be {what}: {type(error).__name__}: {error}"
            ) from error
