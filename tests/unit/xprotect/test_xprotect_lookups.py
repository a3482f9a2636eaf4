"""What a site has to choose from: asked for once, by one, and forgotten after a while."""

import json

import anyio
import pytest

from tocsin._http._request import Headers, Response
from tocsin.errors import ConfigurationError, NotFoundError, ProtocolError, ServerError
from tocsin.models import Level, Phase
from tocsin.xprotect._lookups import Lookups
from tocsin.xprotect.models import AlarmState

IDS = [f"5000000{n}-0000-4000-8000-00000000000a" for n in range(8)]


class Site:
    """A gateway that answers after a second."""

    def __init__(self, **lists):
        self.lists = lists
        self.asked = []
        self.failures = []

    async def send(self, request):
        name = request.path.removeprefix("/")
        self.asked.append(name)
        await anyio.sleep(1)
        if self.failures:
            raise self.failures.pop(0)
        if name not in self.lists:
            raise NotFoundError(f"no {name}", status=404)
        body = self.lists[name]
        return Response(
            200, Headers(), body if isinstance(body, bytes) else json.dumps({"array": body}).encode()
        )


def states(*names):
    levels = (1, 4, 9, 11, 20)
    return [{"id": IDS[n], "level": levels[n], "name": name} for n, name in enumerate(names)]


def german():
    return Site(alarmStates=states("Neu", "In Arbeit", "Wartet", "Erledigt"))


pytestmark = pytest.mark.virtual_time


async def test_many_who_ask_at_once_are_one_request():
    site = german()
    table = Lookups(site).states
    found = []

    async def ask():
        found.append(await table.all())

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert len(found) == 10
    assert site.asked == ["alarmStates"]


async def test_who_asked_first_may_be_cancelled_and_the_others_get_it():
    site = german()
    table = Lookups(site).states
    found = []

    async def ask():
        found.append(await table.all())

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0.5):
            tasks.start_soon(ask)
            await table.all()
    assert len(found) == 1
    assert len(found[0]) == 4


async def test_a_failure_is_not_kept():
    site = german()
    site.failures = [ServerError("no", status=503)]
    table = Lookups(site).states
    with pytest.raises(ServerError):
        await table.all()
    assert len(await table.all()) == 4


async def test_a_list_is_asked_for_again_after_five_minutes():
    site = german()
    table = Lookups(site).states
    await table.all()
    await anyio.sleep(290)
    await table.all()
    assert len(site.asked) == 1
    await anyio.sleep(20)
    await table.all()
    assert len(site.asked) == 2


async def test_what_is_not_in_it_is_looked_for_once_more():
    site = german()
    table = Lookups(site).states
    await table.all()
    await anyio.sleep(10)
    site.lists["alarmStates"] = states("Neu", "In Arbeit", "Wartet", "Zu")
    assert (await table.one("zu")).level == 11
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="'Zu'"):
            await table.one("Erledigt")
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("wanted", "level"),
    [
        ("in arbeit", 4),
        (" Neu ", 1),
        (11, 11),
        (IDS[2].upper(), 9),
        (AlarmState(IDS[2]), 9),
        (AlarmState("", 9), 9),
        (Phase.ACKNOWLEDGED, 4),
        (Phase.CLEARED, 11),
    ],
)
async def test_a_state_is_found_however_it_is_given(wanted, level):
    assert (await Lookups(german()).states.one(wanted)).level == level


@pytest.mark.parametrize(
    "wanted", ["Closed", "", 5, IDS[7], AlarmState(IDS[7], 1), None, True, 1.0, Level.MAJOR, b"Neu"]
)
async def test_a_state_that_is_not_there_is_told(wanted):
    with pytest.raises(ConfigurationError, match="state"):
        await Lookups(german()).states.one(wanted)


async def test_a_priority_may_be_a_level_of_all_platforms():
    site = Site(alarmPriorities=[{"id": IDS[n], "level": n + 1, "name": f"P{n}"} for n in range(4)])
    assert (await Lookups(site).priorities.one(Level.MAJOR)).name == "P1"
    with pytest.raises(ConfigurationError, match="'P3'"):
        await Lookups(site).priorities.one(Level.WARNING)


async def test_two_of_one_name_are_not_guessed():
    table = Lookups(Site(alarmStates=states("Neu", "neu", "NEU"))).states
    assert (await table.one("neu")).level == 4
    with pytest.raises(ConfigurationError, match="several states"):
        await table.one("nEu")


async def test_a_server_without_the_list_says_so():
    with pytest.raises(ConfigurationError, match="no list of reasons for closing"):
        await Lookups(Site()).close_reasons.one("Test")
    with pytest.raises(NotFoundError):
        await Lookups(Site()).close_reasons.all()


async def test_an_entry_without_an_id_cannot_be_written():
    table = Lookups(Site(alarmStates=[{"level": 4, "name": "x"}])).states
    assert (await table.find(4))[0].name == "x"
    with pytest.raises(ConfigurationError, match="does not tell the id"):
        await table.one(4)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"array":[5]}', b'{"array":{}}', b"<html>"])
async def test_what_is_no_list_is_refused(body):
    with pytest.raises(ProtocolError):
        await Lookups(Site(alarmStates=body)).states.all()


@pytest.mark.parametrize(
    "body", [b'["a","b"]', b'{"array":["a","b"]}', b'{"array":[{"message":"a"},{"name":"b"},5]}']
)
async def test_messages_are_texts_in_any_envelope(body):
    assert await Lookups(Site(alarmMessages=body)).messages() == ("a", "b")


async def test_a_failure_is_that_of_all_who_waited_and_of_no_one_after():
    site = german()
    site.failures = [ServerError("down", status=503)]
    table = Lookups(site).states
    failed = []

    async def ask():
        with pytest.raises(ServerError) as caught:
            await table.all()
        failed.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert (len(site.asked), len(set(map(id, failed)))) == (1, 10)
    assert len(await table.all()) == 4
