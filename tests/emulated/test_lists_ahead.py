"""Lists whose pages are asked for before they are due, also of servers that are not as guessed."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from anyio import current_time

from emulated.alarm_site import fill, ids, site
from tocsin import RetryPolicy, ServerError
from tocsin.cumulocity import BasicAuth, Cumulocity

TAKES = 0.05
pytestmark = pytest.mark.virtual_time


class Slow:
    """Answers after 50 ms with rows that never move, as it was made to page them."""

    def __init__(self, count, *, largest=2000, tells=True, offsets=False):
        self.rows = [{"id": str(n), "lastUpdated": "2020-01-01T00:00:00Z"} for n in range(count)]
        self.largest, self.tells, self.offsets = largest, tells, offsets
        self.asked = []
        self.in_flight = self.most = 0
        self.fails = {}

    async def __call__(self, request):
        query = dict(request.url.params)
        self.asked.append(query)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await anyio.sleep(TAKES)
        finally:
            self.in_flight -= 1
        if "lastUpdatedFrom" in query or "dateFrom" in query:
            return httpx.Response(200, json={"alarms": []})
        number = int(query["currentPage"])
        if self.fails.pop(number, None):
            return httpx.Response(503)
        return httpx.Response(200, json=self.page(number, min(int(query["pageSize"]), self.largest)))

    def page(self, number, size):
        start = (number - 1) * size
        body = {"alarms": self.rows[start : start + size]}
        if start + size < len(self.rows):
            body["next"] = f"http://internal:8111/alarm/alarms?pageSize={size}&currentPage={number + 1}"
        if self.tells:
            body["statistics"] = {"currentPage": start if self.offsets else number, "pageSize": size}
        return body


class Restricted(Slow):
    """Pages before it filters, and counts in offsets; the first page happens to be whole."""

    def page(self, number, size):
        body = super().page(number, size)
        if number > 1:
            body["alarms"] = body["alarms"][::7]
        return body


@asynccontextmanager
async def slow(server):
    async with Cumulocity(
        "http://127.0.0.1",
        BasicAuth("demo", "demo", tenant="t1"),
        transport_factory=lambda: httpx.MockTransport(server),
        retry=RetryPolicy.none(),
    ) as c8y:
        yield c8y.alarms


async def test_the_time_of_the_server_is_paid_once_for_four_pages_and_once_for_both_tails():
    server = Slow(820)
    async with slow(server) as alarms:
        began = current_time()
        assert len(await ids(alarms.list(page_size=100))) == 820
        assert current_time() - began == pytest.approx(TAKES * (1 + 2 + 1))
    assert server.most == 4
    assert 9 + 2 <= len(server.asked) <= 9 + 3 + 2


@pytest.mark.parametrize("count", [0, 1, 1999, 2000])
async def test_a_list_that_fits_in_one_page_costs_one_request(count):
    server = Slow(count)
    async with slow(server) as alarms:
        assert len(await ids(alarms.list())) == count
    assert len(server.asked) == 1


async def test_awaited_nothing_is_asked_for_early():
    server = Slow(500)
    async with slow(server) as alarms:
        page = await alarms.list(page_size=100)
        assert await page.next_page() is not None
    assert len(server.asked) == 2


@pytest.mark.parametrize("size", [1, 5, 19])
async def test_pages_too_small_to_overlap_are_read_one_at_a_time(size):
    server = Slow(45)
    async with slow(server) as alarms:
        assert len(await ids(alarms.list(page_size=size))) == 45
    pages = [query for query in server.asked if "dateFrom" not in query and "lastUpdatedFrom" not in query]
    assert len(pages) == -(-45 // size)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("largest", [50, 99, 100])
async def test_a_server_that_trims_pages(largest, tells):
    server = Slow(640, largest=largest, tells=tells)
    async with slow(server) as alarms:
        assert await ids(alarms.list(page_size=100)) == [row["id"] for row in server.rows]
    assert server.most <= 4 + 3


async def test_a_user_whose_second_page_shows_that_he_is_restricted_gets_all_that_is_his():
    server = Restricted(700, offsets=True)
    server.tells = False
    mine = [row["id"] for n in range(7) for row in server.rows[n * 100 : n * 100 + 100 : 7 if n else 1]]
    async with slow(server) as alarms:
        given = await ids(alarms.list(page_size=100))
    assert set(given) <= {row["id"] for row in server.rows}
    assert len(given) == len(set(given))
    early = [query for query in server.asked if query["currentPage"] in {"3", "4", "5"}]
    assert set(given) >= set(mine[:100])
    assert early


async def test_heavy_pages_are_not_piled_up():
    server = Slow(45)
    for row in server.rows:
        row["text"] = "x" * 450_000
    async with slow(server) as alarms:
        assert len(await ids(alarms.list(page_size=20))) == 45
    assert server.most == 2  # the tails; a page of 9 MB comes alone


@pytest.mark.parametrize("page", range(1, 7))
async def test_a_page_that_fails_is_told_after_those_before_it(page):
    server = Slow(560)
    server.fails[page] = True
    async with slow(server) as alarms:
        items, given = aiter(alarms.list(page_size=100)), []
        with pytest.raises(ServerError, match=rf"^page {page} of the alarms: .*503"):
            await fill(given, items)
        assert given == [str(n) for n in range(len(given))]
        assert (page - 1) * 95 <= len(given) <= (page - 1) * 100
        await fill(given, items)
        assert given == [str(n) for n in range(560)]
    assert server.in_flight == 0


@pytest.mark.parametrize("tenths", range(1, 20, 2))
async def test_cancelled_and_closed_at_any_moment_nothing_stays(tenths):
    server = Slow(900)
    async with slow(server) as alarms:
        items, given = aiter(alarms.list(page_size=100)), []
        with anyio.move_on_after(TAKES * tenths / 5):
            await fill(given, items)
        await items.aclose()
        assert server.in_flight == 0
    assert given == [str(n) for n in range(len(given))]


@pytest.mark.parametrize("bump", [True, False])
@pytest.mark.parametrize("seed", range(6))
async def test_in_whatever_order_pages_are_read_what_stays_is_given_once(seed, bump):
    """Answers overtake each other, and rows jump, leave and come between any two of them."""
    rng = random.Random(seed)
    async with site(bump_last_updated_on_repeat=bump) as s:
        made = s.fill(rng.randrange(100, 250))
        s.later(rng.choice([0, 3600]))
        gone: set[str] = set()

        def write():
            number = rng.randrange(len(made))
            if made[number] in gone:
                return
            match rng.randrange(5):
                case 0:
                    s.add(10_000 + rng.randrange(10_000))
                case 1 | 2:
                    for jumping in range(number, min(number + rng.randrange(1, 12), len(made))):
                        if made[jumping] not in gone:
                            s.add(jumping)  # raised again
                case 3:
                    s.emulator.store.update(made[number], {"text": str(rng.random())})
                case _:
                    there = [one for one in made[number : number + 5] if one not in gone]
                    gone.update(there)
                    s.clear(*there)

        async def jitter(request, call_next):
            s.asked.append(request)
            await anyio.sleep(rng.random() * 0.3)
            response = await call_next(request)
            for _ in range(rng.randrange(4) if len(s.asked) < 60 else 0):
                write()
            await anyio.sleep(rng.random() * 0.3)
            return response

        s.watch = jitter
        given = await ids(s.alarms.list(status="ACTIVE", page_size=rng.randrange(20, 80)))
        assert len(given) == len(set(given))
        assert set(made) - gone <= set(given)
        await s.emulator.until(lambda: s.server.in_flight == 0)
