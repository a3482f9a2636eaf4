"""The bounded hand-over from what reads a platform to who iterates.

Batches cross it, not items. `push` never waits, so that live input never waits for a slow consumer; what
happens when the buffer is full is the overflow policy:

    recover      all waiting changes are dropped and named to the caller, who reads them again later
    conflate     the changes of one alarm are merged; above the limit of alarms it acts as `recover`
    drop_oldest  the oldest are dropped for good, and a Gap in their place says so
    block        nothing is dropped; the caller waits for `room` before it takes more from the platform

Gaps are never dropped: they are merged when they pile up, so that memory stays bounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from anyio import Event
from anyio.lowlevel import checkpoint

from tocsin.models import Action, Change, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

__all__ = ["Buffer", "Overflow", "join_gaps"]

A = TypeVar("A")

Overflow: TypeAlias = Literal["recover", "conflate", "drop_oldest", "block"]

_MOST_GAPS = 16
"""Gaps that may wait at once; more are merged."""

_BATCH = 256
"""Items a `take` gives at most: enough to make its cost vanish, few enough to leave conflation its work."""


_OTHERS = ", and others"


class Buffer(Generic[A]):
    """Changes and gaps on their way to one consumer, in order.

    All methods but `take` and `room` are synchronous and leave the buffer whole; one task takes at a time.

    Args:
        limit: Changes that may wait, at least 1.
        overflow: What happens above it.
        on_demand: Called whenever the consumer took something, or found nothing and waits. It must not raise.

    Attributes:
        on_taken: Called with each batch at the very moment it leaves. It must not raise.
        left: Items that were in line and are no more, taken or dropped. What came in after others left after
            them, so `left + len(buffer)` is the place behind all that waits.
        left_then: What `left` was when the consumer last took a batch. What was dropped since came after it.
        lost_at: The number, among the taken items, of the last gap that told of what was dropped for good.
        left_before: What `left_then` was before that gap was taken.
        taken: Items that were handed to the consumer.
    """

    def __init__(
        self, limit: int, overflow: Overflow, *, on_demand: Callable[[], None] | None = None
    ) -> None:
        self.limit = limit
        self.overflow: Overflow = overflow
        self.on_demand = on_demand
        self.on_taken: Callable[[Sequence[Change[A] | Gap]], None] | None = None
        self.dropped = 0
        self.conflated = 0
        self.delivered = 0
        self.left = 0
        self.left_then = 0
        self.lost_at = 0
        self.left_before = 0
        self.taken = 0
        self._items: deque[Change[A] | Gap] = deque()
        self._by_key: dict[Hashable, Change[A] | Gap] = {}
        self._gap_keys = count()
        self._gaps = 0
        self._lost: Gap | None = None
        self._arrived: Event | None = None
        self._drained: Event | None = None
        self._closed = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._by_key) if self.overflow == "conflate" else len(self._items)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._items or self._by_key or self._lost)

    @property
    def closed(self) -> bool:
        """Whether nothing is taken in any more."""
        return self._closed

    @property
    def half_full(self) -> bool:
        """Whether more than half of the limit waits: no more should be read from the platform."""
        return len(self) > self.limit // 2

    @property
    def gaps(self) -> int:
        """Gaps that wait; those that piled up count as one."""
        return self._gaps

    def push(self, items: Sequence[Change[A] | Gap]) -> list[Change[A]]:
        """Append a batch. Ignored once closed.

        Args:
            items: What the consumer is to be given, in order.

        Returns:
            The changes that were dropped and must be read again (`recover`, and `conflate` above its limit);
            they may be among `items`.
        """
        if self._closed or not items:
            return []
        if self.overflow == "conflate":
            dropped = self._conflate(items)
        else:
            self._items.extend(items)
            self._gaps += sum(1 for item in items if isinstance(item, Gap))
            dropped = self._shed()
        if self._gaps > _MOST_GAPS:
            self._join()
        if self._arrived is not None:
            self._arrived.set()
        return dropped

    async def take(self) -> list[Change[A] | Gap]:
        """Wait for items and take a batch of them.

        Cancelling it loses nothing.

        Returns:
            At least one item, or an empty list when the buffer was closed and all was given.

        Raises:
            BaseException: What the buffer was closed with, once, after the last item.
        """
        waited = False
        while not (self.waiting or self._closed):
            self._arrived = Event()
            try:
                if self.on_demand is not None:
                    self.on_demand()
                await self._arrived.wait()
            finally:
                self._arrived = None
            waited = True
        if not waited:
            await checkpoint()  # before anything is removed
        batch = self._remove()
        if batch:
            if self.on_taken is not None:
                self.on_taken(batch)
            if self._drained is not None and len(self) < self.limit:
                self._drained.set()
            if self.on_demand is not None:
                self.on_demand()
        elif self._closed:
            self.raise_error()
        else:  # dropped during the checkpoint
            return await self.take()
        return batch

    async def room(self) -> None:
        """Wait until fewer than `limit` items wait, or the buffer is closed."""
        while len(self) >= self.limit and not self._closed:
            if self._drained is None or self._drained.is_set():
                self._drained = Event()
            await self._drained.wait()

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> None:
        """End the hand-over. Only the first call counts, but a later one may still discard.

        Args:
            error: What the consumer is told after the last item; None for a clean end.
            discard: Whether what waits is thrown away.
        """
        if discard:
            self._items.clear()
            self._by_key.clear()
            self._lost = self._error = None
            self._gaps = 0
        if not self._closed:
            self._closed = True
            self._error = error
        for event in (self._arrived, self._drained):
            if event is not None:
                event.set()

    def raise_error(self) -> None:
        """Raise what the buffer was closed with, if there is anything and it was not raised before."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _remove(self) -> list[Change[A] | Gap]:
        if self._by_key:
            first = list(self._by_key)[:_BATCH] if len(self._by_key) > _BATCH else list(self._by_key)
            batch = [self._by_key.pop(key) for key in first]
        elif len(self._items) <= _BATCH:
            batch = list(self._items)
            self._items.clear()
        else:
            batch = [self._items.popleft() for _ in range(_BATCH)]
        gaps = sum(1 for item in batch if isinstance(item, Gap)) if self._gaps else 0
        self._gaps -= gaps
        self.delivered += len(batch) - gaps
        self.left += len(batch)
        before, self.left_then = self.left_then, self.left
        if self._lost is not None:
            self.lost_at, self.left_before = self.taken + 1, before
            batch.insert(0, self._lost)
            self._lost = None
        self.taken += len(batch)
        return batch

    def _shed(self) -> list[Change[A]]:
        """Bring a queue that is too long back within its limit."""
        over = len(self._items) - self._gaps - self.limit
        if over <= 0 or self.overflow == "block":
            return []
        if self.overflow == "recover":
            return self._drop_all(self._items)
        self._drop_oldest(over)
        return []

    def _drop_oldest(self, over: int) -> None:
        """Drop changes for good; gaps that stood between them are told with them."""
        self.dropped += over
        gaps = [] if self._lost is None else [self._lost]
        first: Change[A] | None = None
        last: Change[A] | None = None
        while over > 0:
            item = self._items.popleft()
            self.left += 1
            if isinstance(item, Gap):
                self._gaps -= 1
                gaps.append(item)
                continue
            over -= 1
            first, last = first or item, item
        if first is not None and last is not None:
            since, until = sorted((first.received_at, last.received_at))  # the clock may have been set back
            gaps.append(Gap(since, until, "buffer full", None, first.platform, first.site))
        self._lost = join_gaps(gaps)

    def _conflate(self, items: Iterable[Change[A] | Gap]) -> list[Change[A]]:
        waiting = self._by_key
        for item in items:
            if isinstance(item, Gap):
                self._gaps += 1
                waiting[next(self._gap_keys)] = item
                continue
            old = waiting.get(item.key)
            if old is None:
                waiting[item.key] = item
            else:
                self.conflated += 1
                waiting[item.key] = _merge(old, item)
        if len(waiting) - self._gaps <= self.limit:
            return []
        return self._drop_all(waiting.values())

    def _drop_all(self, waiting: Iterable[Change[A] | Gap]) -> list[Change[A]]:
        changes: list[Change[A]] = []
        gaps: list[Gap] = []
        for item in waiting:
            if isinstance(item, Gap):
                gaps.append(item)
            else:
                changes.append(item)
        self.dropped += len(changes)
        self.left += len(changes)
        self._refill(gaps)
        return changes

    def _join(self) -> None:
        """Merge all waiting gaps into the place of the first."""
        waiting = list(self._by_key.values() if self.overflow == "conflate" else self._items)
        gap: Gap | None = join_gaps([item for item in waiting if isinstance(item, Gap)])
        rest: list[Change[A] | Gap] = []
        for item in waiting:
            if not isinstance(item, Gap):
                rest.append(item)
            elif gap is not None:
                rest.append(gap)
                gap = None
        self._refill(rest)

    def _refill(self, items: Sequence[Change[A] | Gap]) -> None:
        self._gaps = sum(1 for item in items if isinstance(item, Gap))
        if self.overflow == "conflate":
            self._by_key = {
                next(self._gap_keys) if isinstance(item, Gap) else item.key: item for item in items
            }
        else:
            self._items = deque(items)


def join_gaps(gaps: Sequence[Gap]) -> Gap:
    """One gap that spans all the given ones.

    Its count is their sum, or None if any of them could not be recovered.
    """
    recovered = 0
    for gap in gaps:
        if gap.recovered is None:
            break
        recovered += gap.recovered
    else:
        return _span(gaps, recovered)
    return _span(gaps, None)


def _span(gaps: Sequence[Gap], recovered: int | None) -> Gap:
    first = gaps[0]
    causes = list(dict.fromkeys(gap.cause for gap in gaps))
    return replace(
        first,
        since=min(gap.since for gap in gaps),
        until=max(gap.until for gap in gaps),
        cause=causes[0] if len(causes) == 1 else causes[0].removesuffix(_OTHERS) + _OTHERS,
        recovered=recovered,
    )


def _merge(old: Change[A] | Gap, new: Change[A]) -> Change[A]:
    """Two changes of one alarm as one: what was created and then updated is created as it stands now."""
    if isinstance(old, Change) and old.action is Action.CREATE and new.action is Action.UPDATE:
        return replace(new, action=Action.CREATE)
    return new
