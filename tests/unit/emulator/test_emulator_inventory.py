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
