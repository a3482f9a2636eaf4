"""Users who lack the global roles: inventory roles, owners of devices, and what realtime shows them."""

from urllib.parse import parse_qs, urlsplit

import pytest
from emulator_talk import ALARM, events, talking

from tocsin.emulator import BayeuxSettings, Behaviour, Emulator

OTHERS = "9"


def made(own: int, foreign: int, **options) -> tuple[Emulator, list[str]]:
    """An emulator on which eve sees device 1; newest first there are foreign alarms, then hers."""
    emulator = Emulator(**options)
    emulator.access.add_user("eve", "pw", "no-alarms", sources=frozenset({"1"}))
    mine = [emulator.store.create({"source": "1", "type": str(number)})["id"] for number in range(own)]
    for number in range(foreign):
        emulator.store.create({"source": OTHERS, "type": str(number)})
    return emulator, mine


async def walk(talk, first: str) -> list[dict]:
    pages = [(await talk.http.get(first)).json()]
    while "next" in pages[-1]:
        assert len(pages) < 50
        pages.append((await talk.http.get(pages[-1]["next"])).json())
    return pages


async def test_a_page_is_filled_until_so_many_alarms_were_looked_at():
    emulator, mine = made(7, 2500)
    async with talking(emulator, "eve", "pw") as talk:
        pages = await walk(talk, "/alarm/alarms?pageSize=3&withTotalElements=true&withTotalPages=true")
        assert [len(page["alarms"]) for page in pages] == [0, 0, 3, 3, 1]
        places = [page["statistics"]["currentPage"] for page in pages]
        assert places == [1001, 2001, 2504, 2507, 2508]
        assert [parse_qs(urlsplit(page["next"]).query)["currentPage"] for page in pages[:-1]] == [
            [str(place)] for place in places[:-1]
        ]
        assert [alarm["id"] for page in pages for alarm in page["alarms"]] == mine[::-1]
        for page in pages:
            assert page["statistics"]["pageSize"] == 3
            assert page["statistics"]["totalPages"] is page["statistics"]["totalElements"] is None


async def test_a_next_may_lead_to_nothing():
    emulator, mine = made(2, 0)
    emulator.store.create({"source": OTHERS, "time": "2020-01-01T00:00:00Z"})
    async with talking(emulator, "eve", "pw") as talk:
        first, last = await walk(talk, "/alarm/alarms?pageSize=2")
        assert ([alarm["id"] for alarm in first["alarms"]], last["alarms"]) == (mine[::-1], [])


async def test_page_numbers_leave_out_what_is_not_open():
    emulator = Emulator(behaviour=Behaviour(restricted_pages="page"))
    emulator.access.add_user("eve", "pw", "no-alarms", sources=frozenset({"1"}))
    for number in range(9):
        emulator.store.create({"source": "1" if number in {0, 1, 8} else "2", "type": str(number)})
    async with talking(emulator, "eve", "pw") as talk:
        pages = await walk(talk, "/alarm/alarms?pageSize=3&withTotalElements=true")
        assert [len(page["alarms"]) for page in pages] == [1, 0, 2]
        assert [page["statistics"]["currentPage"] for page in pages] == [4, 7, 10]


async def test_what_is_far_beyond_the_end_is_empty():
    emulator, _mine = made(2, 0)
    async with talking(emulator, "eve", "pw") as talk:
        page = (await talk.get("/alarm/alarms", currentPage=999_999_999)).json()
        assert (page["alarms"], "next" in page) == ([], False)


async def test_a_role_on_a_group_opens_all_below_it_and_counts_end_at_100():
    emulator = Emulator()
    for one, parent in [("group", None), ("gate", "group"), ("lamp", "gate"), ("other", None)]:
        emulator.store.add_device(id=one, parent=parent)
    emulator.access.add_user("eve", "pw", "no-alarms", sources=frozenset({"group"}))
    for number in range(120):
        emulator.store.create({"source": "lamp" if number % 3 else "other", "type": str(number)})
    async with talking(emulator, "eve", "pw") as talk:
        assert {alarm["source"]["id"] for alarm in await talk.alarms()} == {"lamp"}
        assert (await talk.get("/alarm/alarms/count")).text == "80"
        assert (await talk.get("/alarm/alarms/count?source=other")).text == "0"
        emulator.store.devices.link("group", "other")
        assert (await talk.get("/alarm/alarms/count")).text == "100"


