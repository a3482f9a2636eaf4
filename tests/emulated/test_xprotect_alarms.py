"""The alarms of an emulated XProtect: everything that its REST services do with them."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import anyio
import pytest

from tocsin import RetryPolicy
from tocsin.emulator import XProtectEmulator, XProtectSettings
from tocsin.emulator.faults import Fault
from tocsin.errors import (
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RequestTimeoutError,
    TransportError,
)
from tocsin.models import Level, Phase
from tocsin.testing import in_process
from tocsin.xprotect import BasicUser, XProtect

START = datetime(2026, 3, 1, tzinfo=UTC)
NOBODY = "99999999-9999-4999-8999-999999999999"


def wall():
    """The server's clock, which goes as fast as the test's."""
    return START + timedelta(days=1, seconds=anyio.current_time() % 86_400)


class Vms:
    """An emulator, its alarms as the client has them, and what was asked."""

    def __init__(self, emulator, client, asked):
        self.store = emulator.store
        self.emulator = emulator
        self.asked = asked
        self.client = client
        self.alarms = client.alarms
        self.events = client.events

    @property
    def camera(self):
        return next(iter(self.store.site.items["cameras"]))

    def sent(self, method):
        """The bodies of the writes of one kind."""
        return [json.loads(request.body) for request in self.asked if request.method == method]


@asynccontextmanager
async def vms(*, user="demo", prepare=None, **settings):
    emulator = XProtectEmulator(rng=Random(7), clock=wall, settings=XProtectSettings(**settings))
    if prepare is not None:
        prepare(emulator)
    asked = []

    async def note(request, call_next):
        if "connect/token" not in request.path:
            asked.append(request)
        return await call_next(request)

    async with in_process(emulator) as server:
        client = XProtect(
            server.url,
            BasicUser(user, "demo"),
            transport_factory=server.transport_factory,
            retry=RetryPolicy.none(),
            middleware=[note],
        )
        async with client:
            yield Vms(emulator, client, asked)


async def test_an_alarm_is_triggered_read_taken_and_closed():
    async with vms() as site:
        cameras = await site.client.cameras()
        accepted = await site.alarms.create(name="Door", message="O'Brien's door", source=cameras.items[0])
        assert (accepted.status, accepted.done) == (202, False)
        assert site.sent("POST") == [{"name": "Door", "message": "O'Brien's door", "source": site.camera}]
        await accepted.wait()
        alarm = await site.alarms.get(f"alarms/{accepted.id.upper()}")
        assert (await site.alarms.get(f"{{{accepted.id}}}")).id == alarm.id
        assert (alarm.source_id, alarm.phase, alarm.text) == (site.camera, Phase.ACTIVE, "O'Brien's door")
        assert alarm.data is not None

        taken = await site.alarms.acknowledge(alarm.id, comment="on my way")
        await taken.wait()
        assert taken.alarm.phase is Phase.ACKNOWLEDGED
        reason = (await site.alarms.close_reasons())[1]
        await (await site.alarms.clear(alarm.id, reason=reason.name, comment="mended")).wait()
        assert site.store.get(alarm.id)["state"]["level"] == 11
        assert site.sent("PATCH")[1].keys() == {"state", "comment", "reasonForClosing"}
        assert [entry.text for entry in await site.alarms.history(alarm.id)] == ["on my way", "mended"]
        assert (await site.alarms.statistics()).states[11] == 1
        assert await site.alarms.snapshots(alarm.id) == ()


async def test_only_what_is_named_is_sent_by_name_level_or_id():
    async with vms() as site:
        identity = site.store.create({"name": "a"})["id"]
        categories = await site.alarms.categories()
        await (await site.alarms.update(identity, priority=Level.CRITICAL)).wait()
        await (await site.alarms.update(identity, category=categories[0].name.upper())).wait()
        await (await site.alarms.update(identity, state="On hold", assigned_to="Ada (X\\ada)")).wait()
        priority = site.store.site.priorities[0]["id"]
        hold = next(state["id"] for state in site.store.site.states if state["level"] == 9)
        assert site.sent("PATCH") == [
            {"priority": priority},
            {"category": categories[0].id},
            {"state": hold, "assignedTo.displayName": "Ada (X\\ada)"},
        ]
        alarm = await site.alarms.get(identity)
        assert (alarm.level, alarm.phase) == (Level.CRITICAL, Phase.ACKNOWLEDGED)
        assert (alarm.category.id, alarm.assigned_to) == (categories[0].id, "Ada (X\\ada)")
        await (await site.alarms.update(identity, assigned_to=None)).wait()
        assert (await site.alarms.get(identity)).assigned_to is None
        lists = [request.path for request in site.asked if request.path.endswith("States")]
        assert len(lists) == 1


async def test_a_server_that_wants_all_five_keys_gets_what_the_alarm_has():
    async with vms(patch_keys="all") as site:
        made = site.store.create({"name": "a"})
        full = dict.fromkeys(("state", "priority", "comment", "assignedTo.displayName", "reasonForClosing"))
        site.store.update(made["id"], {**full, "priority": 1, "assignedTo.displayName": "Ada"})
        await (await site.alarms.acknowledge(made["id"])).wait()
        short, whole = site.sent("PATCH")
        assert short.keys() == {"state"}
        assert whole.keys() == full.keys()
        alarm = await site.alarms.get(made["id"])
        assert (alarm.phase, alarm.level, alarm.assigned_to) == (Phase.ACKNOWLEDGED, Level.CRITICAL, "Ada")


@pytest.mark.virtual_time
async def test_an_accepted_alarm_is_waited_for_until_it_is_visible():
    async with vms(visible_after=3.0) as site:
        accepted = await site.alarms.create(name="a")
        with pytest.raises(NotFoundError):
            await site.alarms.get(accepted.id)
        assert not await accepted.check()
        with pytest.raises(RequestTimeoutError, match=r"the new alarm was accepted with 202.*cannot be read"):
            await accepted.wait(1.0)
        await accepted.wait()
        update = await site.alarms.update(accepted.id, state=4)
        assert not await update.check()
        with anyio.move_on_after(0.2) as scope:
            await update.wait()
        assert scope.cancelled_caught
        await update.wait()
        assert update.alarm.phase is Phase.ACKNOWLEDGED


@pytest.mark.virtual_time
async def test_an_update_that_somebody_overrides_says_what_is_not_there():
    async with vms(visible_after=1.0) as site:
        identity = site.store.create({"name": "a"})["id"]
        await anyio.sleep(2)
        update = await site.alarms.update(identity, state=4)
        site.store.update(identity, {"state": 9})
        await anyio.sleep(2)
        with pytest.raises(RequestTimeoutError, match="its state is not what was asked for"):
            await update.wait(5)


@pytest.mark.virtual_time
async def test_an_alarm_that_vanishes_while_it_is_waited_for_is_told():
    async with vms(visible_after=1.0) as site:
        identity = site.store.create({"name": "a"})["id"]
        await anyio.sleep(2)
        update = await site.alarms.update(identity, state=4)
        site.store.remove(identity)
        with pytest.raises(NotFoundError, match="was accepted with 202"):
            await update.wait()


async def test_what_is_not_there_is_told():
    async with vms() as site:
        identity = site.store.create({"name": "a"})["id"]
        with pytest.raises(BadRequestError, match=f"there is no camera {NOBODY}"):
            await site.alarms.create(name="a", source=NOBODY)
        with pytest.raises(NotFoundError):
            await site.alarms.get(NOBODY)
        with pytest.raises(NotFoundError):
            await site.alarms.acknowledge(NOBODY)
        for wrong in ({"state": "Gone"}, {"priority": 77}, {"category": NOBODY}, {"reason": "because"}):
            with pytest.raises(ConfigurationError, match="this site has no"):
                await site.alarms.update(identity, **wrong)
        assert site.sent("PATCH") == [{"state": site.store.site.state(4)["id"]}]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda alarms: alarms.update("a"), "nothing to change"),
        (lambda alarms: alarms.update("", state=1), "the id of the alarm"),
        (lambda alarms: alarms.update("../x", state=1), "the id of the alarm"),
        (lambda alarms: alarms.update("a", comment=None), "comment is a text"),
        (lambda alarms: alarms.update("a", assigned_to=5), "assigned_to is a text"),
        (lambda alarms: alarms.get("00000000-0000-0000-0000-000000000000"), "the id of the alarm"),
        (lambda alarms: alarms.create(name=""), "a name"),
        (lambda alarms: alarms.create(name="a", source="Front door"), "cameras"),
        (lambda alarms: alarms.create(name="a", message=5), "message is a text"),
        (lambda alarms: alarms.create(name="a", fields={"name": "b"}), "argument of its own"),
        (lambda alarms: alarms.create(name="a", fields={"x": object()}), "JSON"),
        (lambda alarms: alarms.create(name="a", fields={"x": float("nan")}), "JSON"),
        (lambda alarms: alarms.create(name="\ud800"), "JSON"),
    ],
)
async def test_what_cannot_work_is_not_even_sent(call, words):
    async with vms() as site:
        with pytest.raises(ConfigurationError, match=words):
            await call(site.alarms)
        assert site.asked == []


async def test_a_list_is_whole_with_its_metadata_and_filters():
    async with vms() as site:
        for number in range(120):
            time = (START + timedelta(seconds=number)).isoformat()
            site.store.create(
                {"name": f"n{number % 4}", "message": "it's", "source": site.camera, "time": time}
            )
        first = site.store.alarms()[-1]["id"]
        site.store.close(first)
        listed = [alarm async for alarm in site.alarms.list(include_data=True, page_size=50)]
        assert len({alarm.id for alarm in listed}) == len(listed) == 120
        assert all(alarm.data is not None for alarm in listed)
        assert listed == sorted(listed, key=lambda alarm: alarm.time, reverse=True)

        async def count(**filters):
            return len([alarm async for alarm in site.alarms.list(**filters)])

        assert await count(resolved=True) == await count(state=Phase.CLEARED) == 1
        assert await count(resolved=False, name="n1", source=f"cameras/{site.camera.upper()}") == 30
        assert await count(text_contains="t's", message=None) == 120
        assert await count(priority=[Level.CRITICAL, Level.MAJOR]) == 0
        assert await count(date_from=listed[40].time, date_to=listed[10].time) == 30
        assert await count(date_to=listed[-1].time - timedelta(seconds=1)) == 0
        oldest = await site.alarms.list(order="asc", page_size=1)
        assert oldest.items[0].id == first


async def test_events_are_triggered_and_those_that_are_kept_read():
    async with vms() as site:
        types = [kind async for kind in site.client.event_types()]
        external = next(kind for kind in types if kind.generator_type == "External")
        event = await site.events.trigger(external, site.camera)
        assert site.sent("POST") == [{"type": external.id, "source": f"cameras/{site.camera}"}]
        assert (await site.events.get(event.id)).source_id == site.camera
        assert [one.id async for one in site.events.list()] == [event.id]
        with pytest.raises(NotFoundError, match="retention"):
            await site.events.get(NOBODY)
        with pytest.raises(ConfigurationError, match="event_types"):
            await site.events.trigger("Panic")
        with pytest.raises(PermissionDeniedError, match="External"):
            await site.events.trigger(next(kind for kind in types if kind.generator_type != "External"))


async def test_cameras_that_are_not_in_use_are_left_out():
    async with vms(prepare=lambda emulator: emulator.store.add_camera("Attic", enabled=False)) as site:
        cameras = await site.client.cameras()
        every = await site.client.cameras(include_disabled=True)
        assert {camera.name for camera in every} - {camera.name for camera in cameras} == {"Attic"}
        assert (await site.client.alarm_definitions()).items


async def test_a_write_that_may_have_been_applied_is_not_sent_twice():
    async with vms() as site:
        site.emulator.faults.add(Fault("drop", path="*/alarms", method="POST", when="reply"))
        with pytest.raises(TransportError) as caught:
            await site.alarms.create(name="once")
        assert caught.value.maybe_applied
        assert len(site.sent("POST")) == site.store.count == 1


async def test_what_is_refused_in_both_forms_is_refused_for_the_first():
    async with vms() as site:
        identity = site.store.create({"name": "a"})["id"]
        for skip in (0, 1):
            body = f'{{"error":"no {skip + 1}"}}'
            site.emulator.faults.add(Fault("status", method="PATCH", skip=skip, status=400, body=body))
        with pytest.raises(BadRequestError, match="no 1"):
            await site.alarms.update(identity, comment="x")
        assert [body.keys() >= {"state", "comment"} for body in site.sent("PATCH")] == [False, True]


async def test_a_user_who_may_only_look_is_told_what_is_missing():
    def prepare(emulator):
        emulator.access.add_user("guard", "demo", "read-only")

    async with vms(user="guard", prepare=prepare) as site:
        identity = site.store.create({"name": "a"})["id"]
        assert (await site.alarms.get(identity)).id == identity
        with pytest.raises(PermissionDeniedError, match="the right to manage alarms"):
            await site.alarms.acknowledge(identity)
        with pytest.raises(PermissionDeniedError, match="the right to manage alarms"):
            await site.alarms.create(name="b")
