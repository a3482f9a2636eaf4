"""What of all that a stream gave is handled, and what of it is still to be kept. No I/O.

A tracker runs ahead of its consumer. So each change that it gives leaves an entry here, in order, with the
state that the consumer will have once it has handled it; and each moment at which the tracker was whole
leaves a mark behind them. An entry counts when its item was handled, a mark when all entries before it count.
"""

# ruff: noqa: A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from tocsin._stream._answers import Give
from tocsin._stream._checkpoint import ALARM, MARK, Known, Mark, write_known, write_mark
from tocsin.models import Change, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tocsin._stream._answers import Note

__all__ = ["Progress"]

_BATCH: Final = 10_000
"""Records that are written at once."""


class _Entry:
    """One item on its way (of an alarm, or a gap if `id` is None), or a mark."""

    __slots__ = ("done", "id", "known", "mark")

    def __init__(self, id: str | None, known: Known | None, mark: Mark | None = None) -> None:
        self.id = id
        self.known = known
        self.mark = mark
        self.done = False


class Progress:
    """The entries between a tracker and its consumer, and the records that are to be written.

    Args:
        merges: The buffer merges the changes of one alarm (`overflow="conflate"`).

    Attributes:
        begun: There is a mark already, written or to be written.
    """

    def __init__(self, *, merges: bool) -> None:
        self.begun = False
        self._merges = merges
        self._line: deque[_Entry] = deque()
        self._waiting: dict[str | None, deque[_Entry]] = {}
        self._taken: deque[list[_Entry]] = deque()
        self._unhandled: Counter[str] = Counter()
        self._dirty: dict[str, str | None] = {}
        self._mark: str | None = None

    # --- on the way to the consumer ---

    def given(self, items: Iterable[Give[Any] | Note]) -> None:
        """The tracker gave these; they go into the buffer now."""
        for item in items:
            if isinstance(item, Give):
                self._given(item.id, _known(item))
            else:
                self._append(_Entry(None, None))

    def _given(self, id: str, known: Known) -> None:
        waiting = self._waiting.get(id)
        if waiting and self._merges:
            waiting[0].known = known
            return
        self._append(_Entry(id, known))
        self._unhandled[id] += 1

    def _append(self, entry: _Entry) -> None:
        self._line.append(entry)
        self._waiting.setdefault(entry.id, deque()).append(entry)

    def dropped(self) -> None:
        """The buffer dropped all changes that waited: they will come again, and no mark after them counts."""
        kept: deque[_Entry] = deque()
        lost = {id(entry) for key, queue in self._waiting.items() if key is not None for entry in queue}
        broken = False
        for entry in self._line:
            if id(entry) in lost:
                broken = True
                self._release(entry)
            elif not (broken and entry.mark is not None):
                kept.append(entry)
        self._line = kept
        gaps = self._waiting.get(None)
        self._waiting = {None: gaps} if gaps else {}
        self._advance()

    def taken(self, batch: Sequence[Change[Any] | Gap], *, gaps_left: int) -> None:
        """The consumer's side took a batch out of the buffer.

        Args:
            batch: What it took, in order.
            gaps_left: Gaps that still wait there. The last gap stands for all that were merged with it.
        """
        last: list[_Entry] = []
        for item in batch:
            key = None if isinstance(item, Gap) else item.id
            group = self._pop(key)
            self._taken.append(group)
            if key is None:
                last = group
        if not gaps_left and last:
            last += self._waiting.pop(None, ())

    def _pop(self, key: str | None) -> list[_Entry]:
        queue = self._waiting.get(key)
        if not queue:
            return []
        entry = queue.popleft()
        if not queue:
            del self._waiting[key]
        return [entry]

    def handled(self, is_known: Callable[[str], bool]) -> None:
        """The consumer is done with the item that it took longest ago.

        Args:
            is_known: Whether the tracker has not forgotten an alarm meanwhile.
        """
        for entry in self._taken.popleft() if self._taken else ():
            entry.done = True
            if entry.id is not None and entry.known is not None:
                self._release(entry)
                kept = write_known(entry.known) if is_known(entry.id) else None
                self._dirty[ALARM + entry.id] = kept
        self._advance()

    def _release(self, entry: _Entry) -> None:
        if entry.id is None:
            return
        self._unhandled[entry.id] -= 1
        if not self._unhandled[entry.id]:
            del self._unhandled[entry.id]

    # --- what the consumer is not told ---

    def learned(self, id: str, known: Known | None) -> None:
        """What is known of an alarm changed without a word to the consumer; None: it was forgotten."""
        if id not in self._unhandled:
            self._dirty[ALARM + id] = None if known is None else write_known(known)

    def marked(self, mark: Mark) -> None:
        """The tracker was whole. That a stream began is good to know whatever is handled."""
        if not (mark.begun and self.begun):
            self._mark = write_mark(mark._replace(begun=False, cursor=None))
            self.begun = True
        if not mark.begun:
            return
        if self._line and self._line[-1].mark is not None:
            self._line[-1].mark = mark
        else:
            self._line.append(_Entry(None, None, mark))
        self._advance()

    def _advance(self) -> None:
        line = self._line
        while line and (line[0].done or line[0].mark is not None):
            mark = line.popleft().mark
            if mark is not None:
                self._mark = write_mark(mark)

    # --- what is to be written ---

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to write."""
        return bool(self._dirty) or self._mark is not None

    def take(self) -> dict[str, str | None]:
        """The next records to write, all or none of them; the mark comes with the last ones."""
        if len(self._dirty) > _BATCH:
            return {key: self._dirty.pop(key) for key in list(self._dirty)[:_BATCH]}
        batch, self._dirty = self._dirty, {}
        mark, self._mark = self._mark, None
        if mark is not None:
            batch[MARK] = mark
        return batch

    def put_back(self, batch: Mapping[str, str | None]) -> None:
        """It is not known whether these were written: they are to be written again."""
        for key, record in batch.items():
            if key != MARK:
                self._dirty.setdefault(key, record)
            elif self._mark is None:
                self._mark = record


def _known(give: Give[Any]) -> Known:
    seen = give.observed
    if seen is None:
        return Known(b"", gone=True, told=True)
    return Known(
        seen.core, seen.rest, seen.updated, seen.created, seen.updated is not None, seen.open,
        shown=seen.wanted, told=True,
    )  # fmt: skip
