"""Which messages may be acknowledged: those whose whole effect the consumer has handled.

A platform that keeps what was not acknowledged gives each message a receipt. One message may lead to a change
at once, to none (it was told before, the filter hides it), or to one that a read will bring. So a receipt is
not tied to a change: it takes the place behind all that waits for the consumer at that moment, and is due
when the consumer has come past it. While its alarm is in doubt it takes no place yet, and when waiting
changes are dropped, to be read again, all receipts lose their places until that is done.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._stream._buffer import Buffer
    from tocsin.models import Change, Gap

__all__ = ["Receipt", "Receipts"]

_CROWD: Final = 500
"""Receipts that may be out before reads pause: what they would find is under way to a consumer that is slow.
Half of what Cumulocity sends without an acknowledgement."""


class Receipt(Protocol):
    """One message, as far as its sender wants to know what became of it. Neither method waits or raises."""

    def handled(self) -> None:
        """The consumer has handled all that came of it."""

    def failed(self) -> None:
        """The consumer raised an error while it had in hand what came of it."""


class Receipts:
    """The receipts of one stream.

    Args:
        buffer: What waits for the consumer.
        unsettled: Whether what came of a message about an alarm (None: about an unknown one) is still open.
        changed: Called when some became due. It must not raise.
    """

    def __init__(
        self, buffer: Buffer[Any], unsettled: Callable[[str | None], bool], changed: Callable[[], None]
    ) -> None:
        self._buffer = buffer
        self._unsettled = unsettled
        self._changed = changed
        self._placed: deque[tuple[int, str | None, Receipt]] = deque()
        self._open: list[tuple[str | None, Receipt]] = []
        self._dropped = False
        self._handled = 0
        self._in_hand: Change[Any] | Gap | None = None

    def __len__(self) -> int:
        return len(self._placed) + len(self._open)

    @property
    def crowded(self) -> bool:
        """Whether the consumer is so far behind that a read would overtake what is under way."""
        return len(self._placed) >= _CROWD

    def add(self, about: str | None, receipt: Receipt) -> None:
        """Take in the receipt of a message that has just been worked off.

        Args:
            about: The alarm's id; None where it is not known.
            receipt: Told once what became of it.
        """
        if self._buffer.closed:  # nobody was given what came of it
            return
        if self._unsettled(about):
            self._open.append((about, receipt))
            if (
                len(self._open) > _CROWD and not self._dropped
            ):  # reads do not work: better acknowledged than deaf
                self._place(*self._open.pop(0))
                self._work()
        else:
            self._place(about, receipt)
            self._work()

    def dropped(self) -> None:
        """Changes that waited were dropped: whose they were is told when they have been read again."""
        self._open = [(about, receipt) for _, about, receipt in self._placed] + self._open
        self._placed.clear()
        self._dropped = True

    def review(self) -> None:
        """Something was settled: those that waited for it take their place."""
        if not self._open or self._buffer.closed:
            return
        waiting, self._open = self._open, []
        for about, receipt in waiting:
            if self._unsettled(about):
                self._open.append((about, receipt))
            else:
                self._dropped = False
                self._place(about, receipt)
        self._work()

    def gave(self, item: Change[Any] | Gap) -> None:
        """The consumer was given something."""
        self._in_hand = item

    def done(self) -> None:
        """The consumer has handled what it was given last."""
        if self._in_hand is not None:
            self._in_hand = None
            self._handled += 1
            self._work()

    async def acknowledge(self, change: Change[Any]) -> None:
        """The consumer says so of one change. Of any but the last it was known already."""
        await checkpoint()
        if change is self._in_hand:
            self.done()

    def failed(self) -> None:
        """The consumer raised an error over what it was given last."""
        if self._in_hand is None:
            return
        behind = self._reached() + 1
        for place, _, receipt in self._placed:
            if place > behind:
                break
            receipt.failed()

    def _place(self, about: str | None, receipt: Receipt) -> None:
        self._placed.append((self._buffer.left + len(self._buffer), about, receipt))

    def _reached(self) -> float:
        """Behind which place the consumer is."""
        in_hand = self._buffer.taken - self._handled
        if not in_hand and not self._buffer.waiting:
            return inf  # places may lie further back: of gaps that were joined one is left
        if self._handled + 1 == self._buffer.lost_at:
            return self._buffer.left_before  # what was dropped for good is past when that was told
        return self._buffer.left_then - in_hand

    def _work(self) -> None:
        reached = self._reached()
        due = False
        while self._placed and self._placed[0][0] <= reached:
            _, _, receipt = self._placed.popleft()
            receipt.handled()
            due = True
        if due:
            self._changed()
