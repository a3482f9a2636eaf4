"""The Events and State WebSocket as xprotect.md §5 tells it, in process and on loopback."""

import json
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import httpx
import pytest
import websockets.sync.client
from emulator_events import ALL, PATH, events_line
from emulator_socket import RefusedUpgrade

from tocsin.emulator import Fault, XProtectEmulator, serve
from tocsin.testing import in_process

MOTION = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
STILL = "6f55a7a7-d21c-4629-ac18-af1975e395a2"


@pytest.fixture
def emulator():
    return XProtectEmulator()


@asynccontextmanager
async def client_of(emulator):
    headers = {"Authorization": f"Bearer {emulator.access.issue_token('demo')}"}
    async with (
        in_process(emulator) as server,
        httpx.AsyncClient(transport=server.transport_factory(), base_url=server.url, headers=headers) as http,
    ):
        yield http


@pytest.fixture
async def http(emulator):
    async with client_of(emulator) as made:
        yield made


def camera(emulator: XProtectEmulator, number: int = 0) -> str:
    return "cameras/" + list(emulator.store.site.items["cameras"])[number]


def moved(emulator: XProtectEmulator, number: int = 0, type: str = MOTION) -> str:  # noqa: A002
    return emulator.store.raise_event(type, camera(emulator, number))["id"]


@pytest.mark.parametrize("path", [PATH, PATH + "/", "/API/WS/Events/v1", "/API/ws/events/v1/"])
async def test_events_are_pushed_as_they_happen(emulator, http, path):
    async with events_line(http, path) as line:
        await line.attach()
        first = moved(emulator)
        event = await line.event()
        assert event["id"] == first
        assert event["source"] == camera(emulator)
        assert event["type"] == MOTION
        assert event["specversion"] == "1.0"
        assert len(event["time"]) == len("2026-01-05T10:11:12.1234567Z")
        assert event["stategroupid"] == emulator.store.site.find("eventTypes", MOTION)["stateGroupId"]
        assert not {"stateGroupId", "localId"} & event.keys()


@pytest.mark.parametrize("path", ["/api/ws/events", "/api/ws/events/", "/api/ws/events/v2", PATH + "/x"])
async def test_without_its_version_the_path_is_not_there(http, path):
    with pytest.raises(RefusedUpgrade) as refused:
        async with events_line(http, path):
            pass
    assert refused.value.status == 404


@pytest.mark.parametrize("token", ["Bearer wrong", "Bearer ", "Basic ZGVtbzpkZW1v", "", "expired"])
async def test_a_bad_token_is_refused_at_the_upgrade(emulator, http, token):
    if token == "expired":
        token = f"Bearer {emulator.access.issue_token('demo')}"
        emulator.access.expire_tokens()
    with pytest.raises(RefusedUpgrade) as refused:
        async with events_line(http, headers={"Authorization": token}):
            pass
    assert refused.value.status == 401
    assert json.loads(refused.value.body)["error"]["details"][0]["errorText"]


async def test_browsers_authenticate_by_a_command(emulator, http):
    token = http.headers.pop("Authorization")
    async with events_line(http) as line:
        assert (await line.ask("startSession"))["status"] == 401
        assert (await line.ask("authenticate", token="Bearer x"))["status"] == 401
        assert (await line.ask("authenticate", token=token))["status"] == 200
        await line.attach()
        assert moved(emulator) == (await line.event())["id"]


async def test_an_expired_token_does_not_end_a_connection_that_stands(emulator, http):
    async with events_line(http) as line:
        await line.attach()
        emulator.access.expire_tokens()
        assert (await line.ask("getState"))["status"] == 200
        assert moved(emulator) == (await line.event())["id"]
    with pytest.raises(RefusedUpgrade):
        async with events_line(http):
            pass


async def test_states_of_all_cameras_are_there_from_the_start(emulator, http):
    async with events_line(http) as line:
        await line.attach([{**ALL[0], "resourceTypes": ["cameras"], "eventTypes": [MOTION, STILL]}])
        states = (await line.ask("getState"))["states"]
        assert sorted(state["source"] for state in states) == sorted(camera(emulator, n) for n in range(3))
        assert {state["type"] for state in states} == {STILL}
        now = moved(emulator, 1)
        assert now in {state["id"] for state in emulator.states()}
        again = (await line.ask("getState"))["states"]
        assert {state["id"] for state in again} - {state["id"] for state in states} == {now}
        assert [event["id"] for event in line.events] in ([], [now])


