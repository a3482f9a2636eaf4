"""The paging daemon of the examples, really killed and started again, with faults in between."""

from __future__ import annotations

import importlib.util
import json
import signal
import stat
import sys

import pytest

from doc_pages import ROOT
from docs.pager_site import site
from tocsin.cumulocity import Alarm
from tocsin.emulator import Fault


@pytest.fixture
def around(tmp_path):
    with site(tmp_path) as around:
        yield around


def test_what_happens_while_it_is_dead_is_told_and_nothing_twice(around):
    pager, store = around.pager, around.emulator.store
    kept, cleared, deleted, milder = (around.add(kind) for kind in ("kept", "cleared", "deleted", "milder"))
    escalated, minor = around.add("escalated", "MINOR"), around.add("minor", "MINOR")
    with around.daemon() as daemon:
        for one in (kept, cleared, deleted, milder):
            pager.wait_for("trigger", one)
        daemon.wait_for("connected")
        around.emulator.servers[0].cut()  # and while it lives, too
        during = around.add("during")
        pager.wait_for("trigger", during)
        store.update(during, {"status": "CLEARED"})
        daemon.wait_for(f"resolve t1/{during}")  # and noted
        assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    assert stat.S_IMODE(around.file.stat().st_mode) == 0o600
    store.update(cleared, {"status": "CLEARED"})
    store.remove(deleted)
    store.update(milder, {"severity": "MAJOR"})
    store.update(escalated, {"severity": "CRITICAL"})
    raised = around.add("raised")
    around.emulator.faults.add(Fault("status", path="/alarm/*", status=503, times=2))
    with around.daemon() as daemon:
        for one in (escalated, raised):
            pager.wait_for("trigger", one)
        for one in (cleared, deleted, milder):
            pager.wait_for("resolve", one)
        daemon.wait_for("connected")
        assert daemon.end(signal.SIGTERM) == 0
    assert set(around.kept) == {kept, escalated, raised}
    assert set(pager.counts.values()) == {1}
    assert not any(key == minor for _, key in pager.counts)
    with around.daemon() as daemon:
        last = around.add("last")
        pager.wait_for("trigger", last)
        assert daemon.end(signal.SIGINT) == 0
    assert set(pager.counts.values()) == {1}


def test_a_pager_that_is_down_loses_no_page_over_a_crash(around):
    around.pager.status = 503
    first, over = around.add("first"), around.add("over")
    with around.daemon() as daemon:
        around.pager.wait(lambda pager: pager.refused >= 2)
        assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    around.emulator.store.update(over, {"status": "CLEARED"})
    with around.daemon() as daemon:
        around.pager.wait(lambda pager: pager.refused >= 3)
        around.pager.status = 200
        around.pager.wait_for("trigger", first)
        assert daemon.end(signal.SIGTERM) == 0
    assert around.pager.counts == {("trigger", first): 1}
    assert around.kept == [first]


def test_a_page_under_way_is_noted_when_it_is_told_to_end(around):
    around.pager.held.clear()
    alarm = around.add("slow")
    with around.daemon() as daemon:
        around.pager.wait_for("trigger", alarm)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for("SIGTERM")
        around.pager.held.set()
        assert daemon.end() == 0
    assert around.kept == [alarm]


def test_a_crash_while_a_page_is_under_way_repeats_it_under_the_same_key(around):
    around.pager.held.clear()
    alarm = around.add("slow")
    with around.daemon() as daemon:
        around.pager.wait_for("trigger", alarm)
        daemon.end(signal.SIGKILL)
    around.pager.held.set()
    with around.daemon():
        around.pager.wait(lambda pager: pager.count("trigger", alarm) == 2)


def test_a_gap_that_cannot_be_read_back_is_paged(around):
    around.emulator.faults.add(Fault("status", status=404, body="no such page", path="/[!n]*", times=None))
    with around.daemon() as daemon:
        daemon.wait_for("connected")
        around.emulator.restart()
        around.pager.wait(lambda pager: any("/gap/" in key for _, key, _ in pager.taken))
        assert daemon.end(signal.SIGTERM) == 0
    assert "may have been missed" in around.pager.taken[0][2]


def test_credentials_that_are_withdrawn_end_it_with_a_failure(around):
    with around.daemon() as daemon:
        daemon.wait_for("connected")
        around.emulator.faults.add(Fault("status", status=401, path="/*", times=None))
        around.emulator.servers[0].cut()
        assert daemon.end() == 1
    assert not any("Traceback" in line for line in daemon.lines)
    assert any(line.startswith("CRITICAL pager: ") for line in daemon.lines)


def test_it_does_not_begin_with_wrong_credentials_or_a_file_it_cannot_trust(around):
    with around.daemon(password="wrong") as daemon:
        assert daemon.end() == 1
    for text in ('{"site": "t1", "pag', json.dumps({"site": "t2", "paged": []}), "[]"):
        around.file.write_text(text)
        with around.daemon() as daemon:
            assert daemon.end() == 2
        assert len(daemon.lines) == 1, daemon.lines
        assert str(around.file) in daemon.lines[0]
        assert around.file.read_text() == text


def test_nothing_is_paged_that_could_not_be_noted(around):
    around.add("first")
    around.file = around.file.parent / "missing" / "paged.json"
    with around.daemon() as daemon:
        assert daemon.end() == 1
    assert around.pager.taken == []
    assert "No such file" in daemon.lines[-1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("pager_example", ROOT / "examples" / "pager.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def alarm(severity="CRITICAL", status="ACTIVE", updated="2026-01-05T09:30:00.000Z"):
    return Alarm.from_wire({"id": "1", "severity": severity, "status": status, "lastUpdated": updated})


@pytest.mark.parametrize(
    ("known", "stands", "action"),
    [
        (False, alarm(), "trigger"),
        (False, alarm(status="ACKNOWLEDGED"), "trigger"),
        (False, alarm(status="CLEARED"), None),
        (False, alarm("MAJOR"), None),
        (False, None, None),
        (True, alarm(), None),
        (True, alarm(status="ACKNOWLEDGED"), None),
        (True, alarm("MAJOR"), "resolve"),
        (True, alarm(status="CLEARED"), "resolve"),
        (True, None, "resolve"),
    ],
)
def test_what_is_told(example, known, stands, action):
    notice = example.Paged("t1", {"1"} if known else set()).notice("1", stands)
    assert (notice.action if notice else None) == action


def test_what_the_stream_read_before_the_alarm_was_asked_for_is_passed_over(example):
    early, late = alarm(updated="2026-01-05T09:30:00.000Z"), alarm(updated="2026-01-05T09:30:00.001Z")
    assert example.is_older(early, late)
    assert example.is_older(late, None)
    assert not example.is_older(late, early)
    assert not example.is_older(late, late)
    assert not example.is_older(None, late)
