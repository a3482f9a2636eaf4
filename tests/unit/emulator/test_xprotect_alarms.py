"""The emulated Alarms REST API: alarms triggered, read, changed; filters, pages; the oddities."""

import re
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from emulator_vms import BASE, detail, operating

from tocsin.emulator import Fault, Limits, XProtectEmulator, XProtectSettings

GUID = "11111111-2222-4333-8444-555555555555"
FIVE = {
    "state": None,
    "priority": None,
    "comment": None,
    "assignedTo.displayName": None,
    "reasonForClosing": None,
}


class Hands:
    """A clock that is turned by hand."""

    now = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def vms(**settings) -> XProtectEmulator:
    emulator = XProtectEmulator(clock=Hands(), settings=XProtectSettings(**settings))
    emulator.store.add_camera("Gate", id=GUID)
    return emulator


async def test_what_the_vendors_sample_does():
    async with operating(XProtectEmulator()) as operator:
        camera = (await operator.array("/cameras"))[0]["id"]
        posted = await operator.post("/alarms", {"name": "Door", "message": "Forced", "source": camera})
        assert posted.status_code == 202
        made = posted.json()["data"]
        alarm = await operator.data(f"/alarms/{made['id']}", include="data")
        assert (alarm["name"], alarm["message"]) == ("Door", "Forced")
        assert (alarm["source"], alarm["cameraId"]) == (f"cameras/{camera}", camera)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", alarm["time"])
        assert alarm["state"]["level"] == 1
        assert "description" in alarm["data"]
        states = await operator.array("/alarmStates")
        priorities = await operator.array("/alarmPriorities")
        for state, priority in ((states[0], priorities[-1]), (states[1], priorities[0])):
            patched = await operator.patch(
                alarm["id"], {**FIVE, "state": state["id"], "priority": priority["id"]}
            )
            assert patched.status_code == 202
            [listed] = await operator.array("/alarms", page=0, size=10)
            assert listed == patched.json()["data"]
            assert "data" not in listed
            assert (listed["id"], listed["state"], listed["priority"]) == (alarm["id"], state, priority)


async def test_states_have_other_ids_on_another_server_and_the_same_levels():
    seen = []
    for seed in (1, 2):
        async with operating(XProtectEmulator(rng=Random(seed))) as operator:
            seen.append({item["level"]: item["id"] for item in await operator.array("/alarmStates")})
    assert seen[0].keys() == seen[1].keys() == {1, 4, 9, 11}
    assert not set(seen[0].values()) & set(seen[1].values())


@pytest.mark.parametrize("source", [GUID, GUID.upper(), f"cameras/{GUID}", f"Cameras/{GUID.upper()}"])
async def test_a_source_is_a_bare_id_or_a_path_in_any_case(source):
    async with operating(vms()) as operator:
        made = (await operator.post("/alarms", {"name": "n", "source": source})).json()["data"]
        assert (made["source"], made["cameraId"]) == (f"cameras/{GUID}", GUID)


async def test_a_source_that_is_no_camera_or_none_at_all_has_the_empty_camera():
    emulator = vms()
    button = emulator.store.add_user_event("Bell")["id"]
    async with operating(emulator) as operator:
        for body in ({"name": "n"}, {"name": "n", "source": f"userDefinedEvents/{button}"}):
            made = (await operator.post("/alarms", body)).json()["data"]
            assert made["cameraId"] == "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "name"),
        ({"name": 7}, "name"),
        ({"name": "n", "source": "nowhere"}, "source"),
        ({"name": "n", "source": 7}, "source"),
        ({"name": "n", "message": []}, "message"),
        ({"name": "n", "time": "yesterday"}, "time"),
        ({"name": "n", "time": "9999-12-31T23:59:59-14:00"}, "time"),
        ({"name": "n", "time": "0001-01-01T00:00:00+14:00"}, "time"),
        ({"name": "n", "priority": GUID}, "priority"),
        ([], None),
        ("text", None),
    ],
)
async def test_an_alarm_that_cannot_be_is_refused(body, key):
    async with operating(vms()) as operator:
        reply = await operator.post("/alarms", body)
        assert reply.status_code == 400
        assert detail(reply).get("property") == key


async def test_what_is_no_json_is_refused_with_an_envelope():
    async with operating(vms()) as operator:
        for content, kind in ((b"{", "application/json"), (b"name=n", "application/x-www-form-urlencoded")):
            reply = await operator.http.post(
                BASE + "/alarms", content=content, headers={"Content-Type": kind}
            )
            assert reply.status_code == 400
            assert detail(reply)["errorText"]
        for path in ("/alarms/none", "/nothing", "/closereason", "/alarmSessions"):
            reply = await operator.get(path)
            assert reply.status_code == 404
            assert detail(reply)["errorText"]
        assert (await operator.http.put(f"{BASE}/alarms/{GUID}", json={})).status_code == 405


