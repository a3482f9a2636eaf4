"""Places for connections: never more than there are, none lost, in the order asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._http._h1._pool import Pool

HOME = ("http", "home", 80)
AWAY = ("http", "away", 80)


class Bench:
    """A pool, and what became of its connections."""

    def __init__(self, size=2, keepalive=5.0):
        self.dropped = []
        self.pool = Pool(size, keepalive, self.dropped.append)
        self.woken = []
        self.opened = 0
        self.now = 0.0

    def claim(self, origin=HOME):
        claim = self.pool.claim(origin, self.now)
        claim.wake = lambda: self.woken.append(claim)
        return claim

    def connect(self, claim):
        assert claim.granted
        if claim.connection is None:
            self.opened += 1
            claim.connection = (claim.origin, self.opened)
        assert claim.connection[0] == claim.origin
        return claim.connection

    def back(self, claim, reusable=True):
        self.pool.give_back(claim, self.now, reusable=reusable)


def test_the_connection_used_last_is_used_next():
    bench = Bench(3)
    claims = [bench.claim() for _ in range(3)]
    made = [bench.connect(claim) for claim in claims]
    for claim in claims:
        bench.back(claim)
    assert [bench.claim().connection for _ in range(3)] == made[::-1]


def test_who_waits_gets_in_by_turns_and_nobody_overtakes():
    bench = Bench(1)
    first, second, third = (bench.claim() for _ in range(3))
    connection = bench.connect(first)
    assert not second.granted
    bench.back(first)
    assert bench.woken == [second]
    assert second.connection is connection
    late = bench.claim()
    bench.back(second, reusable=False)
    assert bench.dropped == [connection]
    assert third.granted
    assert third.connection is None
    assert not late.granted


def test_who_gives_up_leaves_the_queue_or_passes_on_what_was_granted_meanwhile():
    bench = Bench(1)
    first, second, third = (bench.claim() for _ in range(3))
    connection = bench.connect(first)
    bench.back(second)
    bench.back(first)
    assert bench.woken == [third]
    fourth = bench.claim()
    bench.back(third)  # cancelled just as it was woken: its connection has seen nothing of it
    assert fourth.connection is connection
    bench.back(third)
    bench.back(third, reusable=False)
    assert bench.pool.held == 1
    assert bench.dropped == []


def test_idle_connections_expire():
    bench = Bench(2)
    claims = [bench.claim(), bench.claim()]
    old, young = (bench.connect(claim) for claim in claims)
    bench.back(claims[0])
    bench.now = 3.0
    bench.back(claims[1])
    bench.now = 5.0
    assert bench.claim().connection is young
    assert bench.dropped == [old]


def test_a_connection_to_another_place_is_not_used_and_makes_room():
    bench = Bench(1)
    first = bench.claim()
    connection = bench.connect(first)
    bench.back(first)
    other = bench.claim(AWAY)
    assert other.connection is None
    assert bench.dropped == [connection]
    waiting = bench.claim(HOME)
    bench.connect(other)
    bench.back(other)
    assert waiting.connection is None
    assert len(bench.dropped) == 2


def test_closing_drops_what_is_idle_wakes_who_waits_and_names_what_is_used():
    bench = Bench(2)
    idle, used = bench.claim(), bench.claim()
    waiting = bench.claim()
    bench.connect(idle)
    connection = bench.connect(used)
    bench.back(waiting)
    bench.back(idle)
    waiting = bench.claim(AWAY)
    assert waiting.granted
    queued = bench.claim()
    assert bench.pool.close() == [connection]
    assert bench.woken == [queued]
    assert not queued.granted
    bench.back(used)
    bench.back(waiting)
    assert connection in bench.dropped
    assert not bench.claim().granted
    assert (bench.pool.held, bench.pool.idle) == (0, 0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["claim", "away", "back", "spoil", "wait"]), st.integers(0, 20)), max_size=60
)


@pytest.mark.parametrize("size", [1, 3])
@given(STEPS)
def test_whatever_happens_no_place_is_lost_and_no_connection_is_shared(size, steps):
    bench = Bench(size)
    claims, closed = [], 0
    for step, which in steps:
        if step in {"claim", "away"}:
            claims.append(bench.claim(AWAY if step == "away" else HOME))
        elif step == "wait":
            bench.now += which / 2
        elif claims:
            bench.back(claims.pop(which % len(claims)), reusable=step == "back")
        for claim in claims:
            if claim.granted:
                bench.connect(claim)
        held = [claim for claim in claims if claim.granted]
        waiting = [claim for claim in claims if not claim.granted]
        assert claims == held + waiting  # by turns
        assert (bench.pool.held, bench.pool.waiting) == (len(held), len(waiting))
        assert len(held) + bench.pool.idle <= size
        assert not waiting or len(held) == size
        used = [claim.connection for claim in held]
        assert len(set(used)) == len(used)
        assert not set(used) & set(bench.dropped)
        assert len(set(bench.dropped)) == len(bench.dropped) >= closed
        closed = len(bench.dropped)
        assert bench.opened == len(held) + bench.pool.idle + closed
