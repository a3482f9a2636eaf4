"""What `doctor` finds out about tenants of many kinds, and what it leaves behind: nothing."""

from __future__ import annotations

import json
from datetime import timedelta

import anyio
import pytest

from emulated.examining import BY_NAME, PASSWORD, clinic, ignore
from tocsin import AuthenticationError, ConfigurationError, ConnectError, ProtocolError
from tocsin._doctor._probe import Probe, Verdict, assumed
from tocsin._doctor._visit import VisitOptions
from tocsin.cumulocity._doctor._examine import PROBES, Examination
from tocsin.cumulocity._doctor._guard import delete_alone
from tocsin.emulator import BayeuxSettings, Behaviour, Fault
from unit.cumulocity.test_doctor_judgements import JUDGED

pytestmark = pytest.mark.virtual_time

ASSUMED, DIFFERS, UNTOLD = Verdict.ASSUMED, Verdict.DIFFERS, Verdict.UNTOLD
RESTRICTED = {"kind": "no-alarms", "user": "ada", "sources": ["4711"], "device": "4712"}
HANDSHAKE = {"path": "/notification/*", "channel": "/meta/handshake"}
ON_THIS_EMULATOR = {"ack", "gzip", "accept"}


def instead(old, new, **where):
    """A fault that replaces a text in answers."""
    return Fault("body", rewrite=lambda body: body.replace(old, new), times=None, **where)


def without_next(body):
    return json.dumps({k: v for k, v in json.loads(body).items() if k != "next"}).encode()


def upside_down(body):
    page = json.loads(body)
    return json.dumps({**page, "alarms": page["alarms"][::-1]}).encode()


def status(code, path, **more):
    return Fault("status", status=code, path=path, times=None, **more)


def answered(path, body, **more):
    return Fault("body", path=path, body=body, times=None, **more)


