import anyio
import pytest

from tocsin._stream._states import StateBoard, StateChanges
from tocsin.errors import TocsinError
from tocsin.models import StreamState
from unit.stream.stream_fakes import wall


def board():
    return StateBoard("fake", "here", wall)


async def test_a_watcher_sees_the_present_state_then_each_change_then_the_end():
    states = board()
    watcher = StateChanges(states)
    seen = []

    async def watch():
        async for change in watcher:
            seen.append((str(change.state), change.cause))  # noqa: PERF401 - watched while it grows

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.wait_all_tasks_blocked()
        assert seen == [("reconnecting", None)]
        states.post(StreamState.RECONNECTING, "refused")
        states.post(StreamState.RECONNECTING, "refused")
        states.post(StreamState.CONNECTED, None)
        states.post(StreamState.CLOSED, None)
        states.post(StreamState.CONNECTED, None)
    assert seen == [
        ("reconnecting", None),
        ("reconnecting", "refused"),
        ("connected", None),
        ("closed", None),
    ]


async def test_a_slow_watcher_misses_the_oldest_not_the_newest():
    states = board()
    watcher = StateChanges(states)
    for n in range(1000):
        states.post(StreamState.RECONNECTING, str(n))
    states.post(StreamState.CLOSED, None)
    seen = [change.cause async for change in watcher]
    assert len(seen) < 100
    assert seen[-2:] == ["999", None]


async def test_watchers_begin_with_what_holds_now_even_when_it_is_the_end():
    states = board()
    states.post(StreamState.CLOSED, "x")
    assert [c.cause async for c in StateChanges(states)] == ["x"]


async def test_wait_for_returns_at_once_waits_and_sees_states_that_passed_quickly():
    states = board()
    assert (await states.wait_for((StreamState.RECONNECTING,))).cause is None

    async def flicker():
        states.post(StreamState.CONNECTED, None)
        states.post(StreamState.RECONNECTING, "again")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flicker)
        found = await states.wait_for((StreamState.CONNECTED, StreamState.DEGRADED))
    assert found.state is StreamState.CONNECTED


async def test_waiting_for_a_state_that_cannot_come_is_an_error():
    states = board()
    states.post(StreamState.CLOSED, "wrong password")
    with pytest.raises(TocsinError, match="wrong password"):
        await states.wait_for((StreamState.CONNECTED,))
    assert (await states.wait_for((StreamState.CLOSED,))).cause == "wrong password"
