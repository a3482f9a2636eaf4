"""A checkpoint that outlives a stream, but not the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from tocsin._stream._store import CheckpointStore, Mismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MemoryCheckpoint"]


class MemoryCheckpoint(CheckpointStore):
    """Keeps a checkpoint in memory, for tests of a program's restarts; it works under a virtual clock.

    Args:
        every: Seconds between two writes at least; see `CheckpointStore`.
        on_mismatch: "error" or "fresh": what happens to one that cannot be used; see `CheckpointStore`.

    Attributes:
        records: What is kept.
        saves: How often it was written.
    """

    def __init__(self, *, every: float = 1.0, on_mismatch: Mismatch = "error") -> None:
        super().__init__(every=every, on_mismatch=on_mismatch)
        self.records: dict[str, str] = {}
        self.saves = 0

    async def load(self) -> Mapping[str, str]:
        """Give all records."""
        await checkpoint()
        return dict(self.records)

    async def save(self, records: Mapping[str, str | None]) -> None:
        """Keep these records.

        Args:
            records: See `CheckpointStore`.
        """
        await checkpoint()
        self.saves += 1
        for key, text in records.items():
            if text is None:
                self.records.pop(key, None)
            else:
                self.records[key] = text

    async def reset(self) -> None:
        """Forget everything."""
        await checkpoint()
        self.records.clear()

    async def aclose(self) -> None:
        """Do nothing: what is kept stays."""
        await checkpoint()
