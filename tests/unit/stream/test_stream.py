import asyncio
import contextlib
import gc
import threading

import anyio
import pytest

from tocsin.errors import ConfigurationError, ConnectError, GapError, ProtocolError, RequestTimeoutError
from tocsin.models import Gap, StreamState
from unit.stream.stream_fakes import Client, change, gap


def numbers(count, then=None):
    async def feed(reader):
        reader.connected()
        for n in range(count):
            reader.buffer.push([change(n)])
            await anyio.lowlevel.checkpoint()
        if then is not None:
            raise then
        await anyio.sleep_forever()

    return feed


async def test_iterating_starts_it_and_closing_ends_it():
    async with Client() as client:
        stream, reader = client.stream(numbers(3))
        assert reader.starts == 0
        got = []
        async for item in stream:
            got.append(item.id)
            if len(got) == 3:
                await stream.aclose()
        assert got == ["0", "1", "2"]
        assert reader.has_ended
        assert reader.left == 1
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()


async def test_entering_waits_until_it_is_attached():
    gate = anyio.Event()

    async def feed(reader):
        await gate.wait()
        reader.connected()
        await anyio.sleep_forever()

    async with Client() as client, anyio.create_task_group() as tasks:
        stream, reader = client.stream(feed)
        entered = anyio.Event()

        async def enter():
            async with stream as same:
                assert same is stream
                assert stream.state is StreamState.CONNECTED
                entered.set()

        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        assert not entered.is_set()
        assert stream.state is StreamState.RECONNECTING
        gate.set()
        await entered.wait()
        await reader.wait_end()
    assert stream.state is StreamState.CLOSED


async def test_a_fatal_error_is_raised_as_itself_at_entering():
    error = ProtocolError("no")

    async def feed(reader):
        await anyio.lowlevel.checkpoint()
        raise error

    async with Client() as client:
        stream, reader = client.stream(feed)
        with pytest.raises(ProtocolError) as caught:
            async with stream:
                pytest.fail("entered")
        assert caught.value is error
        assert reader.left == 1
        assert [item async for item in stream] == []
        with pytest.raises(ConfigurationError, match="closed"):
            async with stream:
                pass


async def test_a_fatal_error_comes_after_the_items_once_and_reaches_only_its_own_stream():
    error = ProtocolError("no")
    async with Client() as client:
        bad, _ = client.stream(numbers(2, error))
        good, _ = client.stream(numbers(2))
        got = []
        with pytest.raises(ProtocolError) as caught:  # noqa: PT012
            async for item in bad:
                got.append(item.id)  # noqa: PERF401 - kept when it raises
        assert caught.value is error
        assert got == ["0", "1"]
        assert [item async for item in bad] == []
        assert bad.state is StreamState.CLOSED
        assert bad.cause == "no"
        async with good:
            assert (await good.__anext__()).id == "0"


async def test_not_attached_in_time_says_why():
    async def feed(reader):
        reader.board.post(StreamState.RECONNECTING, "connection refused")
        await anyio.sleep_forever()

    async with Client() as client:
        stream, reader = client.stream(feed, open_timeout=0.02)
        with pytest.raises(RequestTimeoutError, match=r"0\.02 s: connection refused"):
            async with stream:
                pytest.fail("entered")
        assert reader.has_ended


async def test_without_a_limit_it_waits_and_the_first_failure_is_seen_at_once():
    gate = anyio.Event()

    async def feed(reader):
        reader.board.post(StreamState.RECONNECTING, "connection refused")
        await gate.wait()
        reader.connected()
        await anyio.sleep_forever()

    async with Client() as client, anyio.create_task_group() as tasks:
        stream, _ = client.stream(feed, open_timeout=None)
        seen = []

        states = stream.states()

        async def watch():
            async for change in states:
                seen.append((str(change.state), change.cause))
                if change.cause == "connection refused":
                    gate.set()

        tasks.start_soon(watch)
        async with stream:
            assert stream.state is StreamState.CONNECTED
    assert seen == [
        ("reconnecting", None),
        ("reconnecting", "connection refused"),
        ("connected", None),
        ("closed", None),
    ]


@pytest.mark.parametrize("rounds", range(6))
async def test_cancelling_an_entering_leaves_nothing(rounds):
    async def feed(reader):
        await anyio.sleep_forever()

    async with Client() as client:
        stream, reader = client.stream(feed, open_timeout=None)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cut():
                    for _ in range(rounds):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                tasks.start_soon(cut)
                async with stream:
                    pytest.fail("entered")
        assert scope.cancelled_caught
        assert stream.state is StreamState.CLOSED
        assert reader.has_ended


