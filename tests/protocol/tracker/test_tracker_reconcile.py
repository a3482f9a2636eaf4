"""Reconciling: deletions and changed visibility, and nothing deleted on hearsay."""

from __future__ import annotations

import pytest

from protocol.tracker.tracker_bench import Bench, seen
from tocsin._stream._answers import Checked, Failed, Missing, OneAnswer, ReadCheck, ReadOne, ReadWindow

ROWS = [seen(str(n), "A", -1000 * n) for n in range(1, 31)]


def at_the_pass(*rows, **options) -> tuple[Bench, ReadWindow]:
    """A bench at the first window of its first pass."""
    bench = Bench(*(rows or ROWS), **options)
    bench.now = 900.0
    while True:
        found = [read for read in bench.reads() if isinstance(read, ReadWindow)]
        for read in found:
            if read.resolved is False:
                return bench, read
            bench.page(read=read)
        assert found, "no pass began"


def test_every_fifteen_minutes_open_alarms_are_read() -> None:
    bench, read = at_the_pass()
    assert bench.now == 900
    assert (read.updated_from, read.resolved) == (None, False)


def test_who_is_listed_is_not_asked_for() -> None:
    bench, read = at_the_pass()
    assert bench.page(*ROWS, read=read) == []
    assert bench.reads() == []


def test_who_vanished_is_read_by_id_and_only_a_404_deletes() -> None:
    bench, read = at_the_pass()
    bench.page(*ROWS[2:], read=read)
    first = bench.one()
    assert bench.answer(first, Missing()) == [f"DELETE {first.id} recovered"]
    second = bench.later(0.1).one()
    assert bench.answer(second, Failed("403", permanent=True)) == []
    assert bench.t.stats.unverified == 1
    assert bench.t.state == "connected"


def test_who_vanished_but_is_there_was_closed_or_changed() -> None:
    bench, read = at_the_pass()
    bench.page(*ROWS[1:], read=read)
    assert bench.settle(seen("1", "C", 500_000, open=False)) == ["UPDATE 1C recovered"]


def test_ten_reads_a_second_at_most() -> None:
    bench, read = at_the_pass()
    bench.page(*ROWS[3:], read=read)
    times = []
    while len(times) < 3:
        for one in bench.reads():
            times.append(round(bench.now - 900, 3))
            bench.answer(one, Missing())
        bench.now = bench.t.deadline() or 1e9
    assert times == [0, 0.1, 0.2]


def test_an_alarm_touched_during_the_pass_is_no_suspect() -> None:
    bench, read = at_the_pass()
    bench.live(seen("1", "B", 900_000))
    bench.live(seen("new", "A", 900_000))
    bench.page(*ROWS[1:], read=read)
    assert bench.asked() == []


def test_an_alarm_touched_while_it_waits_to_be_read_is_none_either() -> None:
    bench, read = at_the_pass()
    bench.page(*ROWS[2:], read=read)
    first = bench.one()
    bench.live(seen("2" if first.id == "1" else "1", "B", 900_000))
    bench.answer(first, Missing())
    assert bench.later(1).asked() == []


def test_a_failed_window_ends_the_pass_without_a_deletion_and_it_is_tried_again_soon() -> None:
    bench, read = at_the_pass()
    assert bench.answer(read, Failed("503")) == []
    assert bench.asked() == []
    times = []
    for _ in range(40):
        bench.now = bench.t.deadline() or 1e9
        for again in bench.reads():
            if again.resolved is False:
                times.append(bench.now)
                bench.answer(again, Failed("503"))
            else:
                bench.page(read=again)
    assert times[:5] == [960, 1080, 1320, 1800, 2700]


