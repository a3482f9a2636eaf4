"""The emulated Events REST API and configuration, sessions of alarms, faults and the HTTP control."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from emulator_vms import BASE, detail, operating, reaching

from tocsin.emulator import Fault, ThrottleSettings, XProtectEmulator, XProtectSettings
from tocsin.testing import in_process

EMPTY = "00000000-0000-0000-0000-000000000000"
MOTION = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
BUILT_IN = {
    "85867627-b287-4439-9e55-a63701e1715b",
    "77b1e70d-ba8d-4bb8-9ee8-43b09746d82a",
    "7605f8b0-7f5f-4432-b223-0bb2dc3f1f5c",
}


class Hands:
    """A clock that is turned by hand."""

    now = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def own_events(operator):
    return [item for item in await operator.array("/userDefinedEvents") if item["id"] not in BUILT_IN]


async def test_what_the_vendors_sample_does_and_the_alarm_that_comes_of_it():
    emulator = XProtectEmulator()
    heard = []
    emulator.store.listen(heard.append)
    async with operating(emulator) as operator:
        kind = (await own_events(operator))[0]
        posted = await operator.post("/events", {"type": kind["id"]})
        assert posted.status_code == 202
        event = posted.json()["data"]
        listed = await operator.array("/events", page=0, size=10, include="data")
        assert listed == [{**event, "data": {}}]
        assert await operator.data(f"/events/{event['id']}") == event
        assert [told.id for told in heard] == [event["id"]]
        [alarm] = await operator.array("/alarms")
        assert (alarm["name"], alarm["priority"]["level"]) == ("Panic", 1)


async def test_events_of_devices_are_heard_and_not_stored():
    emulator = XProtectEmulator()
    heard = []
    stop = emulator.store.listen(heard.append)
    camera = next(iter(emulator.store.site.items["cameras"]))
    made = emulator.store.raise_event(MOTION, f"cameras/{camera}")
    stop()
    emulator.store.raise_event(MOTION, f"cameras/{camera}")
    live = heard[0].live()
    assert len(heard) == 1
    assert live["stategroupid"] in emulator.store.site.items["stateGroups"]
    assert (live["type"], live["source"]) == (MOTION, f"cameras/{camera}")
    async with operating(emulator) as operator:
        assert await operator.array("/events") == []
        assert (await operator.get(f"/events/{made['id']}")).status_code == 404


async def test_only_a_service_triggers_events_of_the_system():
    emulator = XProtectEmulator()
    source = "cameras/" + next(iter(emulator.store.site.items["cameras"]))
    body = {"type": MOTION, "source": source}
    async with operating(emulator) as operator:
        assert (await operator.post("/events", body)).status_code == 403
    form = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "secret"}
    async with operating(emulator, **form) as service:
        assert (await service.post("/events", body)).status_code == 202


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "type"),
        ({"type": "none"}, "type"),
        ({"type": 1}, "type"),
        ({"type": "85867627-b287-4439-9e55-a63701e1715b", "source": "cameras/none"}, "source"),
        ({"type": "85867627-b287-4439-9e55-a63701e1715b", "source": 1}, "source"),
        ({"type": "85867627-b287-4439-9e55-a63701e1715b", "data": 1}, "data"),
    ],
)
async def test_an_event_that_cannot_be_is_refused(body, key):
    async with operating(XProtectEmulator()) as operator:
        reply = await operator.post("/events", body)
        assert (reply.status_code, detail(reply)["property"]) == (400, key)


async def test_several_events_each_have_a_status():
    async with operating(XProtectEmulator()) as operator:
        kind = (await own_events(operator))[0]["id"]
        reply = await operator.post("/events/bulk", {"events": [{"type": kind}, {"type": "none"}, 7]})
        assert reply.status_code == 207
        assert [item["status"] for item in reply.json()["array"]] == [202, 400, 400]


async def test_the_configuration_is_read_by_path_in_any_case_and_leaves_out_what_is_disabled():
    emulator = XProtectEmulator(cameras=1)
    off = emulator.store.add_camera("Off", enabled=False)
    async with operating(emulator) as operator:
        [camera] = await operator.array("/cameras")
        assert len((await operator.http.get("/API/REST/v1/Cameras?disabled")).json()["array"]) == 2
        assert (await operator.data(f"/cameras/{off['id'].upper()}"))["enabled"] is False
        assert camera["relations"]["self"] == {"type": "cameras", "id": camera["id"]}
        state = await operator.data(f"/eventTypes/{MOTION}")
        assert (state["displayName"], state["state"]) == ("Motion Started", "Started")
        group = await operator.data(f"/stateGroups/{state['stateGroupId']}")
        assert group["displayName"] == "Motion"
        assert (await operator.get("/cameras/none")).status_code == 404


async def test_a_definition_makes_alarms_of_the_events_of_its_sources():
    emulator = XProtectEmulator(cameras=2)
    one, other = emulator.store.site.items["cameras"]
    async with operating(emulator) as operator:
        low = emulator.store.site.priorities[-1]["id"]
        body = {
            "name": "Motion at one",
            "eventType": MOTION,
            "sourceList": [f"cameras/{one}"],
            "priority": low,
        }
        posted = await operator.post("/alarmDefinitions", body)
        assert posted.status_code == 201
        made = posted.json()["result"]["id"]
        for camera in (one, other):
            emulator.store.raise_event(MOTION, f"cameras/{camera}")
        [alarm] = await operator.array("/alarms")
        assert (alarm["name"], alarm["cameraId"], alarm["priority"]["id"]) == ("Motion at one", one, low)
        path = f"{BASE}/alarmDefinitions/{made}"
        assert (await operator.http.patch(path, json={"enabled": False})).status_code == 200
        emulator.store.raise_event(MOTION, f"cameras/{one}")
        assert emulator.store.count == 1
        assert (await operator.http.delete(path)).status_code == 200
        assert (await operator.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5}, {"name": ""}, {"eventType": "none"}, {"eventType": None}, {"sourceList": 5},
        {"priority": "none"}, {"category": 1},
    ],
)  # fmt: skip
async def test_a_definition_that_would_make_no_alarm_is_refused(wrong):
    emulator = XProtectEmulator()
    [camera, *_] = emulator.store.site.items["cameras"]
    good = {"name": "Motion", "eventType": MOTION.upper(), "category": EMPTY, "collection": "x", "self": 1}
    async with operating(emulator) as operator:
        assert (await operator.post("/alarmDefinitions", {**good, **wrong})).status_code == 400
        made = (await operator.post("/alarmDefinitions", good)).json()["result"]["id"]
        changed = await operator.http.put(f"{BASE}/alarmDefinitions/{made}", json=wrong)
        assert changed.status_code == 400
        emulator.store.raise_event(MOTION, f"cameras/{camera}")
        assert await operator.names() == ["Motion"]


async def test_a_session_tells_what_changed_since_it_was_asked():
    emulator = XProtectEmulator(settings=XProtectSettings(sessions=True))
    old = emulator.store.create({"name": "old"})["id"]
    emulator.access.add_user("other", "pw")
    async with operating(emulator) as operator:
        session = (await operator.post("/alarmSessions", {})).json()["data"]["id"]
        new = emulator.store.create({"name": "new"})["id"]
        emulator.store.close(old)
        told = await operator.data(f"/alarmSessions/{session}/alarms")
        assert [row["id"] for row in told["addedToSession"]] == [new]
        assert [row["state"]["level"] for row in told["updatedInSession"]] == [11]
        emulator.store.remove(new)
        told = await operator.data(f"/alarmSessions/{session}/alarms")
        assert told == {"addedToSession": [], "updatedInSession": [], "deletedFromSession": [new]}
        async with operating(emulator, username="other", password="pw") as other:
            assert (await other.get(f"/alarmSessions/{session}/alarms")).status_code == 404
        assert (await operator.http.delete(f"{BASE}/alarmSessions/{session}")).status_code == 204
        assert (await operator.get(f"/alarmSessions/{session}/alarms")).status_code == 404


async def test_faults_meet_canonical_paths_and_requests_are_counted_under_them():
    emulator = XProtectEmulator()
    async with operating(emulator) as operator:
        emulator.faults.add(
            Fault("status", path=f"{BASE}/alarms", status=503, body="<h1>down</h1>", content_type="text/html")
        )
        reply = await operator.http.get("/API/rest/V1/alarms")
        assert (reply.status_code, reply.headers["content-type"]) == (503, "text/html")
        emulator.faults.add(Fault("status", status=500))
        assert detail(await operator.get("/alarms"))["errorText"]
        emulator.faults.add(Fault("drop", path=f"{BASE}/alarms", method="POST", when="reply"))
        with pytest.raises(httpx.TransportError):
            await operator.post("/alarms", {"name": "n"})
        assert emulator.store.count == 1
        assert emulator.requests.by["GET", f"{BASE}/alarms"] == 2
        assert emulator.requests.by["POST", "/API/IDP/connect/token"] == 1


async def test_it_can_be_throttled():
    emulator = XProtectEmulator(throttle=ThrottleSettings(requests=2, queue=0, retry_after=3))
    async with reaching(emulator) as operator:
        statuses = [(await operator.http.get("/api/.well-known/uris")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]


async def test_it_is_controlled_over_http():
    emulator = XProtectEmulator()
    token = emulator.enable_control("key")
    async with operating(emulator) as operator:

        async def act(do, **more):
            headers = {"Authorization": f"Bearer {token}"}
            reply = await operator.http.post(
                "/__emulator__/actions", json={"do": do, **more}, headers=headers
            )
            return reply.json().get("result"), reply.status_code

        alarm, _ = await act("create_alarm", alarm={"name": "by order"})
        changed, _ = await act("update_alarm", id=alarm["id"], changes={"state": 11})
        assert changed["state"]["level"] == 11
        await act(
            "raise_event", type=MOTION, source="cameras/" + next(iter(emulator.store.site.items["cameras"]))
        )
        assert (await act("add_user", name="eve", password="pw", role="read-only"))[0] == ["view"]
        assert isinstance((await act("issue_token", user="eve"))[0], str)
        await act("lock", name="eve")
        assert (await operator.log_in(username="eve", password="pw")).json()["error_code"] == "LockedOut"
        await act("remove_alarm", id=alarm["id"])
        kept, _ = await act("create_alarm")
        assert (await act("expire_tokens"))[0] >= 1
        assert (await operator.get("/alarms")).status_code == 401
        state = await operator.http.get("/__emulator__/state", headers={"Authorization": f"Bearer {token}"})
        assert (state.json()["alarms"], state.json()["cameras"], state.json()["ledger"]) == (1, 3, 4)
        for wrong in (
            {"do": "magic"}, {"do": "create_alarm", "alarm": {"source": "x"}}, {"do": "issue_token"},
            {"do": "issue_token", "user": "nobody"}, {"do": "raise_event", "type": "x"},
            {"do": "update_alarm", "id": kept["id"], "changes": {"state": 5}},
            {"do": "remove_alarm", "id": "x"}, {"do": "expire_tokens", "token": "x"},
            {"do": "add_user", "name": "a:b", "password": "x", "login": "windows"},
        ):  # fmt: skip
            assert 400 <= (await act(**wrong))[1] < 500


async def test_it_goes_down_and_comes_up():
    emulator = XProtectEmulator()
    async with in_process(emulator):
        emulator.go_down()
        assert emulator.down
        assert emulator.servers[0].refusing
        emulator.come_up()
        assert not emulator.servers[0].refusing


async def test_no_event_is_stored_without_retention():
    emulator = XProtectEmulator(clock=Hands(), settings=XProtectSettings(event_retention=0))
    async with operating(emulator) as operator:
        event = (await operator.post("/events", {"type": (await own_events(operator))[0]["id"]})).json()
        assert await operator.array("/events") == []
        assert (await operator.get(f"/events/{event['data']['id']}")).status_code == 404


async def test_public_clients_filter_the_configuration_without_quotes():
    emulator = XProtectEmulator()
    async with operating(emulator) as operator:
        for query, count in (("Camera 1", 1), ("contains:Camera", 3), ("notEquals:'Camera 2'", 2)):
            assert len(await operator.array("/cameras", name=query)) == count
        assert (await operator.get("/cameras", name="Camera '1")).status_code == 400


async def test_a_session_tells_which_events_came_and_went():
    clock = Hands()
    emulator = XProtectEmulator(clock=clock, settings=XProtectSettings(event_retention=30))
    button = next(iter(emulator.store.site.items["userDefinedEvents"].keys() - BUILT_IN))
    old = emulator.store.raise_event(button)["id"]
    async with operating(emulator) as operator:
        session = (await operator.post("/eventSessions", {})).json()["data"]["id"]
        path = f"/eventSessions/{session}/events"
        assert await operator.data(path) == {"addedToSession": [], "deletedFromSession": []}
        clock.now += timedelta(seconds=31)
        new = emulator.store.raise_event(button)["id"]
        told = await operator.data(path)
        assert ([event["id"] for event in told["addedToSession"]], told["deletedFromSession"]) == (
            [new],
            [old],
        )
        emulator.restart()
        assert (await operator.get(path)).status_code == 404
