"""Lists read by windows of creation time, on the emulator in process."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from emulated.alarm_site import fill, ids, site
from tocsin import Headers, ProtocolError, ServerError
from tocsin.cumulocity import AlarmFilter
from tocsin.emulator import Behaviour, Fault

START = datetime(2024, 1, 1, tzinfo=UTC)


def grown(s, waits):
    """One alarm after each wait in seconds; their own times are in no order."""
    made = []
    for number, wait in enumerate(waits):
        s.later(wait)
        time = (START + timedelta(hours=number * 37 % 1000)).isoformat()
        made.append(s.add(number, time=time))
    return made


async def test_what_fits_costs_one_request():
    async with site() as s:
        made = grown(s, [1] * 30)
        assert sorted(await ids(s.alarms.list(stable=True))) == sorted(made)
        assert s.asked == [{"pageSize": "2000", "currentPage": "1"}]
        assert (await s.alarms.list(stable=True, type="none")).items == ()


@pytest.mark.parametrize("lying", [True, False])
@pytest.mark.parametrize("seed", range(3))
async def test_each_alarm_comes_once_with_gaps_of_years_and_floods(seed, lying):
    rng = random.Random(seed)
    waits = [rng.choice([0, 0, 0, 1, 60, 86_400, 86_400 * 500]) for _ in range(300)]
    async with site(behaviour=Behaviour(next_after_full_page=lying)) as s:
        made = grown(s, waits)
        given = await ids(s.alarms.list(stable=True, page_size=25))
        assert sorted(given) == sorted(made)
        assert len(s.asked) < 150


async def test_an_even_flow_costs_few_requests_and_no_page_numbers():
    async with site() as s:
        made = [s.add(number) for number in range(1000) if s.later(10) is None]
        page = await s.alarms.list(stable=True, page_size=100)
        assert page.items[0].id == made[-1]
        s.asked.clear()
        assert await ids(s.alarms.list(stable=True, page_size=100)) == made[::-1]
        assert len(s.asked) < 30
        assert {asked["currentPage"] for asked in s.asked} == {"1"}


async def test_windows_that_grow_do_not_reach_beyond_1970():
    hour = iter(range(10**6))
    async with site(clock=lambda: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=next(hour))) as s:
        made = s.fill(60)
        assert sorted(await ids(s.alarms.list(stable=True, page_size=10))) == sorted(made)


@pytest.mark.parametrize("skew", [-86_400, -50, 50, 86_400])
async def test_the_clock_of_a_proxy_hides_no_alarms_from_windows(skew):
    async with site() as s:
        made = grown(s, [7] * 100)

        async def skewed(request, call_next):
            response = await call_next(request)
            date = format_datetime(response.date + timedelta(seconds=skew), usegmt=True)
            return replace(response, headers=Headers([("Date", date)]))

        s.watch = skewed
        assert sorted(await ids(s.alarms.list(stable=True, page_size=20))) == sorted(made)


async def test_more_alarms_in_one_millisecond_than_a_page_holds():
    stopped = datetime(2026, 3, 1, tzinfo=UTC)
    async with site(clock=lambda: stopped) as s:
        made = s.fill(120)
        assert sorted(await ids(s.alarms.list(stable=True, page_size=25))) == sorted(made)


async def test_what_moves_meanwhile_is_neither_lost_nor_given_twice():
    async with site() as s:
        made = grown(s, [7] * 200)

        def happen():
            s.clear(*made[150:190:2])  # they leave, and pull the pages up
            s.add(0)  # the oldest is raised again, and jumps to the top
            for number in range(1000, 1030):
                s.add(number)

        s.before[4] = happen
        given = await ids(s.alarms.list(stable=True, resolved=False, page_size=20))
        assert len(given) == len(set(given))
        assert set(made) - set(made[150:190:2]) <= set(given)


async def test_the_range_that_was_asked_for_is_kept():
    async with site() as s:
        made = grown(s, [60] * 100)
        stamps = [datetime.fromisoformat(s.emulator.store.get(one)["creationTime"]) for one in made]
        where = AlarmFilter(created_from=stamps[20], created_to=stamps[80])
        given = await ids(s.alarms.list(where, stable=True, page_size=10))
        assert sorted(given) == made[20:80]
        assert min(asked["createdFrom"] for asked in s.asked) == s.asked[0]["createdFrom"]
        assert max(asked["createdTo"] for asked in s.asked) == s.asked[0]["createdTo"]


async def test_a_user_who_gets_short_pages_is_read_by_links():
    async with site(user="eve", behaviour=Behaviour(restricted_pages="page")) as s:
        s.emulator.access.add_user("eve", "demo", "no-alarms", sources=frozenset({"4711"}))
        made = []
        for number in range(60):
            s.later(5)
            made.append(s.add(number))
            s.add(number, source="1")
        assert sorted(await ids(s.alarms.list(stable=True, page_size=20))) == sorted(made)
        # A `next` of theirs proves nothing, so windows would be narrowed to milliseconds for nothing.
        assert {"1", "2", "3"} <= {asked["currentPage"] for asked in s.asked}


async def test_after_an_error_the_same_window_is_asked_for_again():
    async with site() as s:
        made = grown(s, [7] * 100)
        listing = aiter(s.alarms.list(stable=True, page_size=20))
        given = [(await anext(listing)).id]
        s.emulator.faults.add(Fault("status", path="/alarm/alarms", status=500))
        with pytest.raises(ServerError, match="of the alarms"):
            await fill(given, listing)
        await fill(given, listing)
        assert sorted(given) == sorted(made)


async def test_a_platform_that_ignores_creation_times_is_found_out():
    async with site() as s:
        grown(s, [60] * 50)
        rows = s.emulator.store.alarms()[:10]
        body = json.dumps({"alarms": rows, "next": "http://x/?currentPage=2"})
        s.emulator.faults.add(Fault("body", path="/alarm/alarms", body=body, times=None))
        with pytest.raises(ProtocolError, match=r"before 10\.11"):
            await ids(s.alarms.list(stable=True, page_size=10))


async def test_a_server_that_never_comes_to_an_end_is_given_up():
    def invent(query, rows):
        """Whatever is asked for without a lower end is full; everything else is empty."""
        high = datetime.fromisoformat(query.get("createdTo", "2026-03-01T00:00:00.000Z"))
        stamp = (high - timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
        return [{"id": str(row), "creationTime": stamp} for row in range(rows)]

    async with site() as s:

        async def lie(request, call_next):
            response = await call_next(request)
            query = dict(request.query)
            page = {"alarms": []} if "createdFrom" in query else {"alarms": invent(query, 5), "next": "x?"}
            s.asked.append(query)
            return replace(response, body=json.dumps(page).encode())

        s.watch = lie
        with pytest.raises(ProtocolError, match="never an end"):
            await ids(s.alarms.list(stable=True, page_size=5))
        assert len(s.asked) < 600


async def test_without_any_clock_it_is_read_by_pages():
    async with site() as s:
        body = json.dumps({"alarms": [{"id": "1"}, {"id": "2"}], "next": "http://x/?currentPage=2"})

        async def blind(request, call_next):
            response = await call_next(request)
            return replace(response, headers=Headers())

        s.watch = blind
        s.emulator.faults.add(Fault("body", path="/alarm/alarms", body=body, times=2))
        assert await ids(s.alarms.list(stable=True, page_size=2)) == ["1", "2"]
