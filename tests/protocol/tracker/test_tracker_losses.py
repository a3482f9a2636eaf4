"""Gaps, misses and overflows: whatever may have been missed is told."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from protocol.tracker.tracker_bench import CREATE, START, T0, Bench, seen
from tocsin._stream._answers import Failed, Note, WindowAnswer
from tocsin._stream._policy import RecoveryPolicy

OLD = seen("1", "A", -50_000)


def settled(*rows, **options) -> Bench:
    """A bench whose first sweeps are over: what sweeps find from here on was missed."""
    bench = Bench(*rows, **options)
    for wait in (5, 25):
        bench.page(read=bench.later(wait).window())
    bench.later(60)
    return bench


def finish(bench: Bench, until: float) -> list[str]:
    """Answer every window with nothing until then; what was given."""
    gave = []
    while (due := bench.t.deadline()) is not None and due <= until:
        bench.now = max(bench.now, due)
        for read in bench.reads():
            gave += bench.page(read=read)
    gave += bench.gives()
    return gave


class TestGap:
    def test_it_opens_at_the_last_proof_of_life_and_is_told_after_the_first_complete_sweep(self) -> None:
        bench = Bench(OLD)
        bench.t.alive(20.0, START + timedelta(seconds=20), proved=START + timedelta(seconds=12))
        bench.now = 30.0
        bench.t.disconnected(bench.now, bench.wall, cause="session lost")
        assert (bench.t.state, bench.t.cause) == ("reconnecting", "session lost")
        assert bench.reads() == []
        bench.now = 40.0
        bench.t.connected(bench.now, bench.wall, session=2)
        assert (bench.t.state, bench.t.cause) == ("recovering", "session lost")
        read = bench.window()
        bench.t.take()
        from tocsin._stream._answers import WindowAnswer

        bench.now = 41.0
        bench.t.answered(bench.now, bench.wall, read, WindowAnswer([seen("1", "B", 35_000)], more=False))
        _, note = bench.t.take()
        assert note == Note(START + timedelta(seconds=12), START + timedelta(seconds=41), "session lost", 1)
        assert bench.t.state == "connected"

    def test_a_restart_begins_where_the_channel_proved_it_and_not_where_a_read_overtook_it(self) -> None:
        bench = settled(OLD)
        bench.t.alive(bench.now, bench.wall, proved=bench.wall - timedelta(seconds=40))
        bench.page(read=bench.later(60).window())
        mark = bench.t.mark()
        assert mark is not None
        assert mark.at == bench.wall - timedelta(seconds=100)

    def test_what_keeps_messages_for_any_time_proves_nothing_by_a_sign_of_life(self) -> None:
        bench = Bench(OLD, durable=True)
        bench.live(seen("1", "B", int(START.timestamp() * 1000) - T0 + 10_000))
        for wait in (5, 25, 60):
            bench.page(read=bench.later(wait).window())
        bench.t.alive(bench.now, bench.wall, proved=None)
        bench.t.unreadable(bench.now, bench.wall, id=None)
        assert bench.t.stats.gap_since == START + timedelta(seconds=10)

    def test_reads_go_on_in_a_long_outage_and_the_gap_stays_open_until_its_end(self) -> None:
        bench = Bench(OLD)
        bench.later(10).t.disconnected(bench.now, bench.wall, cause="cut")
        gave = []
        for minute in range(1, 4):
            assert bench.t.deadline() == bench.now + 60
            state = seen("1", f"B{minute}", 10_000 * minute)
            gave += bench.page(state, read=bench.later(60).window())
            assert bench.t.state == "reconnecting"
        assert gave == [f"UPDATE 1B{minute} recovered" for minute in range(1, 4)]
        bench.t.connected(bench.now, bench.wall, session=2)
        assert bench.live(seen("1", "B3", 30_000)) == [], "what the server had kept is no news"
        assert bench.page() == ["gap 3"]

    def test_a_sweep_that_failed_in_the_outage_does_not_delay_the_one_after_it(self) -> None:
        for late in (False, True):
            bench = Bench(OLD)
            bench.later(10).t.disconnected(bench.now, bench.wall, cause="cut")
            bench.later(60)
            for _ in range(8):
                bench.answer(bench.window(), Failed("503"))
                bench.now = bench.t.deadline() or 0.0
            read = bench.window()
            if not late:
                bench.answer(read, Failed("503"))
            bench.later(1).t.connected(bench.now, bench.wall, session=2)
            if late:
                bench.answer(read, Failed("503"))
            assert (bench.t.deadline() or 0.0) <= bench.now
            assert bench.page(seen("1", "B", 20_000)) == ["UPDATE 1B recovered", "gap 1"]

    def test_live_changes_flow_during_recovery(self) -> None:
        bench = Bench(OLD).cut(2)
        assert bench.live(seen("1", "B", 5000)) == ["UPDATE 1B"]

    def test_a_sweep_that_began_before_the_loss_does_not_close_the_gap(self) -> None:
        bench = Bench(OLD)
        read = bench.later(5).window()
        bench.cut(1)
        assert bench.page(seen("1", "B", 2000), read=read) == ["UPDATE 1B recovered"]
        assert bench.page(seen("1", "C", 5500)) == ["UPDATE 1C recovered", "gap 2"]

    def test_a_loss_during_recovery_makes_one_gap_over_both(self) -> None:
        bench = Bench(OLD).cut(2)
        read = bench.window()
        bench.cut(2)
        assert bench.page(read=read) == []
        assert bench.page() == ["gap 0"]

    def test_another_session_without_a_goodbye_is_a_loss(self) -> None:
        bench = Bench(OLD).later(10)
        bench.t.connected(bench.now, bench.wall, session=2)
        assert bench.page() == ["gap 0"]

    def test_the_same_session_again_is_none(self) -> None:
        bench = Bench(OLD).later(10)
        bench.t.connected(bench.now, bench.wall, session=1)
        assert bench.page() == []

    def test_failing_before_the_first_connect_is_none(self) -> None:
        bench = Bench(start=False)
        bench.t.disconnected(0.0, bench.wall, cause="refused")
        assert (bench.t.state, bench.t.cause) == ("reconnecting", "refused")
        bench.t.connected(1.0, bench.wall, session=1)
        bench.now = 1.0
        assert bench.page(OLD) == ["CREATE 1A snapshot"]

    def test_the_sweep_that_fails_is_tried_until_it_works(self) -> None:
        bench = Bench(OLD).cut(2)
        for wait in (0, 1, 2, 4):
            assert bench.answer(bench.later(wait).window(), Failed("503")) == []
            assert bench.t.state == "recovering"
        assert bench.page(read=bench.later(8).window()) == ["gap 0"]

    def test_without_sweeps_it_cannot_be_recovered(self) -> None:
        bench = Bench(OLD, sweeps=False)
        assert bench.cut(2).gives() == ["gap None"]
        assert bench.later(1000).reads() == []


class TestLateFirstRead:
    """Reads that fail from the start hide nothing, whether or not the channel told the server's time."""

    @pytest.mark.parametrize("dated", [True, False])
    def test_what_was_written_in_an_outage_before_it_is_told(self, dated: bool) -> None:
        bench = Bench(start=False, snapshot=False)
        bench.t.connected(0.0, bench.wall, session=1, date=bench.date if dated else None)
        bench.answer(bench.window(), Failed("503"))
        bench.later(20).cut(5)
        written = seen("1", "A", 22_000, created=T0 + 22_000)
        gave = bench.page(seen("2", "A", -50_000), written, read=bench.window())
        assert gave == ["CREATE 1A recovered"]
        assert finish(bench, bench.now + 20) == ["gap 1"]


