"""What a live message does: given, dropped as equal, or settled by a read."""

from __future__ import annotations

import pytest

from protocol.tracker.tracker_bench import CREATE, Bench, seen
from tocsin._stream._answers import Failed

OLD = seen("1", "A", -50_000)


@pytest.mark.parametrize(
    ("message", "given", "asked"),
    [
        (seen("1", "A", -50_000), [], []),
        (seen("1", "A"), [], []),
        (seen("1", "A", rest=None), [], []),
        (seen("1", "A", -50_000, rest=b"x"), [], ["1"]),
        (seen("1", "B", 1000), ["UPDATE 1B"], []),
        (seen("1", "A", 1000), ["UPDATE 1A"], []),
        (seen("1", "B", -50_000), [], ["1"]),
        (seen("1", "B", -51_000), [], ["1"]),
        (seen("1", "B"), [], ["1"]),
        (seen("2", "A"), ["UPDATE 2A"], []),
        ("1", ["DELETE 1"], []),
        ("2", ["DELETE 2"], []),
    ],
    ids=[
        "same",
        "same without a stamp",
        "same in part",
        "the rest differs",
        "newer",
        "newer, same content",
        "other content, same stamp",
        "older",
        "no stamp, and the cell came from a read",
        "unknown alarm",
        "deleted",
        "unknown alarm deleted",
    ],
)
def test_one_message_against_a_cell_that_a_read_made(message, given, asked) -> None:
    bench = Bench(OLD)
    assert bench.live(message) == given
    assert bench.asked() == asked


def test_the_wires_word_is_kept() -> None:
    assert Bench(OLD).live(seen("1", "B", 1000), CREATE) == ["CREATE 1B"]


@pytest.mark.parametrize(
    ("first", "second", "given"),
    [
        ((1, True), (1, True), True),
        ((1, True), (2, True), False),
        ((1, True), (1, False), False),
        ((1, False), (1, True), False),
    ],
    ids=["in order", "another session", "the second unordered", "the first unordered"],
)
@pytest.mark.parametrize("stamps", [(1000, None), (None, None), (None, 2000)])
def test_without_lastupdated_only_the_ordered_path_of_one_session_proves_order(
    first, second, given, stamps
) -> None:
    bench = Bench()
    bench.live(seen("1", "A", stamps[0]), CREATE, session=first[0], ordered=first[1])
    gave = bench.live(seen("1", "B", stamps[1]), session=second[0], ordered=second[1])
    assert gave == (["UPDATE 1B"] if given else [])
    assert bench.asked() == ([] if given else ["1"])


def test_a_then_b_then_a_are_three_changes() -> None:
    bench = Bench()
    got = [bench.live(seen("1", core, at)) for core, at in [("A", 1), ("B", 2), ("A", 3)]]
    assert got == [["UPDATE 1A"], ["UPDATE 1B"], ["UPDATE 1A"]]


def test_the_last_four_states_are_known_when_they_come_again_and_cost_no_read() -> None:
    bench = Bench()
    for at in range(6):
        bench.live(seen("1", "AB"[at % 2], at))
    assert [bench.live(seen("1", "AB"[at % 2], at), ordered=False) for at in (1, 2, 3, 4, 5)] == [[]] * 5
    assert bench.asked() == []
    bench.live(seen("1", "A", 0), ordered=False)
    assert bench.asked() == ["1"]


def test_an_equal_message_without_a_stamp_teaches_no_stamp() -> None:
    """A→B→A, told without stamps; the first A comes again with its stamp. It must not pass for the third."""
    bench = Bench()
    for core in "ABA":
        bench.live(seen("1", core))
    assert bench.live(seen("1", "A", 10), ordered=False) == []
    assert bench.later(5).page(seen("1", "A", 30)) == []
    assert bench.waited() == []


def test_a_message_for_a_deleted_alarm_is_settled() -> None:
    bench = Bench(OLD)
    bench.live("1")
    assert bench.live(seen("1", "B", 1000)) == []
    assert bench.settle(None) == []
    assert bench.live("1") == []


def test_deleted_is_told_once() -> None:
    bench = Bench(OLD)
    assert [bench.live("1"), bench.live("1")] == [["DELETE 1"], []]


