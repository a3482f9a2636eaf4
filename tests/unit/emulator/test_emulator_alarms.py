"""What a POST, a PUT, a DELETE and a repeat do, as cumulocity.md §2 tells it."""

import pytest
from emulator_talk import ALARM, talking

from tocsin.emulator import Behaviour, Emulator
from tocsin.testing import VirtualWallClock


@pytest.fixture
def emulator():
    made = Emulator()
    made.store.add_device("Gate", id="4711")
    return made


async def test_create(emulator):
    async with talking(emulator) as talk:
        reply = await talk.post()
    body = reply.json()
    assert reply.status_code == 201
    assert reply.headers["location"] == body["self"]
    assert body["self"].endswith(f"/alarm/alarms/{body['id']}")
    assert isinstance(body["id"], str)
    assert body["source"]["id"] == "4711"
    assert body["source"]["name"] == "Gate"
    assert (body["time"], body["count"], body["status"]) == (ALARM["time"], 1, "ACTIVE")
    assert body["creationTime"] == body["lastUpdated"]
    assert body["acme_Door"] == {"no": 7}
    assert body["history"]["auditRecords"] == []
    assert "firstOccurrenceTime" not in body


@pytest.mark.virtual_time
@pytest.mark.parametrize("bump", [True, False])
async def test_a_repeat_counts_and_moves_time_and_nothing_else(bump):
    emulator = Emulator(clock=VirtualWallClock(), bump_last_updated_on_repeat=bump)
    emulator.store.add_device("Gate", id="4711")
    from anyio import sleep

    async with talking(emulator) as talk:
        first = (await talk.post()).json()
        await talk.put(first["id"], status="ACKNOWLEDGED")
        before = (await talk.alarms())[0]
        await sleep(3)
        later = "2026-03-01T11:00:00Z"
        reply = await talk.post(time=later, severity="CRITICAL", text="other", status="CLEARED", acme_New=1)
    again = reply.json()
    assert reply.status_code == 201
    assert again["id"] == first["id"]
    assert (again["count"], again["time"]) == (2, later)
    assert again["firstOccurrenceTime"] == ALARM["time"]
    assert (again["severity"], again["text"], again["status"]) == ("MAJOR", "Door 7 forced", "ACKNOWLEDGED")
    assert "acme_New" not in again
    assert again["creationTime"] == first["creationTime"]
    assert (again["lastUpdated"] > before["lastUpdated"]) is bump


async def test_a_cleared_alarm_is_never_repeated(emulator):
    async with talking(emulator) as talk:
        first = (await talk.post()).json()["id"]
        await talk.put(first, status="CLEARED")
        second = (await talk.post()).json()
        assert second["id"] != first
        assert second["count"] == 1
        assert (await talk.post(source={"id": 4711}, type="acme_Other")).json()["count"] == 1


async def test_a_reopened_alarm_is_repeated_again(emulator):
    async with talking(emulator) as talk:
        first = (await talk.post()).json()["id"]
        await talk.put(first, status="CLEARED")
        await talk.put(first, status="ACTIVE")
        assert (await talk.post()).json()["id"] == first


async def test_maintenance_suppresses_new_alarms_but_not_changes(emulator):
    async with talking(emulator) as talk:
        old = (await talk.post(type="acme_Old")).json()["id"]
        emulator.store.set_maintenance("4711", on=True)
        ledger = emulator.ledger.seq
        reply = await talk.post()
        assert reply.status_code == 201
        assert reply.json()["self"].endswith("/alarm/alarms/null")
        assert "id" not in reply.json()
        assert emulator.ledger.seq == ledger
        assert (await talk.put(old, status="CLEARED")).json()["status"] == "CLEARED"
        emulator.store.set_maintenance("4711", on=False)
        assert "id" in (await talk.post()).json()


