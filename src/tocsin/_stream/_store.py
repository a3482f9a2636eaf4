"""What a checkpoint store has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CheckpointStore", "Mismatch"]

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

    Attributes:
        in_use: A stream has it: another one is refused.

    Raises:
        ConfigurationError: These make no sense.
    """

    in_use: bool = False

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
