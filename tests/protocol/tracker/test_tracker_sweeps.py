"""Sweeps: what they read, when they are complete, and where they leave the cursor."""

from __future__ import annotations

import pytest

from protocol.tracker.tracker_bench import START, T0, Bench, seen
from tocsin._stream._answers import Failed
from tocsin._stream._policy import RecoveryPolicy
from tocsin.errors import ConfigurationError

SMALL = RecoveryPolicy(page_size=4, empty_pages=3)


def serve(bench: Bench, rows: list, *, size: int = 4, ranges: bool = True) -> tuple[list, list[str]]:
    """Answer windows from `rows` (newest first) until none is asked for. The reads, and what was given."""
    asked, gave = [], []
    while reads := bench.reads():
        for read in reads:
            asked.append(read)
            low, high = read.created_from, read.created_to
            found = [
                row
                for row in rows
                if not ranges
                or ((low is None or row.created >= low) and (high is None or row.created < high))
            ]
            start = (read.page - 1) * size
            gave += bench.page(*found[start : start + size], read=read, more=len(found) > start + size)
            assert len(asked) < 200, "it never ends"
    return asked, gave


def alarms(count: int, *, step: int = 100) -> list:
    """`count` alarms, newest first, one created every `step` ms."""
    return [seen(str(n), "A", -n, created=T0 - 1 - n * step) for n in range(count)]


def test_the_first_read_asks_for_open_alarms_only_and_has_no_range() -> None:
    bench = Bench(start=False)
    assert bench.reads() == []
    bench.t.connected(0.0, bench.wall, session=1)
    read = bench.window()
    assert (read.resolved, read.updated_from, read.page, read.page_size) == (False, None, 1, 2000)
    assert read.snapshot
    assert bench.page(seen("1", "A", -1), read=read) == ["CREATE 1A snapshot"]


def test_all_on_request() -> None:
    bench = Bench(start=False, snapshot="all")
    bench.t.connected(0.0, bench.wall, session=1)
    assert bench.window().resolved is None


def test_a_sweep_reaches_back_by_the_overlap_and_has_no_upper_bound() -> None:
    bench = Bench(seen("1", "A", -50_000))
    read = bench.later(5).window()
    assert (read.updated_from, read.resolved, read.created_to) == (T0 - 80_000, None, None)


@pytest.mark.parametrize(
    ("stamps", "date", "cursor"),
    [([1000, 2000], 9000, 2000), ([1000, 9000], 4000, 4000), ([], 9000, -50_000), ([3000], None, 3000)],
    ids=["the largest stamp", "no later than Date", "nothing came", "without Date"],
)
def test_a_complete_sweep_moves_the_cursor(stamps, date, cursor) -> None:
    bench = Bench(seen("1", "A", -50_000))
    rows = [seen(f"n{at}", "A", at) for at in stamps]
    bench.page(*rows, read=bench.later(5).window(), date=None if date is None else T0 + date)
    assert bench.t.cursor == T0 + cursor


def test_the_cursor_never_moves_back_and_never_by_a_live_message() -> None:
    bench = Bench(seen("1", "A", -50_000))
    bench.live(seen("1", "B", 100_000))
    assert bench.t.cursor == T0 - 50_000
    bench.page(seen("2", "A", 1000), read=bench.later(5).window())
    bench.page(seen("3", "A", 500), read=bench.later(30).window())
    assert bench.t.cursor == T0 + 1000


def test_the_date_of_the_first_response_counts_not_that_of_the_last() -> None:
    bench = Bench(seen("1", "A", -50_000), partitions=("a", "b"), start=False)
    bench.t.connected(0.0, bench.wall, session=1)
    bench.page(seen("1", "A", -50_000))
    bench.page()
    first = bench.later(5).window()
    bench.page(read=first, date=T0 + 5000)
    bench.page(seen("2", "A", 8000), read=bench.later(5).window(), date=T0 + 10_000)
    assert bench.t.cursor == T0 + 5000


def test_only_a_complete_sweep_moves_the_cursor_and_all_partitions_belong_to_it() -> None:
    bench = Bench(start=False, partitions=("a", "b"))
    bench.t.connected(0.0, bench.wall, session=1)
    first = bench.window()
    assert first.partition == "a"
    bench.page(seen("1", "A", -10), read=first)
    assert (bench.t.cursor, bench.t.begun) == (None, False)
    assert bench.window().partition == "b"


