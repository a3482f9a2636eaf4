"""The export of the examples: month boundaries, what stops it, and how it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import anyio
import pytest

from doc_pages import ROOT
from tocsin.emulator import Emulator, Fault, serve


class Month:
    """A platform with a wall clock that is set, and the example run against it."""

    def __init__(self, folder):
        self.now = datetime(2025, 12, 1, tzinfo=UTC)
        self.emulator = Emulator(clock=lambda: self.now)
        self.emulator.store.add_device(id="4711")
        self.folder = folder
        self.output = folder / "alarms-2026-03.jsonl"
        self.count = 0

    def add(self, at):
        self.now = datetime.fromisoformat(at)
        self.count += 1
        alarm = {"type": f"a{self.count}", "text": at, "severity": "MAJOR", "source": {"id": "4711"}}
        return self.emulator.store.create({**alarm, "acme_Door": {"number": self.count}})["id"]

    async def export(self, url, *arguments):
        environment = {
            **os.environ, "C8Y_BASEURL": url, "C8Y_TENANT": "t1", "C8Y_USER": "demo", "C8Y_PASSWORD": "demo",
            "PYTHONWARNINGS": "error",
        }  # fmt: skip
        environment.pop("C8Y_TOKEN", None)
        command = [sys.executable, str(ROOT / "examples" / "export_month.py"), *arguments]
        ran = await anyio.run_process(
            command, env=environment, cwd=self.folder, stderr=subprocess.PIPE, check=False
        )
        assert ran.stdout == b""
        return ran.returncode, ran.stderr.decode()

    @property
    def exported(self):
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]

    @property
    def times(self):
        return [alarm["text"] for alarm in self.exported]


@pytest.fixture
def anyio_backend():
    return "asyncio"  # what is tested runs in a process of its own


@pytest.fixture
def month(tmp_path):
    return Month(tmp_path)


@pytest.mark.limit(25)
async def test_the_month_of_a_zone_is_all_of_it_and_nothing_else(month):
    # The clocks of Berlin went forward on 29 March 2026: that month had 743 hours.
    inside = ["2026-02-28T23:00:00+00:00", "2026-03-29T00:30:00+00:00", "2026-03-31T21:59:59.999+00:00"]
    for at in ("2026-02-28T22:59:59.999+00:00", *inside, "2026-03-31T22:00:00+00:00"):
        month.add(at)
    month.emulator.store.update(month.emulator.store.alarms()[0]["id"], {"status": "CLEARED"})
    async with serve(month.emulator) as server:
        code, said = await month.export(server.url, "2026-03", "--zone", "Europe/Berlin")
        assert code == 0, said
        assert month.times == inside
        assert month.exported[0]["acme_Door"] == {"number": 2}, "the platform's own JSON"
        code, said = await month.export(server.url, "2026-03")
        assert code == 0, said
        assert sorted(month.times) == [*inside[1:], "2026-03-31T22:00:00+00:00"]
    assert [path.name for path in month.folder.iterdir()] == [month.output.name]


@pytest.mark.limit(25)
async def test_after_an_error_it_goes_on_where_it_stopped(month):
    added = [f"2026-03-{day:02}T12:00:00+00:00" for day in range(1, 32)]
    for at in added:
        month.add(at)
    fault = month.emulator.faults.add(Fault("status", status=403, path="/alarm/alarms", skip=20, times=None))
    async with serve(month.emulator) as server:
        code, said = await month.export(server.url, "2026-03")
        assert code == 1
        assert "Traceback" not in said
        assert "stopped: " in said
        assert "of 31 days" in said
        assert not month.output.exists()
        folder = next(path for path in month.folder.iterdir() if path.is_dir())
        kept = {path.name for path in folder.glob("*.jsonl")}
        assert 0 < len(kept) < 31
        fault.remove()
        code, said = await month.export(server.url, "2026-03")
        assert code == 0, said
    assert f"{len(kept)} of 31 days are in {folder.name} already" in said
    assert f"{added[0][:10]}: " not in said, "what was kept is not read again"
    assert month.times == added


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["2026-13"], "a month is given as 2026-01, not '2026-13'"),
        (["march"], "a month is given as 2026-01, not 'march'"),
        (["2026-03", "--zone", "Europe/Nowhere"], "there is no time zone"),
        (["9999-12"], "the month is not over"),
        ([], "required: month"),
    ],
)
def test_wrong_use_says_what_is_wrong(arguments, words, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "export_month.py"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=tmp_path)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
