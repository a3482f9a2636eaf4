"""Servers that lie, and what a list costs and says then; the client is whole, the server is a few lines."""

import gzip
import json
import tracemalloc
from contextlib import asynccontextmanager

import httpx
import pytest

from emulated.alarm_site import fill
from tocsin import ProtocolError, RetryPolicy, ServerError
from tocsin.cumulocity import BasicAuth, Cumulocity

BROKEN = "rows more than|page after page|very same page|never an end|outside of the creation times"


def rows(*ids):
    return [{"id": str(one), "creationTime": "2026-03-01T10:00:00.000Z"} for one in ids]


def page(ids, **more):
    return httpx.Response(200, json={"alarms": rows(*ids), **more})


class Liar:
    """Answers by a function of the query and the number of the request, from 1."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def __call__(self, request):
        self.asked.append(request)
        return self.answer(dict(request.url.params), len(self.asked))


@asynccontextmanager
async def lied_to(answer):
    liar = Liar(answer)
    async with Cumulocity(
        "http://127.0.0.1",
        BasicAuth("demo", "demo", tenant="t1"),
        transport_factory=lambda: httpx.MockTransport(liar),
        retry=RetryPolicy.none(),
    ) as c8y:
        yield c8y.alarms, liar


def same(query, number):
    return page(range(20), next="http://evil.example/alarm/alarms?currentPage=1&pageSize=20")


def cycling(query, number):
    other = 2 if query["currentPage"] == "1" else 1
    return page([1, 2, 3], next=f"?currentPage={other}&pageSize=20", statistics={"currentPage": 7})


def growing(query, number):
    filler = "x" * min(2 ** min(number, 30), 4_000_000)
    return page([1], next=f"?currentPage={number + 1}&pageSize=20&more={filler}")


def empty(query, number):
    return page([], next=f"?currentPage={10**number}")


def beyond(query, number):
    """It ignores the page's size, and counts its pages by its own."""
    at = (int(query["currentPage"]) - 1) * 50
    return page(range(at, at + 50), next="?currentPage=2", statistics={"pageSize": 50})


def dead_end(query, number):
    """The last link leads to a page that says it is the first."""
    return page([1, 2], next="?", statistics={"currentPage": "x", "pageSize": -1})


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("lie", [same, cycling, growing, empty, dead_end])
async def test_links_without_an_end_are_one_error_after_a_bounded_number_of_requests(lie, stable):
    async with lied_to(lie) as (alarms, liar):
        given = []
        with pytest.raises(ProtocolError, match=rf"page \d+ of the alarms.*({BROKEN}|link)"):
            await fill(given, alarms.list(page_size=20, stable=stable))
        assert len(given) == len(set(given)) <= 20
        assert len(liar.asked) < 600
        assert {request.url.host for request in liar.asked} == {"127.0.0.1"}
        assert max(len(str(request.url)) for request in liar.asked) < 20_000


async def test_a_history_is_read_as_warily():
    def endless(query, number):
        found = [{"id": "1"}, {} if number == 1 else {"id": "1"}]
        return httpx.Response(200, json={"auditRecords": found, "next": "?currentPage=1"})

    async with lied_to(endless) as (alarms, liar):
        items = aiter(alarms.history("4711", page_size=2))
        assert (await anext(items)).id == "1"
        with pytest.raises(ProtocolError, match=r"^page 1 of the audit records, row 2: .* no usable id"):
            await anext(items)
        with pytest.raises(ProtocolError, match=rf"^page \d+ of the audit records: .*({BROKEN})"):
            await anext(items)
        assert len(liar.asked) < 30
        assert {request.url.params["source"] for request in liar.asked} == {"4711"}


async def test_a_page_with_more_rows_than_were_asked_for_loses_none():
    async with lied_to(beyond) as (alarms, liar):
        given = []
        with pytest.raises(ProtocolError, match=r"page 2 of the alarms: the server gave 30 rows more than"):
            await fill(given, alarms.list(page_size=20))
        assert given == [str(one) for one in range(50)]
        assert len(liar.asked) == 1

    async with lied_to(lambda *_: page(range(50))) as (alarms, _):  # it is the last one: no harm is done
        assert len((await alarms.list(page_size=20)).items) == 50