@pytest.mark.parametrize("key", ["type", "time", "text", "severity", "source"])
async def test_what_is_missing_is_named(emulator, key):
    async with talking(emulator) as talk:
        reply = await talk.http.post("/alarm/alarms", json={k: v for k, v in ALARM.items() if k != key})
    assert reply.status_code == 422
    assert key in reply.json()["message"]
    assert reply.json().keys() >= {"error", "message", "info"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": {"id": "0815"}},
        {"source": "4711"},
        {"severity": "SEVERE"},
        {"severity": 3},
        {"time": "yesterday"},
        {"type": ""},
        {"text": 7},
    ],
)
async def test_what_is_wrong_is_refused_and_not_stored(emulator, wrong):
    async with talking(emulator) as talk:
        assert (await talk.post(**wrong)).status_code == 422
        assert await talk.alarms() == []


async def test_words_are_normalised_and_odd_statuses_kept(emulator):
    async with talking(emulator) as talk:
        made = (await talk.post(severity="minor", status="acknowledged", text="")).json()
        assert (made["severity"], made["status"], made["text"]) == ("MINOR", "ACKNOWLEDGED", "")
        changed = (await talk.put(made["id"], severity="critical", status="CUSTOM")).json()
        assert (changed["severity"], changed["status"]) == ("CRITICAL", "CUSTOM")
        assert await talk.ids(severity="critical", status="Custom") == [made["id"]]


@pytest.mark.virtual_time
async def test_a_put_without_effect_changes_nothing():
    from anyio import sleep

    emulator = Emulator(clock=VirtualWallClock())
    made = emulator.store.create({"source": "4711", "severity": "MAJOR", "a": {"b": [1]}})
    async with talking(emulator) as talk:
        await sleep(5)
        reply = await talk.put(made["id"], severity="major", status="ACTIVE", a={"b": [1]}, gone=None)
        assert reply.status_code == 200
        assert reply.json() == made
        assert len(emulator.ledger) == 1
        moved = (await talk.put(made["id"], text="new")).json()
        assert moved["lastUpdated"] > made["lastUpdated"]
        assert moved["creationTime"] == made["creationTime"]


async def test_fragments_are_set_and_removed(emulator):
    async with talking(emulator) as talk:
        made = (await talk.post(b=1)).json()["id"]
        changed = (await talk.put(made, acme_Door=None, b={"c": 2})).json()
    assert "acme_Door" not in changed
    assert changed["b"] == {"c": 2}


@pytest.mark.parametrize("rule", ["ignore", "reject"])
async def test_keys_that_cannot_change(rule):
    emulator = Emulator(behaviour=Behaviour(immutable_keys=rule))
    made = emulator.store.create({"source": "4711"})
    async with talking(emulator) as talk:
        reply = await talk.put(made["id"], status="CLEARED", type="x", source={"id": "1"}, count=9, id="1")
    after = emulator.store.get(made["id"])
    if rule == "reject":
        assert reply.status_code == 422
        assert after == made
    else:
        assert (after["status"], after["type"], after["count"]) == ("CLEARED", made["type"], 1)
        assert after["source"]["id"] == "4711"


async def test_errors_have_the_platforms_bodies(emulator):
    async with talking(emulator) as talk:
        for reply in (await talk.get("/alarm/alarms/999999"), await talk.put("x", status="CLEARED")):
            assert reply.status_code == 404
            assert reply.json()["error"] == "alarm/Not Found"
        one = (await talk.post()).json()["id"]
        delete = await talk.http.delete(f"/alarm/alarms/{one}")
        assert delete.status_code == 405
        assert await talk.ids() == [one]
        assert (await talk.http.post("/alarm/alarms", content=b"{nope")).status_code == 400
        assert (await talk.http.post("/alarm/alarms", content=b"[]")).status_code == 422
        assert (await talk.http.post("/alarm/alarms", content=b"[" * 100_000)).status_code == 400
        assert (await talk.get("/nothing/here")).status_code == 404