async def test_a_write_is_seen_when_its_time_has_come():
    emulator = vms(visible_after=2)
    async with operating(emulator) as operator:
        made = (await operator.post("/alarms", {"name": "n"})).json()["data"]
        assert (await operator.get(f"/alarms/{made['id']}")).status_code == 404
        assert await operator.names() == []
        emulator.clock._source.pass_(2)
        assert await operator.names() == ["n"]
        closed = emulator.store.site.state(11)["id"]
        patched = await operator.patch(made["id"], {"state": closed})
        assert patched.json()["data"]["state"]["level"] == 11
        assert (await operator.data(f"/alarms/{made['id']}"))["state"]["level"] == 1
        emulator.clock._source.pass_(2)
        assert (await operator.data(f"/alarms/{made['id']}"))["state"]["level"] == 11


async def test_an_alarm_stays_visible_through_many_changes_that_are_not_yet():
    emulator = vms(visible_after=2)
    async with operating(emulator) as operator:
        made = (await operator.post("/alarms", {"name": "n"})).json()["data"]
        emulator.clock._source.pass_(2)
        for number in range(50):
            await operator.patch(made["id"], {"assignedTo.displayName": f"J{number}"})
            assert await operator.names() == ["n"]
        emulator.clock._source.pass_(2)
        assert (await operator.data(f"/alarms/{made['id']}"))["assignedTo"] == {"displayName": "J49"}


async def test_old_times_come_in_order():
    emulator = vms()
    for year in ("0987", "1970", "2026", "9999"):
        emulator.store.create({"name": year, "time": f"{year}-01-01T00:00:00Z"})
    async with operating(emulator) as operator:
        assert await operator.names(orderBy="asc:'time'") == ["0987", "1970", "2026", "9999"]
        assert await operator.names(time="lt:'1971-01-01'") == ["1970", "0987"]


async def test_stale_reads_show_what_was():
    emulator = vms()
    first = emulator.store.create({"name": "n"})
    emulator.clock._source.pass_(10)
    emulator.store.close(first["id"])
    emulator.store.create({"name": "later"})
    emulator.faults.add(Fault("stale", seconds=5, times=2))
    async with operating(emulator) as operator:
        [row] = await operator.array("/alarms")
        assert row["state"]["level"] == 1
        assert await operator.names(orderBy="asc:'time'") == ["n", "later"]


