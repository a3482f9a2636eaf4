"""What of all that was given counts as handled, in any order of events."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._stream._answers import Give, Note, Observed
from tocsin._stream._checkpoint import Known, Mark, read_start, write_known, write_mark, write_scope
from tocsin._stream._progress import Progress
from tocsin.models import Action, Origin
from unit.stream.stream_fakes import change, gap

AT = datetime(2026, 3, 1, tzinfo=UTC)
NOTE = Note(AT, AT, "cut", 0)


def give(key, number):
    seen = Observed(str(key), b"%016d" % number, b"", number, number, True, True, None)
    return Give(Action.UPDATE, str(key), seen, Origin.LIVE)


def mark(cursor):
    return Mark(AT, begun=True, started_at=0, cursor=cursor)


def state(written):
    """The state that each alarm was written with, and the cursor."""
    alarms = {k: int(v.split(" ")[2]) for k, v in written.items() if k.startswith("alarm/")}
    return alarms, json.loads(written["mark"])["cursor"] if "mark" in written else None


class Wire:
    """A progress with a buffer of its own, first in first out, and a store."""

    def __init__(self):
        self.progress = Progress(merges=False)
        self.progress.begun = True
        self.buffer = []
        self.taken = []
        self.written = {}

    def give(self, *items):
        self.progress.given(items)
        self.buffer += items

    def take(self, count):
        batch, self.buffer = self.buffer[:count], self.buffer[count:]
        left = sum(isinstance(item, Note) for item in self.buffer)
        self.progress.taken(
            [gap() if isinstance(item, Note) else change(item.id) for item in batch], gaps_left=left
        )
        self.taken += batch

    def handle(self):
        self.progress.handled(lambda _: True)
        return self.taken.pop(0)

    def drop(self):
        self.progress.dropped()
        self.buffer = [item for item in self.buffer if isinstance(item, Note)]

    def write(self):
        while self.progress.is_dirty:
            self.written |= self.progress.take()


def test_a_mark_waits_for_all_that_was_given_before_it():
    wire = Wire()
    wire.give(give(1, 1), NOTE, give(2, 2))
    wire.progress.marked(mark(10))
    wire.take(3)
    for expected in (({}, None), ({"alarm/1": 1}, None), ({"alarm/1": 1}, None)):
        wire.write()
        assert state(wire.written) == expected
        wire.handle()
    wire.write()
    assert state(wire.written) == ({"alarm/1": 1, "alarm/2": 2}, 10)


def test_what_was_dropped_takes_the_marks_after_it_along():
    wire = Wire()
    wire.progress.marked(mark(5))
    wire.give(give(1, 1))
    wire.take(1)
    wire.give(give(1, 2))
    wire.progress.marked(mark(10))
    wire.drop()
    wire.handle()
    wire.write()
    assert state(wire.written) == ({"alarm/1": 1}, 5)


def test_merged_gaps_count_when_the_last_of_them_is_handled():
    progress = Progress(merges=False)
    progress.begun = True
    progress.given([NOTE, NOTE, NOTE])
    progress.marked(mark(10))
    progress.taken([gap()], gaps_left=0)
    assert not progress.is_dirty
    progress.handled(lambda _: True)
    assert progress.is_dirty


def test_merged_changes_count_as_the_last_of_them():
    progress = Progress(merges=True)
    progress.given([give(1, 1), give(2, 2), give(1, 3)])
    progress.taken([change(1)], gaps_left=0)
    progress.given([give(1, 4)])
    progress.handled(lambda _: True)
    assert state(progress.take())[0] == {"alarm/1": 3}


def test_what_was_learned_behind_an_item_on_its_way_does_not_pass_it():
    wire = Wire()
    wire.give(give(1, 1))
    wire.progress.learned("1", Known(b"later", floor=9))
    wire.take(1)
    wire.write()
    assert wire.written == {}
    wire.handle()
    wire.write()
    assert state(wire.written)[0] == {"alarm/1": 1}


def test_a_forgotten_alarm_is_removed_even_if_it_is_handled_later():
    wire = Wire()
    wire.give(give(1, 1))
    wire.progress.learned("1", None)
    wire.take(1)
    wire.progress.handled(lambda _: False)
    assert wire.progress.take() == {"alarm/1": None}


def test_what_was_put_back_does_not_undo_what_came_since():
    wire = Wire()
    wire.give(give(1, 1), give(2, 2))
    wire.progress.marked(mark(10))
    wire.take(2)
    wire.handle(), wire.handle()
    failed = wire.progress.take()
    wire.give(give(1, 3))
    wire.take(1)
    wire.handle()
    wire.progress.put_back(failed)
    wire.write()
    assert state(wire.written) == ({"alarm/1": 3, "alarm/2": 2}, 10)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["give", "give", "note", "mark", "take", "handle", "handle", "drop", "write", "fail"]
        ),
        st.integers(1, 3),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_store_never_runs_ahead_of_what_was_handled(steps):
    wire = Wire()
    handled, before, lost = {}, {}, set()  # `before`: what has to be handled before a mark counts
    for number, (step, key) in enumerate(steps):
        if step == "give":
            wire.give(give(key, number))
        elif step == "note":
            wire.give(NOTE)
        elif step == "mark":
            before[number] = [*wire.taken, *wire.buffer]
            wire.progress.marked(mark(number))
        elif step == "take":
            wire.take(key)
        elif step == "handle" and wire.taken:
            item = wire.handle()
            if isinstance(item, Give):
                handled["alarm/" + item.id] = item.observed.updated
        elif step == "drop":
            lost |= {cursor for cursor, items in before.items() if any(i in items for i in wire.buffer)}
            wire.drop()
        elif step == "write":
            wire.write()
        elif step == "fail":
            wire.progress.put_back(wire.progress.take())
        alarms, cursor = state(wire.written)
        assert all(updated <= handled[key] for key, updated in alarms.items())
        assert cursor not in lost
        if cursor is not None:
            waiting = [id(item) for item in (*wire.taken, *wire.buffer) if isinstance(item, Give)]
            assert not any(id(item) in waiting for item in before[cursor])
    wire.take(len(wire.buffer))
    while wire.taken:
        item = wire.handle()
        if isinstance(item, Give):
            handled["alarm/" + item.id] = item.observed.updated
    wire.write()
    assert state(wire.written)[0] == handled
    assert not wire.progress._line


@given(
    st.builds(
        Known,
        core=st.binary(max_size=16),
        rest=st.none() | st.binary(max_size=16),
        floor=st.none() | st.integers(0),
        created=st.none() | st.integers(0),
        **dict.fromkeys(("exact", "open", "gone", "shown", "told"), st.booleans()),
    ),
    st.text(),
)
def test_what_is_written_is_read(known, key):
    where = mark(7)._replace(dirty=(key,), blind=True, forgotten=3)
    records = {
        "scope": write_scope({"source": "*"}), "mark": write_mark(where), "alarm/" + key: write_known(known),
    }  # fmt: skip
    assert read_start(records, {"source": "*"}) == (where, {key: known})


def test_nothing_kept_is_a_first_start():
    assert read_start({}, {}) is None


@pytest.mark.parametrize("text", ["", "x", "- - - - -", "AA== - x - -", "AA== - - -"])
def test_a_damaged_state_is_refused(text):
    records = {"scope": write_scope({}), "mark": write_mark(mark(1)), "alarm/1": text}
    with pytest.raises(Exception, match="damaged"):
        read_start(records, {})
