"""Receipts fall due when the consumer has handled all that came of their message, never before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._stream._buffer import Buffer
from tocsin._stream._receipts import Receipts
from tocsin.models import Change, Gap
from unit.stream.stream_fakes import change, gap


class Paper:
    def __init__(self, number, *, changes=()):
        self.number = number
        self.changes = set(changes)
        self.state = None

    def handled(self):
        assert self.state != "handled"
        self.state = "handled"

    def failed(self):
        self.state = "failed"


def desk(limit=1000, overflow="recover", doubtful=()):
    buffer = Buffer(limit, overflow)
    return buffer, Receipts(buffer, lambda about: about in doubtful, lambda: None)


class Consumer:
    """A consumer, and a follower that reads again what was dropped."""

    def __init__(self, limit, overflow):
        self.owed = {}
        self.buffer = Buffer(limit, overflow)
        self.receipts = Receipts(self.buffer, lambda _: bool(self.owed), lambda: None)
        self.papers, self.batch, self.handled, self.hand, self.made = [], [], set(), None, 0

    def push(self, items):
        lost = self.buffer.push(items)
        if lost:
            self.receipts.dropped()
            self.owed |= {one.id: one for one in lost}

    def message(self, many):
        made = [change(self.made + n) for n in range(many)]
        self.made += many
        self.push(made)
        self.papers.append(Paper(len(self.papers), changes=[one.id for one in made]))
        self.receipts.add(None, self.papers[-1])

    def read_again(self):
        room = max(0, self.buffer.limit - len(self.buffer))
        again = [self.owed.pop(key) for key in list(self.owed)[:room]]
        self.push(again)
        self.receipts.review()

    def done(self):
        self.receipts.done()
        if self.buffer.overflow == "drop_oldest" and isinstance(self.hand, Gap):  # dropped for good, and told
            left = {one.id for one in [*self.buffer._items, *self.batch] if isinstance(one, Change)}
            self.handled |= {str(n) for n in range(self.made)} - left
        self.handled.add(getattr(self.hand, "id", None))

    async def next(self):
        self.done()
        self.batch = self.batch or await self.buffer.take()
        self.hand = self.batch.pop(0)
        self.receipts.gave(self.hand)

    def check(self):
        early = [one.number for one in self.papers if one.state and not one.changes <= self.handled]
        assert not early


@pytest.mark.virtual_time
@given(
    st.lists(st.tuples(st.sampled_from("mmmmnnngar"), st.integers(0, 3)), max_size=60),
    st.sampled_from([3, 1000]),
    st.sampled_from(["recover", "block", "conflate", "drop_oldest"]),
)
async def test_no_receipt_is_due_before_its_changes_are_handled(steps, limit, overflow) -> None:
    """m: a message with so many changes; n: handle next; g: gaps; a: acknowledge; r: read again."""
    one = Consumer(limit, overflow)
    for what, many in steps:
        if what == "m":
            one.message(many)
        elif what == "g":
            one.push([gap() for _ in range(many * 9)])
        elif what == "r":
            one.read_again()
        elif what == "a" and isinstance(one.hand, Change):
            await one.receipts.acknowledge(one.hand)
            one.done()
        elif one.buffer.waiting or one.batch:
            await one.next()
        one.check()
    while one.owed or one.buffer.waiting or one.batch:
        if not (one.buffer.waiting or one.batch):
            one.read_again()
            continue
        await one.next()
        one.check()
    one.done()
    one.check()
    assert all(paper.state == "handled" for paper in one.papers)
    assert len(one.receipts) == 0


def test_a_receipt_waits_while_its_alarm_is_in_doubt() -> None:
    doubtful = {"1"}
    buffer, receipts = desk(doubtful=doubtful)
    one, two = Paper(1), Paper(2)
    receipts.add("1", one)
    receipts.add("2", two)
    assert (one.state, two.state) == (None, "handled")
    buffer.push([change(1)])  # the read brought it
    doubtful.clear()
    receipts.review()
    assert one.state is None, "it is behind the change"


def test_receipts_whose_alarms_cannot_be_read_do_not_pile_up() -> None:
    _, receipts = desk(doubtful={"1"})
    papers = [Paper(n) for n in range(800)]
    for paper in papers:
        receipts.add("1", paper)
    assert len(receipts) <= 500
    assert [paper.state for paper in papers[:300]] == ["handled"] * 300
    assert not receipts.crowded, "reads must go on, or the doubt would stay"


async def test_a_failure_counts_for_what_was_in_hand_alone() -> None:
    buffer, receipts = desk()
    papers = [Paper(n) for n in range(3)]
    for n, paper in enumerate(papers):
        buffer.push([change(n)])
        receipts.add(str(n), paper)
    first, second, _ = await buffer.take()
    receipts.gave(first)
    receipts.done()
    receipts.gave(second)
    receipts.failed()
    assert [paper.state for paper in papers] == ["handled", "failed", None]


async def test_nothing_is_due_of_what_came_after_the_end() -> None:
    buffer, receipts = desk()
    before, after = Paper(1), Paper(2)
    buffer.push([change(1)])
    receipts.add("1", before)
    buffer.close(discard=True)
    buffer.push([change(2)])
    receipts.add("2", after)
    receipts.review()
    assert (before.state, after.state) == (None, None)
