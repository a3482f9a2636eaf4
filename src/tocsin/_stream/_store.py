"""What a checkpoint store has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from tocsin.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CheckpointStore", "HeldStore", "Mismatch"]

Mismatch = Literal["error", "fresh"]


class CheckpointStore(ABC):
    """Where a stream keeps what its consumer handled: a set of records, each a key and a text.

    Subclass it to keep them elsewhere. One stream uses a store at a time. All calls come from one event loop,
    one after the other: `load`, perhaps `reset`, then `save` as often as something was handled, then
    `aclose`. Records hold ids of alarms, hashes and times: no text of an alarm, and no secret.

    Args:
        every: Seconds between two writes at least. What was handled within them is told again after a
            crash, but not after a clean end, and not what `ChangeStream.commit` was called for.
        on_mismatch: What happens to a checkpoint that is damaged, newer than this version, or about another
            stream: "error" raises `CheckpointError`, "fresh" puts it aside and begins anew.

    Raises:
        ConfigurationError: These make no sense.
    """

    held = False
    """Whether a stream of this process uses it."""

    def __init__(self, *, every: float = 1.0, on_mismatch: Mismatch = "error") -> None:
        if not 0 <= every <= 3600:
            raise ConfigurationError(f"every={every!r}: give seconds from 0 to 3600")
        if on_mismatch not in ("error", "fresh"):
            raise ConfigurationError(f"on_mismatch={on_mismatch!r} is unknown: use 'error' or 'fresh'")
        self.every = every
        self.on_mismatch: Mismatch = on_mismatch

    @abstractmethod
    async def load(self) -> Mapping[str, str]:
        """Take hold of the store and give all records; none if nothing was kept yet.

        Raises:
            CheckpointError: Another process uses it, or it cannot be read; `mismatch=True` if it is damaged.
        """

    @abstractmethod
    async def save(self, records: Mapping[str, str | None]) -> None:
        """Write these records, and remove those that are None: all of it or nothing, and for good.

        Cancelling it leaves it open whether they were written; they come again.

        Args:
            records: Texts under their keys; None removes what is under a key, if anything is.

        Raises:
            CheckpointError: They could not be written.
        """

    @abstractmethod
    async def reset(self) -> None:
        """Put aside what is there, also what `load` could not read, so that nothing is kept."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of the store. Called once, also after an error."""


class HeldStore(CheckpointStore):
    """One stream's hold on a store: a second stream is refused, and does not close it under the first.

    Args:
        store: The store itself.
    """

    def __init__(self, store: CheckpointStore) -> None:
        super().__init__(every=store.every, on_mismatch=store.on_mismatch)
        self._store = store

    async def load(self) -> Mapping[str, str]:
        """Take hold of the store, unless another stream has it."""
        if self._store.held:
            raise CheckpointError(f"{self._store!r} is in use by another stream: give each one of its own")
        self._store.held = self.held = True
        return await self._store.load()

    async def save(self, records: Mapping[str, str | None]) -> None:
        """Write these records.

        Args:
            records: See `CheckpointStore`.
        """
        await self._store.save(records)

    async def reset(self) -> None:
        """Put aside what is there."""
        await self._store.reset()

    async def aclose(self) -> None:
        """Let go of the store, if this stream has it."""
        if self.held:
            try:
                await self._store.aclose()
            finally:
                self._store.held = self.held = False
