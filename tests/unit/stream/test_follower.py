import gc
import threading

import anyio
import pytest

from tocsin._stream._answers import Failed, NoSuchApi, ReadOne, ReadWindow
from tocsin._stream._owner import TaskOwner
from tocsin._stream._policy import RecoveryPolicy
from tocsin.errors import AuthenticationError, PermissionDeniedError, ProtocolError, RequestTimeoutError
from tocsin.models import Action, Change, Gap, Origin, StreamState
from unit.stream.site_fakes import FakePlatform, Site, follow
from unit.stream.stream_fakes import Client

pytestmark = pytest.mark.virtual_time


def platform(live=True):
    return FakePlatform(Site(), live=live)


async def entered(stream, fake):
    """Enter a stream whose live channel comes up at once."""

    async def connect():
        while fake.inlet is None:
            await anyio.sleep(0.01)
        fake.connect()

    helper = TaskOwner("helper")
    async with helper.open():
        if fake.is_live:
            helper.start(connect, "connect")
        await stream.__aenter__()


def fold(items):
    state = {}
    for item in items:
        if isinstance(item, Gap):
            continue
        if item.action is Action.DELETE:
            state.pop(item.id, None)
        else:
            state[item.id] = item.alarm
    return state


async def some(stream, seconds=0.1):
    """What comes within a while."""
    got = []
    with anyio.move_on_after(seconds):
        async for item in stream:
            got.append(item)  # noqa: PERF401
    return got


async def test_entering_without_snapshot_waits_for_the_whole_baseline_and_gives_nothing_of_it():
    fake = platform()
    for n in range(7):
        fake.data.write(str(n), "old")
    async with Client() as client:
        stream, _ = follow(client, fake, limit=4)
        await entered(stream, fake)
        assert len(fake.windows) > 3, "it takes several pages, all read by now"
        assert stream.state is StreamState.CONNECTED
        fake.tell(("3", "new"))
        (item,) = await some(stream)
        assert (item.action, item.id, item.alarm, item.origin) == (Action.UPDATE, "3", "new", Origin.LIVE)
        assert (item.platform, item.site) == ("fake", "here")
        await stream.aclose()
        assert fake.removed == 1


async def test_a_snapshot_is_entered_at_its_first_page_and_paced_by_the_consumer():
    fake = platform()
    for n in range(40):
        fake.data.write(str(n), "old")
        await anyio.sleep(0.01)
    async with Client() as client:
        stream, follower = follow(client, fake, snapshot=True, limit=8)
        await entered(stream, fake)
        await anyio.sleep(60)
        assert len(follower.buffer) <= 8
        asked = len(fake.windows)
        await anyio.sleep(600)
        assert len(fake.windows) == asked, "nobody takes, nothing more is asked for"
        got = await some(stream, 30)
        changes = [item for item in got if isinstance(item, Change)]
        assert sorted(int(c.id) for c in changes) == list(range(40))
        assert {(c.action, c.origin) for c in changes} == {(Action.CREATE, Origin.SNAPSHOT)}
        assert stream.stats.dropped == 0
        await stream.aclose()


async def test_entering_returns_five_seconds_after_the_connect_if_reads_hang():
    fake = platform()

    async def hang(read):
        await anyio.sleep_forever()

    fake.before = hang
    async with Client() as client:
        stream, _ = follow(client, fake)
        before = anyio.current_time()
        await entered(stream, fake)
        assert 5 <= anyio.current_time() - before < 5.5
        assert stream.state is StreamState.RECOVERING
        fake.tell(("1", "live"))
        assert [item.id for item in await some(stream)] == ["1"], "live changes flow meanwhile"
        await stream.aclose()


async def test_entering_waits_for_the_live_channel_even_if_reads_would_work():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake, open_timeout=30)
        with pytest.raises(RequestTimeoutError):
            async with stream:
                pytest.fail("entered")
        assert fake.reads == []


async def test_a_lost_channel_is_recovered_and_told():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        fake.tell(("1", "a"))
        await some(stream)
        fake.cut("socket closed")
        assert stream.state is StreamState.RECONNECTING
        assert stream.cause == "socket closed"
        fake.data.write("1", "b")
        fake.data.write("2", "c")
        await anyio.sleep(20)
        fake.connect()
        got = await some(stream, 5)
        gaps = [item for item in got if isinstance(item, Gap)]
        changes = [item for item in got if isinstance(item, Change)]
        assert {(c.id, c.action, c.origin) for c in changes} == {
            ("1", Action.UPDATE, Origin.RECOVERED),
            ("2", Action.CREATE, Origin.RECOVERED),
        }
        (gap,) = gaps
        assert (gap.recovered, gap.cause, gap.site) == (2, "socket closed", "here")
        assert 19 <= (gap.until - gap.since).total_seconds() <= 22
        assert stream.state is StreamState.CONNECTED
        await stream.aclose()


