"""Filters, half-open ranges and pages; and the index against a walk over everything."""

import random
from urllib.parse import parse_qs, urlsplit

import pytest
from emulator_talk import talking
from hypothesis import given
from hypothesis import strategies as st

from tocsin.emulator import Behaviour, Emulator
from tocsin.emulator._query import parse

MINUTES = [f"2026-03-01T10:{minute:02}:00Z" for minute in range(12)]


@pytest.fixture
def emulator():
    made = Emulator()
    order = random.Random(1).sample(MINUTES, len(MINUTES))
    for number, time in enumerate(order):
        made.store.create({"source": str(number % 2), "type": f"t{number}", "time": time})
    return made


async def test_newest_first_five_by_default_two_thousand_at_most(emulator):
    async with talking(emulator) as talk:
        page = (await talk.get("/alarm/alarms")).json()
        assert [alarm["time"] for alarm in page["alarms"]] == MINUTES[::-1][:5]
        assert page["statistics"] == {"currentPage": 1, "pageSize": 5}
        assert "prev" not in page
        assert (await talk.get("/alarm/alarms", pageSize=9999)).json()["statistics"]["pageSize"] == 2000


WRONG = [
    "pageSize=0",
    "pageSize=-1",
    "pageSize=x",
    "pageSize=",
    "currentPage=0",
    "currentPage=1.5",
    "withTotalPages=1",
    "resolved=maybe",
    "dateFrom=x",
    "lastUpdatedTo=2026-03-01T10:00:00+01:00",
    "withSourceDevices=true",
]


@pytest.mark.parametrize("query", WRONG)
async def test_wrong_parameters_are_422(emulator, query):
    async with talking(emulator) as talk:
        assert (await talk.get(f"/alarm/alarms?{query}")).status_code == 422


async def test_links_are_absolute_and_keep_the_query(emulator):
    async with talking(emulator) as talk:
        page = (await talk.get("/alarm/alarms", pageSize=4, type="t1,t2,t3,t4,t5,t6", currentPage=1)).json()
        seen = [alarm["id"] for alarm in page["alarms"]]
        link = urlsplit(page["next"])
        assert link.scheme == "http"
        assert link.netloc == "127.0.0.1:8111"
        assert parse_qs(link.query)["type"] == ["t1,t2,t3,t4,t5,t6"]
        page = (await talk.http.get(page["next"])).json()
        seen += [alarm["id"] for alarm in page["alarms"]]
        assert len(set(seen)) == 6
        assert "next" not in page
        assert parse_qs(urlsplit(page["prev"]).query)["currentPage"] == ["1"]


@pytest.mark.parametrize("lying", [True, False])
async def test_a_full_last_page_may_promise_more(lying):
    emulator = Emulator(behaviour=Behaviour(next_after_full_page=lying))
    for number in range(4):
        emulator.store.create({"source": "1", "type": str(number)})
    async with talking(emulator) as talk:
        page = (await talk.get("/alarm/alarms", pageSize=2, currentPage=2)).json()
        assert ("next" in page) is lying
        past = (await talk.get("/alarm/alarms", pageSize=2, currentPage=3)).json()
        assert past["alarms"] == []
        assert "next" not in past


async def test_totals_only_on_request(emulator):
    async with talking(emulator) as talk:
        page = await talk.get("/alarm/alarms", withTotalPages="true", withTotalElements="true")
        assert page.json()["statistics"] == {
            "currentPage": 1,
            "pageSize": 5,
            "totalPages": 3,
            "totalElements": 12,
        }


async def test_base_url_stands_in_every_link():
    emulator = Emulator(base_url="https://inside.example")
    made = emulator.store.create({"source": "1"})
    assert made["self"].startswith("https://inside.example/alarm/")
    async with talking(emulator) as talk:
        page = (await talk.get("/alarm/alarms", pageSize=1)).json()
        assert page["next"].startswith("https://inside.example/alarm/alarms?")


