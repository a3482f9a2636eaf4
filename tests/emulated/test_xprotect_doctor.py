"""What `doctor` finds out about XProtect sites of several kinds, and what it leaves behind."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import anyio
import pytest

from tocsin._doctor._probe import Verdict
from tocsin._doctor._visit import VisitOptions
from tocsin.emulator import XProtectEmulator, XProtectSettings
from tocsin.emulator.faults import Fault
from tocsin.errors import AuthenticationError, ConfigurationError
from tocsin.testing import in_process
from tocsin.xprotect import BasicUser, XProtect
from tocsin.xprotect._doctor._examine import PROBES, Examination

pytestmark = pytest.mark.virtual_time

ASSUMED, DIFFERS, UNTOLD = Verdict.ASSUMED, Verdict.DIFFERS, Verdict.UNTOLD
PASSWORD = "canary-password-4Kz"
START = datetime(2026, 3, 1, tzinfo=UTC)
BY_NAME = {probe.name: probe for probe in PROBES}


def wall():
    return START + timedelta(seconds=anyio.current_time() % 86_400)


@asynccontextmanager
async def site(*names, alarms=4, write=True, password=PASSWORD, **settings):
    vms = XProtectEmulator(
        rng=Random(7), clock=wall, password=PASSWORD, settings=XProtectSettings(**settings)
    )
    camera = next(iter(vms.store.site.items["cameras"]))
    for number in range(alarms):
        made = vms.store.create({"name": f"n{number}", "source": camera})
        if number % 2:
            vms.store.close(made["id"])
        await anyio.sleep(1.007)
    async with in_process(vms) as server:
        client = XProtect(
            server.url, BasicUser("demo", password), transport_factory=server.transport_factory, clock=wall
        )
        async with client:
            options = VisitOptions(source=camera, write=write)
            probes = [BY_NAME[name] for name in names] or PROBES
            yield vms, Examination(client, options, probes=probes, wall=wall, rng=Random(5))


def still_open(vms):
    tests = [one for one in vms.store.alarms() if one["name"].startswith("tocsin_DoctorTest_")]
    assert tests
    return [one for one in tests if one["state"]["level"] != 11]


async def found(examination):
    async def ignore(_):
        pass

    await examination.run(ignore)
    assert examination.complete
    return {finding.probe.name: finding for finding in examination.findings}


async def test_an_emulated_site_is_as_assumed_and_no_secret_is_told():
    async with site() as (vms, examination):
        findings = await found(examination)
        told = {name: (finding.verdict, finding.detail) for name, finding in findings.items()}
        assert {name: one for name, one in told.items() if one[0] is not ASSUMED} == {}
        assert examination.left == []
        text = json.dumps([detail for _, detail in told.values()])
        assert PASSWORD not in text
        assert "Bearer" not in text
        assert not still_open(vms)


async def test_without_write_nothing_is_written():
    async with site(write=False) as (vms, examination):
        await found(examination)
        assert {request.method for request in vms.requests.log if "/alarm" in request.path} == {"GET"}
        assert {probe.name for probe in examination.skipped} == {p.name for p in PROBES if p.writes}


def instead(old, new, **where):
    return Fault("body", rewrite=lambda body: body.replace(old, new), times=None, **where)


OTHERWISE = [
    ("discovery", DIFFERS, {"discovery": "absent"}, None),
    ("discovery", DIFFERS, {"discovery": "internal"}, None),
    ("token", DIFFERS, {"token_lifetime": 60.0}, None),
    ("levels", DIFFERS, {}, instead(b'"level":9', b'"level":8', path="*/alarmStates")),
    ("close-reasons", DIFFERS, {}, Fault("status", status=404, path="*/closeReasons", times=None)),
    ("sessions", DIFFERS, {"sessions": True}, None),
    ("websocket", DIFFERS, {}, Fault("status", status=403, path="*/ws/*", times=None)),
    ("websocket", DIFFERS, {"resume_window": -1.0}, None),
    ("page-size", DIFFERS, {"page_size_max": 100}, None),
    ("page-size", DIFFERS, {"page_size_max": 5000, "alarms": 2001}, None),
    ("order", UNTOLD, {"alarms": 1}, None),
    ("filters", UNTOLD, {"alarms": 0}, None),
    ("filters", DIFFERS, {}, Fault("status", status=400, query="notEquals", path="*", times=None)),
    ("filter-updated", DIFFERS, {"filter_updated": True}, None),
    ("form", DIFFERS, {}, instead(b'"lastUpdatedTime"', b'"modified"', path="*/alarms")),
    ("missing-alarm", DIFFERS, {}, Fault("status", status=404, body="", path="*/alarms/*", times=None)),
    ("history", DIFFERS, {}, instead(b'"author"', b'"who"', path="*/history")),
    ("statistics", DIFFERS, {}, instead(b'"number"', b'"level"', path="*/alarmStatistics")),
    ("statistics", UNTOLD, {}, Fault("status", status=403, path="*/alarmStatistics", times=None)),
    ("raise", ASSUMED, {"visible_after": 3.0}, None),
    ("raise", UNTOLD, {"visible_after": 30.0}, None),
    ("patch", DIFFERS, {"patch_keys": "all"}, None),
]


@pytest.mark.parametrize(("name", "verdict", "settings", "fault"), OTHERWISE)
async def test_other_sites_are_told_from_it(name, verdict, settings, fault):
    async with site(name, **settings) as (vms, examination):
        if fault is not None:
            vms.faults.add(fault)
        finding = (await found(examination))[name]
        assert finding.verdict is verdict, finding.detail


async def test_where_single_keys_are_refused_its_alarm_is_closed_all_the_same():
    async with site(patch_keys="all", visible_after=1.0) as (vms, examination):
        findings = await found(examination)
        assert findings["patch"].verdict is DIFFERS
        assert findings["close"].verdict is ASSUMED
        assert not still_open(vms)


async def test_cancelled_it_closes_its_alarm():
    async with site("raise", "patch") as (vms, examination):
        vms.faults.add(Fault("hang", method="PATCH", times=1))
        with anyio.move_on_after(3):
            await found(examination)
        assert not still_open(vms)
        assert examination.left == []
        assert not examination.complete


async def test_whoever_is_refused_is_told_once():
    async with site(password="wrong") as (vms, examination):
        with pytest.raises(AuthenticationError):
            await found(examination)
        assert len([one for one in vms.requests.log if "token" in one.path]) == 1


async def test_writing_needs_a_camera():
    async with site() as (_, examination):
        client = XProtect("http://127.0.0.1:1", BasicUser("demo", "x"))
        with pytest.raises(ConfigurationError, match="camera"):
            Examination(client, VisitOptions(write=True))
        assert examination.findings == []