def test_what_leaves_the_filter_is_given_once_more_and_no_more() -> None:
    bench = Bench(seen("1", "A", -50_000))
    got = [bench.live(seen("1", f"M{at}", at, wanted=False)) for at in (1, 2)]
    assert got == [["UPDATE 1M1"], []]
    assert bench.live("1") == []


def test_what_never_passed_the_filter_is_not_given_until_it_does() -> None:
    bench = Bench()
    assert bench.live(seen("1", "A", 1, wanted=False), CREATE) == []
    assert bench.live(seen("1", "B", 2)) == ["UPDATE 1B"]


def test_a_message_that_the_silent_first_read_overtook_is_given() -> None:
    bench = Bench(seen("1", "A", -10), snapshot=False)
    assert bench.live(seen("1", "A", -10), CREATE) == ["CREATE 1A"]
    assert bench.live(seen("1", "A", -10), CREATE) == []


def test_an_unreadable_message_with_an_id_is_settled_by_it() -> None:
    bench = Bench(OLD)
    bench.t.unreadable(bench.now, bench.wall, id="1")
    assert bench.settle(seen("1", "B", 100)) == ["UPDATE 1B recovered"]


def test_an_unreadable_message_without_an_id_is_a_gap_until_a_sweep() -> None:
    bench = Bench(OLD)
    bench.t.unreadable(bench.now, bench.wall, id=None)
    assert bench.t.state == "recovering"
    assert bench.page(seen("1", "B", 100)) == ["UPDATE 1B recovered", "gap 1"]
    assert bench.t.state == "connected"


def test_messages_that_nobody_can_read_make_no_storm_of_sweeps() -> None:
    bench = Bench(OLD)
    sweeps = passes = 0
    for _ in range(600):
        bench.later(0.1).t.unreadable(bench.now, bench.wall, id=None)
        for read in bench.reads():
            sweeps += read.resolved is None
            passes += read.resolved is False
            bench.page(OLD, read=read)
    assert 10 <= sweeps <= 20, "one every five seconds, and those after attaching"
    assert passes <= 2, "one a minute: it reads all open alarms"
    assert bench.t.stats.gaps <= sweeps


class TestWithoutReads:
    """A bare Bayeux server: live messages are all there is."""

    def test_a_gap_cannot_be_recovered_and_nothing_dies(self) -> None:
        bench = Bench(reads=False)
        assert bench.live(seen("1"), CREATE) == ["CREATE 1A"]
        assert bench.cut(3).gives() == ["gap None"]
        assert bench.reads() == []
        assert bench.t.state == "connected"
        assert bench.t.deadline() is None

    def test_doubt_is_resolved_for_the_message_unless_it_is_provably_older(self) -> None:
        bench = Bench(reads=False)
        bench.live(seen("1", "A", 10), CREATE)
        assert bench.live(seen("1", "B"), ordered=False) == ["UPDATE 1B"]
        bench.live(seen("2", "A", 10), CREATE)
        assert bench.live(seen("2", "B", 9), ordered=False) == []

    def test_the_missing_api_is_noticed_by_the_first_read_and_what_was_in_doubt_is_given(self) -> None:
        from tocsin._stream._answers import NoSuchApi

        bench = Bench(start=False)
        bench.t.connected(bench.now, bench.wall, session=1)
        window = bench.window()
        bench.live(seen("1", "A"), CREATE, ordered=False)
        assert bench.live(seen("1", "B"), ordered=False) == []
        assert bench.answer(window, NoSuchApi()) == ["UPDATE 1B"]
        assert bench.t.begun
        assert bench.t.state == "connected"
        assert bench.t.cause == "no REST API: what is lost cannot be read back"

    def test_an_api_that_answered_once_only_fails(self) -> None:
        from tocsin._stream._answers import NoSuchApi

        bench = Bench(OLD)
        bench.later(5).answer(bench.window(), NoSuchApi())
        assert bench.t.state == "recovering"
        bench.later(2).page(seen("1", "B", 4000))
        (again,) = bench.later(10).reads()
        assert bench.gives() == ["UPDATE 1B recovered"]
        bench.page(read=again)
        assert bench.t.state == "connected"


def test_a_failed_answer_to_an_unknown_ticket_changes_nothing() -> None:
    bench = Bench(OLD)
    read = bench.later(5).window()
    bench.page(read=read)
    assert bench.answer(read, Failed("again")) == []
    assert bench.t.state == "connected"