class TestManyMissing:
    """More than a tenth missing looks like lost rights."""

    @staticmethod
    def half_missing() -> tuple[Bench, ReadCheck]:
        bench, read = at_the_pass()
        bench.page(*ROWS[15:], read=read)
        check = bench.check()
        assert bench.t.state == "degraded"
        return bench, check

    def test_the_credentials_are_checked_before_anything_is_read(self) -> None:
        bench, _ = self.half_missing()
        assert bench.asked() == []

    @pytest.mark.parametrize(
        "answer", [Checked(sound=False, cause="ROLE_ALARM_READ is missing"), Failed("401")]
    )
    def test_if_they_are_bad_nothing_is_deleted_and_the_state_says_so(self, answer) -> None:
        bench, check = self.half_missing()
        assert bench.answer(check, answer) == []
        assert bench.later(5).asked() == []
        assert (bench.t.state, bench.t.cause) == ("degraded", answer.cause)

    def test_if_they_are_good_each_is_read(self) -> None:
        bench, check = self.half_missing()
        bench.answer(check, Checked(sound=True))
        gave = []
        for _ in range(20):
            for read in bench.reads():
                if isinstance(read, ReadOne):
                    gave += bench.answer(read, Missing())
            bench.later(0.1)
        assert len(gave) == 15
        assert bench.t.state == "connected"

    def test_if_they_can_be_neither_listed_nor_read_the_state_stays_degraded(self) -> None:
        bench, check = self.half_missing()
        bench.answer(check, Checked(sound=True))
        for _ in range(16):
            for read in bench.reads():
                if isinstance(read, ReadOne):
                    bench.answer(read, Failed("403", permanent=True))
            bench.later(0.1)
        assert bench.t.state == "degraded"
        assert bench.t.stats.unverified == 15


def test_closed_alarms_are_read_from_the_oldest_remembered_on() -> None:
    bench, read = at_the_pass(*ROWS)
    bench.page(*ROWS, read=read)
    bench.live(seen("1", "C", 901_000, open=False))
    bench.live(seen("2", "C", 902_000, open=False))
    bench.now = 1801.0
    closed = None
    while closed is None:
        for found in bench.reads():
            if isinstance(found, ReadWindow) and found.resolved is True:
                closed = found
                continue
            bench.page(*(ROWS[2:] if found.resolved is False else ()), read=found)
    assert closed.updated_from == 1_000_000 + 901_000
    bench.page(seen("2", "C", 902_000, open=False), read=closed)
    assert bench.settle(None) == ["DELETE 1 recovered"]


def test_a_forgotten_closed_alarm_in_a_list_is_no_news() -> None:
    from tocsin._stream._policy import RecoveryPolicy

    bench = Bench(policy=RecoveryPolicy(remembered=2))
    for n in range(4):
        bench.live(seen(str(n), "C", 100 * n, open=False))
    bench.live(seen("2", "D", 50_000, open=False))
    bench.now = 900.0
    for _ in range(4):
        for read in bench.reads():
            if isinstance(read, ReadWindow):
                rows = [seen("1", "C", 100, open=False)] if read.resolved is True else []
                assert bench.page(*rows, read=read) == []
    assert bench.waited() == []


def test_what_became_visible_is_given() -> None:
    for snapshot in (True, False):
        bench, read = at_the_pass(snapshot=snapshot)
        got = bench.page(*ROWS, seen("old", "A", -90_000_000), read=read)
        assert got == ["UPDATE oldA recovered"]


def test_a_pass_runs_after_each_recovery() -> None:
    bench = Bench(*ROWS).cut(1)
    bench.page()
    kinds = [read.resolved for read in bench.reads() if isinstance(read, ReadWindow)]
    assert kinds == [False]


def test_a_404_asked_before_a_message_came_does_not_delete() -> None:
    bench, read = at_the_pass()
    bench.page(*ROWS[1:], read=read)
    one = bench.one()
    bench.live(seen("1", "B", 900_000))
    assert bench.answer(one, Missing()) == []
    again = bench.one()
    assert bench.answer(again, OneAnswer(seen("1", "B", 900_000))) == []


def test_a_pass_that_fails_is_told_until_one_succeeds() -> None:
    bench, read = at_the_pass()
    bench.answer(read, Failed("the list is too long"))
    assert (bench.t.state, bench.t.cause) == ("recovering", "the list is too long")
    again = None
    while again is None:
        bench.now = bench.t.deadline() or 0.0
        for read in bench.reads():
            if read.resolved is False:
                again = read
            else:
                bench.page(read=read)
                assert bench.t.cause == "the list is too long", "a sweep finds no deletion"
    bench.page(*ROWS, read=again)
    assert (bench.t.state, bench.t.cause) == ("connected", None)


def test_deletions_are_found_although_a_durable_channel_is_down() -> None:
    """It may be down for hours, while another consumer counts as connected, and it tells of no deletion."""
    bench = Bench(*ROWS, durable=True)
    bench.t.disconnected(bench.now, bench.wall, cause="409")
    bench.now = 900.0
    assert bench.t.deadline() <= bench.now
    sweep, read = bench.reads()
    bench.page(read=sweep)
    assert read.resolved is False
    bench.page(*ROWS[1:], read=read)
    assert bench.settle(None) == ["DELETE 1 recovered"]
    assert bench.t.state == "reconnecting"