async def test_rows_that_come_again_are_given_once():
    def twice(query, number):
        start = (int(query["currentPage"]) - 1) * int(query["pageSize"]) % 60
        found = [one // 2 for one in range(start, min(start + int(query["pageSize"]), 60))]
        more = {"next": "?currentPage=9"} if start + int(query["pageSize"]) < 60 else {}
        return page(found, **more) if "dateFrom" not in query else page([])

    async with lied_to(twice) as (alarms, _):
        given = []
        await fill(given, alarms.list(page_size=20))
        assert given == [str(one) for one in range(30)]


FIRST = {"alarms": rows(*range(20)), "next": "?currentPage=2"}
DEEP = b'{"alarms":[{"id":"1","x":' + b"[" * 200_000


def packed(body):
    return httpx.Response(200, stream=httpx.ByteStream(body), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (lambda: httpx.Response(200, content=DEEP), "recursion limit|too deep"),
        (lambda: httpx.Response(200, content=DEEP + b"]" * 200_000 + b"}]}"), "recursion limit|too deep"),
        (lambda: httpx.Response(200, content=b'{"alarms":[{"id":"1"},{"id'), "cut off"),
        (lambda: httpx.Response(200, html="<html><title>Log in</title></html>"), "HTML page titled 'Log in'"),
        (lambda: httpx.Response(200, json={"alarms": None}), "no list named 'alarms'"),
        (lambda: httpx.Response(200, json={"alarms": {"0": {}}}), "no list named 'alarms'"),
        (lambda: httpx.Response(200, json=[]), "not a JSON object"),
        (lambda: httpx.Response(204), "empty body"),
        (lambda: httpx.Response(302, headers={"Location": "https://evil.example/"}), "redirected"),
        (lambda: packed(b"\x1f\x8b junk"), "not the gzip"),
        (lambda: packed(gzip.compress(b'{"alarms":[]}')[:-4]), "gzip answer .* is cut off"),
    ],
)
async def test_a_page_that_is_none_is_one_error_that_names_it_and_keeps_the_rest(second, problem):
    def answer(query, number):
        return httpx.Response(200, json=FIRST) if number == 1 else second()

    async with lied_to(answer) as (alarms, liar):
        given = []
        with pytest.raises(ProtocolError, match=rf"^page 2 of the alarms: .*({problem})"):
            await fill(given, alarms.list(page_size=20))
        assert given == [str(one) for one in range(20)]
        assert len(liar.asked) <= 1 + 4  # some that were asked for before page 2 had come


@pytest.mark.parametrize("fifth", range(5))
async def test_a_server_error_on_any_page_names_it_and_can_be_gone_on_from(fifth):
    begins = [0, 19, 36, 51, 60][fifth]  # pages overlap, and begin at multiples of their size
    bad = [begins]

    def answer(query, number):
        start = (int(query["currentPage"]) - 1) * int(query["pageSize"])
        if start in bad and "dateFrom" not in query:
            bad.clear()
            return httpx.Response(503, html="<title>Bad day</title>")
        end = min(start + int(query["pageSize"]), 90)
        more = {"next": "?currentPage=2"} if end < 90 else {}
        return page(range(start, end), **more) if "dateFrom" not in query else page([])

    async with lied_to(answer) as (alarms, _):
        given = []
        items = aiter(alarms.list(page_size=20))
        with pytest.raises(ServerError, match=rf"^page {fifth + 1} of the alarms: .*503.*'Bad day'"):
            await fill(given, items)
        await fill(given, items)
        assert given == [str(one) for one in range(90)]


def odd(number):
    row = {"id": number, "text": f"{number}"}
    for name in ("source", "severity", "status", "count", "time", "creationTime", "lastUpdated", "type"):
        row[name] = ODD[number % len(ODD)]
    return row


ODD = [None, 1, 1.5, True, "x", [], {}, "9" * 400, -(10**30), {"id": None}, [1]]


async def test_wrong_types_cost_no_more_than_themselves():
    body = {"alarms": [odd(number) for number in range(len(ODD))], "statistics": "x", "next": None}
    body["alarms"][3] = None
    body["alarms"][5] = {"id": True}
    body["alarms"][7] = {"id": 10**400}
    body["alarms"][9] = [{"id": "9"}]

    async with lied_to(lambda *_: httpx.Response(200, content=json.dumps(body))) as (alarms, _):
        for listing in (alarms.list(), alarms.list(stable=True)):
            items, given, told = aiter(listing), [], []
            for _ in range(len(ODD)):
                try:
                    given.append((await anext(items)).id)
                except ProtocolError as error:
                    told.append(str(error))
            assert given[:4] == ["0", "1", "2", "4"]
            assert [text.partition(":")[0] for text in told][:2] == [
                "page 1 of the alarms, row 4",
                "page 1 of the alarms, row 6",
            ]
            assert len(given) + len(told) == len(ODD)
            with pytest.raises(StopAsyncIteration):
                await anext(items)


async def test_a_bomb_costs_no_more_than_the_limit():
    squeezed = gzip.compress(b'{"alarms":[' + b" " * 200_000_000, 1)

    def answer(query, number):
        if number == 1:
            return httpx.Response(200, json=FIRST)
        return packed(squeezed)

    async with lied_to(answer) as (alarms, _):
        given = []
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError, match=r"^page 2 of the alarms: .*larger than \d+ bytes"):
                await fill(given, alarms.list(page_size=20))
            assert tracemalloc.get_traced_memory()[1] < 200_000_000
        finally:
            tracemalloc.stop()
        assert len(given) == 20


async def test_fifty_megabytes_of_alarms_are_held_about_twice_and_not_more():
    text = "x" * 24_000
    body = json.dumps({"alarms": [{"id": str(one), "text": text} for one in range(2000)]}).encode()

    async with lied_to(lambda *_: httpx.Response(200, stream=httpx.ByteStream(body))) as (alarms, _):
        tracemalloc.start()
        try:
            count = 0
            async for _ in alarms.list():
                count += 1
            assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
        finally:
            tracemalloc.stop()
        assert count == 2000
