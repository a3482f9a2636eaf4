"""Names on demand, and hints that there may be a new alarm."""

from __future__ import annotations

import anyio
import pytest

from tocsin.xprotect.events import EventNames
from tocsin.xprotect.models import Event
from unit.xprotect_events.events_site import CAMERA, GROUP, MOTION, Site, follow, guid, until

pytestmark = pytest.mark.virtual_time

DOOR = EventNames("Front door", "Motion started", "Motion", "Started")


def named(site: Site) -> Site:
    site.rest[f"/{CAMERA}"] = {"data": {"displayName": "Front door", "name": "cam 1"}}
    site.rest[f"/eventTypes/{MOTION}"] = {"data": {"displayName": "Motion started", "state": "Started"}}
    site.rest[f"/stateGroups/{GROUP}"] = {"data": {"displayName": "Motion"}}
    return site


def event(**more) -> Event:
    return Event.from_wire({"id": guid(1), "source": CAMERA, "type": MOTION, "stategroupid": GROUP, **more})


@pytest.mark.limit(10_000)
async def test_names_are_read_once_for_all_who_ask():
    site = named(Site())
    async with follow(site) as live:
        assert live.names.known(event()) == EventNames(None, None, None, None)
        told = []

        async def ask() -> None:
            told.append(await live.names.of(event()))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
        assert told == [DOOR] * 10
        assert len(site.asked) == 3
        assert live.names.known(event()) == DOOR
        await live.names.of(event(source=CAMERA.upper().replace("CAMERAS", "cameras")))
        assert len(site.asked) == 3
        assert await live.names.source(CAMERA) == "Front door"
        assert await live.names.event_type(MOTION) == "Motion started"
        assert await live.names.state_group(GROUP) == "Motion"
        await anyio.sleep(3601)  # people rename cameras
        site.rest[f"/{CAMERA}"] = {"data": {"displayName": "Back door"}}
        assert await live.names.source(CAMERA) == "Back door"
        live.names.forget()
        assert live.names.known(event()).source is None


async def test_what_cannot_be_resolved_is_none_and_remembered():
    site = Site()
    async with follow(site) as live:
        for _ in range(3):
            assert await live.names.of(event()) == EventNames(None, None, None, None)
        assert len([path for path in site.asked if path != "/alarms"]) == 3  # that one looks for a gateway
        site.rest[f"/{CAMERA}"] = [1, 2]  # no object
        live.names.forget()
        assert await live.names.source(CAMERA) is None
        named(site)
        await anyio.sleep(31)
        assert await live.names.source(CAMERA) == "Front door"


@pytest.mark.parametrize(
    "source",
    [None, "", "cameras", f"services/{guid(1)}", f"mipKinds/{guid(1)}", "cameras/../../idp",
     f"cameras/{guid(1)}?x=1", f"cameras/{guid(1)}/../..", f"//evil/{guid(1)}", f"cameras/{guid(1)}\n"],
)  # fmt: skip
async def test_no_request_is_made_of_what_is_no_path_of_a_resource(source):
    site = Site()
    async with follow(site) as live:
        await live.names.of(event(source=source, type="../x", stategroupid="#"))
    assert site.asked == []


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others():
    site = named(Site())
    async with follow(site) as live, anyio.create_task_group() as tasks:
        first = anyio.CancelScope()

        async def give_up() -> None:
            with first:
                await live.names.source(CAMERA)

        tasks.start_soon(give_up)
        await anyio.sleep(0)
        first.cancel()
        assert await live.names.source(CAMERA) == "Front door"


async def test_what_is_remembered_is_bounded():
    site = Site()
    async with follow(site) as live:
        live.names._known.update({str(n): (1e9, {}) for n in range(10_000)})
        await live.names.source(CAMERA)
        assert len(live.names._known) == 10_000


class Bell:
    def __init__(self) -> None:
        self.rung = 0
        self.lost: list[str] = []

    def __call__(self) -> None:
        self.rung += 1


async def test_hints_come_with_each_connection_and_each_event_of_an_alarm_definition():
    site, bell = Site(), Bell()
    site.rest["/alarmDefinitions"] = {
        "array": [
            {"eventType": MOTION, "enabled": True}, {"eventType": guid(5), "enabled": False},
            {"eventType": "x"}, {"eventType": None}, 7, {"eventType": MOTION},
        ]
    }  # fmt: skip
    async with follow(site) as live, live.hints(bell, lost=bell.lost.append) as hints:
        await until(lambda: bell.rung == 1)
        assert hints.attached
        assert site.told("addSubscription")[0]["filters"][0]["eventTypes"] == [MOTION]
        await site.raise_event()
        await until(lambda: bell.rung == 2)
        site.restart()
        await until(lambda: bell.rung == 3)
        assert len(bell.lost) == 1
    assert not site.told("getState")


@pytest.mark.parametrize("definitions", [None, {"array": []}, [], {"array": [{"eventType": "x"}]}])
async def test_without_definitions_every_event_is_a_hint(definitions):
    site, bell = Site(), Bell()
    if definitions is not None:
        site.rest["/alarmDefinitions"] = definitions
    async with follow(site) as live, live.hints(bell):
        await until(lambda: bell.rung)
    assert site.told("addSubscription")[0]["filters"][0]["eventTypes"] == ["*"]


async def test_given_event_types_are_not_looked_for():
    site, bell = Site(), Bell()
    async with follow(site) as live, live.hints(bell, event_types=[MOTION]):
        await until(lambda: bell.rung)
    assert site.asked == []


async def test_a_site_without_the_socket_gives_no_hints_and_no_errors_and_is_asked_again_later():
    site, bell = Site(), Bell()
    site.refusal = 404
    async with follow(site) as live, live.hints(bell, lost=bell.lost.append):
        await until(lambda: bell.lost)
        await anyio.sleep(600)
        assert len(site.tokens) == 1
        site.refusal = None
        await until(lambda: bell.rung)


@pytest.mark.limit(10_000)
async def test_hints_whose_credentials_are_refused_end():
    site, bell = Site(), Bell()
    site.refusal = 401
    async with follow(site) as live, live.hints(bell, lost=bell.lost.append):
        await until(lambda: bell.lost)
        asked = len(site.tokens)
        await anyio.sleep(5000)
        assert len(site.tokens) == asked <= 2


@pytest.mark.parametrize("after", [0.0, 0.001, 1.0])
async def test_hints_can_be_ended_at_any_moment(after):
    site, bell = Site(), Bell()
    async with follow(site) as live:
        with anyio.move_on_after(after):
            async with live.hints(bell):
                await anyio.sleep_forever()
        await until(lambda: not site.wires, within=5)
