"""The HTTP control: what it does, and whom it refuses."""

import httpx
import pytest
from emulator_talk import client, talking

from tocsin.emulator import Emulator
from tocsin.testing import in_process

STATE = "/__emulator__/state"


@pytest.fixture
async def control():
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    token = emulator.enable_control()
    async with in_process(emulator) as server, client(server) as talk, client(server) as remote:
        remote.http.auth = None
        remote.http.headers["Authorization"] = f"Bearer {token}"
        remote.emulator, remote.talk, remote.server = emulator, talk, server
        yield remote


async def test_off_unless_enabled():
    async with talking(Emulator()) as talk:
        assert (await talk.get(STATE)).status_code == 404
        assert (await talk.http.get(STATE, auth=("", ""))).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8111"}, 200),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic ZGVtbzpkZW1v"}, 401),
        ({"Origin": "http://127.0.0.1:8111"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8111"}, 403),
        ({"Host": "evil.example:127.0.0.1"}, 403),
    ],
)
async def test_who_is_refused(control, headers, status):
    for method in ("GET", "POST"):
        path = STATE if method == "GET" else "/__emulator__/faults"
        reply = await control.http.request(method, path, headers=headers, json={"kind": "lose"})
        assert reply.status_code == (201 if (method, status) == ("POST", 200) else status)
    assert len(control.emulator.faults) == (1 if status == 200 else 0)


async def test_other_hosts_can_be_allowed():
    emulator = Emulator()
    token = emulator.enable_control("secret", hosts=["Alarms.example"])
    async with talking(emulator) as talk:
        headers = {"Authorization": f"Bearer {token}", "Host": "alarms.example:8111"}
        assert (await talk.http.get(STATE, headers=headers, auth=None)).status_code == 200


async def test_the_token_is_random_and_long():
    tokens = {Emulator().enable_control() for _ in range(10)}
    assert len(tokens) == 10
    assert min(map(len, tokens)) >= 32


async def test_faults_are_ordered_listed_and_taken_back(control):
    reply = await control.post(
        {"kind": "status", "status": 502, "path": "/alarm/*"}, path="/__emulator__/faults"
    )
    assert reply.status_code == 201
    assert (await control.talk.get("/alarm/alarms")).status_code == 502
    for kind in ("lose", "duplicate"):
        await control.post({"kind": kind}, path="/__emulator__/faults")
    listed = (await control.get("/__emulator__/faults")).json()["faults"]
    assert [fault["kind"] for fault in listed] == ["lose", "duplicate"]
    assert (await control.http.delete(f"/__emulator__/faults/{listed[0]['number']}")).status_code == 204
    assert len(control.emulator.faults) == 1
    assert (await control.http.delete("/__emulator__/faults")).status_code == 204
    assert len(control.emulator.faults) == 0


@pytest.mark.parametrize(
    "body", [{"kind": "x"}, {"kind": "cut", "size": "1"}, {"kind": "body", "rewrite": "x"}, [], 1]
)
async def test_wrong_faults_are_422(control, body):
    assert (await control.http.post("/__emulator__/faults", json=body)).status_code == 422


async def test_control_requests_meet_no_faults_and_are_not_counted(control):
    await control.post({"kind": "status", "times": None}, path="/__emulator__/faults")
    before = control.emulator.requests.total
    assert (await control.get(STATE)).status_code == 200
    assert control.emulator.requests.total == before


async def test_state_and_ledger(control):
    await control.talk.attach("/alarms/4711")
    made = (await control.talk.post()).json()
    state = (await control.get(STATE)).json()
    assert (state["alarms"], state["ledger"], state["sessions"]) == (1, 1, 1)
    assert state["subscriptions"] == [["/alarms/4711"]]
    assert state["channels"]["/meta/handshake"] == 1
    ledger = (await control.get("/__emulator__/ledger?after=0")).json()
    assert [(e["seq"], e["action"], e["id"]) for e in ledger["entries"]] == [(1, "CREATE", made["id"])]
    assert ledger["entries"][0]["alarm"] == made
    assert (await control.get("/__emulator__/ledger?after=x")).status_code == 422
    lost = await control.post({"fold": {}}, path="/__emulator__/lost")
    assert [w["id"] for w in lost.json()["lost"]] == [made["id"]]
    same = {"action": "CREATE", "id": made["id"], "alarm": made}
    doubled = await control.post({"changes": [same, same]}, path="/__emulator__/duplicates")
    assert doubled.json()["duplicates"] == [same]
    for path, body in [("lost", {}), ("lost", {"fold": {}, "since": "x"}), ("duplicates", {"changes": [1]})]:
        assert (await control.post(body, path=f"/__emulator__/{path}")).status_code == 422


async def test_actions(control):
    async def do(**body):
        return await control.post(body, path="/__emulator__/actions")

    await control.talk.attach()
    made = (await control.talk.post()).json()
    assert (await do(do="remove_alarm", id=made["id"])).status_code == 200
    assert (await control.talk.get(f"/alarm/alarms/{made['id']}")).status_code == 404
    assert (await do(do="remove_alarm", id=made["id"])).status_code == 404
    await do(do="publish", channel="/alarms/1", data={"odd": 1})
    assert (await control.talk.connect())[-2]["data"] == {"odd": 1}
    token = (await do(do="issue_token", user="demo", lifetime=60)).json()["result"]
    assert control.emulator.access.check(f"Bearer {token}").name == "demo"
    await do(do="expire_tokens")
    assert (await do(do="forget_sessions", advise=False)).json() == {"result": 1}
    assert "advice" not in (await control.talk.connect())[0]
    made = await do(do="add_user", name="eve", password="pw", kind="no-alarms", sources=["4711"], code="1")
    assert made.json() == {"result": ["ROLE_INVENTORY_READ"]}
    assert control.emulator.access.users["eve"].sources == {"4711"}
    for more in ({"kind": "x"}, {"kind": []}, {"sources": "4711"}, {"writes": [1]}, {"code": 1}, {"name": 1}):
        refused = await do(**{"do": "add_user", "name": "e", "password": "p", **more})
        assert refused.status_code == 422
    for wrong in ({"do": "nothing"}, {}, {"do": "drop_polls", "lose": 1}, {"do": "go_down", "seconds": -1}):
        assert (await do(**wrong)).status_code == 422


async def test_an_outage_ordered_over_http_ends_by_itself(control):
    await control.talk.attach()
    reply = await control.post({"do": "go_down", "seconds": 0.05}, path="/__emulator__/actions")
    assert reply.status_code == 202
    await control.emulator.until(lambda: control.emulator.down)
    with pytest.raises(httpx.ConnectError):
        await control.talk.get("/alarm/alarms")
    await control.emulator.until(lambda: not control.emulator.down)
    assert (await control.talk.connect())[0]["error"].startswith("402")
    await control.talk.attach()
    assert (await control.post({"do": "restart"}, path="/__emulator__/actions")).status_code == 202
    await control.emulator.until(lambda: control.emulator.sessions == 0)


async def test_requests_are_counted_for_tests_of_politeness():
    emulator = Emulator()
    async with talking(emulator) as talk:
        await talk.attach()
        await talk.get("/alarm/alarms", status="ACTIVE")
    assert emulator.requests.by["POST", "/notification/realtime"] == 3
    assert emulator.requests.by["GET", "/alarm/alarms"] == 1
    assert emulator.requests.channels == {"/meta/handshake": 1, "/meta/subscribe": 1, "/meta/connect": 1}
    assert emulator.requests.log[-1].query == "status=ACTIVE"
    emulator.requests.clear()
    assert emulator.requests.total == 0
