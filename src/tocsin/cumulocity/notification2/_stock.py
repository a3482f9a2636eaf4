"""Messages that came and wait to be handed on: bounded by number and by size."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from anyio import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Stock"]

_MOST: Final = 1000
"""The platform sends no more than that without an acknowledgement (reference `cumulocity.md` 4.3)."""
_MOST_BYTES: Final = 32 * 2**20
_BATCH: Final = 256


class Stock:
    """Between who reads a socket and who hands on. While it is full nobody reads, so the server waits."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._changed = Event()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def full(self) -> bool:
        """Whether nothing more may be put in."""
        return len(self._frames) >= _MOST or self._bytes >= _MOST_BYTES

    def put(self, frames: Sequence[bytes]) -> None:
        """Put in what came in one go; it may overshoot by that much."""
        self._frames.extend(frames)
        self._bytes += sum(map(len, frames))
        self._wake()

    def take(self) -> list[bytes]:
        """Take out some of the oldest."""
        taken = [self._frames.popleft() for _ in range(min(_BATCH, len(self._frames)))]
        self._bytes -= sum(map(len, taken))
        self._wake()
        return taken

    async def wait_room(self) -> None:
        """Wait until it is not full."""
        while self.full:
            await self._changed.wait()

    async def wait_filled(self) -> None:
        """Wait until there is something in it."""
        while not self._frames:
            await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()
