"""A report as it is printed: for people on narrow terminals, for programs line by line."""

from __future__ import annotations

import json
import os

import anyio
import pytest

from doc_pages import ROOT, blocks
from emulated.examining import clinic
from tocsin.cli._doctor import JsonReport, TableReport, report_on
from tocsin.cli._output import Output
from tocsin.emulator import Fault

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "report"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    yield Output(descriptor), path.read_text
    os.close(descriptor)


def documented(event):
    lines = [line for block in blocks(ROOT / "docs" / "cli.md", "json") for line in block.source.splitlines()]
    return next(found for line in lines if (found := json.loads(line))["event"] == event)


async def test_json_lines_are_as_documented(written):
    output, text = written
    async with clinic() as here:
        examination = here.examination("held-poll", "missing-alarm", "live", write=False)
        await report_on(examination, JsonReport(output, examination, platform="cumulocity"))
    *findings, report = [json.loads(line) for line in text().splitlines()]
    shown = documented("finding")
    assert {**findings[0], "seconds": shown["seconds"]} == shown
    assert [list(one) for one in findings] == [list(documented("finding"))] * 2
    assert list(report) == list(documented("report"))
    assert (report["as_assumed"], report["skipped"], report["complete"]) == (2, 1, True)


async def test_a_table_says_what_is_assumed_where_it_differs(written):
    output, text = written
    async with clinic() as here:
        here.emulator.faults.add(Fault("body", path="/alarm/alarms/count", body="[red]7\x1b[31m\u202e[/red]"))
        examination = here.examination("count", "missing-alarm", "live", write=False)
        await report_on(examination, TableReport(output, examination, platform="cumulocity"))
    shown = text()
    assert shown.splitlines()[0] == "cumulocity t1"
    assert "(assumed: a bare number)" in " ".join(shown.split())
    assert "[red]7" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "1 as assumed, 1 differs, 0 could not be told\na test alarm answers 1 more question:" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize("kind", [JsonReport, TableReport])
async def test_an_interrupted_report_has_what_there_is(written, kind):
    output, text = written
    async with clinic() as here:
        examination = here.examination("missing-alarm", "held-poll")
        with anyio.move_on_after(3):
            await report_on(examination, kind(output, examination, platform="cumulocity"))
    assert "alarm/Not Found" in text()
    assert ("interrupted: 1 as assumed" if kind is TableReport else '"complete":false') in text()
