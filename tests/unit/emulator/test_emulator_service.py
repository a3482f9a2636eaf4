"""Upserts, audit records, and bulk changes that go on after the reply."""

import json

import pytest
from emulator_talk import events, talking

from tocsin.emulator import Behaviour, Emulator

UPSERT = "/alarm/alarms/upsert"


@pytest.fixture
def emulator():
    emulator = Emulator()
    emulator.store.add_device("Gate", id="4711")
    return emulator


async def test_an_upsert_creates_with_defaults_and_then_changes_what_is_sent(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        first = await talk.post({"source": {"id": "4711"}, "type": "t"}, UPSERT)
        assert first.status_code == 201
        made = first.json()["alarm"]
        assert first.json()["previousState"] is None
        assert (made["severity"], made["status"], made["text"], made["count"]) == ("MAJOR", "ACTIVE", "", 1)
        body = {"source": {"id": "4711"}, "type": "t", "severity": "CRITICAL", "time": "2020-01-01T00:00:00Z"}
        again = await talk.post(body, UPSERT)
        assert again.status_code == 200
        alarm = again.json()["alarm"]
        assert (alarm["id"], alarm["severity"], alarm["time"]) == (made["id"], "CRITICAL", made["time"])
        assert (alarm["text"], alarm["count"]) == ("", 1)
        assert again.json()["previousState"]["severity"] == "MAJOR"
        counted = await talk.post(body, UPSERT + "?incrementCount=true")
        assert counted.json()["alarm"]["count"] == 2
        seq = emulator.ledger.seq
        assert (await talk.post(body, UPSERT)).status_code == 200
        assert emulator.ledger.seq == seq  # nothing differs
        told = [action for action, _id in events(await talk.connect())]
        assert told == ["CREATE", "UPDATE", "UPDATE"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "t"}, 422),
        ({"source": {"id": "4711"}}, 422),
        ({"source": {"id": "1"}, "type": "t"}, 422),
        ({"source": {"id": "4711"}, "type": "t", "severity": "LOUD"}, 422),
    ],
)
async def test_an_upsert_refuses_what_it_cannot_store(emulator, body, status):
    async with talking(emulator) as talk:
        assert (await talk.post(body, UPSERT)).status_code == status
        assert emulator.store.count == 0


async def test_an_upsert_meets_open_alarms_only_and_is_suppressed_in_maintenance(emulator):
    body = {"source": {"id": "4711"}, "type": "t"}
    async with talking(emulator) as talk:
        first = (await talk.post(body, UPSERT)).json()["alarm"]["id"]
        await talk.put(first, status="CLEARED")
        emulator.store.set_maintenance("4711", True)
        quiet = (await talk.post(body, UPSERT)).json()["alarm"]
        assert "id" not in quiet
        assert quiet["self"].endswith("/null")
        emulator.store.set_maintenance("4711", False)
        assert (await talk.post(body, UPSERT)).json()["alarm"]["id"] != first


@pytest.mark.parametrize("status", [404, 405])
async def test_older_platforms_have_no_upsert(status):
    emulator = Emulator(behaviour=Behaviour(upsert=status))
    async with talking(emulator) as talk:
        assert (await talk.post({}, UPSERT)).status_code == status


async def test_audit_records_say_who_changed_what(emulator):
    async with talking(emulator) as talk:
        one = (await talk.post()).json()["id"]
        await talk.post()  # a repeat leaves no record
        await talk.put(one, status="ACKNOWLEDGED")
        await talk.put(one, status="ACKNOWLEDGED")  # nothing differs
        await talk.http.put(
            "/alarm/alarms?source=4711",
            json={"status": "CLEARED"},
            headers={"X-Cumulocity-Application-Key": "acme"},
        )
        reply = await talk.get("/audit/auditRecords", source=one, pageSize=2)
        newest, older = reply.json()["auditRecords"]
        assert "currentPage=2" in reply.json()["next"]
        assert (newest["user"], newest["application"], newest["type"]) == ("demo", "acme", "Alarm")
        assert newest["source"]["id"] == one
        [change] = older["changes"]
        assert (change["attribute"], change["previousValue"], change["newValue"]) == (
            "status",
            "ACTIVE",
            "ACKNOWLEDGED",
        )
        last = (await talk.http.get(reply.json()["next"])).json()
        [first] = last["auditRecords"]
        assert (first["activity"], first["changes"]) == ("Alarm created", [])
        assert (await talk.get(f"/audit/auditRecords/{first['id']}")).json() == first
        assert (await talk.get("/audit/auditRecords", source="1")).json()["auditRecords"] == []
        assert (await talk.get("/audit/auditRecords/99")).status_code == 404


async def test_audit_records_need_a_role_and_have_a_limit():
    from tocsin.emulator import Limits

    emulator = Emulator(limits=Limits(audit=3))
    for number in range(5):
        emulator.store.create({"type": f"t{number}"})
    emulator.access.add_user("eve", "pw", "no-alarms")
    async with talking(emulator) as talk:
        records = (await talk.get("/audit/auditRecords")).json()["auditRecords"]
        assert [record["id"] for record in records] == ["5", "4", "3"]
    async with talking(emulator, "eve", "pw") as talk:
        assert (await talk.get("/audit/auditRecords")).status_code == 403


@pytest.mark.virtual_time
@pytest.mark.parametrize(("stops", "cleared"), [(None, 4), (2, 2)])
async def test_a_long_bulk_put_goes_on_after_its_reply_or_is_dropped_halfway(stops, cleared):
    emulator = Emulator(behaviour=Behaviour(bulk_seconds=8, bulk_stops_after=stops))
    for number in range(4):
        emulator.store.create({"source": "1", "type": f"t{number}"})

    def done():
        return sum(alarm["status"] == "CLEARED" for alarm in emulator.store.alarms())

    async with talking(emulator) as talk:
        reply = await talk.http.put("/alarm/alarms?source=1", content=json.dumps({"status": "CLEARED"}))
        assert (reply.status_code, reply.content) == (202, b"")
        assert done() == 0
        emulator.store.remove(emulator.store.alarms()[-1]["id"])  # the last one to be changed
        await emulator.until(lambda: done() == min(cleared, 3), timeout=20)