async def test_overflow_is_recovered_once_the_consumer_has_caught_up():
    fake = platform()
    async with Client() as client:
        stream, follower = follow(client, fake, limit=10)
        await entered(stream, fake)
        await anyio.sleep(100)  # the sweeps after attaching are over
        for n in range(35):
            fake.tell((str(n), "x"))
        assert len(follower.buffer) <= 10
        asked = len(fake.reads)
        await anyio.sleep(5)
        assert len(fake.reads) == asked, "no read before the consumer has caught up"
        got = await some(stream, 30)
        assert fold(got) == {str(n): "x" for n in range(35)}
        gaps = [item for item in got if isinstance(item, Gap)]
        assert len(gaps) == 1
        assert gaps[0].recovered >= 25
        ids = [item.id for item in got if isinstance(item, Change)]
        assert len(ids) == len(set(ids)), "nothing twice"
        assert stream.stats.dropped >= 25
        await stream.aclose()


@pytest.mark.parametrize("overflow", ["recover", "conflate"])
async def test_more_deletions_than_the_buffer_holds_are_all_given(overflow):
    """A user deletes a thousand alarms while the consumer does something else for a second."""
    fake = platform()
    names = {str(n) for n in range(35)}
    for name in names:
        fake.data.write(name, "old")
    async with Client() as client:
        stream, _ = follow(client, fake, limit=10, snapshot=True, overflow=overflow)
        await entered(stream, fake)
        assert set(fold(await some(stream, 100))) == names
        for name in names:
            fake.tell_gone(name)
        got = await some(stream, 60)
        gone = [item.id for item in got if isinstance(item, Change) and item.action is Action.DELETE]
        assert sorted(gone) == sorted(names)
        (gap,) = [item for item in got if isinstance(item, Gap)]
        assert gap.recovered >= 25
        await stream.aclose()


async def test_overflow_is_recovered_for_a_consumer_that_never_quite_catches_up():
    """It always has something to take, so that it never waits; yet nothing is left out, and gaps are told."""
    fake = platform()
    got = []
    async with Client() as client:
        stream, _ = follow(client, fake, limit=50)
        await entered(stream, fake)
        await anyio.sleep(100)

        async def consume():
            async for item in stream:
                got.append(item)
                await anyio.sleep(0.12)

        helper = TaskOwner("helper")
        async with helper.open():
            fake.tell(*((f"burst {n}", "x") for n in range(120)))
            helper.start(consume, "consume")
            for n in range(3000):
                await anyio.sleep(0.1)
                fake.tell((f"noise {n % 40}", str(n)))
        assert {f"burst {n}" for n in range(120)} <= fold(got).keys()
        first = {item.id: item.action for item in reversed(got) if isinstance(item, Change)}
        assert {first[f"burst {n}"] for n in range(120)} == {Action.CREATE}, "what was dropped is still news"
        assert any(isinstance(item, Gap) and item.recovered for item in got)
        await stream.aclose()


async def test_overflow_with_drop_oldest_says_what_is_lost_and_reads_nothing():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake, limit=10, overflow="drop_oldest")
        await entered(stream, fake)
        await anyio.sleep(100)
        for n in range(35):
            fake.tell((str(n), "x"))
        first, *rest = await some(stream, 30)
        assert isinstance(first, Gap)
        assert first.recovered is None
        assert [item.id for item in rest] == [str(n) for n in range(25, 35)]
        await stream.aclose()


async def test_conflate_gives_the_latest_of_each_alarm():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake, limit=10, overflow="conflate")
        await entered(stream, fake)
        for turn in range(50):
            fake.tell(("1", f"a{turn}"), ("2", f"b{turn}"))
        got = await some(stream)
        assert [(c.id, c.action, c.alarm) for c in got] == [
            ("1", Action.CREATE, "a49"),
            ("2", Action.CREATE, "b49"),
        ]
        assert stream.stats.conflated == 98
        await stream.aclose()


