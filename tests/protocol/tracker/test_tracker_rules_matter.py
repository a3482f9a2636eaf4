"""Each rule, switched off, breaks a promise: in the simulation for some seed, or in the table of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.tracker import test_tracker_live as live
from protocol.tracker import test_tracker_losses as losses
from protocol.tracker import test_tracker_reconcile as reconcile
from protocol.tracker import test_tracker_rows as rows
from protocol.tracker import test_tracker_sweeps as sweeps
from protocol.tracker.test_tracker_promises import WORLDS
from protocol.tracker.tracker_bench import Bench
from protocol.tracker.tracker_sim import BrokenPromiseError, Simulation
from tocsin._stream._answers import Failed, Missing
from tocsin._stream._tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = 25


def cripple(base: type = Tracker, /, **methods: Callable) -> type[Tracker]:
    return type("Cripple", (base,), methods)


def believe(self, cell, id, seen, action):  # noqa: A002
    if seen is not None:
        self._believe(cell, seen, action)


def nothing(self, *args, **kwargs):
    return None


def no(self, *args, **kwargs):
    return False


def yes(self, *args, **kwargs):
    return True


def only_once_attached(self, now, wall, **more):
    Tracker.connected(self, now, wall, **more)
    self._due = self._due[:1]


def learning_from_messages(self, cell, seen, action, lane):
    Tracker._drop_same(self, cell, seen, action, lane)
    cell.learn(seen)


def cursor_from_the_clock(self, plan):
    self._cursor = 1_000_000 + int(self._now * 1000) + 8000


def cursor_from_any_window(self, read, plan, answer):
    Tracker._window_answered(self, read, plan, answer)
    if self._sweep is plan and self._begun:
        Tracker._advance(self, plan)


def no_splitting(self, purpose, windows):
    plan = Tracker._plan(self, purpose, windows)
    plan._splits = False
    return plan


def only_the_first_page(self, read, plan, answer):
    if hasattr(answer, "more"):
        answer = type(answer)(answer.rows, False, answer.date)
    Tracker._window_answered(self, read, plan, answer)


def everything_is_missing(self, read_id, r0):
    cell = self._cells.get(read_id)
    self._doubts.settled(read_id, r0)
    if cell is not None and not cell.gone:
        self._bury(cell, read_id, "recovered")


def failures_are_missing(self, read, answer):
    Tracker._one_answered(self, read, Missing() if isinstance(answer, Failed) else answer)


def closing_at_once(self, plan, wall, *, recoverable):
    plan.epoch = self._epoch
    plan.seq = self._seq + 1
    Tracker._swept(self, plan, wall, recoverable=recoverable)


def any_word(self, cell, seen, action, origin, lane):
    cell.shown = True
    return Tracker._give(self, cell, seen, action, origin, lane)


def always_renewing(self, now, wall, count, *, late):
    Tracker._missed(self, now, wall, count, late=late)
    self._renew = True


def believing_lists(self, current_pass_or_read, *args):
    return None


NO_PASS = {"_pass_due": property(nothing, nothing)}
"""Passes would repair what is broken here, a quarter of an hour later."""

IN_THE_SIMULATION = {
    "Live 2: what is the same is dropped": ({"_is_same": no}, "doubled and late"),
    "Live 4: only the ordered path proves order": ({"_in_order": yes}, "all at once"),
    "Live 5: doubt is settled by a read": ({"_doubt": believe}, "doubled and late"),
    "Row 3: a read must be sent after all we knew": ({"_is_after": yes}, "partial messages"),
    "a young alarm's 404 is asked again": ({"_is_young": no}, "lagging replicas"),
    "there are sweeps": ({"_sweep_windows": lambda self, cursor: []}, "cuts"),
    "sweeps overlap": ({"_overlap_ms": lambda self: 0, **NO_PASS}, "lagging, nothing deleted"),
    "the cursor comes from the server": (
        {"_advance": cursor_from_the_clock, **NO_PASS},
        "cuts, nothing deleted",
    ),
    "a window is complete without next": ({"_window_answered": only_the_first_page}, "bursts"),
    "there are passes": (NO_PASS, "silent writes"),
    "a gap is told": ({"_open_loss": nothing}, "cuts"),
    "the consumer's overflow is recovered": ({"overflowed": nothing}, "slow consumer"),
    "an overflow reaches back to the oldest": (
        {"_oldest_owed": nothing, "_end_spill": nothing},
        "slow consumer",
    ),
    "what leaves the filter is given once": ({"_give": any_word}, "filtered"),
}


@pytest.mark.parametrize("rule", IN_THE_SIMULATION)
def test_without_it_the_simulation_breaks(rule: str) -> None:
    methods, world = IN_THE_SIMULATION[rule]
    broken = cripple(**methods)
    for seed in range(SEEDS):
        try:
            Simulation(seed, WORLDS[world], broken).run()
        except BrokenPromiseError:
            return
    pytest.fail(f"{SEEDS} runs of {world!r} went well without it")


@pytest.mark.parametrize("world", ["lagging, nothing deleted", "cuts, nothing deleted"])
def test_where_nothing_is_deleted_sweeps_alone_keep_the_promises(world: str) -> None:
    for seed in range(SEEDS):
        Simulation(seed, WORLDS[world], cripple(**NO_PASS)).run()


IN_A_TABLE = {
    "doubt is settled": (
        {"_doubt": nothing},
        rows.test_a_doubt_is_settled_by_a_read_sent_later_and_keeps_the_wires_word,
    ),
    "a message teaches no lastUpdated": (
        {"_drop_same": learning_from_messages},
        live.test_an_equal_message_without_a_stamp_teaches_no_stamp,
    ),
    "an unreadable message is a loss": (
        {"unreadable": nothing},
        live.test_an_unreadable_message_without_an_id_is_a_gap_until_a_sweep,
    ),
    "a redelivery costs no read": (
        {"_is_redelivery": no},
        live.test_the_last_four_states_are_known_when_they_come_again_and_cost_no_read,
    ),
    "Live 3: a newer state costs no read": ({"_is_newer": no}, live.test_a_then_b_then_a_are_three_changes),
    "a stale replica is not believed at once": (
        {"_is_stale": no},
        rows.test_a_stale_replica_that_catches_up_changes_nothing,
    ),
    "a stale replica is believed in the end": (
        {"_is_stale": yes},
        rows.test_a_stale_replica_is_asked_three_times_and_then_believed,
    ),
    "a 404 must be younger than the last sign of life": (
        {"_absent": everything_is_missing},
        rows.test_a_404_is_a_deletion_only_if_it_was_asked_for_after_the_last_sign_of_life,
    ),
    "a failed read deletes nothing": (
        {"_one_answered": failures_are_missing},
        lambda: rows.test_a_read_that_fails_never_deletes_and_is_repeated_ever_more_rarely(permanent=False),
    ),
    "a flood is swept": (
        {"_awaits_sweep": no},
        rows.test_a_flood_is_swept_once_and_only_what_the_sweep_left_is_read_by_id,
    ),
    "sweeps after five seconds and after the overlap": (
        {"connected": only_once_attached},
        sweeps.test_a_sweep_after_connect_after_five_seconds_after_the_overlap_then_each_minute,
    ),
    "only a complete sweep moves the cursor": (
        {"_window_answered": cursor_from_any_window},
        lambda: sweep_is_whole_with_two_partitions(),
    ),
    "windows are split": (
        {"_plan": no_splitting},
        lambda: (
            sweeps.test_a_set_larger_than_a_page_is_split_by_creation_time_until_each_window_is_one_response(
                9
            )
        ),
    ),
    "a gap waits for a sweep that began after it": (
        {"_swept": closing_at_once},
        losses.TestGap().test_a_sweep_that_began_before_the_loss_does_not_close_the_gap,
    ),
    "misses are noticed": (
        {"_waits": no},
        losses.TestMiss().test_a_change_that_only_a_sweep_brought_is_a_gap_and_makes_a_new_session_once,
    ),
    "rows wait for their messages": (
        {"_waits": no},
        losses.TestMiss().test_a_read_does_not_overtake_the_messages_that_are_under_way,
    ),
    "silent writes make no sessions": (
        {"_missed": always_renewing},
        losses.TestMiss().test_misses_that_repeat_while_other_messages_arrive_are_silent_writes,
    ),
    "a pass suspects only what nobody touched": (
        {"_suspects": believing_lists},
        reconcile.test_who_vanished_is_read_by_id_and_only_a_404_deletes,
    ),
    "a failed window ends a pass": (
        {"_abort_pass": nothing},
        reconcile.test_a_failed_window_ends_the_pass_without_a_deletion_and_it_is_tried_again_soon,
    ),
    "the credentials are checked": (
        {"_check_answered": nothing},
        reconcile.TestManyMissing().test_if_they_are_good_each_is_read,
    ),
    "what the stream began with is no news": (
        {"_is_known_before": no},
        live.test_a_message_that_the_silent_first_read_overtook_is_given,
    ),
    "a closed alarm that was forgotten is no news": (
        {"_is_known_before": no},
        reconcile.test_a_forgotten_closed_alarm_in_a_list_is_no_news,
    ),
    "a crowd is told": ({"_check_crowd": nothing}, sweeps.test_too_many_open_alarms_later_are_a_standing_gap),
    "polled rows are the channel": ({"_polls": no}, sweeps.TestPolling().test_rows_are_live),
}


def sweep_is_whole_with_two_partitions() -> None:
    bench = Bench(partitions=("a", "b"), start=False)
    bench.t.connected(0.0, bench.wall, session=1)
    bench.page()
    bench.page()
    cursor = bench.t.cursor
    bench.page(sweeps.seen("1", "A", 4000), read=bench.later(5).window())
    assert bench.t.cursor == cursor


@pytest.mark.parametrize("rule", IN_A_TABLE)
def test_without_it_its_table_breaks(rule: str) -> None:
    methods, table = IN_A_TABLE[rule]
    table()
    Bench.tracker = cripple(**methods)
    try:
        with pytest.raises((AssertionError, ValueError, TypeError)):
            table()
    finally:
        Bench.tracker = Tracker