async def test_the_body_error_of_a_stream_leaves_as_itself():
    error = KeyError("mine")
    async with Client() as client:
        stream, reader = client.stream()
        with pytest.raises(KeyError) as caught:
            async with stream:
                raise error
        assert caught.value is error
        assert caught.value.__context__ is None
        assert reader.has_ended


async def test_a_stream_that_outlives_its_client_raises_also_in_a_waiting_task():
    async with anyio.create_task_group() as tasks:
        raised = []

        async def consume(stream):
            try:
                async for _ in stream:
                    pass
            except ConfigurationError as error:
                raised.append(str(error))

        async with Client() as client:
            waiting, _ = client.stream(numbers(2))
            later, _ = client.stream(numbers(2))
            tasks.start_soon(consume, waiting)
            assert (await later.__anext__()).id == "0"
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(ConfigurationError, match="client of this stream was closed"):  # noqa: PT012
            while True:
                await later.__anext__()
        with pytest.raises(StopAsyncIteration):
            await later.__anext__()
    assert raised == ["the client of this stream was closed"]


async def test_an_unopened_or_closed_client_says_so():
    client = Client()
    stream, _ = client.stream()
    with pytest.raises(ConfigurationError, match="not open"):
        await stream.__anext__()
    async with client:
        pass
    with pytest.raises(ConfigurationError, match="is closed"):
        async with stream:
            pass


async def test_two_tasks_cannot_iterate_at_once():
    async with Client() as client, anyio.create_task_group() as tasks:
        stream, _ = client.stream()

        async def consume():
            async for _ in stream:
                pass

        tasks.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ConfigurationError, match="another task"):
            await stream.__anext__()
        await stream.aclose()


async def test_closing_from_another_task_twice_and_from_inside():
    async with Client() as client, anyio.create_task_group() as tasks:
        stream, reader = client.stream(numbers(1))
        ends = []

        async def consume():
            async for _ in stream:
                pass
            ends.append("end")

        tasks.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(stream.aclose)
        await stream.aclose()
        await stream.aclose()
        await anyio.wait_all_tasks_blocked()
        assert ends == ["end"]
        assert reader.left == 1
        inside, _ = client.stream(numbers(5))
        async for _ in inside:
            await inside.aclose()


async def test_closing_a_stream_that_was_never_started():
    stream, reader = Client().stream()
    await stream.aclose()
    assert stream.state is StreamState.CLOSED
    assert [c.state async for c in stream.states()] == [StreamState.CLOSED]
    assert reader.starts == 0


async def test_closing_at_once_after_starting():
    async with Client() as client:
        stream, reader = client.stream()
        with anyio.move_on_after(0):
            await stream.__anext__()
        await stream.aclose()
        assert reader.has_ended


async def test_breaking_out_leaves_no_task():
    async with Client() as client:
        stream, reader = client.stream(numbers(5))
        async for _ in stream:
            break
        assert not reader.has_ended
        del stream
        with anyio.fail_after(20):
            await reader.wait_end()
        assert reader.left == 1


async def test_dropping_only_the_changes_view_ends_it_too():
    async with Client() as client:
        stream, reader = client.stream(numbers(5))
        changes = stream.only_changes()
        del stream
        async for _ in changes:
            break
        del changes
        with anyio.fail_after(20):
            await reader.wait_end()


async def test_a_stream_dropped_in_another_thread_is_only_marked():
    async with Client() as client:
        stream, reader = client.stream(numbers(5))
        assert (await stream.__anext__()).id == "0"
        held = [stream]
        del stream
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join(5)
        assert reader.abandoned
        await anyio.wait_all_tasks_blocked()
        assert not reader.has_ended, "feed looks at the mark when it wakes; this one never does"


def test_a_stream_dropped_after_its_loop_is_harmless():
    kept = []

    async def main():
        async with Client() as client:
            stream, _ = client.stream(numbers(5))
            await stream.__anext__()
            kept.append(stream)

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)
        kept.clear()
        gc.collect()


async def test_a_cancelled_step_loses_nothing():
    async def feed(reader):
        reader.connected()
        for n in range(300):
            reader.buffer.push([change(n)])
            await anyio.lowlevel.checkpoint()
        await anyio.sleep_forever()

    async with Client() as client:
        stream, _ = client.stream(feed, limit=1000)
        got, turn = [], 0
        while len(got) < 300:
            turn += 1
            with anyio.CancelScope() as scope:
                if turn % 3 == 0:
                    scope.cancel()
                elif turn % 3 == 1:
                    scope.deadline = anyio.current_time()
                got.append((await stream.__anext__()).id)
        assert got == [str(n) for n in range(300)]
        await stream.aclose()