def test_the_first_cursor_is_not_left_months_behind_by_an_old_open_alarm() -> None:
    bench = Bench(seen("1", "A", -9_000_000))
    assert bench.t.cursor == T0 - 900_000


def test_a_failed_window_is_asked_for_again_and_the_state_says_so() -> None:
    bench = Bench(seen("1", "A", -50_000))
    read = bench.later(5).window()
    bench.answer(read, Failed("503"))
    assert (bench.t.state, bench.t.cause) == ("recovering", "503")
    assert bench.reads() == []
    again = bench.later(1).window()
    assert (again.updated_from, again.r0 > read.r0) == (read.updated_from, True)
    bench.page(read=again)
    assert bench.t.state == "connected"


def test_what_fails_for_good_is_degraded_and_asked_for_rarely() -> None:
    bench = Bench(seen("1", "A", -50_000))
    bench.answer(bench.later(5).window(), Failed("403", permanent=True))
    assert bench.t.state == "degraded"
    assert bench.t.deadline() == bench.now + 60


@pytest.mark.parametrize("count", [4, 5, 8, 9, 40])
def test_a_set_larger_than_a_page_is_split_by_creation_time_until_each_window_is_one_response(count) -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    asked, gave = serve(bench, alarms(count))
    assert sorted(gave) == sorted(f"CREATE {n}A snapshot" for n in range(count))
    assert {read.page for read in asked} == {1}
    assert bench.t.begun
    assert len(asked) <= max(1, count)


def test_windows_touch_and_do_not_overlap() -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    rows = alarms(7)
    bench.page(*rows[:4], more=True)
    upper = bench.window()
    bench.page(read=upper)
    lower = bench.window()
    assert (lower.created_from, lower.created_to) == (None, upper.created_from)
    assert upper.created_to is None


def test_a_full_millisecond_falls_back_to_page_numbers_and_says_so() -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    asked, gave = serve(bench, alarms(3) + alarms(11, step=0)[3:])
    assert len(gave) == 11
    assert max(read.page for read in asked) == 3
    assert any("one millisecond" in notice for notice in bench.t.notices())


@pytest.mark.parametrize("created", [True, False], ids=["ranges ignored", "no creationTime"])
def test_a_server_that_cannot_split_is_read_by_page_numbers(created) -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    rows = alarms(10) if created else [seen(str(n), "A", -n, created=None) for n in range(10)]
    _, gave = serve(bench, rows, ranges=False)
    assert sorted(gave) == sorted(f"CREATE {n}A snapshot" for n in range(10))
    assert bench.t.begun


def test_a_short_page_is_not_the_end() -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    assert bench.page(seen("1", "A", -1), more=True) == ["CREATE 1A snapshot"]
    assert bench.page(more=True) == []
    read = bench.window()
    assert read.page == 3
    assert bench.page(seen("2", "A", -2), read=read) == ["CREATE 2A snapshot"]
    assert bench.t.begun


def test_the_next_page_is_the_one_that_the_link_names() -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    bench.page(seen("1", "A", -1), more=True, next_page=1001)
    read = bench.window()
    assert read.page == 1001
    bench.page(read=read, more=True, next_page=7)  # never backwards
    read = bench.window()
    assert read.page == 1002
    assert bench.page(seen("2", "A", -2), read=read) == ["CREATE 2A snapshot"]
    assert bench.t.begun


@pytest.mark.parametrize(
    ("row", "pages"),
    [([], 30), ([seen("1", "A", -1)], 4)],
    ids=["empty pages", "the same page for ever"],
)
def test_a_next_that_never_ends_ends(row, pages) -> None:
    bench = Bench(start=False, policy=SMALL)
    bench.t.connected(0.0, bench.wall, session=1)
    for number in range(pages):
        assert not bench.t.begun, number
        bench.page(*row, more=True)
    assert bench.t.begun
    assert any("without a new row" in notice for notice in bench.t.notices())


def test_a_sweep_after_connect_after_five_seconds_after_the_overlap_then_each_minute() -> None:
    bench = Bench(seen("1", "A", -50_000))
    times = []
    while bench.now < 240:
        bench.now = bench.t.deadline() or 1e9
        for read in bench.reads():
            times.append(bench.now)
            bench.page(read=read)
    assert times == [5, 30, 90, 150, 210, 270]


def test_nothing_is_read_while_the_consumer_has_enough() -> None:
    bench = Bench(seen("1", "A", -50_000)).later(5)
    bench.live(seen("1", "B"))
    assert [type(read).__name__ for read in bench.t.reads(bench.now, paused=True)] == ["ReadOne"]
    assert bench.window().updated_from is not None