@pytest.mark.virtual_time
@pytest.mark.parametrize(("away", "status"), [(29, 200), (31, 201)])
async def test_a_session_can_be_resumed_for_30_seconds(emulator, http, away, status):
    async with events_line(http) as line:
        session = await line.attach()
        moved(emulator)
        seen = (await line.event())["id"]
    missed = [moved(emulator, 1), moved(emulator, 2)]
    await anyio.sleep(away)
    async with events_line(http) as line:
        assert await line.resume(session, seen) == status
        after = moved(emulator)
        if status == 201:
            assert (await line.ask("getState"))["states"] == []
            assert line.events == []
        else:
            assert [(await line.event())["id"] for _ in range(3)] == [*missed, after]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"command":"getState"}'])
async def test_a_malformed_command_ends_the_connection(http, text):
    async with events_line(http) as line:
        await line.attach()
        await line.say(text)
        assert await line.end() == 1007


@pytest.mark.virtual_time
async def test_a_slow_state_does_not_hold_up_events(emulator, http):
    emulator.faults.add(Fault("delay", method="FRAME", channel="getState", seconds=100))
    async with events_line(http) as line:
        await line.attach()
        begun = anyio.current_time()
        number = await line.tell("getState")
        await line.tell("removeSubscription", subscriptionId="x")
        await anyio.sleep(1)
        assert moved(emulator) == (await line.event())["id"]
        assert anyio.current_time() - begun < 2
        assert (await line.reply(number))["status"] == 200
        assert anyio.current_time() - begun == pytest.approx(100)


@pytest.mark.virtual_time
async def test_commands_behind_a_slow_one_are_all_answered_in_order(emulator, http):
    emulator.faults.add(Fault("delay", method="FRAME", channel="getState", seconds=10))
    async with events_line(http) as line:
        await line.ask("startSession")
        numbers = [await line.tell("getState")]
        numbers += [await line.tell("addSubscription", filters=[]) for _ in range(200)]
        got = [json.loads(await line.hear())["commandId"] for _ in numbers]
        assert got == numbers


async def test_a_huge_frame_is_still_one_reply(emulator, http):
    emulator.faults.add(Fault("body", method="FRAME", channel="getState", size=3_000_000))
    async with events_line(http) as line:
        await line.attach()
        number = await line.tell("getState")
        text = await line.hear()
        assert len(text) == 3_000_000
        assert json.loads(text)["commandId"] == number


async def test_commands_are_refused_and_passed_over_on_order(emulator, http):
    emulator.faults.add(Fault("reject", channel="addSubscription", error="403::Not for you"))
    emulator.faults.add(Fault("hang", method="FRAME", channel="removeSubscription"))
    async with events_line(http) as line:
        await line.ask("startSession")
        refused = await line.ask("addSubscription", filters=ALL)
        assert (refused["status"], refused["error"]["errorText"]) == (403, "Not for you")
        await line.tell("removeSubscription", subscriptionId="x")
        assert (await line.ask("addSubscription", filters=ALL))["status"] == 200
    emulator.faults.add(Fault("status", path=PATH, status=503))
    with pytest.raises(RefusedUpgrade) as no:
        async with events_line(http):
            pass
    assert no.value.status == 503


async def test_a_session_forgotten_on_order_is_a_new_one(emulator, http):
    emulator.faults.add(Fault("forget", channel="startSession", skip=1))
    async with events_line(http) as line:
        session = await line.attach()
        moved(emulator)
        seen = (await line.event())["id"]
    async with events_line(http) as line:
        assert await line.resume(session, seen) == 201


