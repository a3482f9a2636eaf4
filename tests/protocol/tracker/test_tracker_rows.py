"""What a row of a read does, and what settles a doubt."""

from __future__ import annotations

import pytest

from protocol.tracker.tracker_bench import T0, Bench, seen
from tocsin._stream._answers import Failed, Note, OneAnswer, ReadOne, WindowAnswer
from tocsin._stream._policy import RecoveryPolicy

OLD = seen("1", "A", -50_000)


def sweep(bench: Bench):
    return bench.later(5).window()


@pytest.mark.parametrize(
    ("row", "given"),
    [
        (seen("1", "A", -50_000), []),
        (seen("1", "B", 1000), ["UPDATE 1B recovered"]),
        (seen("1", "B", -50_000), ["UPDATE 1B recovered"]),
        (seen("1", "B", -60_000), []),
        (seen("2", "A", 1000), ["UPDATE 2A recovered"]),
        (seen("2", "A", 1000, created=T0 + 900), ["CREATE 2A recovered"]),
        (seen("2", "A", 1000, open=False), ["UPDATE 2A recovered"]),
        (seen("2", "A", 1000, wanted=False), []),
        (seen("2", "A", -1000, open=False), []),
    ],
    ids=[
        "same",
        "newer",
        "same stamp, other content: a read that was sent later decides",
        "older",
        "unknown",
        "unknown and new",
        "raised and closed meanwhile",
        "filtered",
        "closed before the stream began",
    ],
)
def test_a_row_sent_after_all_we_knew(row, given) -> None:
    bench = Bench(OLD)
    assert bench.page(row, read=sweep(bench)) + bench.waited() == given


@pytest.mark.parametrize(
    ("row", "given", "asked"),
    [
        (seen("1", "B", 2000), [], []),
        (seen("1", "C", 3000), ["UPDATE 1C recovered"], []),
        (seen("1", "A", -50_000), [], []),
        (seen("1", "C", 2000), [], ["1"]),
    ],
    ids=["same", "newer", "older", "same stamp, other content"],
)
def test_a_row_sent_before_a_live_message_came(row, given, asked) -> None:
    bench = Bench(OLD)
    read = sweep(bench)
    bench.live(seen("1", "B", 2000))
    gave = bench.page(row, read=read)
    assert bench.asked() == asked
    assert gave + bench.waited() == given


def test_a_doubt_is_settled_by_a_read_sent_later_and_keeps_the_wires_word() -> None:
    bench = Bench(OLD)
    bench.live(seen("1", "B"))
    assert bench.settle(seen("1", "B", 1000)) == ["UPDATE 1B"]
    assert bench.asked() == []


def test_new_input_during_the_read_has_it_read_again_and_never_twice_at_once() -> None:
    bench = Bench(OLD)
    bench.live(seen("1", "B"))
    first = bench.one()
    bench.live(seen("1", "C"))
    assert bench.asked() == []
    assert bench.settle(seen("1", "B", 1000), first) == ["UPDATE 1B"]
    assert bench.settle(seen("1", "C", 2000)) == ["UPDATE 1C"]
    assert bench.asked() == []


def test_a_404_is_a_deletion_only_if_it_was_asked_for_after_the_last_sign_of_life() -> None:
    bench = Bench(OLD).later(100)
    bench.reads()
    bench.live(seen("1", "B"))
    read = bench.one()
    bench.live(seen("1", "C", 100_000))
    assert bench.settle(None, read) == []
    assert bench.settle(None) == ["DELETE 1 recovered"]


def test_a_404_for_a_young_alarm_is_asked_again_after_the_overlap() -> None:
    """A replica that lags does not have it yet."""
    bench = Bench()
    bench.live(seen("1", "A"), ordered=False)
    bench.live(seen("1", "B"), ordered=False)
    assert bench.settle(None) == []
    assert bench.asked() == []
    assert bench.later(30).settle(seen("1", "B", 10)) == ["UPDATE 1B"]


@pytest.mark.parametrize("permanent", [False, True])
def test_a_read_that_fails_never_deletes_and_is_repeated_ever_more_rarely(permanent: bool) -> None:
    bench = Bench(OLD, policy=RecoveryPolicy(verify_every=1e6, verify_first=1e5, overlap=1e5))
    bench.live(seen("1", "B"))
    waits = []
    read = bench.one()
    for _ in range(8):
        assert bench.answer(read, Failed("503", permanent=permanent)) == []
        before = bench.now
        bench.now = bench.t.deadline() or 0.0
        waits.append(bench.now - before)
        read = bench.one()
    assert waits[0] == 1.0
    assert waits == sorted(waits)
    assert waits[-1] == 60.0
    assert bench.settle(seen("1", "B", 1000), read) == ["UPDATE 1B"]


def test_an_answer_for_another_alarm_settles_nothing() -> None:
    bench = Bench(OLD)
    bench.live(seen("1", "B"))
    assert bench.answer(bench.one(), OneAnswer(seen("2", "B", 1000))) == []
    assert bench.later(1).one().id == "1"


def test_retry_after_holds_all_reads_by_id() -> None:
    bench = Bench(OLD, seen("2", "A", -50_000))
    bench.live(seen("1", "B"))
    read = bench.one()
    bench.answer(read, Failed("429", retry_after=4.5))
    bench.live(seen("2", "B"))
    assert bench.asked() == []
    assert bench.later(4.5).asked() == ["1", "2"] or bench.asked() == []


def test_four_at_once() -> None:
    bench = Bench(*(seen(str(n), "A", -50_000) for n in range(9)))
    for n in range(9):
        bench.live(seen(str(n), "B"))
    assert bench.asked() == ["0", "1", "2", "3"]
    assert bench.asked() == []