class TestMiss:
    def test_a_change_that_only_a_sweep_brought_is_a_gap_and_makes_a_new_session_once(self) -> None:
        bench = settled(OLD)
        assert bench.page(seen("1", "B", 80_000)) == []
        assert not bench.t.renew
        assert bench.waited() == ["UPDATE 1B recovered"]
        assert [bench.t.renew, bench.t.renew] == [True, False]
        assert bench.t.stats.misses == 1
        assert bench.cut(1).page() == ["gap 1"]

    def test_a_message_that_comes_within_the_grace_is_no_miss(self) -> None:
        bench = settled(OLD)
        bench.page(seen("1", "B", 89_900))
        assert bench.later(1).live(seen("1", "B", 89_900)) == ["UPDATE 1B"]
        assert finish(bench, bench.now + 100) == []
        assert bench.t.stats.misses == 0

    def test_a_read_does_not_overtake_the_messages_that_are_under_way(self) -> None:
        bench = settled(OLD)
        bench.page(seen("1", "C", 89_900))
        assert bench.later(9).live(seen("1", "B", 89_500)) == ["UPDATE 1B"]
        assert bench.live(seen("1", "C", 89_900)) == ["UPDATE 1C"]
        assert finish(bench, bench.now + 100) == []
        assert bench.t.stats.misses == 0

    def test_a_read_overtakes_no_message_in_the_first_second_either(self) -> None:
        bench = Bench(OLD)
        assert bench.later(5).page(seen("1", "C", 500)) == []
        assert bench.live(seen("1", "B", 300)) == ["UPDATE 1B"]
        assert bench.waited() == ["UPDATE 1C recovered"]
        assert bench.t.stats.misses == 0

    def test_a_state_that_a_miss_may_have_merged_lies_in_the_gap(self) -> None:
        """The sweep before it proved the stream whole, not the one that found the miss."""
        bench = settled(OLD)
        bench.page(seen("1", "C", 80_000))
        bench.waited()
        bench.cut(1)
        bench.t.answered(bench.now, bench.wall, bench.window(), WindowAnswer([], False, bench.date, 0))
        (gap,) = bench.t.take()
        assert isinstance(gap, Note)
        assert gap.since <= START + timedelta(seconds=30)  # the sweep at 30 s was the last before 80 s

    def test_when_the_channel_breaks_what_waited_is_given_and_lies_in_the_gap(self) -> None:
        bench = settled(OLD)
        bench.page(seen("1", "C", 80_000))
        bench.t.alive(bench.now, bench.wall, proved=bench.wall)
        bench.t.disconnected(bench.now, bench.wall, cause="cut")
        assert bench.gives() == ["UPDATE 1C recovered"]
        bench.cut(1)
        bench.t.answered(bench.now, bench.wall, bench.window(), WindowAnswer([], False, bench.date, 0))
        (gap,) = bench.t.take()
        assert isinstance(gap, Note)
        assert gap.since <= START + timedelta(seconds=30)
        assert gap.recovered == 1

    def test_a_later_row_takes_the_place_of_one_that_waits_and_waits_no_longer(self) -> None:
        bench = settled(OLD)
        bench.page(seen("1", "B", 80_000))
        bench.later(6)
        bench.t.unreadable(bench.now, bench.wall, id=None)  # has it swept at once
        assert bench.page(seen("1", "C", 95_000))[0] == "UPDATE 1C recovered"  # in that gap
        assert "recovered" not in str(finish(bench, bench.now + 20))

    def test_a_deletion_ends_the_wait(self) -> None:
        bench = settled(OLD)
        bench.page(seen("1", "B", 80_000))
        assert bench.live("1") == ["DELETE 1"]
        assert finish(bench, bench.now + 20) == []
        assert bench.asked() == []

    def test_no_more_rows_wait_than_a_bound(self) -> None:
        bench = settled(policy=RecoveryPolicy(page_size=10_000))
        gave = bench.page(*(seen(str(n), "B", 80_000, created=T0 + 79_000) for n in range(6000)))
        assert gave == []
        bench.reads()
        assert len(bench.gives()) == 1000

    def test_a_subscription_that_takes_effect_late_is_told_but_not_made_anew(self) -> None:
        bench = Bench(OLD)
        bench.page(seen("1", "B", 2000), read=bench.later(5).window())
        gave = finish(bench, bench.now + 12)
        assert gave == ["UPDATE 1B recovered", "gap 1"]
        assert not bench.t.renew

    def test_misses_that_repeat_while_other_messages_arrive_are_silent_writes(self) -> None:
        bench = settled(OLD)
        bench.page(seen("1", "B", 80_000))
        bench.later(10).reads()
        assert bench.t.renew
        bench.cut(1).page()
        finish(bench, bench.now + 60)
        bench.live(seen("2", "A", 150_000))
        for n in range(1, 5):
            read = next(iter(bench.later(60).reads()))
            bench.page(seen("1", f"B{n}", int(bench.now * 1000) - 20_000), read=read)
            assert finish(bench, bench.now + 20) == [f"UPDATE 1B{n} recovered"]
            assert not bench.t.renew
        assert bench.t.stats.misses == 5
        assert any("without a notification" in notice for notice in bench.t.notices())

    def test_misses_that_repeat_in_silence_make_sessions_ever_more_rarely(self) -> None:
        bench = settled(OLD)
        renewed = []
        for n in range(60):
            bench.later(10)
            for read in bench.reads():
                bench.page(seen("1", f"B{n}", int(bench.now * 1000) - 5000), read=read)
            if bench.t.renew:
                renewed.append(bench.now)
                bench.cut(1)
        waits = [b - a for a, b in itertools.pairwise(renewed)]
        assert len(renewed) >= 3
        assert waits == sorted(waits)

    def test_what_a_message_announced_is_no_miss(self) -> None:
        bench = settled(OLD)
        bench.live(seen("1", "B"), ordered=False)
        sweep, settle = bench.reads()
        bench.page(seen("1", "B", 80_000), read=sweep)
        bench.settle(seen("1", "B", 80_000), settle)
        finish(bench, bench.now + 30)
        assert bench.t.stats.misses == 0


