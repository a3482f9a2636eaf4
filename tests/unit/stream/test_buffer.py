import random

import anyio
import pytest

from tocsin._stream._buffer import Buffer, join_gaps
from tocsin.models import Action, Gap, Origin
from unit.stream.stream_fakes import change, gap, wall


def ids(items):
    return [item.id if not isinstance(item, Gap) else "gap" for item in items]


async def drain(buffer):
    """All that waits, without waiting for more."""
    got = []
    while len(buffer) or buffer._lost:
        got += await buffer.take()
    return got


async def test_items_cross_in_order_and_in_bounded_batches():
    buffer = Buffer(10_000, "recover")
    assert buffer.push([change(n) for n in range(1000)]) == []
    first = await buffer.take()
    assert 0 < len(first) < 1000
    assert ids(first + await drain(buffer)) == [str(n) for n in range(1000)]
    assert buffer.delivered == 1000


async def test_a_waiting_consumer_is_woken():
    buffer = Buffer(10, "recover")
    got = []

    async def consume():
        got.extend(await buffer.take())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        buffer.push([change(1), change(2)])
    assert ids(got) == ["1", "2"]


async def test_recover_drops_all_changes_names_them_and_keeps_gaps():
    buffer = Buffer(3, "recover")
    buffer.push([change(1), gap(), change(2)])
    dropped = buffer.push([change(3), change(4)])
    assert ids(dropped) == ["1", "2", "3", "4"]
    assert buffer.dropped == 4
    assert ids(await drain(buffer)) == ["gap"]


async def test_the_limit_itself_is_not_too_many():
    for overflow in ("recover", "conflate", "drop_oldest"):
        buffer = Buffer(3, overflow)
        assert buffer.push([gap(), change(1), change(2), change(3)]) == []
        assert ids(await drain(buffer)) == ["gap", "1", "2", "3"]
        assert buffer.dropped == 0


async def test_drop_oldest_tells_the_loss_in_its_place():
    buffer = Buffer(2, "drop_oldest")
    buffer.push([change(n, at=n) for n in range(5)])
    lost, *rest = await drain(buffer)
    assert lost == Gap(wall(0), wall(2), "buffer full", None, "fake", "here")
    assert ids(rest) == ["3", "4"]
    assert buffer.dropped == 3
    buffer.push([change(9)])
    assert ids(await drain(buffer)) == ["9"], "told once"


async def test_drop_oldest_does_not_drop_a_gap_that_stood_between():
    buffer = Buffer(2, "drop_oldest")
    buffer.push([change(1, at=5), gap(0, 4, "cut", 2), change(2, at=6), change(3, at=7)])
    buffer.push([change(4, at=8)])
    lost, *rest = await drain(buffer)
    assert (lost.since, lost.until, lost.recovered) == (wall(0), wall(6), None)
    assert ids(rest) == ["3", "4"]


async def test_conflate_keeps_the_place_of_the_first_and_the_state_of_the_last():
    buffer = Buffer(3, "conflate")
    buffer.push([change(1, Action.CREATE, "a"), change(2, value="x"), change(3, Action.CREATE, "q")])
    buffer.push([change(2, value="y"), change(1, value="b"), change(3, Action.DELETE)])
    buffer.push([change(2, Action.DELETE), change(2, Action.CREATE, "again")])
    got = await drain(buffer)
    assert [(c.id, c.action, c.alarm) for c in got] == [
        ("1", Action.CREATE, "b"),
        ("2", Action.CREATE, "again"),
        ("3", Action.DELETE, None),
    ]
    assert buffer.conflated == 5
    assert buffer.dropped == 0


async def test_conflate_above_its_limit_of_alarms_acts_as_recover():
    buffer = Buffer(2, "conflate")
    buffer.push([gap(), change(1), change(2)])
    assert ids(buffer.push([change(1), change(3)])) == ["1", "2", "3"]
    assert ids(await drain(buffer)) == ["gap"]


async def test_conflate_tells_each_gap_by_itself():
    buffer = Buffer(5, "conflate")
    buffer.push([gap(0, 1), change(1), gap(2, 3)])
    assert ids(await drain(buffer)) == ["gap", "1", "gap"]