OTHERWISE = [
    ("identity", DIFFERS, {}, status(403, "/user/currentUser")),
    ("roles", DIFFERS, RESTRICTED, None),
    ("roles", UNTOLD, {}, answered("/user/currentUser", "{}")),
    ("audit", DIFFERS, RESTRICTED, None),
    ("logins", DIFFERS, {}, instead(b'"BASIC"', b'"PIGEON"', path="/tenant/loginOptions")),
    ("websocket", DIFFERS, {"bayeux": BayeuxSettings(web_socket=False)}, None),
    ("websocket", UNTOLD, {}, Fault("hang", path="/notification/*", method="GET")),
    ("notification2", ASSUMED, {}, Fault("status", status=200, body="{}", path="/notification2/*")),
    ("notification2", DIFFERS, {}, status(403, "/notification2/*")),
    ("page-size", DIFFERS, {}, instead(b'"pageSize":2000', b'"pageSize":2001')),
    ("order", DIFFERS, {}, Fault("body", rewrite=upside_down, path="/alarm/alarms", times=None)),
    ("order", UNTOLD, {"alarms": 0}, None),
    ("last-updated", DIFFERS, {"behaviour": Behaviour(last_updated=False)}, None),
    ("links", DIFFERS, {}, instead(b"//127.0.0.1:8111/", b"//cumulocity.default.svc/")),
    ("gzip", DIFFERS, {"alarms": 20}, None),
    ("paging", DIFFERS, {**RESTRICTED, "behaviour": Behaviour(restricted_pages="page")}, None),
    ("paging", DIFFERS, {**RESTRICTED, "device": "4711", "alarms": 3}, None),
    ("next", DIFFERS, {}, Fault("body", rewrite=without_next, path="/alarm/alarms", times=None)),
    ("last-page", DIFFERS, {"behaviour": Behaviour(next_after_full_page=False)}, None),
    ("ranges", UNTOLD, {"behaviour": Behaviour(last_updated=False)}, None),
    ("ranges", DIFFERS, {}, instead(b'"alarms":[', b'"alarms":[],"was":[', query="lastUpdatedFrom")),
    ("filters", DIFFERS, {}, answered("/alarm/alarms/count", "77", query="resolved=true")),
    ("totals", DIFFERS, RESTRICTED, None),
    ("count", DIFFERS, {}, answered("/alarm/alarms/count", '{"count":4}')),
    ("resource", DIFFERS, {}, answered("/alarm", "{}")),
    ("resource", UNTOLD, RESTRICTED, None),
    ("missing-alarm", DIFFERS, {}, status(404, "/alarm/alarms/*", body="<html>none</html>")),
    ("missing-alarm", UNTOLD, {}, status(503, "/alarm/alarms/*")),
    ("realtime-path", DIFFERS, {"bayeux": BayeuxSettings(notification_path=False)}, None),
    ("cep-path", DIFFERS, {"bayeux": BayeuxSettings(cep_path=False)}, None),
    ("realtime-path", UNTOLD, {}, status(503, "/notification/*")),
    ("bayeux", DIFFERS, {}, instead(b'"1.0"', b'"2.0"', **HANDSHAKE)),
    ("bayeux", UNTOLD, {}, status(500, "/*/realtime")),
    ("advice", DIFFERS, {"bayeux": BayeuxSettings(interval=5)}, None),
    ("held-poll", DIFFERS, {"bayeux": BayeuxSettings(timeout_max=0.0)}, None),
    ("heartbeats", UNTOLD, {"bayeux": BayeuxSettings(heartbeat=None)}, None),
    ("heartbeats", DIFFERS, {}, Fault("silence", channel="/meta/connect", skip=4)),
    ("survival", DIFFERS, {}, Fault("forget", channel="/meta/connect", skip=3)),
    ("cookie-binding", DIFFERS, {"bayeux": BayeuxSettings(require_cookie=False)}, None),
    ("all-devices", DIFFERS, RESTRICTED, None),
    ("children", DIFFERS, {}, Fault("reject", subscription="/alarmsWithChildren/*")),
    ("ack", DIFFERS, {}, None),
    ("ack", ASSUMED, {"bayeux": BayeuxSettings(ack=False)}, None),
    ("accept", DIFFERS, {}, None),
    ("accept", ASSUMED, {"bayeux": BayeuxSettings(needs_accept=True)}, None),
    ("live", DIFFERS, {}, Fault("lose", channel="/alarms/*", times=None)),
    ("live", UNTOLD, {}, status(503, "/*/realtime")),
    ("live-form", DIFFERS, {"bayeux": BayeuxSettings(live_last_updated=False)}, None),
    ("stamp", DIFFERS, {"behaviour": Behaviour(last_updated=False)}, None),
    ("repeat", UNTOLD, RESTRICTED, None),
    ("repeat-stamp", DIFFERS, {"behaviour": Behaviour(bump_last_updated_on_repeat=False)}, None),
    ("no-op", UNTOLD, {}, Fault("lose", channel="/alarms/*", times=None)),
    ("upsert", DIFFERS, {"behaviour": Behaviour(upsert=404)}, None),
    ("upsert", DIFFERS, {"behaviour": Behaviour(upsert=405)}, None),
    ("upsert", UNTOLD, {}, status(403, "/alarm/alarms/upsert")),
    ("put-accept", UNTOLD, {}, status(422, "/alarm/alarms/*", method="PUT")),
    ("clear", DIFFERS, {}, Fault("lose", channel="/alarms/*", skip=4)),
    ("audit-record", UNTOLD, {}, status(403, "/audit/*")),
    ("audit-record", DIFFERS, {}, answered("/audit/*", '{"auditRecords":[]}')),
    ("deletion", DIFFERS, {"profile": "seed"}, None),
    ("deletion", UNTOLD, {}, status(403, "/alarm/alarms", method="DELETE")),
]  # fmt: skip


async def test_the_emulator_is_as_assumed():
    async with clinic() as here:
        found = await here.ask()
        assert list(found) == [probe.name for probe in PROBES]
        odd = {name: one.detail for name, one in found.items() if one.verdict is not ASSUMED}
        assert set(odd) == ON_THIS_EMULATOR, odd
        assert here.tests() == []
        assert here.emulator.sessions == 0


