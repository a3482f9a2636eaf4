"""Receipts fall due when the consumer has handled all that came of their message, never before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._stream._buffer import Buffer
from tocsin._stream._receipts import Receipts
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


@pytest.mark.virtual_time
@given(
    st.lists(st.tuples(st.sampled_from("mmmmtnnga"), st.integers(0, 3)), max_size=60),
    st.sampled_from(["recover", "block", "conflate", "drop_oldest"]),
)
async def test_no_receipt_is_due_before_its_changes_are_handled(steps, overflow) -> None:
    """m: a message with so many changes; t, n: take, handle next; g: a gap; a: acknowledge."""
    buffer, receipts = desk(overflow=overflow)
    papers, waiting, handled, hand, number = [], [], set(), None, 0
    for what, many in steps:
        if what == "m":
            made = [change(number + n) for n in range(many)]
            number += many
            buffer.push(made)
            papers.append(Paper(len(papers), changes=[one.id for one in made]))
            receipts.add(None, papers[-1])
        elif what == "g":
            buffer.push([gap() for _ in range(many * 9)])
        elif hand is not None and what == "a":
            await receipts.acknowledge(hand)
            handled.add(getattr(hand, "id", None))
        elif len(buffer) or waiting:
            receipts.done()
            handled.add(getattr(hand, "id", None))
            if not waiting:
                waiting = await buffer.take()
            hand = waiting.pop(0)
            receipts.gave(hand)
        for paper in papers:
            assert paper.state is None or paper.changes <= handled
    while len(buffer) or waiting:
        receipts.done()
        waiting = waiting or await buffer.take()
        hand = waiting.pop(0)
        receipts.gave(hand)
    receipts.done()
    assert all(paper.state == "handled" for paper in papers)
    assert len(receipts) == 0


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
