"""Which channels are wanted, and which of them stand on the server. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["Standing", "Subscriptions"]


class Standing(Enum):
    """What the server has said about a channel in this session."""

    ABSENT = auto()
    STANDS = auto()
    REFUSED = auto()


@dataclass(slots=True)
class _Entry:
    wanted: int = 0
    standing: Standing = Standing.ABSENT


class Subscriptions:
    """Counts who wants a channel: the first in subscribes, the last out unsubscribes."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def want(self, channel: str) -> None:
        """Count one more who wants the channel. One that was refused is asked for again."""
        entry = self._entries.setdefault(channel, _Entry())
        entry.wanted += 1
        if entry.standing is Standing.REFUSED:
            entry.standing = Standing.ABSENT

    def unwant(self, channel: str) -> None:
        """Count one less. A channel that nobody wants stays known while it stands on the server."""
        entry = self._entries.get(channel)
        if entry is None or entry.wanted == 0:
            return
        entry.wanted -= 1
        if entry.wanted == 0 and entry.standing is not Standing.STANDS:
            del self._entries[channel]

    def clear(self) -> None:
        """Nobody wants anything any more."""
        self._entries.clear()

    def forget_session(self) -> None:
        """A new session has no subscriptions: all that is wanted has to be asked for again."""
        self._entries = {name: _Entry(e.wanted) for name, e in self._entries.items() if e.wanted}

    @property
    def wanted(self) -> bool:
        """Whether anybody wants anything."""
        return any(entry.wanted for entry in self._entries.values())

    def to_subscribe(self) -> list[str]:
        """Return what is wanted and has no answer yet."""
        return [n for n, e in self._entries.items() if e.wanted and e.standing is Standing.ABSENT]

    def to_unsubscribe(self) -> list[str]:
        """Return what stands on the server and nobody wants."""
        return [n for n, e in self._entries.items() if not e.wanted and e.standing is Standing.STANDS]

    def standing(self, channel: str) -> Standing:
        """Return what the server has said about a channel."""
        entry = self._entries.get(channel)
        return Standing.ABSENT if entry is None else entry.standing

    def holds(self, channel: str) -> bool:
        """Whether the channel is wanted or still stands on the server."""
        return channel in self._entries

    def confirmed(self, channel: str) -> bool:
        """Note that the server subscribed us. Returns whether somebody (still) wants it."""
        entry = self._entries.setdefault(channel, _Entry())
        entry.standing = Standing.STANDS
        return entry.wanted > 0

    def refused(self, channel: str) -> bool:
        """Note that the server will not. Returns whether somebody (still) wants it."""
        entry = self._entries.get(channel)
        if entry is None:
            return False
        entry.standing = Standing.REFUSED
        return entry.wanted > 0

    def ended(self, channel: str) -> None:
        """Note that the server let go of the channel. If it is wanted again by now, it is asked for anew."""
        entry = self._entries.get(channel)
        if entry is None:
            return
        entry.standing = Standing.ABSENT
        if not entry.wanted:
            del self._entries[channel]
