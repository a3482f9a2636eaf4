"""Lists by page number over alarms that arrive and go while they are read."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin._http._request import Headers, Response
from tocsin.errors import ConfigurationError, ProtocolError, ServerError
from tocsin.xprotect.alarms import Alarms

STATES = [
    {"id": f"5{level:07}-0000-4000-8000-000000000000", "level": level, "name": name}
    for level, name in ((1, "Neu"), (4, "In Arbeit"), (9, "Wartet"), (11, "Erledigt"), (20, "Geprüft"))
]


class Server:
    """A gateway whose alarms are a list, newest first; something may happen before each page."""

    def __init__(self, count=0, *, largest=2000, filters=True):
        self.rows = [row(number) for number in reversed(range(count))]
        self.next = count
        self.largest = largest
        self.filters = filters
        self.asked = []
        self.before = {}
        self.unreadable = set()

    async def send(self, request):
        query = dict(request.query)
        if request.path == "/alarmStates":
            return answer({"array": STATES})
        assert request.path == "/alarms"
        self.asked.append(query)
        self.before.get(len(self.asked), lambda: None)()
        size, page = min(int(query["size"]), self.largest), int(query["page"])
        rows = self.rows
        if self.filters and (wanted := query.get("state.name")):
            excluded = wanted.startswith("notEquals:")
            name = wanted.removeprefix("notEquals:")[1:-1].replace("''", "'")
            rows = [one for one in rows if (one["state"]["name"] == name) is not excluded]
        rows = rows[page * size : (page + 1) * size]
        found = {"array": rows, "_links": {"next": "http://elsewhere/rest/v1/alarms?page=7"}}
        return answer(found)

    def arrive(self, count=1):
        for _ in range(count):
            self.rows.insert(0, row(self.next))
            self.next += 1

    def go(self, *numbers):
        self.rows = [one for one in self.rows if one["localId"] not in numbers]


def row(number, state=0):
    return {"id": f"AB{number}", "localId": number, "name": f"n{number}", "state": STATES[state]}


def answer(body):
    return Response(200, Headers(), json.dumps(body).encode())


async def listed(server, *, size=50, **filters):
    return [alarm.local_id async for alarm in Alarms(server).list(page_size=size, **filters)]


async def test_pages_are_numbered_from_0_and_end_with_a_short_one():
    server = Server(120)
    assert await listed(server) == list(reversed(range(120)))
    assert [query["page"] for query in server.asked] == ["0", "1", "2"]


@pytest.mark.parametrize("count", [0, 1, 49, 51, 99])
async def test_each_alarm_is_given_once(count):
    assert await listed(Server(count)) == list(reversed(range(count)))


async def test_alarms_that_arrive_push_the_others_on_and_nothing_comes_twice():
    server = Server(200)
    server.before = {n: lambda: server.arrive(7) for n in range(2, 6)}
    assert await listed(server) == list(reversed(range(200)))


async def test_alarms_that_go_do_not_pull_others_past_the_edge():
    server = Server(300)
    server.before = {2: lambda: server.go(*range(290, 300)), 4: lambda: server.go(*range(200, 280))}
    found = await listed(server)
    assert set(found) >= set(range(200))
    assert len(found) == len(set(found))


@settings(max_examples=25)
@given(
    happenings=st.lists(
        st.tuples(st.integers(0, 30), st.lists(st.integers(0, 150), max_size=40)), max_size=12
    )
)
async def test_whatever_arrives_and_goes_each_survivor_is_given_once(happenings):
    server = Server(150)

    def happen(arriving, going):
        server.arrive(arriving)
        server.go(*going)

    server.before = {n: lambda happening=one: happen(*happening) for n, one in enumerate(happenings, 1)}
    found = await listed(server, size=20)
    gone = {number for _, going in happenings for number in going}
    assert set(found) >= set(range(150)) - gone
    assert len(found) == len(set(found))


@pytest.mark.parametrize("count", [100, 101, 350])
async def test_a_server_with_a_limit_of_its_own_hides_nothing(count):
    server = Server(count, largest=100)
    assert await listed(server, size=1000) == list(reversed(range(count)))


async def test_a_page_awaited_is_one_request_and_the_next_goes_on():
    server = Server(30)
    page = await Alarms(server).list(page_size=10)
    assert [alarm.local_id for alarm in page] == list(range(29, 19, -1))
    assert len(server.asked) == 1
    page = await page.next_page()
    assert [alarm.local_id for alarm in page] == list(range(19, 9, -1))


async def test_an_unreadable_row_is_named_and_skipped():
    server = Server(3)
    del server.rows[1]["id"]
    items = aiter(Alarms(server).list())
    assert (await anext(items)).local_id == 2
    with pytest.raises(ProtocolError, match="row 2"):
        await anext(items)
    assert (await anext(items)).local_id == 0


async def test_a_page_that_failed_is_asked_for_again():
    server = Server(80)

    def fail():
        raise ServerError("no", status=503)

    server.before = {2: fail}
    items = aiter(Alarms(server).list(page_size=50))
    found = [(await anext(items)).local_id for _ in range(50)]
    with pytest.raises(ServerError, match="page 2 of the alarms"):
        await anext(items)
    found += [alarm.local_id async for alarm in items]
    assert found == list(reversed(range(80)))


@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize(
    ("asked", "state", "kept"),
    [
        ({"state": "erledigt"}, "'Erledigt'", {3}),
        ({"state": 4}, "'In Arbeit'", {1}),
        ({"state": STATES[2]["id"].upper()}, "'Wartet'", {2}),
        ({"state": [1, 4]}, "notEquals:'Erledigt'", {0, 1}),
        ({"state": [1, 11]}, None, {0, 3}),
        ({"resolved": False}, "notEquals:'Erledigt'", {0, 1, 2, 4}),
        ({"resolved": True}, "'Erledigt'", {3}),
    ],
)
async def test_states_are_asked_for_by_the_sites_names_and_looked_at_again(filters, asked, state, kept):
    server = Server(filters=filters)
    server.rows = [row(number, number) for number in range(5)]
    assert set(await listed(server, **asked)) == kept
    assert server.asked[0].get("state.name") == state


async def test_a_state_that_the_site_has_not_is_named_with_those_it_has():
    with pytest.raises(ConfigurationError, match=r"no state 'Closed'; it has 'Neu' \(level 1\), 'In Arbeit'"):
        await listed(Server(3), state="Closed")


@pytest.mark.parametrize("size", [0, 2001, True, "10"])
async def test_a_page_size_out_of_range_is_refused(size):
    with pytest.raises(ConfigurationError, match="page_size"):
        Alarms(Server()).list(page_size=size)
