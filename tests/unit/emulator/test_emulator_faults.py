"""Each fault does what it says, as often as it says, in process and on a clock that jumps."""

import json
import random

import anyio
import httpx
import pytest
from emulator_talk import client, events, talking

from tocsin.emulator import Emulator, Fault
from tocsin.emulator.faults import KINDS, from_json
from tocsin.testing import VirtualWallClock, in_process

pytestmark = pytest.mark.virtual_time

CONNECT = "/meta/connect"
LONG = {"timeout": 100_000}


@pytest.fixture
async def emulator():
    made = Emulator(clock=VirtualWallClock(), rng=random.Random(7))
    made.store.add_device(id="4711")
    return made


async def test_the_nth_request_fails_as_often_as_ordered(emulator):
    order = emulator.faults.add(
        Fault("status", path="/alarm/alarms*", method="get", skip=1, times=2, status=502)
    )
    async with talking(emulator) as talk:
        await talk.post()
        await talk.get("/tenant/currentTenant")
        statuses = [(await talk.get("/alarm/alarms")).status_code for _ in range(5)]
    assert statuses == [200, 502, 502, 200, 200]
    assert (order.seen, order.fired, order.spent) == (3, 2, True)
    assert len(emulator.faults) == 0


async def test_statuses_can_have_retry_after_and_any_body(emulator):
    html = "<html>Bad Gateway</html>"
    emulator.faults.add(Fault("status", status=429, retry_after="7"))
    emulator.faults.add(Fault("status", status=502, body=html, content_type="text/html", skip=1))
    emulator.faults.add(Fault("status", status=401, skip=2))
    async with talking(emulator) as talk:
        limited, gateway, unauthorised, fine = [await talk.get("/alarm/alarms") for _ in range(4)]
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert (gateway.text, gateway.headers["content-type"]) == (html, "text/html")
    assert unauthorised.json()["error"] == "security/Unauthorized"
    assert fine.status_code == 200


async def test_a_fault_can_be_taken_back_and_last_for_ever(emulator):
    order = emulator.faults.add(Fault("status", times=None))
    async with talking(emulator) as talk:
        assert [(await talk.get("/alarm/alarms")).status_code for _ in range(5)] == [503] * 5
        order.remove()
        order.remove()
        assert (await talk.get("/alarm/alarms")).status_code == 200
        emulator.faults.add(Fault("status", times=None))
        emulator.faults.clear()
        assert (await talk.get("/alarm/alarms")).status_code == 200


async def test_chance_is_a_matter_of_the_emulators_own_dice(emulator):
    order = emulator.faults.add(Fault("status", times=None, chance=0.5))
    async with talking(emulator) as talk:
        for _ in range(100):
            await talk.get("/alarm/alarms")
    assert 30 < order.fired < 70


@pytest.mark.parametrize(("when", "stored"), [("request", 0), ("reply", 1)])
async def test_drop_before_and_after_the_deed(emulator, when, stored):
    emulator.faults.add(Fault("drop", method="POST", when=when))
    async with talking(emulator) as talk:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await talk.post()
        assert len(await talk.alarms()) == stored


async def test_a_dropped_poll_loses_its_events(emulator):
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        emulator.faults.add(Fault("drop", channel=CONNECT, when="reply"))

        async def write():
            await anyio.sleep(20)  # past a heartbeat, which still comes
            emulator.store.create({"source": "4711", "type": "lost"})
            emulator.store.create({"source": "4711", "type": "kept"})

        tasks.start_soon(write)
        begun = anyio.current_time()
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await talk.connect(30)
        assert anyio.current_time() - begun == pytest.approx(20, abs=0.1)
        assert events(await talk.connect()) == []
        assert len(await talk.alarms()) == 2


@pytest.mark.parametrize("lose", [True, False])
async def test_held_polls_can_be_dropped(emulator, lose):
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        broken = anyio.Event()

        async def hold():
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await talk.connect(30)
            broken.set()

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        assert emulator.drop_polls(lose=lose) == 1
        if lose:
            await anyio.sleep(1)
            assert not broken.is_set()
            emulator.store.create({"source": "4711"})
        await broken.wait()
        emulator.store.create({"source": "4711", "type": "after"})
        assert len(events(await talk.connect())) == 1


async def test_a_silent_poll_swallows_its_events(emulator):
    async with talking(emulator, timeout=45) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        gave_up = anyio.Event()

        async def hold():
            with pytest.raises(httpx.ReadTimeout):
                await talk.connect(3000)
            gave_up.set()

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        assert emulator.silence_polls() == 1
        emulator.store.create({"source": "4711"})
        await gave_up.wait()
        assert events(await talk.connect()) == []