async def test_limits_around_the_loop_are_clean(anyio_backend_name):
    async with Client() as client:
        stream, reader = client.stream(numbers(1))
        with anyio.move_on_after(0.01) as scope:
            async for _ in stream:
                pass
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await stream.__anext__()
        if anyio_backend_name == "asyncio":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await stream.__anext__()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.__anext__(), 0.01)
            task = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.current_task().cancelling() == 0
        assert not reader.has_ended
        await stream.aclose()


async def test_a_feed_that_fails_while_being_cancelled_harms_nobody():
    async def feed(reader):
        async def spoil():
            try:
                await anyio.sleep_forever()
            finally:
                raise ValueError("while cancelled")

        reader.connected()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spoil)
            await anyio.sleep_forever()

    for _ in range(4):
        async with Client() as client:
            stream, _ = client.stream(feed)
            async with stream:
                pass
        async with Client() as client:
            stream, reader = client.stream(feed)
            await stream.wait_state()
        assert reader.has_ended


async def test_an_error_inside_groups_is_raised_as_itself():
    async def fail():
        raise ConnectError("no route")

    async def feed(reader):
        async with anyio.create_task_group() as outer:
            async with anyio.create_task_group() as inner:
                inner.start_soon(fail)
                await anyio.sleep_forever()
            outer.start_soon(anyio.sleep_forever)

    async with Client() as client:
        stream, _ = client.stream(feed)
        with pytest.raises(ConnectError, match="no route"):
            await stream.__anext__()


async def test_a_leave_that_hangs_or_fails_is_bounded_and_silent():
    async def hang():
        await anyio.sleep_forever()

    async def fail():
        raise ConnectError("gone")

    for leave in (hang, fail):
        async with Client() as client:
            stream, reader = client.stream(leave=leave, close_timeout=0.02)
            async with stream:
                pass
            assert reader.has_ended
            stream, reader = client.stream(leave=leave, close_timeout=0.02)
            await stream.__aenter__()
        assert reader.has_ended


async def test_a_shielded_leave_runs_on_every_way_out():
    async def leave():
        await anyio.sleep(0.001)

    async with Client() as client:
        readers = []
        stream, reader = client.stream(numbers(1, ProtocolError("x")), leave=leave)
        readers.append(reader)
        with pytest.raises(ProtocolError):
            async for _ in stream:
                pass
        stream, reader = client.stream(leave=leave)
        readers.append(reader)
        with anyio.move_on_after(0.01):
            async with stream:
                await anyio.sleep_forever()
        stream, reader = client.stream(leave=leave)
        readers.append(reader)
        await stream.__aenter__()
    assert [reader.left for reader in readers] == [1, 1, 1]


async def test_only_changes_skips_what_was_recovered_and_raises_what_was_not():
    async def feed(reader):
        reader.connected()
        reader.buffer.push([change(1), gap(recovered=3), change(2), gap(recovered=None), change(3)])
        await anyio.sleep_forever()

    async with Client() as client:
        stream, _ = client.stream(feed)
        changes = stream.only_changes()
        assert [(await changes.__anext__()).id for _ in range(2)] == ["1", "2"]
        with pytest.raises(GapError) as caught:
            await changes.__anext__()
        assert isinstance(caught.value.gap, Gap)
        assert (await changes.__anext__()).id == "3"
        await stream.aclose()


async def test_stats_count_what_the_stream_still_holds_as_buffered():
    async def feed(reader):
        reader.connected()
        reader.buffer.push([change(n) for n in range(5)])
        await anyio.sleep_forever()

    async with Client() as client:
        stream, _ = client.stream(feed)
        await stream.__anext__()
        assert (stream.stats.delivered, stream.stats.buffered) == (1, 4)
        await stream.aclose()


async def test_wait_state_starts_the_stream_and_ends_with_it():
    async with Client() as client:
        stream, reader = client.stream(numbers(0))
        assert (await stream.wait_state()).state is StreamState.CONNECTED
        assert reader.starts == 1
        await stream.aclose()
        assert (await stream.wait_state(StreamState.CLOSED)).state is StreamState.CLOSED


async def test_repr_names_where_and_what():
    stream, _ = Client().stream()
    assert repr(stream) == "<ChangeStream of fake here: reconnecting>"


async def test_a_client_in_an_exit_stack_with_many_streams():
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client())
        readers = []
        for _ in range(20):
            stream, reader = client.stream(numbers(1))
            await stack.enter_async_context(stream)
            readers.append(reader)
    assert all(reader.has_ended for reader in readers)
