"""Lists of alarms that change while they are read, on the emulator in process."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest

from emulated.alarm_site import fill, ids, site
from tocsin import ConfigurationError, Headers, ProtocolError, ServerError
from tocsin.cumulocity import AlarmFilter, Severity
from tocsin.emulator import Behaviour, Fault


async def test_the_first_page_and_those_behind_it():
    async with site() as s:
        made = s.fill(12)
        page = await s.alarms.list(page_size=5)
        assert [alarm.id for alarm in page.items] == made[:6:-1]
        assert len(s.asked) == 1
        sizes = []
        while page is not None:
            sizes.append(len(page.items))
            page = await page.next_page()
        assert sizes == [5, 5, 2]


async def test_everything_in_one_request_if_it_fits():
    async with site() as s:
        made = s.fill(150)
        assert await ids(s.alarms.list()) == made[::-1]
        assert s.asked == [{"pageSize": "2000", "currentPage": "1"}]
        assert [len(page.items) async for page in s.alarms.list().pages()] == [150]


async def test_no_alarms_are_an_empty_page():
    async with site() as s:
        assert (await s.alarms.list()).items == ()
        assert await ids(s.alarms.list(type="nothing")) == []


async def test_many_pages_cost_few_requests_and_then_look_for_what_moved():
    async with site() as s:
        made = s.fill(450)
        s.later(3600)
        assert await ids(s.alarms.list(page_size=100)) == made[::-1]
        pages, tails = s.asked[:-2], s.asked[-2:]
        assert 5 <= len(pages) <= 5 + 3  # some may lie beyond the end
        assert "createdTo" not in pages[0]
        assert len({page["createdTo"] for page in pages[1:]}) == 1
        assert "lastUpdatedTo" not in str(pages)
        assert "dateTo" not in str(s.asked)
        assert sorted("dateFrom" in tail for tail in tails) == [False, True]  # both at the same time
        assert ["lastUpdatedFrom" in tail for tail in tails] == ["dateFrom" not in tail for tail in tails]


@pytest.mark.parametrize("skew", [-86_400, -600, 600, 86_400])
async def test_the_clock_of_a_proxy_hides_no_alarms_of_devices_whose_clocks_are_wrong(skew):
    async with site() as s:
        made = []
        for number in range(200):
            s.later(7)
            made.append(s.add(number, time=f"{2023 if number >= 120 else 2024}-01-01T00:00:00Z"))

        async def skewed(request, call_next):
            response = await call_next(request)
            date = format_datetime(response.date + timedelta(seconds=skew), usegmt=True)
            return replace(response, headers=Headers([("Date", date)]))

        s.watch = skewed
        assert sorted(await ids(s.alarms.list(page_size=50))) == sorted(made)


async def test_a_storm_is_not_read_over_and_over():
    async with site() as s:
        made = s.fill(450)
        assert await ids(s.alarms.list(page_size=100)) == made[::-1]
        # What is not older than the overlap is read twice; that it is more than a page costs two to learn.
        assert 5 + 2 + 1 + 5 <= len(s.asked) <= 5 + 3 + 2 + 1 + 5 + 3


async def test_the_bound_of_the_list_is_the_servers_clock_not_ours():
    behind = datetime(2020, 1, 1, tzinfo=UTC)
    async with site(clock=lambda: behind) as s:
        made = s.fill(60)
        assert sorted(await ids(s.alarms.list(page_size=20))) == sorted(made)
        assert s.asked[1]["createdTo"] == "2020-01-01T00:01:00.000Z"
        assert {ask.get("lastUpdatedFrom") for ask in s.asked} == {None, "2019-12-31T23:59:30.000Z"}


@pytest.mark.parametrize("bump", [True, False])
async def test_a_row_that_jumps_to_the_top_is_not_lost(bump):
    async with site(bump_last_updated_on_repeat=bump) as s:
        made = s.fill(300)
        s.before[3] = lambda: s.add(0)  # the oldest one, which no page has shown yet, is raised again
        given = await ids(s.alarms.list(page_size=100))
        assert sorted(given) == sorted(made)
        assert made[0] in given[-2:]


async def test_rows_that_leave_the_list_pull_no_other_past_the_edge():
    async with site() as s:
        made = s.fill(500)
        s.before[2] = lambda: s.clear(*made[-30:])
        s.before[4] = lambda: s.clear(*made[200:480])
        given = await ids(s.alarms.list(status="ACTIVE", page_size=100))
        assert len(given) == len(set(given))
        assert set(made[:200]) <= set(given)


async def test_alarms_that_arrive_meanwhile_double_nothing():
    async with site() as s:
        made = s.fill(300)
        for n in range(2, 6):
            s.before[n] = lambda n=n: [s.add(1000 * n + k) for k in range(40)]
        given = await ids(s.alarms.list(page_size=100))
        assert len(given) == len(set(given))
        assert set(made) <= set(given)


async def test_a_row_that_enters_the_filter_meanwhile_is_found():
    async with site() as s:
        made = s.fill(250, severity="MAJOR")
        minor = s.add(9999, severity="MINOR")
        s.before[3] = lambda: s.emulator.store.update(minor, {"severity": "MAJOR"})
        given = await ids(s.alarms.list(severity="MAJOR", page_size=100))
        assert sorted(given) == sorted([*made, minor])


async def test_the_next_page_is_read_while_this_one_is_consumed():
    async with site() as s:
        s.fill(60)
        items = aiter(s.alarms.list(page_size=20))
        await anext(items)
        await s.emulator.until(lambda: len(s.asked) >= 2)
        await items.aclose()
        await s.emulator.until(lambda: s.server.in_flight == 0)


async def test_leaving_the_loop_leaves_nothing_behind():
    async with site() as s:
        s.fill(60)
        s.emulator.faults.add(Fault("hang", path="/alarm/alarms", skip=1))
        async for _ in s.alarms.list(page_size=20):
            await s.emulator.until(lambda: s.server.in_flight == 1)
            break
        await s.emulator.until(lambda: s.server.in_flight == 0)


async def test_a_list_that_outlives_its_client_says_so():
    async with site() as s:
        s.fill(60)
        items = aiter(s.alarms.list(page_size=20))
        first = await anext(items)
    rest = []
    with pytest.raises(ConfigurationError, match=r"page 2 of the alarms: the client is closed"):
        await fill(rest, items)
    assert [first.id, *rest] == sorted([first.id, *rest], key=int, reverse=True)
    assert len(rest) == 19


async def test_a_page_that_fails_is_named_and_what_came_before_is_kept():
    async with site() as s:
        made = s.fill(120)
        s.emulator.faults.add(Fault("status", path="/alarm/alarms", skip=2, status=503))
        given = []
        items = aiter(s.alarms.list(page_size=20))
        with pytest.raises(ServerError, match=r"page [2345] of the alarms: .*503") as caught:
            await fill(given, items)
        assert caught.value.status == 503
        page = int(str(caught.value)[len("page ")])  # several were on their way at a time
        assert given == made[::-1][: {2: 20, 3: 38, 4: 54, 5: 68}[page]]
        given += await ids(items)
        assert sorted(given) == sorted(made)


@pytest.mark.parametrize(
    ("rewrite", "problem"),
    [
        (lambda _: b"<html><title>Login</title></html>", "page 2 of the alarms: .*HTML page titled 'Login'"),
        (lambda body: body[:500], "page 2 of the alarms: .*cut off"),
        (lambda _: b"", "page 2 of the alarms: .*empty body"),
        (lambda _: b'{"error":"none"}', "page 2 of the alarms: the page has no list named 'alarms'"),
    ],
)
async def test_a_page_that_is_none_is_one_clear_error(rewrite, problem):
    async with site() as s:
        s.fill(60)
        s.emulator.faults.add(Fault("body", path="/alarm/alarms", skip=1, times=None, rewrite=rewrite))
        with pytest.raises(ProtocolError, match=problem):
            await ids(s.alarms.list(page_size=20))


async def test_one_broken_row_does_not_cost_the_others():
    def break_one(body):
        page = json.loads(body)
        page["alarms"][1] = {"text": "no id"}
        del page["alarms"][2]["severity"]
        page["alarms"][3]["time"] = "whenever"
        return json.dumps(page).encode()

    async with site() as s:
        made = s.fill(5)[::-1]
        s.emulator.faults.add(Fault("body", path="/alarm/alarms", rewrite=break_one))
        items = aiter(s.alarms.list())
        assert (await anext(items)).id == made[0]
        with pytest.raises(ProtocolError, match="page 1 of the alarms, row 2: the alarm has no usable id"):
            await anext(items)
        rest = [alarm async for alarm in items]
        assert [alarm.id for alarm in rest] == made[2:]
        assert (rest[0].severity, rest[0].level, rest[1].time) == (None, None, None)


async def test_a_page_that_lies_about_the_next_one_ends_in_an_error():
    def lie(body):
        page = json.loads(body)
        return json.dumps({**page, "next": "http://elsewhere/alarm/alarms?currentPage=2"}).encode()

    async with site() as s:
        s.fill(5)
        s.emulator.faults.add(Fault("body", path="/alarm/alarms", times=None, rewrite=lie))
        given = []
        with pytest.raises(ProtocolError, match=r"page \d+ of the alarms: the server"):
            await fill(given, s.alarms.list(page_size=20))
        assert len(given) == 5
        assert len(s.asked) < 120


async def test_a_next_link_is_never_followed_to_its_host():
    async with site(base_url="http://cumulocity.internal:8111") as s:
        made = s.fill(60)
        assert len(await ids(s.alarms.list(page_size=20))) == len(made)


async def test_a_restricted_user_gets_all_that_is_open_to_him():
    async with site(user="eve") as s:
        s.emulator.access.add_user("eve", "demo", "no-alarms", sources=frozenset({"1"}))
        mine = []
        for number in range(200):
            s.add(number)
            if number % 9 == 0:
                mine.append(s.add(number, source="1"))
        given = await ids(s.alarms.list(page_size=20))
        assert sorted(given) == sorted(mine)


async def test_a_server_before_10_11_is_read_without_its_times():
    async with site(behaviour=Behaviour(last_updated=False)) as s:
        made = s.fill(150)
        s.before[3] = lambda: s.add(0)
        assert sorted(await ids(s.alarms.list(page_size=50))) == sorted(made)
        assert "lastUpdatedFrom" not in str(s.asked)


async def test_filters_reach_the_platform():
    async with site() as s:
        one = s.add(1, severity="CRITICAL", type="acme Fire + 1&2=3/ü%")
        s.add(2, severity="MINOR")
        other = s.add(3, severity="MAJOR", source="1")
        s.clear(other)
        assert await ids(s.alarms.list(severity=["critical", Severity.WARNING])) == [one]
        assert await ids(s.alarms.list(type="acme Fire + 1&2=3/ü%")) == [one]
        assert await ids(s.alarms.list(source="1")) == await ids(s.alarms.list(resolved=True)) == [other]
        assert len(await ids(s.alarms.list(AlarmFilter(resolved=False)))) == 2
        assert await ids(s.alarms.list(AlarmFilter(resolved=False), severity="CRITICAL")) == [one]
        now = datetime.now(UTC)
        assert await ids(s.alarms.list(created_to=now - timedelta(hours=1))) == []
        assert len(await ids(s.alarms.list(updated_from=now - timedelta(hours=1)))) == 3


@pytest.mark.parametrize("size", [0, -1, 2001, "all", None, 1.0, True])
async def test_page_sizes_that_the_platform_would_trim_are_refused(size):
    async with site() as s:
        with pytest.raises(ConfigurationError, match="page_size is 1 to 2000"):
            s.alarms.list(page_size=size)


@pytest.mark.parametrize("after", range(12))
async def test_a_list_can_be_cancelled_anywhere(after):
    async with site() as s:
        made = s.fill(90)
        items = aiter(s.alarms.list(page_size=20))
        given = []
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fill, given, items)
                for _ in range(after * 4):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        given += await ids(items)
        assert given == made[::-1]
        await s.emulator.until(lambda: s.server.in_flight == 0)  # it hears a moment later who left


@pytest.mark.parametrize("bump", [True, False])
@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_written_meanwhile_what_stays_is_given_once(seed, bump):
    rng = random.Random(seed)
    async with site(bump_last_updated_on_repeat=bump) as s:
        made = s.fill(rng.randrange(60, 400))
        s.later(rng.choice([0, 3600]))
        gone = set()

        def write():
            for _ in range(rng.randrange(12)):
                number = rng.randrange(len(made))
                if made[number] in gone:
                    continue
                match rng.randrange(5):
                    case 0:
                        s.add(10_000 + rng.randrange(10_000))
                    case 1:
                        s.add(number)  # raised again
                    case 2:
                        s.emulator.store.update(made[number], {"text": str(rng.random())})
                    case 3:
                        there = [one for one in made[number : number + 5] if one not in gone]
                        gone.update(there)
                        s.clear(*there)
                    case _:
                        gone.add(made[number])
                        s.emulator.store.remove(made[number])

        for n in range(2, 30):
            s.before[n] = write
        given = await ids(s.alarms.list(status="ACTIVE", page_size=rng.randrange(20, 80)))
        assert len(given) == len(set(given))
        assert set(made) - gone <= set(given)
