"""Every row runs with tocsin, against the real server; no time is asserted, and no peer is needed."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec

import anyio
import pytest
from benchmarks.peers import __main__ as peers
from benchmarks.peers import bodies, report
from benchmarks.peers.rows import ROWS, chosen
from benchmarks.peers.run import Measured, serving
from benchmarks.peers.worker import Work, control

ALONE = {"memory", "subscribers", "import"}
OURS = [
    (row, name)
    for row in ROWS
    for name in row.candidates
    if row.kind not in ALONE and name in {"tocsin", "tocsin-bayeux", "tocsin-retry"}
] + [(row, "tocsin-stock") for row in chosen(["get-1", "tls-get-1", "events-1"])]


@pytest.fixture(scope="module")
def served():
    with serving() as served:
        yield served


@pytest.mark.parametrize(("row", "name"), OURS, ids=[f"{row.name}-{name}" for row, name in OURS])
def test_a_row_runs_with_tocsin(row, name, served):
    async def run():
        async with Work(name, row, served.tls_url if row.tls else served.url, served.ca) as work:
            return await work.round(row.size("tiny"), 1)

    assert anyio.run(run)["items"] == row.size("tiny")


def test_memory_is_measured(served):
    [row] = chosen(["memory"])

    async def run():
        async with Work("tocsin", row, served.url) as work:
            return await work.memory(row.size("tiny"), 1)

    took = anyio.run(run)
    assert 0 < took["early"] <= took["peak"]


@pytest.mark.parametrize("name", ["tocsin-bayeux", "tocsin-changes"])
def test_subscribers_come_back_after_an_outage(name, served, capsys):
    [row] = chosen(["subscribers"])
    size = row.size("tiny")

    async def outage():
        def held():
            return control(served.url, "held", subscriptions=size + 1)["at"]

        await anyio.to_thread.run_sync(held)
        ready = await anyio.to_thread.run_sync(lambda: control(served.url, "outage", seconds=0)["ready"])
        assert await anyio.to_thread.run_sync(held) >= ready
        yield {}

    async def run():
        async with Work(name, row, served.url) as work:
            await work.subscribers(size, outage())

    anyio.run(run)
    took = json.loads(capsys.readouterr().out)
    assert took["wall"] > 0
    assert took["sockets"] <= 2


def test_the_command_runs_processes_prints_tables_and_tells_who_is_missing(capsys):
    peers.main(["--rows", "get-1", "--rounds", "2", "--tiny", "--only", "pyc8y,tocsin"])
    out = capsys.readouterr().out
    assert "`tocsin`: " in out
    assert re.search(r"^\|  \| tocsin \| \d+ requests/s \| ", out, re.MULTILINE)
    assert ("| pyc8y | not installed | - |" in out) == (find_spec("pyc8y") is None)


def test_an_unknown_row_is_refused(capsys):
    with pytest.raises(SystemExit, match="there is no row 'gets'; there are list-2000, "):
        peers.main(["--rows", "gets"])


def test_the_table_compares_within_a_round_and_says_who_is_behind():
    [row] = chosen(["get-16"])
    measured = {
        "pyc8y": Measured([2.0, 4.0, 8.0], [1.0, 1.0, 1.0]),
        "c8y_api": Measured(trouble="not installed"),
        "tocsin": Measured([1.0, 5.0, 10.0], [0.5, 0.5, 0.5]),
    }
    _, _, reference, missing, ours = report.ratios([(row, measured)]).splitlines()
    assert reference == "| GET one alarm, 16 in flight | pyc8y | 0 requests/s | 1 | 1 | |  |"
    assert missing == "|  | c8y_api | not installed | - | - | - | - |"
    ratios = "0.80/**0.80**/2.00 | 2.00/**2.00**/2.00"
    assert ours == f"|  | tocsin | 1 requests/s | {ratios} | ≥ 0.90: **behind** | **0.80 x pyc8y** |"


def test_no_id_comes_twice_in_a_list_and_every_page_is_what_it_says():
    pages = [json.loads(bodies.page(3 * 10**7, 70, number, 150)) for number in (1, 2, 3, 4)]
    ids = [alarm["id"] for page in pages for alarm in page["alarms"]]
    assert ids == [bodies.identity(3 * 10**7 + place) for place in range(150)]
    assert [len(page["alarms"]) for page in pages] == [70, 70, 10, 0]
    assert [("next" in page) for page in pages] == [True, True, False, False]
    assert {alarm["self"].rpartition("/")[2] for alarm in pages[0]["alarms"]} == set(ids[:70])


@pytest.mark.parametrize("each", [1, 10])
def test_events_raise_and_clear_each_alarm(each):
    made = [json.loads(b"[%s]" % bodies.events(50, at, each)) for at in range(0, 20, each)]
    got = [
        (event["data"]["data"]["id"], event["data"]["data"]["status"]) for events in made for event in events
    ]
    assert got == [(bodies.identity(50 + n // 2), ("ACTIVE", "CLEARED")[n % 2]) for n in range(20)]
