import pytest
from emulator_talk import talking

from tocsin.emulator import Emulator

OBJECTS = "/inventory/managedObjects"


async def test_create_read_rename_delete():
    emulator = Emulator()
    async with talking(emulator) as talk:
        reply = await talk.post({"name": "Gate", "type": "acme", "c8y_IsDevice": {}}, path=OBJECTS)
        made = reply.json()
        assert reply.status_code == 201
        assert reply.headers["location"] == made["self"]
        assert (await talk.get(f"{OBJECTS}/{made['id']}")).json() == made
        alarm = (await talk.post(source={"id": made["id"]})).json()
        assert alarm["source"]["name"] == "Gate"
        renamed = await talk.http.put(
            f"{OBJECTS}/{made['id']}", json={"name": "Door", "id": "9", "type": None}
        )
        assert renamed.json()["name"] == "Door"
        assert renamed.json()["id"] == made["id"]
        assert "type" not in renamed.json()
        [seen] = await talk.alarms()
        assert seen["source"]["name"] == "Door"
        assert seen["lastUpdated"] == alarm["lastUpdated"]
        assert (await talk.http.delete(f"{OBJECTS}/{made['id']}")).status_code == 204
        assert await talk.alarms() == []
        for reply in (
            await talk.get(f"{OBJECTS}/{made['id']}"),
            await talk.http.delete(f"{OBJECTS}/{made['id']}"),
        ):
            assert reply.status_code == 404
            assert reply.json()["error"] == "inventory/Not Found"


@pytest.mark.parametrize(
    ("interval", "suppressed"), [(0, True), (-1, True), ("0", True), (5, False), (None, False), ("x", False)]
)
async def test_maintenance_by_the_required_availability(interval, suppressed):
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    async with talking(emulator) as talk:
        await talk.http.put(
            f"{OBJECTS}/4711", json={"c8y_RequiredAvailability": {"responseInterval": interval}}
        )
        assert ("id" not in (await talk.post()).json()) is suppressed


async def test_pages_and_filters():
    emulator = Emulator()
    for number in range(7):
        emulator.store.add_device(f"d{number}", id=str(number), fragments={"odd": {}} if number % 2 else None)
    async with talking(emulator) as talk:
        page = (await talk.get(OBJECTS, pageSize=3, withTotalPages="true")).json()
        assert [o["id"] for o in page["managedObjects"]] == ["0", "1", "2"]
        assert page["statistics"]["totalPages"] == 3
        page = (await talk.http.get(page["next"])).json()
        assert "prev" in page
        assert [o["id"] for o in page["managedObjects"]] == ["3", "4", "5"]
        for query, ids in [
            ("ids=1,2", "12"),
            ("fragmentType=odd", "135"),
            ("name=d4", "4"),
            ("type=none", ""),
        ]:
            found = (await talk.get(f"{OBJECTS}?{query}")).json()["managedObjects"]
            assert "".join(o["id"] for o in found) == ids


async def test_a_tree_cannot_bite_its_tail():
    emulator = Emulator()
    for name in "abc":
        emulator.store.add_device(id=name)
    async with talking(emulator) as talk:
        for parent, child, status in [
            ("a", "b", 201),
            ("b", "c", 201),
            ("c", "a", 422),
            ("a", "a", 422),
            ("a", "x", 404),
        ]:
            reply = await talk.post({"managedObject": {"id": child}}, path=f"{OBJECTS}/{parent}/childDevices")
            assert reply.status_code == status, (parent, child)
        assert (await talk.post({}, path=f"{OBJECTS}/a/childDevices")).status_code == 422
        assert (await talk.get(f"{OBJECTS}/a/childNonsense")).status_code == 422
        [reference] = (await talk.get(f"{OBJECTS}/a/childDevices")).json()["references"]
        assert reference["managedObject"]["id"] == "b"
    assert emulator.store.devices.ancestors("c") == ["c", "b", "a"]
    emulator.store.remove_device("b")
    assert emulator.store.devices.ancestors("c") == ["c"]


QUERIES = [
    ("$filter=(name eq 'Door 7')", ["1"]),
    ("$filter=name eq 'O''Hara''s gate'", ["2"]),
    ("name eq 'Door*'", ["1", "3"]),
    ("name eq '*[7]'", []),
    ("name ne 'Door 7' and has(c8y_IsDevice)", ["2", "3"]),
    ("has(acme) or name eq 'Site'", ["3", "4"]),
    ("not (has(acme) or has(c8y_IsDevice))", ["4"]),
    ("acme.floor gt 2", ["3"]),
    ("acme.floor gt 3", []),
    ("acme.floor eq 3 and acme.on eq true", ["3"]),
    ("acme.floor lt high", []),
    ("name ge 'O' and name lt 'P'", ["2"]),
    ("missing eq null", ["1", "2", "3", "4"]),
    ("bygroupid(4)", ["2"]),
    ("$filter=has(c8y_IsDevice) $orderby=name desc", ["2", "3", "1"]),
    ("$filter=(has(c8y_IsDevice))+$orderby=type,id desc", ["3", "2", "1"]),
    ("$orderby=id desc", ["4", "3", "2", "1"]),
]


def objects():
    emulator = Emulator()
    add = emulator.store.add_device
    add("Door 7", id="1")
    add("O'Hara's gate", id="2")
    add("Door 8", id="3", fragments={"acme": {"floor": 3, "on": True}})
    emulator.store.add_object({"name": "Site", "c8y_IsDeviceGroup": {}}, id="4")
    emulator.store.devices.link("4", "2", "childAssets")
    return emulator


@pytest.mark.parametrize(("text", "ids"), QUERIES)
async def test_the_query_language(text, ids):
    async with talking(objects()) as talk:
        page = (await talk.get(OBJECTS, query=text, pageSize=100)).json()
        assert [found["id"] for found in page["managedObjects"]] == ids


async def test_q_is_about_devices_alone():
    async with talking(objects()) as talk:
        page = (await talk.get(OBJECTS, q="name ne 'Door 7'", pageSize=1)).json()
        assert [found["id"] for found in page["managedObjects"]] == ["2"]
        page = (await talk.http.get(page["next"])).json()
        assert [found["id"] for found in page["managedObjects"]] == ["3"]


UNREADABLE = [
    "name",
    "name eq",
    "name is 'x'",
    "(name eq x",
    "name eq x)",
    "has(",
    "name eq x and",
    "(" * 999,
]


@pytest.mark.parametrize("text", UNREADABLE)
async def test_a_query_that_cannot_be_read_is_refused(text):
    """A list that leaves a condition out would be worse."""
    async with talking(objects()) as talk:
        reply = await talk.get(OBJECTS, query=text)
        assert (reply.status_code, reply.json()["error"]) == (422, "undefined/validationError")