@pytest.mark.parametrize("overflow", ["recover", "conflate", "drop_oldest", "block"])
async def test_gaps_pile_up_to_a_bound(overflow):
    buffer = Buffer(5, overflow)
    buffer.push([change(1)])
    for n in range(1000):
        buffer.push([gap(n, n + 1, cause=f"cut {n % 3}", recovered=1)])
        assert len(buffer) <= 20
    items = await drain(buffer)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert min(g.since for g in gaps) == wall(0)
    assert max(g.until for g in gaps) == wall(1000)
    assert sum(g.recovered for g in gaps) == 1000
    assert ids(items)[0] == "1"
    assert all(len(g.cause) < 30 for g in gaps)


def test_joined_gaps_are_unrecoverable_if_one_is():
    joined = join_gaps([gap(3, 4, recovered=2), gap(1, 2, recovered=None), gap(2, 3, recovered=1)])
    assert (joined.since, joined.until, joined.recovered) == (wall(1), wall(4), None)


async def test_block_drops_nothing_and_room_waits():
    buffer = Buffer(2, "block")
    passed = []

    async def produce():
        for n in range(6):
            await buffer.room()
            passed.append(n)
            buffer.push([change(n)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(produce)
        await anyio.wait_all_tasks_blocked()
        assert passed == [0, 1]
        got = []
        while len(got) < 6:
            got += await buffer.take()
            await anyio.wait_all_tasks_blocked()
            assert len(buffer) <= 2
    assert ids(got) == ["0", "1", "2", "3", "4", "5"]
    assert buffer.dropped == 0


async def test_the_rest_is_given_then_the_error_once_then_the_end():
    buffer = Buffer(10, "recover")
    error = KeyError("x")
    buffer.push([change(1)])
    buffer.close(error)
    buffer.push([change(2)])
    assert ids(await buffer.take()) == ["1"]
    with pytest.raises(KeyError) as caught:
        await buffer.take()
    assert caught.value is error
    assert await buffer.take() == []
    assert await buffer.take() == []


async def test_closing_wakes_who_waits():
    buffer = Buffer(1, "block")
    full = Buffer(1, "block")
    full.push([change(1)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(buffer.take)
        tasks.start_soon(full.room)
        await anyio.wait_all_tasks_blocked()
        buffer.close()
        full.close()


async def test_closing_may_discard():
    buffer = Buffer(10, "conflate")
    buffer.push([change(1), gap()])
    buffer.close(KeyError())
    buffer.close(discard=True)
    assert await buffer.take() == []


async def test_demand_is_told_when_something_was_taken_and_when_nothing_was_there():
    seen = []
    buffer = Buffer(4, "recover")
    buffer.on_demand = lambda: seen.append(len(buffer))
    buffer.push([change(1)])
    await buffer.take()
    assert seen == [0]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(buffer.take)
        await anyio.wait_all_tasks_blocked()
        assert seen == [0, 0]
        buffer.push([change(2)])


async def test_an_overflow_while_the_consumer_is_on_its_way_loses_the_wait_not_the_consumer():
    buffer = Buffer(1, "recover")
    buffer.push([change(1)])
    got = []

    async def consume():
        got.extend(await buffer.take())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        assert ids(buffer.push([change(2)])) == ["1", "2"]
        await anyio.wait_all_tasks_blocked()
        assert got == []
        buffer.push([change(3)])
    assert ids(got) == ["3"]


async def test_a_cancelled_take_loses_nothing():
    rng = random.Random(7)
    buffer = Buffer(100_000, "recover")
    total, got, takes = 20_000, [], 0

    async def produce():
        sent = 0
        while sent < total:
            size = min(rng.randint(1, 40), total - sent)
            buffer.push([change(n, origin=Origin.LIVE) for n in range(sent, sent + size)])
            sent += size
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(produce)
        while len(got) < total:
            takes += 1
            with anyio.CancelScope() as scope:
                if takes % 3 == 0:
                    scope.cancel()
                elif takes % 3 == 1:
                    scope.deadline = anyio.current_time()
                got += await buffer.take()
    assert ids(got) == [str(n) for n in range(total)]