@pytest.mark.parametrize(("name", "verdict", "kind", "fault"), OTHERWISE, ids=lambda one: str(one)[:20])
async def test_each_verdict_can_come_out_otherwise(name, verdict, kind, fault):
    async with clinic(**kind) as here:
        if fault is not None:
            here.emulator.faults.add(fault)
        found = (await here.ask(name))[name]
        assert found.verdict is verdict, found.detail
        assert found.detail
        here.emulator.faults.clear()


def test_every_question_is_seen_both_ways():
    seen = {(name, verdict) for name, verdict, _, _ in OTHERWISE} | JUDGED
    seen |= {(name, ASSUMED) for name in set(BY_NAME) - ON_THIS_EMULATOR}
    assert {name for name, verdict in seen if verdict is ASSUMED} == set(BY_NAME)
    assert {name for name, verdict in seen if verdict is DIFFERS} == set(BY_NAME)


async def test_a_clock_that_is_wrong():
    async with clinic() as here:
        here.ahead = timedelta(minutes=-3)
        found = (await here.ask("clock"))["clock"]
        assert found.verdict is DIFFERS
        assert "+180" in found.detail


async def test_without_leave_to_write_nothing_is_written():
    async with clinic() as here:
        before = here.emulator.ledger.seq
        examination = here.examination(write=False, source=None)
        await examination.run(ignore)
        assert here.emulator.ledger.seq == before
        assert {probe.name for probe in examination.skipped} == {p.name for p in PROBES if p.writes}
        with pytest.raises(ConfigurationError, match="--source"):
            here.examination(source=None)


async def test_one_that_hangs_does_not_stop_the_others():
    async with clinic() as here:
        here.emulator.faults.add(Fault("hang", path="/alarm/alarms/count", times=None))
        found = await here.ask("count", "filters", "resource")
        assert [one.verdict for one in found.values()] == [UNTOLD, UNTOLD, ASSUMED]
        assert found["count"].seconds <= 20


async def test_one_that_never_ends_is_left():
    async with clinic() as here:
        endless = Probe("endless", "?", "", lambda _: anyio.sleep_forever(), assumed, limit=7)
        examination = Examination(here.client, VisitOptions(), probes=[endless, BY_NAME["count"]])
        await examination.run(ignore)
        first, second = examination.findings
        assert (first.verdict, first.seconds, second.verdict) == (UNTOLD, pytest.approx(7), ASSUMED)
        assert "longer than 7 s" in first.detail


async def test_all_of_it_has_an_end():
    async with clinic() as here:
        began = anyio.current_time()
        found = await here.ask(limit=10)
        assert len(found) == len(PROBES)
        assert anyio.current_time() - began < 13
        assert "run out" in found["deletion"].detail
        assert here.emulator.sessions == 0


@pytest.mark.parametrize(
    "body", ["[]", "null", '{"alarms":[null,1,{"id":{}}],"statistics":[],"next":7}', "<html>hi</html>", ""]
)
async def test_answers_of_any_form_are_survived(body):
    async with clinic() as here:
        here.emulator.faults.add(Fault("body", path="/[anu]*", body=body, times=None))
        found = await here.ask()
        assert len(found) == len(PROBES)
        here.emulator.faults.clear()


async def test_who_cannot_be_reached_or_logged_into():
    async with clinic() as here:
        here.emulator.access.add_user("demo", "another")
        with pytest.raises(AuthenticationError):
            await here.examination().run(ignore)
        here.server.refusing = True
        with pytest.raises(ConnectError):
            await here.examination().run(ignore)


