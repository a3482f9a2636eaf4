"""Upserts, histories, the API's description and the terms of writes, on the emulator in process."""

import json

import pytest

from emulated.alarm_site import site
from tocsin import (
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    Request,
    ServerError,
    TransportError,
)
from tocsin.cumulocity import Outcome, ProcessingMode, Status
from tocsin.emulator import Behaviour, Emulator, Fault

UPSERT = ("POST", "/alarm/alarms/upsert")
POST = ("POST", "/alarm/alarms")


def device(s, **options):
    return s.emulator.store.add_device("Gate", **options)["id"]


# Upserts


async def test_an_upsert_creates_and_then_changes_only_what_is_given():
    async with site() as s:
        gate = device(s)
        first = await s.alarms.upsert(type="t", source=gate, text="open", fragments={"acme_No": 7})
        assert (first.outcome, first.previous, first.posted, first.ignored) == (
            Outcome.CREATED,
            None,
            False,
            (),
        )
        assert (first.alarm.severity, first.alarm.text, first.alarm["acme_No"]) == ("MAJOR", "open", 7)
        again = await s.alarms.upsert(type="t", source=gate, severity="CRITICAL")
        assert (again.outcome, again.id, again.posted) == (Outcome.UPDATED, first.id, False)
        assert (again.previous.severity, again.alarm.severity) == ("MAJOR", "CRITICAL")
        assert (again.alarm.text, again.alarm.count) == ("open", 1)
        counted = await s.alarms.upsert(type="t", source=gate, increment_count=True)
        assert (counted.alarm.count, counted.previous.count) == (2, 1)
        cleared = await s.alarms.upsert(type="t", source=gate, status=Status.CLEARED)
        assert cleared.alarm.status is Status.CLEARED
        assert (await s.alarms.upsert(type="t", source=gate)).outcome is Outcome.CREATED
        with pytest.raises(ConfigurationError, match="type"):
            await s.alarms.upsert(type="", source=gate)


@pytest.mark.parametrize("status", [404, 405])
async def test_without_upserts_it_is_a_post_which_counts_up_and_says_so(status):
    async with site(behaviour=Behaviour(upsert=status)) as s:
        gate = device(s)
        first = await s.alarms.upsert(type="t", source=gate)
        assert (first.outcome, first.posted, first.alarm.severity) == (Outcome.CREATED, True, "MAJOR")
        again = await s.alarms.upsert(type="t", source=gate, severity="CRITICAL", text="worse")
        assert (again.outcome, again.posted, again.previous) == (Outcome.REPEATED, True, None)
        assert (again.id, again.alarm.count) == (first.id, 2)
        assert again.ignored == ("severity", "text")
        view = s.client.with_options(timeout=5, processing_mode="persistent")
        await view.alarms.upsert(type="u", source=gate)
        by = s.emulator.requests.by
        assert (by[UPSERT], by[POST]) == (1, 3)  # it is not asked for in vain each time
        assert not [key for key in by if key[0] == "GET"]


async def test_a_404_of_something_else_does_not_turn_upserts_into_posts():
    async with site() as s:
        s.emulator.faults.add(Fault("status", method="POST", path="/alarm/*", status=404, times=2))
        with pytest.raises(NotFoundError):
            await s.alarms.upsert(type="t", source=device(s))
        assert not (await s.alarms.upsert(type="t", source=device(s))).posted


@pytest.mark.virtual_time
async def test_a_platform_that_was_upgraded_is_found_out():
    async with site(behaviour=Behaviour(upsert=404)) as s:
        import anyio

        gate = device(s)
        await s.alarms.upsert(type="t", source=gate)
        await anyio.sleep(301)
        await s.alarms.upsert(type="t", source=gate)
        assert s.emulator.requests.by[UPSERT] == 2


async def test_other_failures_of_an_upsert_are_no_reason_to_post():
    async with site() as s:
        gate = device(s)
        s.emulator.faults.add(Fault("status", method="POST", path=UPSERT[1], status=500))
        with pytest.raises(ServerError):
            await s.alarms.upsert(type="t", source=gate)
        s.emulator.faults.add(Fault("drop", method="POST", path=UPSERT[1], when="reply"))
        with pytest.raises(TransportError):
            await s.alarms.upsert(type="t", source=gate)
        assert s.emulator.requests.by[POST] == 0