async def test_memory_is_bounded_while_nobody_takes():
    fake = platform()
    async with Client() as client:
        stream, follower = follow(client, fake, limit=50)
        await entered(stream, fake)
        for turn in range(300):
            fake.tell(*((str(n), str(turn)) for n in range(40)))
            fake.cut()
            fake.connect()
            await anyio.sleep(1)
        assert len(follower.buffer) <= 50 + 16
        assert fake.most_in_flight <= 6
        got = await some(stream, 120)
        assert fold(got) == {str(n): "299" for n in range(40)}
        await stream.aclose()


async def test_at_most_four_alarms_are_settled_at_once():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        for n in range(20):
            fake.data.write(str(n), "x")
            fake.inlet.unreadable(str(n))
        got = await some(stream, 2)
        assert fold(got) == {str(n): "x" for n in range(20)}
        assert fake.most_in_flight == 4
        assert sum(isinstance(read, ReadOne) for read in fake.reads) == 20
        await stream.aclose()


async def test_a_missed_change_asks_for_a_new_session():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        await anyio.sleep(100)
        fake.data.write("1", "silent")
        got = await some(stream, 100)
        assert fold(got) == {"1": "silent"}
        assert len(fake.renewals) == 1
        fake.cut("made anew")
        fake.connect()
        assert [type(item) for item in await some(stream, 10)] == [Gap]
        await stream.aclose()


@pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError])
async def test_refused_reads_are_fatal_while_opening(kind):
    fake = platform()
    error = kind("no", status=401)

    async def refuse(read):
        raise error

    fake.before = refuse
    async with Client() as client:
        stream, _ = follow(client, fake)
        with pytest.raises(kind) as caught:
            await entered(stream, fake)
        assert caught.value is error
        assert fake.removed == 1


async def test_an_attached_stream_believes_three_refusals_in_a_row():
    fake = platform()
    refusals = 2

    async def refuse(read):
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise AuthenticationError("expired", status=401)

    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        fake.before = refuse
        assert await some(stream, 200) == []
        assert refusals == 0
        assert stream.state is StreamState.CONNECTED
        refusals = 3
        with pytest.raises(AuthenticationError, match="expired"):
            await stream.__anext__()


async def test_a_role_that_is_lost_later_degrades_and_does_not_end():
    fake = platform()

    async def refuse(read):
        raise PermissionDeniedError("role missing", status=403)

    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        await anyio.sleep(100)
        fake.before = refuse
        await anyio.sleep(200)
        assert stream.state is StreamState.DEGRADED
        assert stream.cause == "permission denied (HTTP 403)"
        fake.tell(("1", "live"))
        assert fold(await some(stream)) == {"1": "live"}
        fake.before = None
        await anyio.sleep(200)
        assert stream.state is StreamState.CONNECTED
        await stream.aclose()


async def test_a_role_that_is_lost_where_reads_are_the_channel_is_raised():
    fake = platform(live=False)

    async def refuse(read):
        raise PermissionDeniedError("role missing", status=403)

    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        fake.before = refuse
        with anyio.fail_after(400), pytest.raises(PermissionDeniedError, match="role missing"):
            await stream.__anext__()


async def test_a_server_without_reads_keeps_following_with_gaps_that_cannot_be_recovered():
    fake = platform()
    fake.answer = lambda read: NoSuchApi()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        assert stream.state is StreamState.CONNECTED
        fake.tell(("1", "a"))
        fake.cut()
        await anyio.sleep(3)
        fake.connect()
        fake.tell(("1", "b"))
        got = await some(stream)
        assert [getattr(item, "alarm", None) for item in got] == ["a", None, "b"]
        assert got[1].recovered is None
        asked = len(fake.reads)
        await anyio.sleep(2000)
        assert len(fake.reads) == asked
        assert fake.looks == 33  # once a minute
        await stream.aclose()


async def test_an_api_that_only_seemed_to_be_missing_is_found():
    fake = platform()
    fake.answer = lambda read: NoSuchApi()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        fake.tell(("1", "a"))
        fake.data.write("2", "silent")
        await anyio.sleep(100)
        fake.answer = None
        got = await some(stream, 400)
        assert fold(got) == {"1": "a", "2": "silent"}
        fake.cut()
        fake.data.write("1", "b")
        fake.connect()
        assert [getattr(item, "recovered", None) or item.alarm for item in await some(stream, 10)] == ["b", 1]
        assert fake.looks == 2  # one in vain
        await stream.aclose()