async def test_slashes_too_many_mean_nothing(emulator):
    async with talking(emulator) as talk:
        made = (await talk.post(path="/alarm/alarms/")).json()
        changed = await talk.http.put(f"/alarm/alarms//{made['id']}", json={"text": "x"})
        assert changed.json()["text"] == "x"
        assert (await talk.get("/alarm/alarms/count/")).json() == 1
        assert (await talk.get("/")).status_code == 404
        assert (await talk.get("/alarm/alarms/count%2F")).status_code == 404


async def test_without_accept_the_body_is_empty(emulator):
    async with talking(emulator) as talk:
        del talk.http.headers["accept"]
        reply = await talk.post()
        assert (reply.status_code, reply.content) == (201, b"")
        made = reply.headers["location"].rpartition("/")[2]
        put = await talk.put(made, text="x")
        assert (put.status_code, put.content) == (200, b"")
        assert (await talk.get(f"/alarm/alarms/{made}")).json()["text"] == "x"
        refused = await talk.post(severity="NO")
        assert refused.json()["error"]


async def test_the_media_type_follows_accept(emulator):
    async with talking(emulator) as talk:
        vendor = "application/vnd.com.nsn.cumulocity.alarm+json;ver=0.9"
        talk.http.headers["accept"] = vendor
        assert "vnd.com.nsn.cumulocity.alarm+json" in (await talk.post()).headers["content-type"]
        talk.http.headers["accept"] = "text/html"
        refused = await talk.post(type="acme_Never")
        assert refused.status_code == 406
        talk.http.headers["accept"] = "application/json"
        assert await talk.ids(type="acme_Never") == []


async def test_a_post_can_stand_for_another_verb(emulator):
    async with talking(emulator) as talk:
        made = (await talk.post()).json()["id"]
        reply = await talk.http.post(
            f"/alarm/alarms/{made}", json={"status": "CLEARED"}, headers={"X-HTTP-METHOD": "PUT"}
        )
        assert reply.json()["status"] == "CLEARED"


@pytest.mark.parametrize(
    ("mode", "stored", "told"), [("QUIESCENT", 1, 0), ("TRANSIENT", 0, 0), ("PERSISTENT", 1, 1)]
)
async def test_processing_modes(emulator, mode, stored, told):
    async with talking(emulator) as talk:
        await talk.attach()
        talk.http.headers["X-Cumulocity-Processing-Mode"] = mode
        reply = await talk.post()
        assert reply.status_code == 201
        assert len(await talk.alarms()) == stored
        assert len(await talk.connect()) - 1 == told


async def test_bulk_put_changes_statuses_only(emulator):
    async with talking(emulator) as talk:
        ids = [
            (await talk.post(type=f"t{i}", severity=s)).json()["id"] for i, s in enumerate(["MAJOR", "MINOR"])
        ]
        bulk = "/alarm/alarms"
        assert (await talk.http.put(bulk, json={"status": "CLEARED"})).status_code == 422
        for body, query in [({"text": "x"}, "severity=MAJOR"), ({"status": "CLEARED"}, "type=t0")]:
            assert (await talk.http.put(f"{bulk}?{query}", json=body)).status_code == 422
        reply = await talk.http.put(f"{bulk}?severity=MAJOR", json={"status": "CLEARED"})
        assert (reply.status_code, reply.content) == (200, b"")
        assert await talk.ids(resolved="true") == [ids[0]]


async def test_bulk_delete_needs_a_guard_and_happens_after_the_reply():
    emulator = Emulator(behaviour=Behaviour(bulk_delay=0.05))
    for source in ("1", "2"):
        emulator.store.create({"source": source, "type": "a"})
        emulator.store.create({"source": source, "type": "b"})
    async with talking(emulator) as talk:
        for query in ("", "?severity=MAJOR", "?type=a&resolved=false"):
            assert (await talk.http.delete(f"/alarm/alarms{query}")).status_code == 422
        reply = await talk.http.delete("/alarm/alarms?source=1&type=a")
        assert (reply.status_code, reply.content) == (204, b"")
        assert len(await talk.alarms()) == 4
        await emulator.until(lambda: emulator.store.count == 3)
        assert (await talk.get("/alarm/alarms/count", source="1")).text == "1"
        await talk.http.delete("/alarm/alarms?createdFrom=1970-01-01")
        await emulator.until(lambda: emulator.store.count == 0)


