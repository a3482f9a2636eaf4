"""Single alarms and counts, on the emulator in process."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from emulated.alarm_site import site
from tocsin import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    UnprocessableError,
)
from tocsin.cumulocity import AlarmFilter, Cumulocity, Outcome, Severity, Status
from tocsin.emulator import Fault

# One alarm


async def test_get():
    async with site() as s:
        one = s.add(1, acme_Door={"no": 7})
        alarm = await s.alarms.get(one)
        assert (alarm.id, alarm.text, alarm["acme_Door"]) == (one, "alarm 1", {"no": 7})
        assert json.loads(alarm.raw) == s.emulator.store.get(one)
        with pytest.raises(NotFoundError):
            await s.alarms.get("31415")


@pytest.mark.parametrize("bad", ["", " ", ".", "..", "null", None, True, 1.5, b"1", "\ud800"])
async def test_ids_are_checked_before_anything_is_sent(bad):
    async with site() as s:
        total = s.emulator.requests.total
        for call in (s.alarms.get, s.alarms.acknowledge, s.alarms.clear):
            with pytest.raises(ConfigurationError, match="id"):
                await call(bad)
        assert s.emulator.requests.total == total


async def test_an_id_cannot_leave_its_place_in_the_path():
    async with site() as s:
        s.fill(3)
        for odd in ("a?pageSize=1", "a#b", "%2e%2e", "ü x", "a/b", "count/", "." * 3):
            with pytest.raises((NotFoundError, ConfigurationError)):
                await s.alarms.get(odd)
        for odd in ("1/../2", "../alarms", "./1"):
            with pytest.raises(ConfigurationError):
                await s.alarms.get(odd)


async def test_create():
    async with site() as s:
        device = s.emulator.store.add_device("Gate")["id"]
        before = datetime.now(UTC)
        created = await s.alarms.create(
            type="acme_DoorForced",
            text="Door 7 forced",
            severity=Severity.MAJOR,
            source=device,
            fragments={"acme_Door": {"no": 7}},
        )
        assert created.outcome is Outcome.CREATED
        assert created.ignored == ()
        alarm = created.alarm
        assert created.id == alarm.id
        assert alarm["acme_Door"] == {"no": 7}
        assert (alarm.severity, alarm.status, alarm.source_id, alarm.count) == ("MAJOR", "ACTIVE", device, 1)
        assert before - timedelta(milliseconds=1) <= alarm.time <= datetime.now(UTC)


async def test_a_repeat_says_what_was_not_taken():
    async with site() as s:
        device = s.emulator.store.add_device("Gate")["id"]
        first = await s.alarms.create(type="t", text="a", severity="MINOR", source=device)
        again = await s.alarms.create(
            type="t", text="a", severity="CRITICAL", source=device, fragments={"acme_X": 1}
        )
        assert again.outcome is Outcome.REPEATED
        assert again.id == first.id
        assert again.alarm.count == 2
        assert again.ignored == ("severity", "acme_X")
        assert again.alarm.severity == "MINOR"
        await s.alarms.clear(first.id)
        anew = await s.alarms.create(type="t", text="a", severity="CRITICAL", source=device)
        assert (anew.outcome, anew.id != first.id) == (Outcome.CREATED, True)


async def test_a_source_in_maintenance_suppresses():
    async with site() as s:
        device = s.emulator.store.add_device("Gate", maintenance=True)["id"]
        created = await s.alarms.create(type="t", text="a", severity="MINOR", source=device)
        assert (created.outcome, created.alarm, created.id) == (Outcome.SUPPRESSED, None, None)
        assert s.emulator.store.count == 0


async def test_an_unknown_source_is_refused_by_the_platform():
    async with site() as s:
        with pytest.raises(UnprocessableError):
            await s.alarms.create(type="t", text="a", severity="MINOR", source="31415")


async def test_an_empty_answer_to_a_raised_alarm_is_read_by_its_address():
    async with site() as s:
        device = s.emulator.store.add_device("Gate")["id"]
        s.emulator.faults.add(Fault("body", method="POST", path="/alarm/alarms", body="", times=None))
        created = await s.alarms.create(type="t", text="a", severity="MINOR", source=device)
        assert (created.outcome, created.alarm.text) == (Outcome.CREATED, "a")
        again = await s.alarms.create(type="t", text="b", severity="MINOR", source=device)
        assert (again.outcome, again.ignored) == (Outcome.REPEATED, ("text",))
        s.emulator.faults.add(Fault("status", method="GET", path="/alarm/alarms/*", status=403))
        blind = await s.alarms.create(type="t2", text="b", severity="MINOR", source=device)
        assert (blind.outcome, blind.alarm) == (Outcome.CREATED, None)
        assert s.emulator.store.get(blind.id)["type"] == "t2"


async def test_a_lost_answer_is_not_raised_twice():
    async with site() as s:
        device = s.emulator.store.add_device("Gate")["id"]
        s.emulator.faults.add(Fault("drop", method="POST", when="reply"))
        with pytest.raises(Exception, match="may") as caught:
            await s.alarms.create(type="t", text="a", severity="MINOR", source=device)
        assert caught.value.maybe_applied
        assert s.emulator.store.alarms()[0]["count"] == 1


async def test_update_changes_what_is_named():
    async with site() as s:
        one = s.add(1, acme_X=1, acme_Y=2)
        alarm = await s.alarms.update(
            one, severity="CRITICAL", text="worse", fragments={"acme_Z": [1]}, remove=["acme_X"]
        )
        assert (alarm.severity, alarm.text, alarm.status) == ("CRITICAL", "worse", "ACTIVE")
        assert dict(alarm.fragments) == {"acme_Y": 2, "acme_Z": [1]}
        with pytest.raises(ConfigurationError, match="has nothing to change"):
            await s.alarms.update(one)
        with pytest.raises(NotFoundError):
            await s.alarms.update("31415", text="x")


async def test_acknowledge_and_clear():
    async with site() as s:
        one = s.add(1)
        assert (await s.alarms.acknowledge(one)).status is Status.ACKNOWLEDGED
        assert (await s.alarms.clear(one)).status is Status.CLEARED
        assert (await s.alarms.update(one, status="active")).status is Status.ACTIVE


async def test_an_empty_answer_to_an_update_is_read_again():
    async with site() as s:
        one = s.add(1)
        s.emulator.faults.add(Fault("body", method="PUT", body=""))
        assert (await s.alarms.clear(one)).status is Status.CLEARED


# Counting


async def test_count():
    async with site() as s:
        made = s.fill(12)
        s.clear(*made[:5])
        assert await s.alarms.count() == 12
        assert await s.alarms.count(status=Status.CLEARED) == 5
        assert await s.alarms.count(AlarmFilter(resolved=False), type=["acme_7", "acme_8", "acme_0"]) == 2
        assert await s.alarms.count(source="1") == 0
        with pytest.raises(ConfigurationError, match="cannot count by created_from"):
            await s.alarms.count(AlarmFilter(created_from=datetime.now(UTC)))


async def test_several_types_are_counted_one_by_one_where_the_platform_says_none():
    async with site() as s:
        s.fill(3)
        s.emulator.faults.add(Fault("body", path="/alarm/alarms/count", query="%2C", body="0", times=None))
        assert await s.alarms.count(type=["acme_0", "acme_1", "acme_9"]) == 2


@pytest.mark.parametrize("body", ["", "many", "-1", "1.5", '{"count":3}', "<html>", "٣", "9" * 30])
async def test_a_count_that_is_none_is_an_error(body):
    async with site() as s:
        s.emulator.faults.add(Fault("body", path="/alarm/alarms/count", body=body))
        with pytest.raises(ProtocolError):
            await s.alarms.count()


async def test_a_count_may_be_text_or_json():
    async with site() as s:
        for body in ("7", " 7\n", '"7"'):
            s.emulator.faults.add(Fault("body", path="/alarm/alarms/count", body=body))
            assert await s.alarms.count() == 7


# Whoever may not


async def test_wrong_credentials_and_missing_roles():
    async with site(user="mallory") as s:
        with pytest.raises(AuthenticationError):
            await s.alarms.list()
        s.emulator.access.add_user("mallory", "demo", "no-alarms")
        with pytest.raises(PermissionDeniedError):
            await s.alarms.update(s.add(1), text="x")


async def test_an_unentered_client_says_so():
    client = Cumulocity("http://127.0.0.1:1", None)
    with pytest.raises(ConfigurationError, match="not open"):
        await client.alarms.list()
    with pytest.raises(ConfigurationError, match="not open"):
        await client.alarms.get("1")