@pytest.mark.parametrize(("increment", "sent"), [(False, 2), (True, 1)])
async def test_an_upsert_is_sent_again_unless_it_counts(increment, sent):
    from tocsin import RetryPolicy

    async with site() as s:
        gate = device(s)
        s.emulator.faults.add(Fault("drop", method="POST", path=UPSERT[1], when="reply"))
        alarms = s.client.with_options(retry=RetryPolicy(wait_initial=0.001)).alarms
        if increment:
            with pytest.raises(TransportError):
                await alarms.upsert(type="t", source=gate, increment_count=True)
        else:
            assert (await alarms.upsert(type="t", source=gate)).outcome is Outcome.UPDATED
        assert s.emulator.requests.by[UPSERT] == sent
        assert s.emulator.store.alarms()[0]["count"] == 1


async def test_an_upsert_may_be_suppressed():
    async with site() as s:
        found = await s.alarms.upsert(type="t", source=device(s, maintenance=True))
        assert (found.outcome, found.alarm, found.id) == (Outcome.SUPPRESSED, None, None)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"alarm":null}', '{"alarm":{"type":"t"}}', "<html>"])
async def test_an_answer_to_an_upsert_that_makes_no_sense_is_an_error(body):
    async with site() as s:
        s.emulator.faults.add(Fault("body", method="POST", path=UPSERT[1], body=body))
        with pytest.raises(ProtocolError):
            await s.alarms.upsert(type="t", source=device(s))


# History


async def test_a_history_says_who_did_what():
    async with site() as s:
        created = await s.alarms.create(type="t", text="x", severity="MINOR", source=device(s))
        view = s.client.with_options(application_key="acme").alarms
        await view.update(created.id, severity="MAJOR", text="y")
        await s.alarms.acknowledge(created.id)
        s.add(1)
        records = [record async for record in s.alarms.history(created.id)]
        assert [record.activity for record in records] == ["Alarm updated", "Alarm updated", "Alarm created"]
        assert {record.user for record in records} == {"demo"}
        assert {record.source.id for record in records} == {created.id}
        assert [record.application for record in records] == ["", "acme", ""]
        changes = {change.attribute: (change.previous, change.new) for change in records[1].changes}
        assert changes == {"severity": ("MINOR", "MAJOR"), "text": ("x", "y")}
        assert records[0].time.utcoffset() is not None
        assert records[2].changes == ()
        assert (await s.alarms.history("31415")).items == ()
        for bad in ("", "null"):
            with pytest.raises(ConfigurationError):
                s.alarms.history(bad)


async def test_a_history_of_many_pages_that_grows_meanwhile():
    async with site() as s:
        one = s.add(0)
        for number in range(57):
            s.emulator.store.update(one, {"text": f"text {number}"})
        items = aiter(s.alarms.history(one, page_size=20))
        given = [(await anext(items)).id for _ in range(5)]
        for number in range(9):
            s.emulator.store.update(one, {"text": f"more {number}"})
        given += [record.id async for record in items]
        assert given == sorted(given, key=int, reverse=True)
        assert len(given) == 58
        assert (await s.alarms.history(one, page_size=3)).items[0].changes[0].new == "more 8"


async def test_odd_changes_in_a_record_cost_no_more_than_themselves():
    async with site() as s:
        row = {"id": 1, "changes": [{"attribute": "a", "newValue": {"deep": [1]}}, {"x": 1}, None]}
        body = json.dumps({"auditRecords": [row, {"id": "2", "changes": None}, {"id": "3", "changes": {}}]})
        s.emulator.faults.add(Fault("body", path="/audit/auditRecords", body=body))
        records = [record async for record in s.alarms.history("1")]
        assert [len(record.changes) for record in records] == [1, 0, 0]
        assert records[0].changes[0].new == {"deep": [1]}
        assert records[0]["changes"][1] == {"x": 1}