async def test_only_what_is_named_changes_and_a_comment_goes_to_the_history():
    emulator = vms()
    alarm = emulator.store.create({"name": "n", "source": GUID})
    async with operating(emulator) as operator:
        await operator.patch(alarm["id"], {"assignedTo.displayName": "Eve (ACME\\eve)", "comment": "mine"})
        changed = await operator.data(f"/alarms/{alarm['id']}")
        assert changed["assignedTo"] == {"displayName": "Eve (ACME\\eve)"}
        assert changed["lastUpdatedTime"] > alarm["lastUpdatedTime"]
        reason = (await operator.array("/closeReasons"))[0]
        body = {**FIVE, "state": emulator.store.site.state(11)["id"], "reasonForClosing": reason["id"]}
        await operator.patch(alarm["id"].upper(), body)
        closed = await operator.data(f"/alarms/{alarm['id']}")
        assert (closed["state"]["level"], closed["assignedTo"]) == (11, changed["assignedTo"])
        history = await operator.array(f"/alarms/{alarm['id']}/history")
        assert [(row["author"], row["text"], row["state"]["level"]) for row in history] == [
            ("demo", "mine", 1),
            ("demo", "", 11),
        ]
        assert history[1]["reasonForClosing"] == reason
        seq = emulator.ledger.seq
        assert (await operator.patch(alarm["id"], FIVE)).status_code == 202
        assert emulator.ledger.seq == seq


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"state": GUID}, "state"),
        ({"state": 11}, "state"),
        ({"state": {"id": GUID}}, "state"),
        ({"assignedTo": {"displayName": "x"}}, "assignedTo"),
        ({"assignedTo.displayName": 1}, "assignedTo.displayName"),
        ({"reasonForClosing": "because"}, "reasonForClosing"),
        ({"comment": 1}, "comment"),
        ({"name": "other"}, "name"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(body, key):
    emulator = vms()
    alarm = emulator.store.create()
    async with operating(emulator) as operator:
        reply = await operator.patch(alarm["id"], body)
        assert (reply.status_code, detail(reply)["property"]) == (400, key)
        assert emulator.store.get(alarm["id"])["lastUpdatedTime"] == alarm["lastUpdatedTime"]


async def test_older_servers_may_want_all_five_keys():
    emulator = vms(patch_keys="all", null_clears=True)
    alarm = emulator.store.create()
    async with operating(emulator) as operator:
        assert (await operator.patch(alarm["id"], {"comment": "x"})).status_code == 400
        reply = await operator.patch(alarm["id"], {**FIVE, "assignedTo.displayName": "x"})
        assert reply.json()["data"]["assignedTo"] == {"displayName": "x"}
        assert (await operator.patch(alarm["id"], FIVE)).json()["data"]["assignedTo"] is None


@pytest.fixture
def filled():
    emulator = vms(filter_updated=True)
    for number, (name, level, priority) in enumerate(
        [("O'Brien", 1, 1), ("door", 4, 2), ("doorbell", 9, 3), ("gate", 11, 3)]
    ):
        source = GUID if number < 2 else None
        alarm = emulator.store.create({"name": name, "message": f"m{number}", "source": source})
        emulator.store.update(alarm["id"], {"state": level, "priority": priority})
        emulator.clock._source.pass_(60)
    return emulator


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"state.name": "'New'"}, ["O'Brien"]),
        ({"state.name": "notEquals:'Closed'"}, ["doorbell", "door", "O'Brien"]),
        ({"state.level": "lt:'9'"}, ["door", "O'Brien"]),
        ({"state.level": "gt:4"}, ["gate", "doorbell"]),
        ({"name": "'O''Brien'"}, ["O'Brien"]),
        ({"name": "startsWith:'door'"}, ["doorbell", "door"]),
        ({"name": "contains:'bell'"}, ["doorbell"]),
        ({"name": "oneOf:'door','gate'"}, ["gate", "door"]),
        ({"cameraId": f"'{GUID.upper()}'"}, ["door", "O'Brien"]),
        ({"cameraId": f"notEquals:'{GUID}'"}, ["gate", "doorbell"]),
        ({"time": "gt:'2026-03-01T09:00:59Z',lt:'2026-03-01T09:02:30.5Z'"}, ["doorbell", "door"]),
        ({"time": "gt:'2026-03-01T11:01:59+02:00'"}, ["gate", "doorbell"]),
        ({"lastUpdatedTime": "gt:'2026-03-01T09:02:30Z'"}, ["gate"]),
        ({"state.name": "notEquals:'Closed'", "priority.level": "'3'"}, ["doorbell"]),
        ({"orderBy": "asc:'time'", "size": 2}, ["O'Brien", "door"]),
        ({"orderBy": "desc:'priority.level'", "size": 1, "page": 1}, ["doorbell"]),
        ({"assignedTo.displayName": "'nobody'"}, []),
        ({"page": 9}, []),
    ],
)
async def test_filters_order_and_pages(filled, query, names):
    async with operating(filled) as operator:
        assert await operator.names(**query) == names


@pytest.mark.parametrize(
    "query",
    [
        {"state.name": "New"},
        {"state.name": "'New"},
        {"state.name": "'New',"},
        {"state.name": "lt:'New'"},
        {"state.name": "is:'New'"},
        {"state.name": ""},
        {"time": "gt:'soon'"},
        {"time": "startsWith:'2026'"},
        {"state.level": "'one'"},
        {"state.level": "'" + "9" * 5000 + "'"},
        {"fromTime": "'2026-03-01T09:00:00Z'"},
        {"orderBy": "time up"},
        {"orderBy": "asc:'colour'"},
        {"page": -1},
        {"page": "x"},
        {"size": 0},
        {"size": 2001},
        {"include": "everything"},
    ],
)
async def test_a_query_that_cannot_be_read_is_refused(filled, query):
    async with operating(filled) as operator:
        reply = await operator.get("/alarms", **query)
        assert reply.status_code == 400
        assert detail(reply)["errorText"]


async def test_filters_by_the_time_of_the_last_change_are_not_known_to_exist():
    async with operating(vms()) as operator:
        assert (await operator.get("/alarms", lastUpdatedTime="gt:'2026-03-01T09:00:00Z'")).status_code == 400


