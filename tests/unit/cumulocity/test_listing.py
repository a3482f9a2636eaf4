"""A walk over pages that a small server makes; drift itself is tested on the emulator."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._pages import Pages, PageStatistics
from tocsin._http._paging import Seen
from tocsin.cumulocity._listing import AlarmWalk
from tocsin.cumulocity._query import AlarmFilter
from tocsin.cumulocity._window import alarm_path, read_one, read_window
from tocsin.cumulocity.alarms import Alarms
from tocsin.errors import ConfigurationError, NotFoundError, ProtocolError

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


class Server:
    """Alarms that never change; the answers have only what the test wants them to have."""

    def __init__(self, count, *, date=TEN, **fields):
        self.rows = [{"id": str(count - n), **fields} for n in range(count)]
        self.date = date
        self.asked = []
        self.page = {}

    def __call__(self, request):
        query = dict(request.url.params)
        self.asked.append(query)
        size, page = int(query["pageSize"]), int(query["currentPage"])
        start = size * (page - 1)
        # Nothing moves, so nothing has moved since then.
        rows = self.rows if "dateFrom" not in query and "lastUpdatedFrom" not in query else []
        body = {"alarms": rows[start : start + size], **self.page}
        if start + size < len(rows):
            body["next"] = "http://internal/alarm/alarms?currentPage=2"
        headers = {"Date": format_datetime(self.date, usegmt=True)} if self.date else {}
        return httpx.Response(200, headers=headers, json=body)


@asynccontextmanager
async def serving(answer, **options):
    core = HttpCore("http://127.0.0.1", **options, transport_factory=lambda: httpx.MockTransport(answer))
    async with core:
        yield core


async def listed(core, wanted=None, *, size=20, **options):
    pages = Pages(lambda: AlarmWalk(core, wanted or AlarmFilter(), page_size=size, **options))
    return [alarm.id async for alarm in pages]


def filters(server):
    return [sorted(query.keys() - {"pageSize", "currentPage"}) for query in server.asked]


async def test_without_a_date_the_newest_change_is_the_servers_clock():
    server = Server(50, date=None, lastUpdated="2026-03-01T10:00:00.500Z")
    async with serving(server) as core:
        assert len(await listed(core)) == 50
    assert filters(server) == [[], [], [], ["dateFrom"], ["lastUpdatedFrom"]]
    assert server.asked[-1]["lastUpdatedFrom"] == "2026-03-01T09:59:30.500Z"


async def test_without_any_clock_nothing_is_looked_for():
    server = Server(50, date=None)
    async with serving(server) as core:
        assert len(await listed(core)) == 50
    assert filters(server) == [[], [], []]


async def test_a_bound_of_the_users_own_is_kept():
    server = Server(50, lastUpdated="2026-03-01T10:00:00Z")
    mine = TEN - timedelta(days=1)
    async with serving(server) as core:
        await listed(core, AlarmFilter(created_to=mine))
    assert {query["createdTo"] for query in server.asked} == {"2026-02-28T10:00:00.000Z"}


@pytest.mark.parametrize("behind", [0, 59, 61, 120, 3600])
async def test_a_proxy_with_a_slow_clock_hides_no_alarms(behind):
    server = Server(100, date=TEN - timedelta(seconds=behind))
    for number, row in enumerate(server.rows):
        row["creationTime"] = (TEN - timedelta(seconds=number)).isoformat()

    def bounded(request):
        to = datetime.fromisoformat(request.url.params.get("createdTo", "9999-01-01T00:00:00Z"))
        fit = [row for row in server.rows if datetime.fromisoformat(row["creationTime"]) < to]
        whole, server.rows = server.rows, fit
        try:
            return server(request)
        finally:
            server.rows = whole

    async with serving(bounded) as core:
        assert len(await listed(core)) == 100
    assert "createdTo" in server.asked[1]


@pytest.mark.parametrize("ahead", [0, 29, 31, 800])
async def test_behind_a_proxy_with_a_fast_clock_a_row_that_jumps_is_found(ahead):
    server = Server(100, date=TEN + timedelta(seconds=ahead), lastUpdated="2026-03-01T09:59:59Z")

    def moving(request):
        since = request.url.params.get("lastUpdatedFrom")
        if since is None:
            answer = server(request)
            if len(server.asked) == 2:  # from the unread part to the top, past the reader
                server.rows.insert(0, {**server.rows.pop(70), "lastUpdated": "2026-03-01T10:00:01Z"})
            return answer
        moment = datetime.fromisoformat(since)
        moved = [row for row in server.rows if datetime.fromisoformat(row["lastUpdated"]) >= moment]
        return httpx.Response(200, json={"alarms": moved[:20]})

    async with serving(moving) as core:
        assert len(await listed(core)) == 100


async def test_a_fast_clock_does_not_make_a_list_be_read_twice():
    server = Server(50, lastUpdated="2026-01-01T00:00:00Z")
    async with serving(server) as core:
        await listed(core)
    assert server.asked[-1]["lastUpdatedFrom"] == "2026-03-01T09:44:30.000Z"


async def test_a_range_that_begins_later_than_the_server_believes_is_left_alone():
    server = Server(50, lastUpdated="2026-03-01T10:00:00Z")
    async with serving(server) as core:
        assert len(await listed(core, AlarmFilter(created_from=TEN + timedelta(days=1)))) == 50
    assert "createdTo" not in str(server.asked)


@pytest.mark.parametrize(
    ("wanted", "tails"),
    [
        (AlarmFilter(updated_to=TEN - timedelta(hours=1)), [["dateFrom", "lastUpdatedTo"]]),
        (AlarmFilter(date_to=TEN - timedelta(hours=1)), [["dateTo", "lastUpdatedFrom"]]),
        (AlarmFilter(date_from=TEN), [["dateFrom", "lastUpdatedFrom"]]),
        (AlarmFilter(updated_from=TEN), [["lastUpdatedFrom"]]),
    ],
)
async def test_where_nothing_can_have_moved_nothing_is_looked_for(wanted, tails):
    server = Server(50, lastUpdated="2026-03-01T10:00:00Z")
    async with serving(lambda request: plain(server, request)) as core:
        assert len(await listed(core, wanted)) == 50
    assert filters(server)[3:] == tails


def plain(server, request):
    """The same server, but up to the third request everything passes the user's own filters."""
    query = {
        k: v
        for k, v in request.url.params.items()
        if k in {"pageSize", "currentPage"} or len(server.asked) > 2
    }
    answer = server(httpx.Request("GET", request.url.copy_with(params=query)))
    server.asked[-1] = dict(request.url.params)
    return answer