@pytest.mark.parametrize("grant", ["writes", "owner", "admin"])
async def test_who_may_write_the_alarms_of_a_device(grant):
    emulator = Emulator()
    emulator.store.add_device(id="4711", fragments={"owner": "eve"} if grant == "owner" else None)
    emulator.store.add_device(id="other", fragments={"owner": "demo"})
    theirs = emulator.store.create({"source": "other"})["id"]
    emulator.access.add_user(
        "eve", "pw", "full" if grant == "admin" else "no-alarms",
        writes=frozenset({"4711"} if grant == "writes" else ()),
    )  # fmt: skip
    async with talking(emulator, "eve", "pw") as talk:
        reply = await talk.post()
        assert reply.status_code == 201
        one = reply.json()["id"]
        assert (await talk.put(one, status="ACKNOWLEDGED")).status_code == 200
        upserted = await talk.post({"source": {"id": "4711"}, "type": "u"}, "/alarm/alarms/upsert")
        assert upserted.status_code == 201
        beyond = 201 if grant == "admin" else 403
        assert (await talk.post(source={"id": "other"}, type="x")).status_code == beyond
        assert (
            await talk.post({"source": {"id": "other"}, "type": "y"}, "/alarm/alarms/upsert")
        ).status_code == beyond
        assert (await talk.put(theirs, status="CLEARED")).status_code == (200 if grant == "admin" else 403)
        assert (await talk.post(source={"id": "nowhere"})).status_code == (422 if grant == "admin" else 403)
        assert (await talk.post({"type": "x"})).status_code == 422  # what is no alarm is told as such
        assert (await talk.put("99999", status="CLEARED")).status_code == 404
        for method in ("PUT", "DELETE"):
            bulk = await talk.http.request(method, "/alarm/alarms?source=4711", json={"status": "CLEARED"})
            assert bulk.status_code == (403 if grant != "admin" else {"PUT": 200, "DELETE": 204}[method])
        listed = len(await talk.alarms())
        assert listed == {"writes": 0, "owner": 2, "admin": 3}[grant]


async def test_who_creates_a_device_owns_it():
    emulator = Emulator()
    async with talking(emulator) as talk:
        reply = await talk.post({"name": "Gate", "c8y_IsDevice": {}}, path="/inventory/managedObjects")
        assert reply.json()["owner"] == "demo"


@pytest.mark.parametrize(
    ("how", "every", "own", "other"),
    [("refused", False, False, False), ("own", False, True, False), ("filtered", True, True, True)],
)
async def test_what_realtime_shows_without_the_role(how, every, own, other):
    emulator = Emulator(bayeux=BayeuxSettings(without_role=how))
    emulator.access.add_user("eve", "pw", "no-alarms", sources=frozenset({"4711"}))
    async with talking(emulator, "eve", "pw") as talk:
        await talk.handshake()
        taken = [(await talk.subscribe(f"/alarms/{name}"))["successful"] for name in ("*", "4711", "other")]
        assert taken == [every, own, other]
        assert (await talk.subscribe("/alarmsWithChildren/4711"))["successful"] is own
        await talk.connect()
        mine = emulator.store.create({**ALARM, "source": "4711"})["id"]
        emulator.store.create({**ALARM, "source": "other"})
        told = [one for _action, one in events(await talk.connect())]
        assert set(told) == ({mine} if own else set())


async def test_one_user_has_ten_connections_to_a_channel_and_the_oldest_is_closed():
    from contextlib import AsyncExitStack

    emulator = Emulator()
    emulator.access.add_user("ada", "pw")
    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talking(emulator)) for _ in range(11)]
        for talk in talks[:10]:
            await talk.attach()
        other = await stack.enter_async_context(talking(emulator, "ada", "pw"))
        await other.attach()
        assert (await talks[0].subscribe("/alarms/1"))["successful"]
        assert emulator.sessions == 11
        await talks[10].attach("/alarms/1")
        assert emulator.sessions == 12
        await talks[10].subscribe("/alarms/*")
        assert emulator.sessions == 11
        [lost] = await talks[0].connect()
        assert (lost["successful"], lost["advice"]["reconnect"]) == (False, "handshake")
        assert (await talks[1].connect())[-1]["successful"]
        assert (await other.connect())[-1]["successful"]