def test_a_flood_is_swept_once_and_only_what_the_sweep_left_is_read_by_id() -> None:
    rows = [seen(str(n), "A", -50_000) for n in range(60)]
    bench = Bench(*rows)
    for n in range(60):
        bench.live(seen(str(n), "B"))
    (sweep,) = bench.reads()
    assert sweep.updated_from is not None
    gave = bench.page(*(seen(str(n), "B", 100 + n) for n in range(58)), read=sweep)
    assert len(gave) == 58
    assert bench.asked() == ["58", "59"]


def test_a_stale_replica_is_asked_three_times_and_then_believed() -> None:
    bench = Bench(OLD)
    bench.live(seen("1", "B", 2000))
    stale = seen("1", "A", -50_000)
    assert bench.page(stale, read=sweep(bench)) == []
    assert bench.asked() == []
    assert bench.later(1).settle(stale) == []
    assert bench.later(1).asked() == []
    read = next(r for r in bench.later(30).reads() if hasattr(r, "id"))
    assert bench.settle(stale, read) == ["UPDATE 1A recovered"]


def test_a_stale_replica_that_catches_up_changes_nothing() -> None:
    bench = Bench(OLD)
    bench.live(seen("1", "B", 2000))
    bench.page(seen("1", "A", -50_000), read=sweep(bench))
    assert bench.later(1).settle(seen("1", "B", 2000)) == []
    bench.later(60).reads()
    assert bench.asked() == []


def test_what_came_back_into_sight_is_given_again() -> None:
    bench = Bench(OLD)
    bench.live("1")
    bench.later(40).reads()
    bench.live(seen("1", "A", -50_000))
    assert bench.settle(seen("1", "A", -50_000)) == ["UPDATE 1A"]


def test_a_list_that_is_older_than_the_deletion_does_not_revive() -> None:
    bench = Bench(OLD)
    read = sweep(bench)
    bench.live("1")
    assert bench.page(OLD, read=read) == []
    assert bench.settle(None) == []
    assert bench.t.stats.delivered == 2


def test_a_read_teaches_the_stamp_that_the_message_lacked() -> None:
    bench = Bench()
    bench.live(seen("1", "A"))
    bench.page(seen("1", "A", 1000), read=sweep(bench))
    assert bench.live(seen("1", "B", 2000), ordered=False) == ["UPDATE 1B"]


def test_a_flood_within_one_batch_is_swept_at_once_and_not_at_the_next_periodic_sweep() -> None:
    bench = Bench(*(seen(str(n), "A", -1000) for n in range(80)))
    for wait in (5, 25):
        bench.page(read=bench.later(wait).window())
    bench.later(10)
    for n in range(80):
        bench.live(seen(str(n), "B"), ordered=False)
    assert (bench.t.deadline() or 0.0) <= bench.now
    gave = bench.page(*(seen(str(n), "B", 39_000) for n in range(80)))
    assert gave == [f"UPDATE {n}B recovered" for n in range(80)]


def test_a_second_flood_waits_a_moment_after_the_sweep_for_the_first() -> None:
    bench = Bench(*(seen(str(n), "A", -1000) for n in range(80)))
    for wait in (5, 25):
        bench.page(read=bench.later(wait).window())
    bench.later(10)
    for core, stamp in (("B", 39_000), ("C", 39_500)):
        for n in range(80):
            bench.live(seen(str(n), core), ordered=False)
        begun = bench.now
        bench.now = max(bench.now, bench.t.deadline() or 0.0)
        assert bench.now - begun == (0 if core == "B" else 5)
        assert len(bench.page(*(seen(str(n), core, stamp) for n in range(80)))) == 80


def test_a_server_that_asks_for_a_day_is_asked_again_within_minutes() -> None:
    bench = Bench(OLD)
    bench.answer(bench.later(5).window(), Failed("429", retry_after=86_400.0))
    assert (bench.t.state, bench.t.deadline()) == ("recovering", bench.now + 300)
    bench.live(seen("1", "B"), ordered=False)
    bench.answer(bench.one(), Failed("429", retry_after=86_400.0))
    assert bench.later(300).asked() == ["1"]


def test_a_first_read_that_takes_a_while_does_not_overtake_a_message_under_way():
    b = Bench(start=False, policy=RecoveryPolicy(page_size=2))
    b.t.connected(b.now, b.wall, session=1, date=b.date)
    assert b.page(seen("1", "A", -5000, created=T0 - 9000), seen("2", "A", -4000), more=True) == [
        "CREATE 1A snapshot",
        "CREATE 2A snapshot",
    ]
    b.later(5)
    for read in b.reads():
        assert b.page(seen("1", "C", 4500, created=T0 - 9000), read=read) == []
    assert b.live(seen("1", "B", 4400)) == ["UPDATE 1B"]
    assert b.live(seen("1", "C", 4500)) == ["UPDATE 1C"]


def test_a_miss_that_the_first_read_found_is_told_from_its_beginning():
    b = Bench(start=False, policy=RecoveryPolicy(page_size=2))
    b.t.connected(b.now, b.wall, session=1, date=b.date)
    began = b.wall
    b.page(seen("1", "A", -5000, created=T0 - 9000), seen("2", "A", -4000), more=True)
    for read in b.later(5).reads():
        assert b.page(seen("1", "C", 4500, created=T0 - 9000), read=read, more=True) == []
    told: list[Note] = []
    for _ in range(20):
        for read in b.later(1).reads():
            rows = [seen("1", "C", 4500, created=T0 - 9000)]
            answer = OneAnswer(rows[0]) if isinstance(read, ReadOne) else WindowAnswer(rows, False, b.date, 0)
            b.t.answered(b.now, b.wall, read, answer)
        told += [item for item in b.t.take() if isinstance(item, Note)]
    assert [gap.since for gap in told] == [began]