async def test_a_missing_role_is_named():
    async with site(user="eve") as s:
        one = s.add(0)
        s.emulator.access.add_user("eve", "demo", "read-only")
        s.emulator.faults.add(Fault("status", path="/audit/*", status=403, times=2))
        with pytest.raises(PermissionDeniedError, match=r"page 1 of the audit records: .* ROLE_AUDIT_READ$"):
            await s.alarms.history(one)
        with pytest.raises(PermissionDeniedError, match="ROLE_AUDIT_READ"):
            await anext(aiter(s.alarms.history(one)))
        for write in (
            s.alarms.clear(one),
            s.alarms.upsert(type="t", source="4711"),
            s.alarms.create(type="t", text="", severity="MAJOR", source="4711"),
        ):
            with pytest.raises(PermissionDeniedError, match="it needs ROLE_ALARM_ADMIN, or ALARM_ADMIN on"):
                await write
        s.emulator.faults.add(Fault("status", path="/alarm*", status=403, times=2))
        with pytest.raises(PermissionDeniedError, match="it needs ROLE_ALARM_READ, or ALARM_READ on"):
            await s.alarms.get(one)
        with pytest.raises(PermissionDeniedError, match=r"it needs ROLE_ALARM_READ$"):
            await s.alarms.api()


# The API's description


async def test_the_api_describes_itself():
    async with site(base_url="http://cumulocity.default.svc.cluster.local") as s:
        api = await s.alarms.api()
        assert api.alarms == "http://cumulocity.default.svc.cluster.local/alarm/alarms"
        assert api.templates["alarmsForStatus"].endswith("/alarm/alarms?status={status}")
        assert api.self_.endswith("/alarm")
        for body in ("{}", "[]"):
            s.emulator.faults.add(Fault("body", path="/alarm", body=body))
            with pytest.raises(ProtocolError):
                await s.alarms.api()
        s.emulator.faults.add(Fault("body", path="/alarm", body='{"alarms":[],"self":3}'))
        assert await s.alarms.api() == type(api)(None, None, {})


async def test_lists_do_not_follow_internal_hosts():
    async with site(base_url="http://cumulocity.default.svc.cluster.local") as s:
        made = s.fill(45)
        assert [alarm.id async for alarm in s.alarms.list(page_size=20)] == made[::-1]
        assert len([record async for record in s.alarms.history(made[0], page_size=1)]) == 1


# Terms of writes


async def test_the_processing_mode_goes_with_writes_only():
    async with site() as s:
        seen = []

        async def note(request, call_next):
            seen.append((request.method, dict(request.headers).get("X-Cumulocity-Processing-Mode")))
            return await call_next(request)

        s.watch = note
        gate = device(s)
        quiet = s.client.with_options(processing_mode="quiescent").alarms
        created = await quiet.create(type="t", text="", severity="MAJOR", source=gate)
        await quiet.clear(created.id)
        await quiet.get(created.id)
        await quiet.upsert(type="t", source=gate)
        await s.alarms.upsert(type="t", source=gate)
        modes = [("POST", "QUIESCENT"), ("PUT", "QUIESCENT"), ("GET", None), ("POST", "QUIESCENT")]
        assert seen == [*modes, ("POST", None)]
        assert [entry.silent for entry in s.emulator.ledger] == [True, True, True]
        loud = s.client.with_options(processing_mode=ProcessingMode.TRANSIENT)
        gone = await loud.alarms.create(type="u", text="", severity="MAJOR", source=gate)
        assert (gone.outcome, gone.alarm) == (Outcome.SUPPRESSED, None)
        await loud.with_options(processing_mode=None).alarms.upsert(type="t", source=gate)
        assert seen[-1] == ("POST", None)
        for bad in ("loud", "", 1):
            with pytest.raises(ConfigurationError, match="processing_mode is one of"):
                s.client.with_options(processing_mode=bad)


async def test_any_request_may_be_sent_and_its_answer_seen_as_it_came():
    async with site() as s:
        gate = device(s)
        response = await s.client.send(Request("GET", f"/inventory/managedObjects/{gate}"))
        assert (response.status, response.attempts, response.json()["name"]) == (200, 1, "Gate")
        with pytest.raises(NotFoundError):
            await s.client.with_options(timeout=5).send(Request("GET", "/nowhere"))
        for headers in (["x"], None):
            with pytest.raises(ConfigurationError, match="headers is a mapping"):
                s.client.with_options(headers=headers)
        assert repr(s.alarms) == "<Alarms of http://127.0.0.1:8111>"


async def test_a_user_with_inventory_roles_counts_no_further_than_100():
    emulator_user = frozenset({"4711"})
    async with site(user="eve") as s:
        assert isinstance(s.emulator, Emulator)
        s.emulator.access.add_user("eve", "demo", "no-alarms", sources=emulator_user)
        s.fill(130)
        assert await s.alarms.count() == 100
