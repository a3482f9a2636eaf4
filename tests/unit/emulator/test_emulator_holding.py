"""Held polls, on a clock that jumps: timeouts, heartbeats, expiry, duplicates, several clients."""

import anyio
import pytest
from emulator_talk import client, events, talking

from tocsin.emulator import BayeuxSettings, Emulator, Limits
from tocsin.testing import VirtualWallClock, in_process

pytestmark = pytest.mark.virtual_time

LONG = {"timeout": 100_000}


def make(**settings):
    return Emulator(clock=VirtualWallClock(), bayeux=BayeuxSettings(**settings))


async def test_an_idle_poll_ends_after_the_proposed_time():
    emulator = make(heartbeat=None)
    async with talking(emulator, **LONG) as talk:
        await talk.attach()
        for proposed in (7, 40):
            begun = anyio.current_time()
            reply = await talk.connect(proposed)
            assert anyio.current_time() - begun == pytest.approx(proposed, abs=0.01)
            assert [m["successful"] for m in reply] == [True]


async def test_the_first_connect_is_not_held_though_it_does_not_ask_for_that():
    async with talking(make(), **LONG) as talk:
        for _ in range(2):  # each session anew
            await talk.handshake()
            begun = anyio.current_time()
            assert (await talk.connect(30))[-1]["advice"]["reconnect"] == "retry"
            assert anyio.current_time() == pytest.approx(begun, abs=0.01)
            await talk.connect(30)
            assert anyio.current_time() - begun == pytest.approx(30, abs=0.01)


async def test_an_event_ends_it_at_once_and_a_burst_comes_together():
    emulator = make()
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()

        async def write():
            await anyio.sleep(3)
            for number in range(3):
                emulator.store.create({"source": "1", "type": str(number)})

        tasks.start_soon(write)
        begun = anyio.current_time()
        assert len(events(await talk.connect(30))) == 3
        assert anyio.current_time() - begun == pytest.approx(3, abs=0.01)
        assert emulator.held_polls == 0


@pytest.mark.parametrize("early", [True, False])
async def test_spaces_come_before_the_json(early):
    emulator = make(heartbeat=2.0, early_headers=early)
    async with talking(emulator, **LONG) as talk:
        await talk.attach()
        message = {"channel": "/meta/connect", "connectionType": "long-polling", "clientId": talk.client_id}
        begun, arrivals, body = anyio.current_time(), [], b""
        async with talk.http.stream(
            "POST", talk.path, json=[{**message, "advice": {"timeout": 9000}}]
        ) as reply:
            arrivals.append(anyio.current_time() - begun)
            async for chunk in reply.aiter_raw():
                body += chunk
                arrivals.append(anyio.current_time() - begun)
        assert arrivals == pytest.approx([0.0 if early else 2.0, 2.0, 4.0, 6.0, 8.0, 9.0], abs=0.01)
        assert body.startswith(b"    [")


async def test_a_duplicate_connect_ends_the_first_with_500():
    emulator = make()
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        first = []

        async def hold():
            first.append(await talk.raw({"channel": "/meta/connect", "connectionType": "long-polling"}))

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        assert (await talk.connect(5))[0]["successful"]
        assert (first[0].status_code, first[0].content) == (500, b"")
        assert (await talk.connect())[0]["successful"]


@pytest.mark.parametrize(("gap", "alive"), [(9.5, True), (10.5, False)])
async def test_a_session_dies_without_connects(gap, alive):
    emulator = make()
    async with talking(emulator, **LONG) as talk:
        await talk.attach()
        await talk.connect(30)  # a held poll counts as alive, however long it is
        await anyio.sleep(gap)
        [reply] = await talk.connect()
        assert reply["successful"] is alive
        if not alive:
            assert reply["error"].startswith("402")
            assert emulator.sessions == 0


async def test_commands_keep_it_alive_and_an_announced_pause_does():
    emulator = make()
    async with talking(emulator, **LONG) as talk:
        await talk.handshake()
        for number in range(4):
            await anyio.sleep(8)
            assert (await talk.subscribe(f"/alarms/{number}"))["successful"]
        await talk.connect(advice={"interval": 60_000})
        await anyio.sleep(65)
        assert (await talk.connect(advice={"interval": 0}))[0]["successful"]
        await anyio.sleep(11)
        assert not (await talk.connect())[0]["successful"]


async def test_disconnect_releases_the_held_poll():
    emulator = make()
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        released = []

        async def hold():
            released.extend(await talk.connect(None))

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        assert (await talk.bayeux({"channel": "/meta/disconnect"}))[0]["successful"]
        await emulator.until(lambda: released)
        assert emulator.held_polls == 0
        assert released[0]["successful"]
        assert released[0]["advice"] == {"reconnect": "none"}


@pytest.mark.parametrize("advise", [True, False])
async def test_forgetting_answers_the_held_poll(advise):
    emulator = make()
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        answers = []

        async def hold():
            answers.extend(await talk.connect(None))
            answers.extend(await talk.connect())

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        assert emulator.forget_sessions(advise=advise) == 1
        await emulator.until(lambda: len(answers) == 2)
        for answer in answers:
            assert answer["error"].startswith("402")
            assert ("advice" in answer) is advise


async def test_two_sessions_in_one_cookie_store_are_told_to_poll():
    emulator = make()
    async with (
        in_process(emulator) as server,
        client(server, **LONG) as one,
        anyio.create_task_group() as tasks,
    ):
        await one.attach()
        first = one.client_id
        await one.attach()
        assert one.client_id != first

        async def hold():
            await one.connect(20)

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        begun = anyio.current_time()
        [reply] = await one.connect(20, clientId=first)
        assert anyio.current_time() == begun
        assert reply["advice"]["multiple-clients"] is True
        assert reply["advice"]["interval"] == 2000


async def test_a_client_that_leaves_a_poll_loses_nothing():
    emulator = make()
    async with talking(emulator, **LONG) as talk:
        await talk.attach()
        with anyio.move_on_after(3):
            await talk.connect(30)
        await emulator.until(lambda: emulator.held_polls == 0)
        emulator.store.create({"source": "1"})
        assert len(events(await talk.connect())) == 1


async def test_the_longest_hold_is_capped():
    emulator = make(timeout_max=60.0, heartbeat=None)
    async with talking(emulator, **LONG) as talk:
        await talk.attach()
        begun = anyio.current_time()
        await talk.connect(1e6)
        assert anyio.current_time() - begun == pytest.approx(60, abs=0.1)


async def test_caps_on_sessions_polls_and_queues():
    emulator = Emulator(clock=VirtualWallClock(), limits=Limits(sessions=2, held=1, queue=3))
    async with in_process(emulator) as server, client(server, **LONG) as one, client(server, **LONG) as two:
        await one.attach()
        await two.attach()
        async with client(server) as three:
            assert (await three.handshake())["error"].startswith("503")
        async with anyio.create_task_group() as tasks:

            async def hold():
                await one.connect(5)

            tasks.start_soon(hold)
            await emulator.until(lambda: emulator.held_polls == 1)
            begun = anyio.current_time()
            [reply] = await two.connect(5)
            assert anyio.current_time() == begun
            assert reply["advice"]["interval"] == 2000
        await one.connect()
        for number in range(3):
            emulator.store.create({"source": "1", "type": str(number)})
        assert emulator.sessions == 2
        emulator.store.create({"source": "1", "type": "one too many"})
        assert emulator.sessions == 0
        assert (await two.connect())[0]["error"].startswith("402")
        await anyio.sleep(11)
        async with client(server) as three:
            assert (await three.handshake())["successful"]
