"""Alarms in doubt: which to read by id, and when."""

# ruff: noqa: A001, A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin._stream._answers import Observed
    from tocsin._stream._policy import RecoveryPolicy
    from tocsin.models import Action

__all__ = ["Doubt", "Doubts", "backoff"]

A = TypeVar("A")


def backoff(policy: RecoveryPolicy, failures: int, asked: float | None, *, permanent: bool = False) -> float:
    """Seconds to wait after so many failures; what the server asked for, within reason, is the least."""
    wait = policy.retry_max if permanent else policy.retry_first * 2.0 ** min(failures - 1, 32)
    return max(min(wait, policy.retry_max), min(asked or 0.0, policy.retry_after_max))


class Doubt(Generic[A]):
    """One alarm whose state has to be read.

    Attributes:
        seq: The tracker's count when doubt last arose; a read sent later settles it.
        due: Not to be read before this (monotonic).
        action: What the live message said that raised the doubt, None if no message did.
        seen: The state that it brought.
        strikes: Reads in a row that showed an older state than the one we know.
        failures: Reads in a row that failed.
        flying: A read is under way.
        told: The `r0` of another read that told its state meanwhile.
    """

    __slots__ = ("action", "due", "failures", "flying", "id", "seen", "seq", "strikes", "told")

    def __init__(self, id: str, seq: int, due: float) -> None:
        self.id = id
        self.seq = seq
        self.due = due
        self.action: Action | None = None
        self.seen: Observed[A] | None = None
        self.strikes = 0
        self.failures = 0
        self.flying = False
        self.told = -1


class Doubts(Generic[A]):
    """The ordered set of alarms to be settled, one slot each, and the pace of settling."""

    def __init__(self, policy: RecoveryPolicy) -> None:
        self._policy = policy
        self._by_id: dict[str, Doubt[A]] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._count = 0
        self._base = 0
        self._failures = 0
        self.flying = 0
        self.hold_until = 0.0

    def __len__(self) -> int:
        return len(self._by_id)

    def ids(self) -> Iterable[str]:
        """All alarms in doubt."""
        return self._by_id

    def get(self, id: str) -> Doubt[A] | None:
        """The doubt about an alarm, or None."""
        return self._by_id.get(id)

    def mark(self, id: str, seq: int, due: float) -> Doubt[A]:
        """Put an alarm in doubt, or renew its doubt. A wait after a failure stays."""
        doubt = self._by_id.get(id)
        if doubt is None:
            doubt = self._by_id[id] = Doubt(id, seq, due)
            self._push(doubt)
        else:
            doubt.seq = seq
            if not doubt.flying and not doubt.failures and due < doubt.due:
                self.delay(doubt, due)
        return doubt

    def delay(self, doubt: Doubt[A], due: float) -> None:
        """Read it at this time instead."""
        doubt.due = due
        self._push(doubt)

    def pick(self, now: float) -> list[Doubt[A]]:
        """Those to be read now; they fly until `landed`."""
        picked: list[Doubt[A]] = []
        while self.flying < self._policy.settle_limit and (doubt := self._head()) is not None:
            if max(doubt.due, self.hold_until) > now:
                break
            heappop(self._queue)
            doubt.flying = True
            self.flying += 1
            picked.append(doubt)
        return picked

    def landed(self, id: str) -> Doubt[A] | None:
        """The read of this alarm came back."""
        self.flying -= 1
        doubt = self._by_id.get(id)
        if doubt is not None:
            doubt.flying = False
        return doubt

    def failed(self, doubt: Doubt[A], now: float, asked: float | None) -> None:
        """It could not be read: again later, rarer each time. Many failures in a row slow all of them."""
        if doubt.seq < doubt.told:
            self.settled(doubt.id, doubt.told)
            return
        doubt.failures += 1
        self._failures += 1
        if asked is not None or self._failures > self._policy.settle_limit:
            self.hold_until = now + backoff(self._policy, self._failures, asked)
        self.delay(doubt, now + backoff(self._policy, doubt.failures, asked))

    def answered(self, doubt: Doubt[A] | None) -> None:
        """The server answers reads by id."""
        self._failures = 0
        if doubt is not None:
            doubt.failures = 0

    def settled(self, id: str, r0: int) -> None:
        """A read sent at `r0` told the state. Doubt that arose later stays."""
        doubt = self._by_id.get(id)
        if doubt is None or doubt.seq >= r0:
            return
        if doubt.flying:
            doubt.told = r0  # it keeps its slot until its own read lands, so that there is never a second one
        else:
            del self._by_id[id]
            self._base = min(self._base, len(self._by_id))

    @property
    def flooded(self) -> bool:
        """So many new ones that one sweep costs less."""
        self._base = min(self._base, len(self._by_id))
        return len(self._by_id) - self._base > self._policy.settle_flood

    def swept(self) -> None:
        """A sweep went over them: what it left is settled by id."""
        self._base = len(self._by_id)

    def drain(self) -> list[Doubt[A]]:
        """Take all out, in order."""
        doubts = list(self._by_id.values())
        self._by_id.clear()
        self._queue.clear()
        return doubts

    def deadline(self) -> float | None:
        """When the next one may be read; None if none waits or enough fly."""
        if self.flying >= self._policy.settle_limit or (doubt := self._head()) is None:
            return None
        return max(doubt.due, self.hold_until)

    def _push(self, doubt: Doubt[A]) -> None:
        self._count += 1
        heappush(self._queue, (doubt.due, self._count, doubt.id))

    def _head(self) -> Doubt[A] | None:
        while self._queue:
            due, _, id = self._queue[0]
            doubt = self._by_id.get(id)
            if doubt is not None and not doubt.flying and doubt.due == due:
                return doubt
            heappop(self._queue)
        return None