@pytest.mark.parametrize("after", [0.5, 2.5, 24.5, 26.0, 29.0, 31.0])
async def test_cancelling_leaves_no_alarm_open_and_no_session(after):
    async with clinic() as here:
        examination = here.examination("bayeux", "live")
        with anyio.move_on_after(after) as scope:
            await examination.run(ignore)
        assert scope.cancelled_caught
        assert not examination.complete
        assert {alarm["status"] for alarm in here.tests()} <= {"CLEARED"}
        assert here.emulator.sessions == 0
        assert examination.left == []
        if after > 24:
            assert [finding.probe.name for finding in examination.findings] == ["bayeux"]


async def test_what_could_not_be_cleared_is_told():
    async with clinic() as here:
        here.emulator.faults.add(status(503, "/alarm/alarms/*", method="PUT"))
        examination = here.examination("live")
        await examination.run(ignore)
        (alarm,) = here.tests()
        assert alarm["status"] == "ACTIVE"
        (sentence,) = examination.left
        assert alarm["type"] in sentence
        assert "by hand" in sentence


async def test_a_device_in_maintenance():
    async with clinic() as here:
        here.emulator.store.set_maintenance("4711", True)
        found = (await here.ask("live"))["live"]
        assert (found.verdict, here.tests()) == (UNTOLD, [])
        assert "maintenance" in found.detail


async def test_only_an_alarm_that_is_alone_is_deleted():
    async with clinic(alarms=0) as here:
        one, other = (
            here.emulator.store.create({"type": kind, "source": "4711", "time": "2026-01-01T00:00:00.500Z"})
            for kind in ("tocsin_DoctorTest_1", "acme_Fire")
        )
        examination = here.examination("count")
        with pytest.raises(ProtocolError, match="nothing was deleted"):
            await delete_alone(examination._visit, one)
        assert len(here.emulator.store.alarms()) == 2
        here.emulator.store.remove(other["id"])
        await delete_alone(examination._visit, one)
        await here.emulator.until(lambda: not here.emulator.store.alarms())


class Echo:
    """Whatever was given in confidence comes back where the report quotes the server."""

    def __init__(self, emulator):
        self.secrets = {PASSWORD}
        for path, names in {
            "/tenant/*": (b"t1", b"BASIC"),
            "/user/*": (b"ada",),
            "/alarm*": (b"127.0.0.1:8111", b"alarmsForStatus", b"alarm/Not Found"),
            "/notification/*": (b"smartrest-long-polling", b"402::Unknown client", b"retry"),
        }.items():
            emulator.faults.add(Fault("body", path=path, times=None, rewrite=self.answer(names)))
        emulator.faults.add(Fault("reject", subscription="/alarms*", error=f"403::{PASSWORD}", times=None))

    def answer(self, names):
        def rewrite(body):
            for name in names:
                body = body.replace(name, f"say {PASSWORD} {self.latest()}".encode())
            if b'"clientId":"' in body:
                self.secrets.add(body.partition(b'"clientId":"')[2].partition(b'"')[0].decode())
            return body

        return rewrite

    def latest(self):
        return " ".join(sorted(self.secrets)[-4:])


async def test_no_secret_gets_into_a_report_whatever_the_server_says():
    async with clinic(user="ada") as here:
        echo = Echo(here.emulator)
        examination = here.examination()
        await examination.run(ignore)
        report = "\n".join(f.detail for f in examination.findings) + "\n".join(examination.left)
        assert len(echo.secrets) > 2
        assert "***" in report
        for secret in echo.secrets:
            assert secret not in report
        here.emulator.faults.clear()


async def test_a_cut_leaves_no_half_of_a_secret():
    async with clinic() as here:
        visit = here.examination("count")._visit
        visit.hide(["session-id-71"])
        assert "session" not in visit.clean("x" * 295 + "session-id-71")


async def test_names_are_left_out_if_asked():
    async with clinic(user="adalovelace") as here:
        shown, masked = [
            json.dumps([f.detail for f in (await here.ask(mask=mask)).values()]) for mask in (False, True)
        ]
        for name in ("t1", "adalovelace"):
            assert f"{name}" in shown
            assert f" {name}" not in masked
        assert "127.0.0.1" not in masked
        assert here.examination("count", mask=True).site == "***"
