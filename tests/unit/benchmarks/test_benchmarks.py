"""Every benchmark runs and measures what it says; no time is asserted."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import count

import pytest
from benchmarks.runner import Candidate, interleave, table

from tocsin.cumulocity.models import Alarm, Status

NUMBER = r"\d+\.\d\d"
ROW = re.compile(rf"^  (?P<name>\S.*?) +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}$", re.MULTILINE)
TABLES = {
    "models": (2, {"msgspec structs", "tocsin, cut and from_raw", "pydantic, whole page"}),
    "listing": (
        1,
        {
            "json.loads of the bytes",
            "httpx and json.loads",
            "tocsin, untouched",
            "tocsin, six fields read",
        },
    ),
    "changes": (
        2,
        {"httpx and json.loads", "tocsin.bayeux, events", "tocsin, changes", "tocsin, six fields read"},
    ),
    "requests": (1, {"httpx.AsyncClient.get", "HttpCore.send", "Cumulocity.alarms.get"}),
}


@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "asyncio") for name in TABLES), ("changes", "trio"), ("requests", "trio")]
)
def test_a_benchmark_runs(name, backend, capsys):
    import_module(f"benchmarks.{name}").main(["--size", "10", "--rounds", "1", "--backend", backend])
    out = capsys.readouterr().out
    tables, names = TABLES[name]
    assert {row["name"] for row in ROW.finditer(out)} == names
    assert len(ROW.findall(out)) == tables * len(names)


def test_imports_are_measured_in_processes_of_their_own(capsys):
    imports = import_module("benchmarks.imports")
    imports.main(["--size", "1", "--rounds", "1"], ("pass", "import tocsin; tocsin.__version__"))
    names = [row["name"] for row in ROW.finditer(capsys.readouterr().out)]
    assert names == ["python -c 'pass'", "python -c 'import tocsin'"]


async def test_candidates_take_turns_and_are_compared_within_a_round():
    ticks = count()
    log = []

    def candidate(name, cost, items):
        def work():
            log.append(name)
            for _ in range(cost):
                next(ticks)
            return items

        return Candidate(name, work, lambda: log.append(f"prepare {name}"))

    made = [candidate("one", 9, 10), candidate("two", 19, 10), candidate("three", 39, 20)]
    results = await interleave(made, 2, clock=lambda: float(next(ticks)))
    assert [result.seconds for result in results] == [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
    turns = [entry for entry in log if not entry.startswith("prepare")]
    assert turns == ["one", "two", "three", "two", "three", "one", "three", "one", "two"]
    assert log[::2] == [f"prepare {name}" for name in turns]
    assert results[1].ratios(results[0]) == [2.0, 2.0]
    assert "two" in table("a title", results, "item")


def test_the_sample_is_an_alarm_of_the_size_that_is_told():
    sample = import_module("benchmarks.sample")
    raw = sample.alarm(17, "CLEARED", 20)
    alarm = Alarm.from_raw(raw)
    assert 750 <= len(raw) <= 850
    assert (alarm.id, alarm.status, alarm.last_updated.minute) == ("17", Status.CLEARED, 20)
    assert None not in alarm.model_dump().values()
    assert sample.touch(alarm)[0] == "17"
