"""What one live message or one row does: the rules of equality and order, one small method each.

Reads decide, live messages accelerate. A message is dropped only because it is equal to what is known;
doubt is settled by
a read.
"""

# ruff: noqa: A002  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from tocsin._stream._answers import Give, Note, Observed
from tocsin._stream._cells import NEWER, OLDER, UNSURE, Cell, Cells
from tocsin._stream._held import HeldRows
from tocsin._stream._settle import Doubts
from tocsin._stream._sweep import Basis, Purpose
from tocsin.models import Action, Origin

if TYPE_CHECKING:
    from tocsin._stream._policy import RecoveryPolicy

__all__ = ["Rules"]

A = TypeVar("A")
_STRIKES = 3


class Rules(Generic[A]):
    """Cells, doubts, and what leaves for the consumer."""

    def __init__(
        self, policy: RecoveryPolicy, *, snapshot: Literal[False, True, "all"], live: bool, durable: bool
    ) -> None:
        self._policy = policy
        self._durable = durable
        self._reached: int | None = None  # lastUpdated of the latest message
        self._reached_at = 0.0
        self._snapshot = snapshot
        self._live = live
        self._cells = Cells(policy.remembered, policy.max_tracked)
        self._doubts: Doubts[A] = Doubts(policy)
        self._out: list[Give[A] | Note] = []
        self._seq = 0
        self._now = 0.0
        self._wall: datetime | None = None
        self._live_at: datetime | None = None
        self._reads_on = True
        self._started_at: int | None = None  # server time (ms) from which on every change is to be given
        self._held: HeldRows[A] = HeldRows()
        self._heard = False
        self._received = self._duplicates = self._delivered = self._recovered = self._unreadable = 0

    # --- live messages ---

    def live(
        self,
        now: float,
        wall: datetime,
        action: Action,
        id: str,
        observed: Observed[A] | None,
        *,
        session: int,
        ordered: bool,
    ) -> None:
        """Take one live message.

        Args:
            now: Monotonic seconds.
            wall: Aware UTC.
            action: The wire's word.
            id: The alarm's id.
            observed: Its state; None on DELETE.
            session: The session that brought it.
            ordered: It came on the path that keeps the order of commits (a connect reply).
        """
        self._now = now
        self._wall = wall
        self._seq += 1
        self._received += 1
        self._heard = True
        self._live_at = wall
        cell = self._cells.get(id)
        if self._durable and observed is not None and observed.updated is not None:
            self._reached, self._reached_at = observed.updated, now
        if action is Action.DELETE:
            self._live_delete(cell, id)
        elif observed is None:
            self._doubt(cell, id, None, action)
        else:
            self._live_state(cell, observed, action, session if ordered else -1)
        if self._held:
            self._held.heard(id, self._cells.get(id))

    def _told_before(self, whole: datetime) -> datetime:
        """When all was read, or when the latest message was written if that is before.

        Reads overtake messages, and merge what these tell, but messages keep their order.
        """
        if self._reached is None or self._reached / 1000 >= whole.timestamp():
            return whole
        return datetime.fromtimestamp(max(0.0, self._reached / 1000), UTC)

    def _live_delete(self, cell: Cell | None, id: str) -> None:
        if cell is None:
            self._bury(Cell(), id, Origin.LIVE, known=False)
        elif cell.gone and cell.given:
            self._duplicates += 1
            cell.seq = self._seq
        else:
            self._bury(cell, id, Origin.LIVE)

    def _live_state(self, cell: Cell | None, seen: Observed[A], action: Action, lane: int) -> None:
        if cell is None:
            self._give(Cell(), seen, action, Origin.LIVE, lane)
            return
        cell.seq = self._seq
        if cell.gone:
            self._doubt(cell, seen.id, seen, action)
        elif self._is_same(cell, seen):
            self._drop_same(cell, seen, action, lane)
        elif self._is_newer(cell, seen):
            self._give(cell, seen, action, Origin.LIVE, lane)
        elif self._is_redelivery(cell, seen):
            self._duplicates += 1
        elif self._durable and not cell.told:
            # What only the silent first read knew has been on its way since before: each state is told.
            self._give(cell, seen, action, Origin.LIVE, lane)
            cell.past = ()
        elif self._in_order(cell, seen, lane):
            self._give(cell, seen, action, Origin.LIVE, lane)
        else:
            self._doubt(cell, seen.id, seen, action)

    def _drop_same(self, cell: Cell, seen: Observed[A], action: Action, lane: int) -> None:
        # lastUpdated is not learned here: in A→B→A the message may be an old A, redelivered.
        # A state that only the silent first read knew, and a message tells, is news to the consumer.
        if not (cell.given and cell.told):
            if seen.updated is None and lane < 0:
                self._doubt(cell, seen.id, seen, action)
            else:
                self._give(cell, seen, action, Origin.LIVE, lane)
            return
        self._duplicates += 1
        cell.hinted |= seen.updated is None or seen.rest is None

    def _is_same(self, cell: Cell, seen: Observed[A]) -> bool:
        return cell.same(seen)

    def _is_redelivery(self, cell: Cell, seen: Observed[A]) -> bool:
        return cell.redelivers(seen)

    def _is_newer(self, cell: Cell, seen: Observed[A]) -> bool:
        return cell.order(seen) == NEWER

    def _in_order(self, cell: Cell, seen: Observed[A], lane: int) -> bool:
        """Both came on the ordered path of one session, and one of them has no stamp to contradict it.

        Equal stamps are doubted: a server with several nodes may swap two writes of one millisecond. A
        durable channel has a queue for each device, and hence an order.
        """
        stamped = cell.exact and seen.updated is not None and not self._durable
        if lane < 0 or cell.lane != lane or stamped:
            return False
        return cell.order(seen) == UNSURE

    # --- doubt ---

    def _doubt(self, cell: Cell | None, id: str, seen: Observed[A] | None, action: Action | None) -> None:
        """Have it read. Where nothing can be read, believe what is not provably older."""
        if not self._reads_on:
            if seen is not None:
                self._believe(cell, seen, action)
            return
        doubt = self._doubts.mark(id, self._seq, self._now)
        doubt.action = action or doubt.action
        doubt.seen = seen or doubt.seen

    def _believe(self, cell: Cell | None, seen: Observed[A], action: Action | None) -> None:
        if cell is None or cell.gone or cell.order(seen) != OLDER:
            self._give(cell or Cell(), seen, action or Action.UPDATE, Origin.LIVE, -1)

    # --- rows ---

    def _row(self, seen: Observed[A], basis: Basis) -> bool:
        """Take one row of a read; whether it gave a change at once that no live message had told."""
        cell = self._cells.get(seen.id)
        if cell is None:
            return self._row_unknown(seen, basis)
        after = self._is_after(cell, basis)
        if cell.gone:
            return self._row_of_gone(cell, seen, basis, after=after)
        order = cell.order(seen)
        if order != OLDER and self._is_same(cell, seen):
            return self._row_same(cell, seen, basis, after=after)
        if order == OLDER:
            return self._row_older(cell, seen, basis, after=after)
        if order == NEWER or after:
            return self._take(cell, seen, basis)
        cell.seq = self._seq
        self._doubt(cell, seen.id, None, None)
        return False

    def _is_after(self, cell: Cell, basis: Basis) -> bool:
        """Whether the read was sent after all that we know of the alarm."""
        return cell.seq < basis.r0

    def _row_unknown(self, seen: Observed[A], basis: Basis) -> bool:
        cell = Cell()
        if self._is_known_before(seen, basis):
            cell.adopt(seen, -1)
            cell.seq = self._seq
            cell.at = self._now
            cell.shown = seen.wanted
            self._cells.place(seen.id, cell)
            return False
        return self._take(cell, seen, basis)

    def _is_known_before(self, seen: Observed[A], basis: Basis) -> bool:
        """Whether the consumer is taken to know it: it stood so when the stream began."""
        early = self._started_at is None or seen.updated is None or seen.updated <= self._started_at
        if basis.purpose is Purpose.FIRST:
            return (not self._snapshot or not (seen.open or self._snapshot == "all")) and early
        if basis.purpose is Purpose.SETTLE or self._snapshot == "all" or seen.updated is None:
            return False
        if basis.purpose is Purpose.PASS:
            # An open one that was not there before has become visible. A closed one may just have been
            # forgotten.
            forgotten = self._cells.forgotten
            return not seen.open and (early or (forgotten is not None and seen.updated <= forgotten))
        # An open one that the first read did not show is given even if its stamp is older: clocks may differ.
        return self._started_at is not None and early and not seen.open

    def _row_same(self, cell: Cell, seen: Observed[A], basis: Basis, *, after: bool) -> bool:
        if not cell.given:
            return self._take(cell, seen, basis)
        if after and cell.learn(seen):
            self._cells.touch(seen.id)
        cell.seq = self._seq
        self._doubts.settled(seen.id, basis.r0)
        return False

    def _row_older(self, cell: Cell, seen: Observed[A], basis: Basis, *, after: bool) -> bool:
        cell.seq = self._seq
        if not after:
            if not cell.given:
                self._doubt(cell, seen.id, None, None)
            self._doubts.settled(seen.id, basis.r0)
            return False
        if not self._is_stale(seen.id):
            cell.past = ()
            return self._take(cell, seen, basis)
        return False

    def _is_stale(self, id: str) -> bool:
        """A read shows less than we know: a replica that lags, until the third such read in a row.

        The second is made after `stale_wait`, the third after the overlap: replicas lag less than that.
        """
        known = self._doubts.get(id)
        if known is not None and known.strikes and (known.flying or known.due > self._now):
            return True
        strikes = known.strikes + 1 if known is not None else 1
        if strikes >= _STRIKES:
            return False
        doubt = self._doubts.mark(id, self._seq, self._now)
        doubt.strikes = strikes
        wait = self._policy.stale_wait if strikes == 1 else self._policy.overlap
        self._doubts.delay(doubt, self._now + wait)
        return True

    def _row_of_gone(self, cell: Cell, seen: Observed[A], basis: Basis, *, after: bool) -> bool:
        """A deleted alarm is in a list: the list is older, a replica lags, or it came back into sight."""
        if after and self._now - cell.at > self._policy.overlap:
            return self._take(cell, seen, basis)
        cell.seq = self._seq
        if not after:
            self._doubt(cell, seen.id, None, None)
        elif not self._is_stale(seen.id):
            return self._take(cell, seen, basis)
        return False

    def _take(self, cell: Cell, seen: Observed[A], basis: Basis) -> bool:
        """Give what a row shows. True if no live message can be expected to have told it."""
        doubt = self._doubts.get(seen.id)
        announced = cell.hinted or not cell.given or (doubt is not None and doubt.action is not None)
        origin, action = self._word(cell, seen, basis)
        if origin is Origin.RECOVERED and not announced and self._waits(cell, seen, basis):
            return False
        self._doubts.settled(seen.id, basis.r0)
        gave = self._give(cell, seen, action, origin, -1)
        return gave and origin is Origin.RECOVERED and not announced

    def _waits(self, cell: Cell, seen: Observed[A], basis: Basis) -> bool:
        """Whether a row is held back until its message has had time to come; `Losses` knows."""
        del cell, seen, basis
        return False

    def _word(self, cell: Cell, seen: Observed[A], basis: Basis) -> tuple[Origin, Action]:
        if basis.purpose is Purpose.FIRST and self._snapshot and not cell.told:
            return Origin.SNAPSHOT, Action.CREATE
        fresh = not cell.told and self._is_created_since(seen, basis)
        if basis.wire is not None:
            return Origin.LIVE, Action.UPDATE if cell.told else basis.wire
        origin = Origin.LIVE if self._polls(basis.purpose) else Origin.RECOVERED
        return origin, Action.CREATE if fresh else Action.UPDATE

    def _is_created_since(self, seen: Observed[A], basis: Basis) -> bool:
        """Whether it was created after all that the stream knows for sure."""
        known = [at for at in (self._started_at, basis.created_since) if at is not None]
        return not known or (seen.created is not None and seen.created >= max(known))

    def _polls(self, purpose: Purpose) -> bool:
        """Whether such a read is the channel itself."""
        return not self._live and purpose in (Purpose.SWEEP, Purpose.PASS)

    def _absent(self, id: str, r0: int) -> None:
        """404 to a read by id. Believed if it was sent after the last sign of life."""
        cell = self._cells.get(id)
        if cell is not None and not cell.gone and not cell.seq < r0:
            self._doubt(cell, id, None, None)
        elif cell is not None and not cell.gone and self._is_young(cell):
            self._doubts.delay(self._doubts.mark(id, self._seq, self._now), cell.at + self._policy.overlap)
        else:
            self._doubts.settled(id, r0)
            if cell is not None and not cell.gone:
                self._bury(cell, id, Origin.LIVE if self._polls(Purpose.SETTLE) else Origin.RECOVERED)

    def _is_young(self, cell: Cell) -> bool:
        """Whether a lagging replica may not have it yet. A late DELETE does less harm than a false one."""
        return self._now < cell.at + self._policy.overlap

    # --- what leaves ---

    def _give(self, cell: Cell, seen: Observed[A], action: Action, origin: Origin, lane: int) -> bool:
        """Adopt a state and give it, unless the filter hides it and the consumer does not have the alarm."""
        if cell.gone or not cell.seq:
            cell.at = self._now
        if action is Action.UPDATE and not cell.given and not cell.told:
            action = Action.CREATE  # its creation was dropped on the way: merged, the two are a creation
        cell.adopt(seen, lane)
        cell.seq = self._seq
        cell.given = True
        if (doubt := self._doubts.get(seen.id)) is not None:
            doubt.strikes = 0  # those reads were older than another state than this one
        visible = seen.wanted or cell.shown
        cell.shown = seen.wanted
        self._cells.place(seen.id, cell)
        if visible:
            cell.told = True
            self._send(Give(action, seen.id, seen, origin))
        return visible

    def _bury(self, cell: Cell, id: str, origin: Origin, *, known: bool = True) -> None:
        """The alarm is gone: say so, unless the filter hid it."""
        visible = cell.shown or not known
        cell.gone = cell.given = cell.told = True
        cell.open = cell.shown = False
        cell.seq = self._seq
        cell.at = self._now
        self._cells.place(id, cell)
        if visible:
            self._send(Give(Action.DELETE, id, None, origin))

    def _send(self, give: Give[A]) -> None:
        self._delivered += 1
        if give.origin is Origin.RECOVERED:
            self._recovered += 1
        self._out.append(give)