@pytest.mark.parametrize("accident", ["drop", "restart", "forget", "cut", "lose"])
async def test_accidents_end_the_connection_and_only_some_the_session(emulator, http, accident):
    async with events_line(http) as line:
        session = await line.attach()
        moved(emulator)
        seen = (await line.event())["id"]
        match accident:
            case "drop":
                emulator.drop_sockets()
            case "restart":
                emulator.restart()
            case "forget":
                assert emulator.forget_sessions() == 1
            case "cut":
                emulator.faults.add(Fault("cut", method="FRAME", size=10))
                await line.tell("getState")
            case "lose":
                emulator.drop_sockets(lose=True)
        missed = moved(emulator)
        await line.end()
    resumable = accident in {"drop", "cut", "lose"}
    async with events_line(http) as line:
        assert await line.resume(session, seen) == (200 if resumable else 201)
        if resumable:
            assert (await line.event())["id"] == missed
    assert emulator.event_sessions == 1


async def test_a_silent_socket_and_a_silent_session_tell_nothing(emulator, http):
    async with events_line(http) as line, events_line(http) as other:
        await line.attach()
        await other.attach()
        assert emulator.forget_sessions(tell=False) == 2
        moved(emulator)
        assert await line.quiet()
        assert (await line.ask("getState"))["status"] == 400
        assert emulator.silence_sockets() == 2
        await other.ping()
        assert await other.quiet()
        assert not other.pongs


async def test_an_alarm_that_a_definition_raises_comes_after_its_event(emulator, http):
    emulator.store.add_definition("Intrusion", MOTION)
    async with events_line(http) as line:
        await line.attach()
        event = moved(emulator)
        assert (await line.event())["id"] == event
        [alarm] = (await http.get("/api/rest/v1/alarms")).json()["array"]
        assert alarm["source"] == camera(emulator)


async def test_users_hear_only_of_cameras_that_they_see(emulator, http):
    seen = list(emulator.store.site.items["cameras"])[1]
    emulator.access.add_user("eve", "pw", cameras=frozenset({seen}))
    token = emulator.access.issue_token("eve")
    async with events_line(http, headers={"Authorization": f"Bearer {token}"}) as line:
        await line.attach()
        moved(emulator, 0)
        mine = moved(emulator, 1)
        assert (await line.event())["id"] == mine


async def test_another_client_reads_it_over_loopback(emulator):
    """The library `websockets`, with nothing of ours, from log-in to resumption."""

    def work(url: str) -> list[str]:
        form = {"grant_type": "password", "username": "demo", "password": "demo",
                "client_id": "GrantValidatorClient"}  # fmt: skip
        reply = httpx.post(f"{url}/API/IDP/connect/token", data=form, trust_env=False)
        headers = {"Authorization": f"Bearer {reply.json()['access_token']}"}
        moves = [{**ALL[0], "resourceTypes": ["cameras"], "eventTypes": [MOTION, STILL]}]
        uri = url.replace("http", "ws", 1) + "/api/ws/events/v1/"

        def ask(socket, **command):
            socket.send(json.dumps(command))
            return json.loads(socket.recv(5))

        def name(path, key="displayName"):
            reply = httpx.get(f"{url}/api/rest/v1/{path}", headers=headers, trust_env=False)
            return reply.json()["data"][key]

        with websockets.sync.client.connect(uri, additional_headers=headers, proxy=None) as socket:
            started = ask(socket, command="startSession", commandId=0, sessionId="", eventId="")
            assert started["status"] == 201
            assert ask(socket, command="addSubscription", commandId=1, filters=moves)["status"] == 200
            states = ask(socket, command="getState", commandId=2)["states"]
            assert {
                (name(state["source"]), name(f"stateGroups/{state['stategroupid']}"),
                 name(f"eventTypes/{state['type']}", "state"))
                for state in states
            } == {(f"Camera {number}", "Motion", "Stopped") for number in (1, 2, 3)}  # fmt: skip
            sent = [moved(emulator)]
            got = [event["id"] for event in json.loads(socket.recv(5))["events"]]
            socket.ping().wait(5)
        sent += [moved(emulator, 1), moved(emulator, 2)]
        with websockets.sync.client.connect(uri, additional_headers=headers, proxy=None) as socket:
            session = started["sessionId"]
            resumed = ask(socket, command="startSession", commandId=0, sessionId=session, eventId=got[-1])
            assert resumed["status"] == 200
            got += [event["id"] for event in json.loads(socket.recv(5))["events"]]
            emulator.restart()
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                socket.recv(5)
        assert got == sent
        return got

    async with serve(emulator) as server:
        assert len(await anyio.to_thread.run_sync(work, server.url)) == 3