def test_rows_that_cannot_be_read_are_told_once() -> None:
    bench = Bench(seen("1", "A", -50_000))
    gave = [bench.page(read=bench.later(wait).window(), unreadable=2) for wait in (5, 25)]
    assert gave == [["gap None"], []]
    assert bench.t.stats.unreadable == 2


def test_too_many_open_alarms_at_the_start_are_an_error() -> None:
    bench = Bench(start=False, policy=RecoveryPolicy(max_tracked=3))
    bench.t.connected(0.0, bench.wall, session=1)
    bench.page(*alarms(4))
    assert isinstance(bench.t.error, ConfigurationError)


def test_too_many_open_alarms_later_are_a_standing_gap() -> None:
    bench = Bench(*alarms(2), policy=RecoveryPolicy(max_tracked=3))
    bench.page(*(seen(f"n{n}", "A", 1000 + n) for n in range(2)), read=bench.later(5).window())
    (again,) = bench.later(10).reads()
    assert bench.gives() == ["UPDATE n0A recovered", "UPDATE n1A recovered"]
    assert "gap None" in bench.page(read=again)
    assert bench.t.error is None
    assert bench.t.state == "degraded"


def test_closed_alarms_are_forgotten_the_longest_untouched_first_and_open_ones_never() -> None:
    bench = Bench(seen("open", "A", -10), policy=RecoveryPolicy(remembered=3))
    for n in range(5):
        bench.live(seen(str(n), "A", n, open=False))
    assert bench.t.stats.tracked == 4
    assert bench.live(seen("4", "A", 4, open=False)) == []
    assert bench.live(seen("open", "A", -10)) == []


@pytest.mark.parametrize("field", ["overlap", "page_size", "verify_every", "remembered"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_policy_that_cannot_work_is_refused(field: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=field):
        RecoveryPolicy(**{field: value})


class TestPolling:
    """Without a live channel sweeps are the channel."""

    def test_rows_are_live(self) -> None:
        bench = Bench(seen("1", "A", -50_000), live=False)
        assert bench.page(seen("1", "B", 1000), read=bench.later(60).window()) == ["UPDATE 1B"]
        assert bench.t.state == "connected"

    def test_a_failed_sweep_is_a_gap_and_what_it_brings_later_is_recovered(self) -> None:
        bench = Bench(seen("1", "A", -50_000), live=False)
        bench.answer(bench.later(60).window(), Failed("503"))
        assert bench.t.state == "recovering"
        assert bench.page(seen("1", "B", 1000), read=bench.later(1).window()) == [
            "UPDATE 1B recovered",
            "gap 1",
        ]


class TestWithoutLastUpdated:
    """Servers that do not tell when an alarm was changed: each sweep is a pass over the open ones."""

    def test_a_closed_alarm_is_found_by_its_absence(self) -> None:
        bench = Bench(seen("1", "A"), seen("2", "A"))
        read = bench.later(5).window()
        assert (read.updated_from, read.resolved) == (None, False)
        assert bench.page(seen("1", "A"), read=read) == []
        bench.answer(bench.check(), _sound())
        assert bench.settle(seen("2", "C", open=False)) == ["UPDATE 2C recovered"]

    def test_a_gap_cannot_be_filled_and_says_so(self) -> None:
        bench = Bench(seen("1", "A"))
        bench.cut(3)
        assert bench.page(seen("1", "B")) == ["UPDATE 1B recovered", "gap None"]


def _sound():
    from tocsin._stream._answers import Checked

    return Checked(sound=True)


@pytest.mark.parametrize("rows", [[], [seen("1", "A", -50_000)]])
def test_a_date_far_ahead_of_our_own_clock_counts_as_none(rows) -> None:
    """Else every sweep would look for changes in a time that is still to come, and find nothing for hours."""
    hours = int(START.timestamp() * 1000) - T0 + 36_000_000
    bench = Bench(start=False)
    bench.t.connected(0.0, bench.wall, session=1, date=bench.date + hours)
    for wait in (5, 25):  # without a row only the whole scope tells the server's time
        bench.page(*rows, date=bench.date + hours)
        bench.later(wait)
    assert bench.t.cursor == (T0 - 50_000 if rows else None)
    bench.page(seen("2", "A", 9000), date=bench.date + hours)
    assert bench.waited()[0].endswith("2A recovered")
    assert len(bench.t.notices()) == 1
