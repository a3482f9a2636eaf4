"""Many alarms changed or deleted at once, and what is refused, on the emulator in process."""

from datetime import UTC, datetime, timedelta

import pytest

from emulated.alarm_site import DEVICE, site
from tocsin import (
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from tocsin.cumulocity import AlarmFilter, Status
from tocsin.emulator import Behaviour, Fault

OURS = AlarmFilter(source=DEVICE)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def statuses(s):
    return sorted(alarm["status"] for alarm in s.emulator.store.alarms())


async def test_a_bulk_update_that_is_done_at_once():
    async with site() as s:
        s.fill(3)
        s.add(9, source="1")
        assert await s.alarms.preview(OURS) == 3
        accepted = await s.alarms.update_many(OURS, status="acknowledged")
        assert (accepted.done, accepted.left, accepted.status) == (True, 0, 200)
        await accepted.wait(0)
        assert statuses(s) == ["ACKNOWLEDGED"] * 3 + ["ACTIVE"]


@pytest.mark.virtual_time
async def test_a_bulk_update_that_goes_on_is_waited_for():
    async with site(behaviour=Behaviour(bulk_seconds=30)) as s:
        s.clear(*s.fill(20)[:5])
        accepted = await s.alarms.update_many(AlarmFilter(severity="MAJOR"), status=Status.CLEARED)
        assert (accepted.done, accepted.left, accepted.status) == (False, None, 202)
        assert not await accepted.check()
        assert accepted.left == 15
        with pytest.raises(RequestTimeoutError, match=r"202 and is not done after 5 s: \d+ alarms"):
            await accepted.wait(5)
        assert 0 < accepted.left < 15
        s.later(60)
        s.add(99)  # one that came later is not waited for
        asked = s.emulator.requests.total
        await accepted.wait()
        assert accepted.done
        assert s.emulator.requests.total - asked < 12
        assert statuses(s) == ["ACTIVE"] + ["CLEARED"] * 20


@pytest.mark.virtual_time
async def test_a_bulk_update_that_is_dropped_halfway_is_told_as_what_it_is():
    async with site(behaviour=Behaviour(bulk_seconds=4, bulk_stops_after=3)) as s:
        s.fill(4)
        active = AlarmFilter(source=DEVICE, status=Status.ACTIVE)
        accepted = await s.alarms.update_many(active, status=Status.CLEARED)
        with pytest.raises(TimeoutError, match=r"1 alarm is left, .* dropped it halfway") as caught:
            await accepted.wait(60)
        assert caught.value.maybe_applied
        assert "left: 1" in repr(accepted)
        await (await s.alarms.update_many(active, status=Status.CLEARED)).wait()
        assert statuses(s) == ["CLEARED"] * 4


@pytest.mark.virtual_time
async def test_only_what_can_still_change_is_waited_for():
    async with site(behaviour=Behaviour(bulk_seconds=2)) as s:
        one, two = s.fill(2)
        s.clear(one)
        open_ones = AlarmFilter(source=DEVICE, resolved=False)
        accepted = await s.alarms.update_many(open_ones, status="CLEARED")
        assert not accepted.done
        await accepted.wait()
        assert s.emulator.store.get(two)["status"] == "CLEARED"
        nothing = await s.alarms.update_many(AlarmFilter(resolved=True), status="CLEARED")
        assert nothing.done


@pytest.mark.virtual_time
@pytest.mark.parametrize("created", [True, False])
async def test_a_bulk_delete_is_never_done_at_once(created):
    async with site(behaviour=Behaviour(bulk_delay=20)) as s:
        s.fill(5)
        s.add(9, source="1")
        where = AlarmFilter(created_to=datetime.now(UTC) + timedelta(days=1)) if created else OURS
        assert await s.alarms.preview(where) == (6 if created else 5)
        accepted = await s.alarms.delete_many(where)
        assert (accepted.done, accepted.status) == (False, 204)
        assert s.emulator.store.count == 6
        await accepted.wait()
        assert s.emulator.store.count == (0 if created else 1)


@pytest.mark.parametrize(
    ("where", "update", "delete"),
    [
        (AlarmFilter(), "empty filter would update every alarm", "empty filter would delete every alarm"),
        (AlarmFilter(type="t"), "cannot filter by type", "needs a source or a time range"),
        (AlarmFilter(type="t", source="1"), "cannot filter by type", None),
        (AlarmFilter(source="1", updated_from=NOW), "last update", "last update"),
        (AlarmFilter(updated_to=NOW), "last update", "last update"),
        (AlarmFilter(severity="MAJOR", resolved=False), None, "needs a source or a time range"),
        (AlarmFilter(date_to=NOW), None, None),
        (AlarmFilter(created_from=NOW), None, None),
        ("type=t", "takes an AlarmFilter", "takes an AlarmFilter"),
        (None, "takes an AlarmFilter", "takes an AlarmFilter"),
    ],
)
async def test_what_the_platform_would_ignore_is_refused_before_anything_is_sent(where, update, delete):
    async with site() as s:
        s.add(1, time="2020-01-01T00:00:00Z")
        for refused, call in (
            (update, lambda: s.alarms.update_many(where, status="CLEARED")),
            (delete, lambda: s.alarms.delete_many(where)),
        ):
            before = s.emulator.requests.total
            if refused is None:
                await call()
                continue
            with pytest.raises(ConfigurationError, match=refused):
                await call()
            assert s.emulator.requests.total == before


async def test_a_preview_refuses_what_no_bulk_call_knows():
    async with site() as s:
        s.fill(4)
        for bad in (AlarmFilter(), AlarmFilter(updated_from=NOW)):
            with pytest.raises(ConfigurationError):
                await s.alarms.preview(bad)
        where = AlarmFilter(created_from=datetime.now(UTC) - timedelta(days=1))
        assert await s.alarms.preview(where) == 4
        body = '{"alarms":[{"id":"1"}],"statistics":{"currentPage":1}}'  # before 10.13 there are no totals
        s.emulator.faults.add(Fault("body", path="/alarm/alarms", body=body))
        assert await s.alarms.preview(where) == 4


async def test_no_role_no_bulk_change_and_no_false_end():
    async with site(user="eve") as s:
        s.fill(2)
        s.emulator.access.add_user("eve", "demo", "read-only")
        with pytest.raises(PermissionDeniedError, match=r"403 .*; it needs ROLE_ALARM_ADMIN$"):
            await s.alarms.update_many(OURS, status="CLEARED")
        with pytest.raises(PermissionDeniedError, match="it needs ROLE_ALARM_ADMIN"):
            await s.alarms.delete_many(OURS)
    # ROLE_ALARM_ADMIN without ROLE_ALARM_READ: the list looks empty, which proves nothing.
    async with site(behaviour=Behaviour(bulk_delay=0.01)) as s:
        s.fill(2)
        accepted = await s.alarms.delete_many(OURS)
        s.emulator.access.add_user("demo", "demo", "no-alarms")
        with pytest.raises(ProtocolError, match="ROLE_ALARM_READ"):
            await accepted.wait()
        assert not accepted.done


@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
async def test_a_bulk_call_that_fails_says_that_it_may_be_half_done(verb):
    async with site() as s:
        s.fill(2)

        async def change():
            if verb == "PUT":
                return await s.alarms.update_many(OURS, status="CLEARED")
            return await s.alarms.delete_many(OURS)

        s.emulator.faults.add(Fault("drop", method=verb, when="reply"))
        with pytest.raises(
            TransportError, match="may have begun it, so some alarms may be changed"
        ) as caught:
            await change()
        assert caught.value.maybe_applied
        s.emulator.faults.add(Fault("status", method=verb, status=500))
        with pytest.raises(ServerError, match="the same call can be made again"):
            await change()
        s.emulator.faults.add(Fault("body", method=verb, body="<html><title>Log in</title></html>"))
        with pytest.raises(ProtocolError, match="HTML page titled 'Log in'"):
            await change()
        await (await change()).wait()


async def test_before_10_13_nobody_knows_how_many_are_left():
    async with site(behaviour=Behaviour(bulk_delay=0.01)) as s:
        s.fill(2)
        accepted = await s.alarms.delete_many(OURS)
        body = '{"alarms":[{"id":"1"}],"statistics":{"currentPage":1}}'
        s.emulator.faults.add(Fault("body", method="GET", path="/alarm/alarms", body=body))
        assert not await accepted.check()
        assert accepted.left is None
        await accepted.wait()


async def test_with_a_false_part_an_empty_filter_is_still_empty():
    async with site() as s:
        s.fill(2)
        with pytest.raises(ConfigurationError, match="empty filter would update every alarm"):
            await s.alarms.update_many(AlarmFilter(with_assets=False), status="CLEARED")
        for value in (0, "", None):
            with pytest.raises(ConfigurationError, match="True or False"):
                await s.alarms.update_many(AlarmFilter(with_assets=value), status="CLEARED")
        assert statuses(s) == ["ACTIVE"] * 2


@pytest.mark.parametrize("timeout", [-1, "5", True, float("nan")])
async def test_a_wait_takes_seconds(timeout):
    async with site() as s:
        s.add(1)
        accepted = await s.alarms.delete_many(OURS)
        with pytest.raises(ConfigurationError, match="seconds"):
            await accepted.wait(timeout)