async def test_ranges_are_half_open(emulator):
    async with talking(emulator) as talk:
        found = await talk.alarms(dateFrom=MINUTES[2], dateTo=MINUTES[5])
        assert [alarm["time"] for alarm in found] == MINUTES[2:5][::-1]
        for key in ("created", "lastUpdated"):
            stamp = (await talk.alarms())[0]["creationTime"]
            at = await talk.alarms(**{f"{key}From": stamp})
            assert all(alarm["creationTime"] >= stamp for alarm in at)
            assert at
            before = await talk.alarms(**{f"{key}To": stamp})
            assert len(at) + len(before) == 12
            assert await talk.alarms(**{f"{key}From": stamp, f"{key}To": stamp}) == []


async def test_an_offset_must_be_escaped(emulator):
    async with talking(emulator) as talk:
        path = "/alarm/alarms?dateFrom=2026-03-01T11:03:00%2B01:00&pageSize=2000"
        assert len((await talk.get(path)).json()["alarms"]) == 9
        assert (await talk.get(path.replace("%2B", "+"))).status_code == 422


async def test_filters(emulator):
    store = emulator.store
    last = store.create({"source": "child", "type": "a b", "severity": "CRITICAL", "status": "CLEARED"})
    store.devices.link("0", "child")
    async with talking(emulator) as talk:
        assert await talk.ids(resolved="true") == [last["id"]]
        assert await talk.ids(resolved="true", status="ACTIVE") == [last["id"]]
        assert await talk.ids(status="cleared,acknowledged") == [last["id"]]
        assert await talk.ids(severity="CRITICAL,MINOR") == [last["id"]]
        assert await talk.ids(type="a b") == [last["id"]]
        assert len(await talk.ids(source="0")) == 6
        assert len(await talk.ids(source="0", withSourceDevices="true")) == 7
        assert len(await talk.ids(source="0", withSourceAssets="true")) == 6
        assert (
            len((await talk.get("/alarm/alarms?status=ACTIVE&status=CLEARED&pageSize=20")).json()["alarms"])
            == 13
        )
        assert len(await talk.ids(nonsense="1")) == 13


@st.composite
def histories(draw):
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from(["create", "update", "clear", "remove", "reopen", "tick"]),
                st.integers(0, 5),
                st.integers(0, 3),
            ),
            max_size=40,
        )
    )


@given(histories(), st.integers(0, 12), st.integers(0, 12))
def test_the_index_finds_what_a_walk_finds(history, low, high):
    from datetime import UTC, datetime, timedelta

    now = [datetime(2026, 3, 1, 10, tzinfo=UTC)]
    emulator = Emulator(clock=lambda: now[0])
    ids = []
    for what, which, source in history:
        match what:
            case "create":
                made = emulator.store.create(
                    {"source": str(source), "type": f"t{which}", "time": MINUTES[which]}
                )
                ids.append(made["id"])
            case "tick":
                now[0] += timedelta(minutes=1)
            case _ if ids and emulator.store.get(ids[which % len(ids)]):
                one = ids[which % len(ids)]
                if what == "remove":
                    emulator.store.remove(one)
                else:
                    status = {"clear": "CLEARED", "reopen": "ACTIVE"}.get(what)
                    emulator.store.update(one, {"status": status} if status else {"text": str(source)})
    everything = emulator.store.alarms()
    assert len(everything) == emulator.store.count
    bounds = {"From": [f"2026-03-01T10:{low:02}:00Z"], "To": [f"2026-03-01T10:{high:02}:00Z"]}
    keys = {"date": "time", "created": "creationTime", "lastUpdated": "lastUpdated"}
    for name, key in keys.items():
        for extra, keep in [
            ({}, lambda _alarm: True),
            ({"source": ["1"]}, lambda alarm: alarm["source"]["id"] == "1"),
            ({"resolved": ["false"]}, lambda alarm: alarm["status"] != "CLEARED"),
        ]:
            query = parse({f"{name}{side}": bound for side, bound in bounds.items()} | extra)
            found = [alarm.id for alarm in emulator.store.select(query)]
            wanted = [
                alarm["id"]
                for alarm in everything
                if bounds["From"][0] <= alarm[key].replace(".000", "") < bounds["To"][0] and keep(alarm)
            ]
            assert found == wanted