async def test_a_memory_that_is_too_small_doubles_rather_than_loses():
    seen = Seen(3)
    assert [seen.add(str(n)) for n in (1, 1, 2, 3, 3, 4, 5)] == [True, False, True, True, False, True, True]
    assert "3" in seen  # at least the last three
    for n in range(100):
        seen.add(f"x{n}")
    assert "3" not in seen
    assert len(seen._new) + len(seen._old) <= 6
    server = Server(200, lastUpdated="2026-03-01T10:00:00Z")
    async with serving(server) as core:
        assert len(await listed(core, remembered=25)) == 200


async def test_a_window_has_what_recovery_needs():
    server = Server(3)
    server.page = {"statistics": {"currentPage": 1, "pageSize": 2, "totalPages": None, "totalElements": "x"}}
    async with serving(server) as core:
        window = await read_window(core, (("type", "a+b c,d&e"),), page_size=2)
    assert server.asked == [{"type": "a+b c,d&e", "pageSize": "2", "currentPage": "1"}]
    assert [json.loads(raw)["id"] for raw in window.rows] == ["3", "2"]
    assert (window.more, window.date) == (True, TEN)
    assert window.statistics == PageStatistics(1, 2)


@pytest.mark.parametrize(
    ("page", "more", "statistics"),
    [
        ({"next": None}, False, None),
        ({"next": ""}, False, None),
        ({"next": {"href": "x"}}, True, None),
        ({"statistics": []}, False, None),
        ({"statistics": {"currentPage": True, "pageSize": -1, "totalPages": 1.5}}, False, PageStatistics()),
    ],
)
async def test_odd_pages_are_survived(page, more, statistics):
    server = Server(1)
    server.page = page
    async with serving(server) as core:
        window = await read_window(core, (), page_size=2)
    assert (window.more, window.statistics, len(window.rows)) == (more, statistics, 1)


async def test_one_alarm_is_read_raw():
    def answer(request):
        if request.url.raw_path == b"/alarm/alarms/a%2Fb":
            return httpx.Response(200, content=b'{"id": "a/b"}')
        return httpx.Response(404, json={"error": "alarm/Not Found"})

    async with serving(answer) as core:
        assert await read_one(core, "a/b") == b'{"id": "a/b"}'
        with pytest.raises(NotFoundError):
            await read_one(core, "c")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"id": "2"}, "alarm '1' was asked for, and the answer is alarm '2'"),
        ({"text": "x"}, "no usable id"),
        ([], "not a JSON object"),
    ],
)
async def test_another_alarm_than_the_one_asked_for_is_an_error(body, says):
    async with serving(lambda _: httpx.Response(200, json=body)) as core:
        alarms = Alarms(core)
        for call in (read_one(core, "1"), alarms.get("1"), alarms.clear("1")):
            with pytest.raises(ProtocolError, match=says):
                await call


async def test_an_echo_of_the_request_tells_no_credentials():
    def echo(request):
        return httpx.Response(200, json={"headers": dict(request.headers)})

    auth = BasicAuth("ada", "hunter2-and-more", tenant="t1")
    async with serving(echo, auth=auth) as core:
        alarms = Alarms(core)
        for call in (read_window(core, (), page_size=1), alarms.get("1"), alarms.clear("1"), alarms.count()):
            with pytest.raises(ProtocolError, match=r"answered 200") as caught:
                await call
            assert caught.value.detail.startswith('{"headers"')
            assert not any(secret in repr(vars(caught.value)) for secret in auth.secrets)
            assert "authorization" not in caught.value.detail or "***" in caught.value.detail


async def test_html_instead_of_a_page_is_called_html():
    page = httpx.Response(
        200, headers={"Content-Type": "text/html"}, content=b"<html><title>Sign in</title></html>"
    )
    async with serving(lambda _: page) as core:
        with pytest.raises(ProtocolError, match="HTML page titled 'Sign in'"):
            await read_window(core, (), page_size=2)


def test_paths_of_alarms():
    assert alarm_path("90210") == alarm_path(90210) == "/alarm/alarms/90210"
    assert alarm_path("ü /?#%") == "/alarm/alarms/%C3%BC%20%2F%3F%23%25"
    for bad in ("", "  ", ".", "..", "../x", "a/./b", "null", None, True, 1.0, b"1", "\ud800"):
        with pytest.raises(ConfigurationError, match="id"):
            alarm_path(bad)