async def test_count_is_a_bare_number(emulator):
    async with talking(emulator) as talk:
        await talk.post()
        await talk.post(type="b", status="CLEARED")
        reply = await talk.get("/alarm/alarms/count")
        assert (reply.text, reply.headers["content-type"].split(";")[0]) == ("2", "text/plain")
        talk.http.headers["accept"] = "application/json"
        assert (await talk.get("/alarm/alarms/count", status="ACTIVE,ACKNOWLEDGED")).json() == 1
        assert (await talk.get("/alarm/alarms/count", type="b,acme_DoorForced")).json() == 2


async def test_old_servers_know_no_last_updated():
    emulator = Emulator(behaviour=Behaviour(last_updated=False, misspelt_first_occurrence=True))
    made = emulator.store.create({"source": "1"})
    assert "lastUpdated" not in made
    assert made["firstOccurenceTime"] == made["time"]
    async with talking(emulator) as talk:
        assert len(await talk.alarms(lastUpdatedFrom="2100-01-01")) == 1


async def test_every_reply_has_the_emulators_date():
    emulator = Emulator(clock=VirtualWallClock())
    async with talking(emulator) as talk:
        for reply in (
            await talk.get("/alarm/alarms"),
            await talk.get("/nowhere"),
            await talk.raw({"channel": "/meta/handshake", "supportedConnectionTypes": ["long-polling"]}),
            await talk.http.get("/alarm/alarms", auth=("x", "y")),
        ):
            assert reply.headers["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


async def test_the_api_resource_has_templates(emulator):
    async with talking(emulator) as talk:
        body = (await talk.get("/alarm")).json()
        assert body["alarms"]["self"].endswith("/alarm/alarms")
        assert body["alarmsForStatus"].endswith("/alarm/alarms?status={status}")


async def test_ids_never_repeat(emulator):
    emulator.store.add_device(id="103")
    seen = {emulator.store.create({"source": "4711", "type": str(i)})["id"] for i in range(5)}
    for number in seen:
        emulator.store.remove(number)
    seen |= {emulator.store.create({"source": "4711", "type": str(i)})["id"] for i in range(5)}
    assert len(seen) == 10
    assert "103" not in seen


@pytest.mark.virtual_time
async def test_stamps_never_fall_though_the_clock_does():
    clock = VirtualWallClock()
    emulator = Emulator(clock=clock)
    first = emulator.store.create({"source": "1"})
    clock.jump(-3600)
    second = emulator.store.update(first["id"], {"text": "x"})
    assert second["lastUpdated"] >= first["lastUpdated"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":-Infinity}',
        b"[" * 100_000,
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
        b"\xff",
    ],
)
async def test_what_cannot_be_written_again_is_not_taken(emulator, body):
    async with talking(emulator) as talk:
        made = (await talk.post()).json()["id"]
        for reply in (
            await talk.http.put(f"/alarm/alarms/{made}", content=body),
            await talk.http.post("/alarm/alarms", content=body),
            await talk.http.post("/notification/realtime", content=body),
        ):
            assert reply.status_code == 400
        assert len(await talk.alarms()) == 1


async def test_text_crosses_as_utf_8(emulator):
    async with talking(emulator) as talk:
        text = "Tür\u2028\u0085<script>\u202e\N{BELL}"
        made = (await talk.post(text=text)).json()
        assert made["text"] == text
        raw = (await talk.get(f"/alarm/alarms/{made['id']}")).content
        assert "\u2028\u0085".encode() in raw
        lone = await talk.http.put(f"/alarm/alarms/{made['id']}", content=b'{"text":"\\ud800"}')
        assert lone.json()["text"] == "?"
        assert len(await talk.alarms()) == 1