async def test_failed_reads_are_tried_again():
    fake = platform()
    failures = 3

    def answer(read):
        nonlocal failures
        if failures:
            failures -= 1
            return Failed("502")
        return fake._answer(read)

    fake.answer = answer
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        await anyio.sleep(30)
        assert stream.state is StreamState.CONNECTED
        await stream.aclose()


async def test_without_a_live_channel_reads_are_the_channel():
    fake = platform(live=False)
    fake.data.write("1", "old")
    await anyio.sleep(1000)
    async with Client() as client:
        stream, _ = follow(client, fake, policy=RecoveryPolicy(verify_every=10))
        await entered(stream, fake)
        await anyio.sleep(50)
        fake.data.write("1", "new")
        fake.data.write("2", "born")
        got = await some(stream, 11)
        assert {(c.id, c.action, c.origin) for c in got} == {
            ("1", Action.UPDATE, Origin.LIVE),
            ("2", Action.CREATE, Origin.LIVE),
        }
        await stream.aclose()


async def test_the_end_of_the_channel_is_raised_after_what_came_before():
    fake = platform()
    error = ProtocolError("advice none")
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        fake.tell(("1", "a"))
        fake.inlet.failed(error)
        fake.inlet.failed(ProtocolError("second"))
        assert (await stream.__anext__()).id == "1"
        with pytest.raises(ProtocolError) as caught:
            await stream.__anext__()
        assert caught.value is error
        assert stream.state is StreamState.CLOSED
        assert stream.cause == "advice none"


async def test_a_fault_inside_ends_one_stream_and_not_who_brought_the_message():
    fake, other = platform(), platform()
    async with Client() as client:
        stream, _ = follow(client, fake)
        healthy, _ = follow(client, other)
        await entered(stream, fake)
        await entered(healthy, other)

        def explode(alarm):
            raise KeyError("bug")

        fake.present = explode
        fake.tell(("1", "a"))
        other.tell(("1", "a"))
        with pytest.raises(KeyError):
            await stream.__anext__()
        assert (await healthy.__anext__()).id == "1"
        await healthy.aclose()


async def test_input_after_the_end_is_harmless():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        await stream.aclose()
        fake.tell(("1", "a"))
        fake.cut()
        fake.connect()
        fake.inlet.alive(None)
        assert stream.state is StreamState.CLOSED
        assert [item async for item in stream] == []


async def test_an_idle_stream_sleeps():
    fake = platform()
    async with Client() as client:
        stream, follower = follow(client, fake)
        await entered(stream, fake)
        await anyio.sleep(120)
        turns = 0
        work = follower._work

        def counted(tasks):
            nonlocal turns
            turns += 1
            work(tasks)

        follower._work = counted
        asked = len(fake.reads)
        await anyio.sleep(600)
        assert len(fake.reads) - asked <= 12
        assert turns <= 40
        await stream.aclose()


async def test_a_stream_dropped_in_another_thread_ends_when_it_next_wakes():
    fake = platform()
    async with Client() as client:
        stream, follower = follow(client, fake)
        await entered(stream, fake)
        held = [stream]
        del stream
        thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
        thread.start()
        thread.join(5)
        await anyio.sleep(61)
        assert follower.has_ended
        assert fake.removed == 1


@pytest.mark.parametrize("rounds", range(12))
async def test_cancelling_at_each_await_leaves_nothing(rounds):
    fake = platform()
    fake.data.write("1", "a")
    async with Client() as client:
        stream, follower = follow(client, fake, snapshot=True)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cut():
                    while fake.inlet is None:
                        await anyio.lowlevel.checkpoint()
                    fake.connect()
                    for _ in range(rounds):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                tasks.start_soon(cut)
                async with stream:
                    async for _ in stream:
                        pass
        assert scope.cancelled_caught
        assert follower.has_ended
        assert fake.removed == 1
        assert fake.in_flight == 0


async def test_notes_of_the_tracker_are_logged(caplog):
    fake = platform()
    fake.answer = lambda read: NoSuchApi()
    async with Client() as client:
        stream, _ = follow(client, fake)
        await entered(stream, fake)
        assert "no REST API" in caplog.text
        await stream.aclose()


async def test_the_reads_of_a_window_name_what_they_are():
    fake = platform()
    async with Client() as client:
        stream, _ = follow(client, fake, snapshot=True)
        await entered(stream, fake)
        assert isinstance(fake.reads[0], ReadWindow)
        assert fake.reads[0].snapshot
        await stream.aclose()