async def read(talk, got):
    async with talk.http.stream("GET", "/alarm/alarms") as reply:
        async for chunk in reply.aiter_raw():
            got += chunk


@pytest.mark.parametrize("size", [0, 1, 40])
async def test_cut_after_so_many_bytes(emulator, size):
    emulator.faults.add(Fault("cut", size=size))
    async with talking(emulator) as talk:
        got = bytearray()
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await read(talk, got)
        assert len(got) == size


@pytest.mark.parametrize("size", [0, 10])
async def test_silence_after_so_many_bytes(emulator, size):
    emulator.faults.add(Fault("silence", size=size))
    async with talking(emulator, timeout=9) as talk:
        got, begun = bytearray(), anyio.current_time()
        with pytest.raises(httpx.ReadTimeout):
            await read(talk, got)
        assert anyio.current_time() - begun == pytest.approx(9, abs=0.1)
        assert len(got) == size
        assert (await talk.get("/alarm/alarms")).status_code == 200


async def test_hang_does_nothing_at_all(emulator):
    emulator.faults.add(Fault("hang", method="POST"))
    async with talking(emulator, timeout=9) as talk:
        with pytest.raises(httpx.ReadTimeout):
            await talk.post()
        assert await talk.alarms() == []


async def test_delay_and_drip_go_together(emulator):
    emulator.faults.add(Fault("delay", seconds=10))
    emulator.faults.add(Fault("drip", size=20, seconds=1))
    async with talking(emulator, timeout=11) as talk:
        begun = anyio.current_time()
        reply = await talk.get("/alarm/alarms")
        took = anyio.current_time() - begun
        assert reply.json()["alarms"] == []
        assert took == pytest.approx(10 + (len(reply.content) - 1) // 20, abs=0.1)


async def test_bodies_can_be_changed(emulator):
    emulator.faults.add(Fault("body", body="<html>", path="/alarm/*"))
    emulator.faults.add(Fault("body", rewrite=lambda body: body.replace(b'"severity"', b'"severe"'), skip=1))
    async with talking(emulator) as talk:
        emulator.store.create({"source": "4711"})
        assert (await talk.get("/alarm/alarms")).text == "<html>"
        [alarm] = (await talk.get("/alarm/alarms")).json()["alarms"]
        assert "severity" not in alarm
        assert "severe" in alarm


@pytest.mark.parametrize("advise", [True, False])
async def test_sessions_can_be_forgotten_by_a_request(emulator, advise):
    async with talking(emulator) as talk:
        await talk.attach()
        emulator.faults.add(Fault("forget", channel=CONNECT, advise=advise))
        reply = [(await talk.connect())[0] for _ in range(2)]
        assert [r["error"][:3] for r in reply] == ["402", "402"]
        assert [("advice" in r) for r in reply] == [advise, advise]
        await talk.attach()


async def test_a_resubscribe_can_be_refused(emulator):
    emulator.faults.add(
        Fault("reject", channel="/meta/subscribe", subscription="/alarms/2", error="403::Nope")
    )
    async with talking(emulator) as talk:
        await talk.handshake()
        assert (await talk.subscribe("/alarms/1"))["successful"]
        refused = await talk.subscribe("/alarms/2")
        assert (refused["successful"], refused["error"]) == (False, "403::Nope")
        assert (await talk.subscribe("/alarms/2"))["successful"]


async def test_a_handshake_can_be_denied_for_good(emulator):
    fault = Fault(
        "reject", channel="/meta/handshake", error="403::Handshake denied", advice={"reconnect": "none"}
    )
    emulator.faults.add(fault)
    async with talking(emulator) as talk:
        reply = await talk.handshake()
        assert reply["advice"] == {"reconnect": "none"}
        assert talk.client_id is None
    assert emulator.sessions == 0


async def test_each_bayeux_request_can_meet_http_errors(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        for status in (401, 403, 429, 500):
            emulator.faults.add(Fault("status", channel=CONNECT, status=status))
            assert (
                await talk.raw({"channel": CONNECT, "connectionType": "long-polling"})
            ).status_code == status
        assert (await talk.connect())[0]["successful"]


async def test_live_messages_can_be_lost_doubled_reordered_and_garbled(emulator):
    kinds = {"lose": 2, "duplicate": 4, "garble": 6}
    for kind, skip in kinds.items():
        emulator.faults.add(Fault(kind, channel="/alarms/*", skip=skip - 1))
    async with talking(emulator) as talk:
        await talk.attach()
        ids = [emulator.store.create({"source": "4711", "type": str(n)})["id"] for n in range(7)]
        got = [m["data"]["data"].get("id") for m in (await talk.connect())[:-1]]
        assert got == [ids[0], ids[2], ids[3], ids[3], ids[4], None, ids[6]]

        emulator.faults.add(Fault("reorder"))
        first, second = (emulator.store.create({"source": "4711", "type": f"r{n}"})["id"] for n in range(2))
        assert [i for _a, i in events(await talk.connect())] == [second, first]

        emulator.faults.add(Fault("reorder"))
        late = emulator.store.create({"source": "4711", "type": "late"})["id"]
        assert [i for _a, i in events(await talk.connect())] == [late]


async def test_reads_can_lag_behind(emulator):
    store = emulator.store
    kept = store.create({"source": "4711", "type": "kept"})
    gone = store.create({"source": "4711", "type": "gone"})
    await anyio.sleep(10)
    store.update(kept["id"], {"text": "new"})
    store.remove(gone["id"])
    new = store.create({"source": "4711", "type": "new"})
    emulator.faults.add(Fault("stale", seconds=5, times=5))
    async with talking(emulator) as talk:
        stale = {alarm["id"]: alarm for alarm in await talk.alarms()}
        assert stale == {kept["id"]: kept, gone["id"]: gone}
        assert (await talk.get("/alarm/alarms/count")).text == "2"
        assert (await talk.get(f"/alarm/alarms/{kept['id']}")).json() == kept
        assert (await talk.get(f"/alarm/alarms/{gone['id']}")).json() == gone
        assert (await talk.get(f"/alarm/alarms/{new['id']}")).status_code == 404
        assert set(await talk.ids()) == {kept["id"], new["id"]}


async def test_a_stale_repeat_whose_stamp_did_not_move():
    emulator = Emulator(clock=VirtualWallClock(), bump_last_updated_on_repeat=False)
    first = emulator.store.create({"source": "1"})
    await anyio.sleep(10)
    emulator.store.create({"source": "1"})
    emulator.faults.add(Fault("stale", seconds=5))
    async with talking(emulator) as talk:
        assert [a["count"] for a in await talk.alarms()] == [1]
        assert [a["count"] for a in await talk.alarms()] == [2]
    assert first["count"] == 1


async def test_restart_ends_connections_and_sessions_and_keeps_alarms(emulator):
    emulator.store.create({"source": "4711"})
    async with talking(emulator, **LONG) as talk, anyio.create_task_group() as tasks:
        await talk.attach()
        ended = anyio.Event()

        async def hold():
            with pytest.raises(httpx.TransportError):
                await talk.connect(30)
            ended.set()

        tasks.start_soon(hold)
        await emulator.until(lambda: emulator.held_polls == 1)
        emulator.restart()
        await ended.wait()
        assert (await talk.connect())[0]["error"].startswith("402")
        assert len(await talk.alarms()) == 1


async def test_going_down_refuses_connections(emulator):
    async with in_process(emulator) as server, client(server) as talk:
        await talk.attach()
        emulator.go_down()
        with pytest.raises(httpx.ConnectError):
            await talk.connect()
        emulator.come_up()
        assert (await talk.connect())[0]["error"].startswith("402")


def test_faults_are_checked_when_they_are_made():
    for wrong in (
        {"kind": "nonsense"},
        {"kind": "status", "status": 42},
        {"kind": "drop", "when": "later"},
        {"kind": "drip", "size": 0},
        {"kind": "cut", "size": -1},
        {"kind": "delay", "chance": 2},
        {"kind": "cut", "size": "3"},
        {"kind": "cut", "skip": 1.5},
        {"kind": "forget", "advise": 1},
        {"kind": "reject", "advice": "none"},
        {"kind": "body", "rewrite": None},
        {"kind": "cut", "colour": "red"},
        {"kind": 7},
        [],
        "cut",
    ):
        with pytest.raises((ValueError, TypeError)):
            from_json(wrong)


def test_every_kind_can_be_ordered_as_json():
    for kind in KINDS:
        fault = from_json(
            json.loads(json.dumps({"kind": kind, "size": 1, "times": None, "path": "/x", "seconds": 1}))
        )
        assert fault.kind == kind