@pytest.mark.parametrize(("kind", "status"), [("wrong", 404), ("right", 200), ("absent", None)])
async def test_the_link_to_the_next_page_may_lead_nowhere(kind, status):
    emulator = vms(next_link=kind)
    for number in range(6):
        emulator.store.create({"name": f"A{number} & B" if number else "other"})
    async with operating(emulator) as operator:
        query = {"name": "contains:' & B'", "orderBy": "asc:'time'", "size": 2}
        first = (await operator.get("/alarms", **query)).json()
        assert len(first["array"]) == 2
        if status is None:
            assert "_links" not in first
        else:
            followed = await operator.http.get(first["_links"]["next"])
            assert followed.status_code == status
            if status == 200:
                assert [alarm["name"] for alarm in followed.json()["array"]] == ["A3 & B", "A4 & B"]
        assert "_links" not in (await operator.get("/alarms", **query, page=2)).json()


async def test_times_rise_though_the_clock_stands_still():
    emulator = vms()
    times = [emulator.store.create()["time"] for _ in range(2000)]
    assert times == sorted(set(times))


async def test_alarms_vanish_when_they_were_kept_long_enough():
    emulator = vms(closed_retention=60, open_retention=600)
    open_, closed = emulator.store.create()["id"], emulator.store.create()["id"]
    emulator.store.close(closed)
    async with operating(emulator) as operator:
        assert len(await operator.array("/alarms")) == 2
        emulator.clock._source.pass_(61)
        assert [row["id"] for row in await operator.array("/alarms")] == [open_]
        assert (await operator.get(f"/alarms/{closed}")).status_code == 404
        assert emulator.ledger[-1].action == "DELETE"
        emulator.clock._source.pass_(600)
        assert await operator.array("/alarms") == []


async def test_what_a_role_lacks_is_403_and_what_it_does_not_see_is_not_there():
    emulator = vms()
    other = emulator.store.site.items["cameras"]
    hidden = next(camera for camera in other if camera != GUID)
    emulator.access.add_user("guard", "pw", "read-only", cameras=frozenset({GUID}))
    emulator.access.add_user("clerk", "pw", "no-alarms")
    shown = emulator.store.create({"name": "shown", "source": GUID})["id"]
    gone = emulator.store.create({"name": "gone", "source": hidden})["id"]
    async with operating(emulator, username="guard", password="pw") as guard:
        assert await guard.names() == ["shown"]
        assert (await guard.get(f"/alarms/{gone}")).status_code == 404
        assert [item["id"] for item in await guard.array("/cameras")] == [GUID]
        assert [row["value"] for row in await guard.array("/alarmStatistics")] == [1, 0, 0, 0]
        reply = await guard.patch(shown, {"comment": "x"})
        assert (reply.status_code, detail(reply)["errorTextId"]) == (403, "VMO61008")
        assert (await guard.post("/alarms", {"name": "n"})).status_code == 403
    async with operating(emulator, username="clerk", password="pw") as clerk:
        assert (await clerk.get("/alarms")).status_code == 403


async def test_lists_statistics_and_pictures():
    emulator = vms()
    alarm = emulator.store.create()["id"]
    async with operating(emulator) as operator:
        assert {"id", "level", "name"} <= (await operator.array("/alarmCategories"))[0].keys()
        assert all(isinstance(text, str) for text in await operator.array("/alarmMessages"))
        assert (await operator.array("/alarmStatistics"))[0] == {"type": "State", "number": 1, "value": 1}
        assert await operator.array(f"/alarms/{alarm}/snapshots") == []
        assert (await operator.post(f"/alarms/{alarm}/snapshots", {"image": "AA=="})).status_code == 201
        assert (await operator.array(f"/alarms/{alarm}/snapshots"))[0]["image"] == "AA=="


async def test_what_a_consumer_saw_is_held_against_the_ledger():
    emulator = vms()
    alarm = emulator.store.create()
    closed = emulator.store.close(alarm["id"])
    other = emulator.store.create()
    seen = {alarm["id"]: alarm}
    assert {wrong.id for wrong in emulator.ledger.lost(seen)} == {alarm["id"], other["id"]}
    assert emulator.ledger.lost({alarm["id"]: closed, other["id"]: other}) == []
    told = [{"action": "UPDATE", "id": alarm["id"], "alarm": row} for row in (alarm, closed, closed)]
    assert emulator.ledger.duplicates(told) == [told[2]]


async def test_caps_are_told():
    emulator = XProtectEmulator(settings=XProtectSettings(limits=Limits(alarms=1, body=200)))
    async with operating(emulator) as operator:
        assert (await operator.post("/alarms", {"name": "n"})).status_code == 202
        assert (await operator.post("/alarms", {"name": "n"})).status_code == 507
        reply = await operator.post("/alarms", {"name": "n" * 300})
        assert (reply.status_code, detail(reply)["errorText"] != "") == (413, True)
