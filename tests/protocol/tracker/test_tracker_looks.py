"""Recovery where the server lists what was created since a time, but not what changed since."""

from __future__ import annotations

from protocol.tracker.tracker_bench import Bench, seen
from tocsin._stream._answers import Checked, Failed, Missing, OneAnswer, ReadCheck, ReadOne, ReadWindow
from tocsin._stream._policy import RecoveryPolicy
from tocsin.models import StreamState

POLICY = RecoveryPolicy(verify_every=30, look_every=5, overlap=10)


def looking(*rows, **options):
    """A bench whose first read gave `rows`, well after their overlap."""
    bench = Bench(*rows, live=False, looks=True, policy=options.pop("policy", POLICY), **options)
    finish(bench, new=(), still=rows)
    bench.later(40)
    return bench


def finish(bench, *, new=(), still=()):
    """Answer every window that is due; what is given."""
    given = []
    while windows := [read for read in bench.reads() if isinstance(read, ReadWindow)]:
        for read in windows:
            assert read.updated_from is None
            given += bench.page(*(still if read.resolved is False else new), read=read)
    return given


def ask(bench, kind):
    (read,) = [read for read in bench.reads() if isinstance(read, kind)]
    return read


def passing(*rows, still):
    """A bench in a pass after which all but `still` are suspects, and their reads."""
    b = looking(*rows)
    reads = []
    while due := b.reads():
        for read in due:
            if isinstance(read, ReadWindow):
                b.page(*(still if read.resolved is False else ()), read=read)
            else:
                reads.append(read)
    return b, reads


def test_who_left_the_list_is_read_and_was_closed():
    b, (read,) = passing(seen("1", "A", -1000), seen("2", "A", -1000), still=[seen("2", "A", -1000)])
    assert b.answer(read, OneAnswer(seen("1", "B", 39_000, open=False))) == ["UPDATE 1B"]
    assert b.reads() == []
    assert b.t.state is StreamState.CONNECTED


def test_who_is_not_found_is_deleted_once_the_rights_were_seen_to_stand():
    b, (read,) = passing(seen("1", "A", -1000), seen("2", "A", -1000), still=[seen("2", "A", -1000)])
    assert b.answer(read, Missing()) == []
    assert b.answer(ask(b, ReadCheck), Checked(sound=True)) == ["DELETE 1"]
    assert b.reads() == []
    assert b.t.state is StreamState.CONNECTED


def test_without_rights_nothing_is_deleted_and_the_stream_says_so():
    b, reads = passing(seen("1", "A", -1000), seen("2", "A", -1000), still=[])
    while isinstance(reads[0], ReadOne):
        assert b.answer(reads[0], Missing()) == []
        reads = [read for read in b.later(1).reads() if not isinstance(read, ReadWindow)]
    assert b.answer(reads[0], Checked(sound=False)) == []
    assert b.t.state is StreamState.DEGRADED


def test_many_that_leave_at_once_have_the_rights_checked_before_they_are_read():
    rows = [seen(str(n), "A", -1000) for n in range(30)]
    b, reads = passing(*rows, still=[])
    assert [type(read) for read in reads] == [ReadCheck]
    assert b.t.state is StreamState.CONNECTED
    b.answer(reads[0], Checked(sound=False))
    assert b.t.state is StreamState.DEGRADED
    assert [read for read in b.reads() if not isinstance(read, ReadWindow)] == []


def test_looks_do_not_close_a_gap_but_a_pass_does():
    b = looking(seen("1", "A", -1000))
    finish(b, still=[seen("1", "A", -1000)])
    b.later(5)
    (look,) = b.reads()
    assert (look.resolved, look.created_from is None) == (None, False)
    b.answer(look, Failed("503"))
    b.later(1)
    (again,) = b.reads()
    assert b.page(seen("2", "A", 46_000, created=10**13), read=again) == ["CREATE 2A recovered"]
    assert b.t.stats.gap_since is not None
    assert "gap" in finish(b, still=[seen("1", "A", -1000), seen("2", "A", 46_000)])[-1]
    assert b.t.state is StreamState.CONNECTED


def test_hints_make_two_looks_each_and_no_more_than_one_a_pause():
    b = looking(seen("1", "A", -1000))
    finish(b, still=[seen("1", "A", -1000)])
    b.later(2)
    assert b.reads() == []
    looks = 0
    for _ in range(100):
        b.t.hint(b.now)
        for read in b.reads():
            looks += 1
            b.page(read=read)
        b.later(0.1)
    assert 10 <= looks <= 12
    after = [b.now for _ in range(30) for read in b.later(0.1).reads() if b.page(read=read) == []]
    assert len(after) == 2