class TestOverflow:
    def test_what_was_dropped_is_swept_from_its_oldest_when_the_consumer_has_caught_up(self) -> None:
        bench = Bench(seen("1", "A", -500_000), seen("2", "A", -1000)).later(5)
        bench.page()
        bench.live(seen("1", "B", 4000))
        bench.live(seen("2", "B", 4500))
        bench.t.overflowed(bench.now, bench.wall, ids={"1", "2"})
        assert bench.t.state == "recovering"
        assert [r for r in bench.later(1).reads() if hasattr(r, "page")] == []
        bench.t.caught_up(bench.now)
        read = bench.window()
        assert read.updated_from <= T0 + 4000 - 30_000 + 30_000
        gave = bench.page(seen("1", "B", 4000), seen("2", "B", 4500), read=read)
        assert gave == ["UPDATE 1B recovered", "UPDATE 2B recovered", "gap 2"]
        assert bench.t.state == "connected"

    def test_a_dropped_snapshot_row_is_reached_although_it_is_old(self) -> None:
        bench = Bench(seen("1", "A", -500_000), seen("2", "A", -1000))
        bench.t.overflowed(bench.now, bench.wall, ids={"1"})
        bench.t.caught_up(bench.now)
        read = bench.window()
        assert read.updated_from == T0 - 500_000
        assert bench.page(seen("1", "A", -500_000), seen("2", "A", -1000), read=read) == [
            "UPDATE 1A recovered",
            "gap 1",
        ]

    def test_a_dropped_creation_is_given_as_one(self) -> None:
        bench = Bench(seen("1", "A", -1000)).later(5)
        bench.page()
        for name in ("1", "2", "3"):
            bench.live(seen(name, "B", 4000, created=T0 + 4000), CREATE)
        bench.t.overflowed(bench.now, bench.wall, ids={"1", "2", "3"}, created={"2", "3"})
        assert bench.live(seen("3", "C", 5000)) == ["CREATE 3C"]
        bench.later(100).t.caught_up(bench.now)
        rows = (seen("1", "B", 4000), seen("2", "B", 4000, created=T0 - 900_000))
        assert bench.page(*rows) == ["UPDATE 1B recovered", "CREATE 2B recovered", "gap 2"]
        assert bench.live(seen("2", "C", 200_000)) == ["UPDATE 2C"]

    def test_a_dropped_deletion_is_given_again(self) -> None:
        bench = Bench(seen("1", "A", -1000))
        bench.live("1")
        bench.t.overflowed(bench.now, bench.wall, ids={"1"})
        bench.t.caught_up(bench.now)
        bench.page()
        bench.reads()
        assert bench.gives() == ["DELETE 1 recovered", "gap 1"]

    def test_more_dropped_deletions_than_the_buffer_holds_are_told_as_it_empties(self) -> None:
        """Told at once they would be dropped again, and again after the next sweep, for ever."""
        rows = [seen(str(n), "A", -1000) for n in range(5)]
        bench = Bench(*rows, policy=RecoveryPolicy(page_size=2))
        for row in rows:
            bench.live(row.id)
        bench.t.overflowed(bench.now, bench.wall, ids={row.id for row in rows})
        bench.t.caught_up(bench.now)
        assert bench.page() == []
        told: list[str] = []
        for _ in range(3):
            bench.t.reads(bench.now, paused=True)
            assert bench.gives() == []
            assert bench.t.deadline() != bench.now
            bench.reads()
            portion = bench.gives()
            assert len(portion) == 2
            told += portion
        assert sorted(told) == [f"DELETE {row.id} recovered" for row in rows] + ["gap 5"]
        assert bench.t.state == "connected"

    def test_dropped_deletions_that_are_dropped_again_are_told_all_the_same(self) -> None:
        bench = Bench(seen("1", "A", -1000), seen("2", "A", -1000), policy=RecoveryPolicy(page_size=1))
        for name in ("1", "2"):
            bench.live(name)
        bench.t.overflowed(bench.now, bench.wall, ids={"1", "2"})
        bench.t.caught_up(bench.now)
        bench.page()
        bench.reads()
        (first,) = bench.gives()
        bench.t.overflowed(bench.now, bench.wall, ids={first.split()[1]})
        bench.reads()
        assert bench.gives() == [], "not before the consumer has caught up"
        bench.later(100).t.caught_up(bench.now)
        bench.page()
        for _ in range(2):
            bench.reads()
        assert sorted(bench.gives()) == ["DELETE 1 recovered", "DELETE 2 recovered", "gap 3"]

    def test_what_the_sweep_did_not_bring_is_read_by_id(self) -> None:
        bench = Bench(seen("1", "A", -1000))
        bench.t.overflowed(bench.now, bench.wall, ids={"1"})
        bench.t.caught_up(bench.now)
        assert bench.page() == ["gap 0"]
        assert bench.settle(seen("1", "A", -1000)) == ["UPDATE 1A recovered"]

    def test_live_messages_give_what_was_dropped_meanwhile(self) -> None:
        bench = Bench(seen("1", "A", -1000))
        bench.t.overflowed(bench.now, bench.wall, ids={"1"})
        assert bench.live(seen("1", "A", -1000)) == ["UPDATE 1A"]
        bench.t.caught_up(bench.now)
        assert bench.gives() == ["gap 0"]

    def test_a_deletion_that_was_forgotten_before_it_could_be_given_is_lost_and_said_so(self) -> None:
        bench = Bench(seen("1", "A", -1000), policy=RecoveryPolicy(remembered=2))
        bench.live("1")
        bench.t.overflowed(bench.now, bench.wall, ids={"1"})
        for n in range(3):
            bench.live(seen(f"c{n}", "A", n, open=False))
        bench.t.caught_up(bench.now)
        assert bench.page()[-1] == "gap None"


@pytest.mark.parametrize("wait", [0.0, 3.0])
def test_stats_count(wait: float) -> None:
    bench = Bench(OLD).cut(wait)
    bench.page(seen("1", "B", 100))
    stats = bench.t.stats
    assert (stats.reconnects, stats.gaps, stats.recovered, stats.delivered) == (1, 1, 1, 2)
