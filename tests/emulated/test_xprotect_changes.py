"""`xprotect.alarms.changes()` on the emulator, in process, under a clock that jumps."""

# ruff: noqa: SIM117 - the stream is what is tested, it stands on its own line

import random
from datetime import timedelta

import anyio
import pytest

from emulated.following import consuming, following, until
from emulated.xprotect_following import vms
from tocsin import AuthenticationError, ConfigurationError, PermissionDeniedError, RecoveryPolicy, StreamState
from tocsin.emulator import Fault, XProtectSettings
from tocsin.testing import MemoryCheckpoint
from tocsin.xprotect import BasicUser

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(40_000)]

NEW, CLOSED = 1, 11
API = "/api/rest/*"


def told(seen):
    return [(c["action"], c["id"], str(o)) for c, o in zip(seen.changes, seen.origins, strict=True)]


async def test_raised_changed_closed_reopened():
    async with vms() as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            one = site.add()
            assert await until(lambda: len(seen.changes) == 1, 6)
            await anyio.sleep(1000)
            await client.alarms.create(name="newer")
            await anyio.sleep(100)  # no look reaches back to the first one
            del seen.changes[1:], seen.origins[1:]
            for number, change in enumerate(({"priority": 1}, {"state": CLOSED}, {"state": NEW}), start=2):
                site.emulator.store.update(one, change)
                assert await until(lambda number=number: len(seen.changes) == number, 33)
            assert told(seen) == [("CREATE", one, "live")] + [("UPDATE", one, "live")] * 3
            assert (seen.gaps, site.wrong(seen), site.twice(seen)) == ([], [], [])


@pytest.mark.parametrize("snapshot", [False, True, "all"])
async def test_snapshots(snapshot):
    async with vms() as site, site.client() as client:
        opened, closed = site.add(), site.add()
        site.emulator.store.close(closed)
        await anyio.sleep(1000)
        async with following(client.alarms.changes(snapshot=snapshot)) as seen:
            await anyio.sleep(1000)
            expected = {False: [], True: [opened], "all": [opened, closed]}[snapshot]
            assert sorted(told(seen)) == sorted(("CREATE", one, "snapshot") for one in expected)
            assert seen.gaps == []


async def test_closed_between_two_looks_or_dated_back():
    async with vms() as site, site.client() as client:
        async with following(client.alarms.changes(wake=False)) as seen:
            await anyio.sleep(20)
            brief = site.add()
            site.emulator.store.close(brief)
            old = site.add(time=(site.wall() - timedelta(hours=3)).isoformat().replace("+00:00", "Z"))
            await anyio.sleep(35)
            assert sorted(one for _, one, _ in told(seen)) == sorted([brief, old])
            assert site.wrong(seen) == []


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_server_whose_clock_is_an_hour_off(hours):
    async with vms() as site, site.client() as client:
        site.ours.jump(-hours * 3600)
        before = site.add()
        async with following(client.alarms.changes(snapshot=True)) as seen:
            for number in range(5):
                one = site.add()
                if number % 2:
                    site.emulator.store.close(one)
                await anyio.sleep(12)
            site.emulator.store.close(before)
            await anyio.sleep(40)
            assert (site.wrong(seen), site.twice(seen), seen.gaps) == ([], [], [])
            assert len(seen.changes) == 7


@pytest.mark.parametrize("spelled", [str.upper, "alarms/{}".format])
async def test_an_id_that_a_read_spells_in_another_way_than_lists(spelled):
    async with vms() as site, site.client() as client:
        one = site.add()
        await anyio.sleep(1000)  # no look shows it any more
        async with following(client.alarms.changes(snapshot=True)) as seen:
            fault = Fault(
                "body",
                path=f"/api/rest/v1/alarms/{one}",
                rewrite=lambda body: body.replace(one.encode(), spelled(one).encode()),
                times=None,
            )
            site.emulator.faults.add(fault)
            site.emulator.store.close(one)
            assert await until(lambda: len(seen.changes) == 2, 40)
            assert (seen.changes[-1]["id"], seen.changes[-1]["alarm"]["state"]["level"]) == (one, CLOSED)


@pytest.mark.parametrize("count", [4, 30])
async def test_gone_and_lost_rights(count):
    settings = XProtectSettings(token_lifetime=20_000)
    async with vms(settings=settings) as site, site.client() as client:
        kept = [site.add() for _ in range(count)]
        async with following(client.alarms.changes(snapshot=True)) as seen:
            await anyio.sleep(60)
            site.emulator.store.remove(kept[0])
            assert await until(lambda: seen.changes[-1]["action"] == "DELETE", 40)
            site.emulator.faults.add(
                Fault("body", path="/api/rest/v1/alarms", body='{"array":[]}', times=None, method="GET")
            )
            gone = '{"error":{"httpCode":404,"details":[{"errorText":"no","errorTextId":"VMO61002"}]}}'
            site.emulator.faults.add(
                Fault("status", path="/api/rest/v1/alarms/*", status=404, body=gone, times=None)
            )
            await anyio.sleep(500)
            assert [c["id"] for c in seen.changes if c["action"] == "DELETE"] == [kept[0]]
            site.emulator.faults.clear()
            site.emulator.store.close(kept[1])
            assert await until(lambda: seen.gaps, 200)
            assert site.wrong(seen) == []


async def test_requests_of_an_idle_stream_are_bounded():
    async with vms() as site, site.client() as client:
        for _ in range(25):
            site.add()
        async with following(client.alarms.changes(wake=False, latency=10, period=60)):
            await anyio.sleep(5)
            site.asked.clear()
            await anyio.sleep(600)
            # 60 looks, 10 passes of two requests, the states twice
            assert len(site.asked) <= 60 + 10 * 2 + 2 + 2


async def test_an_event_wakes_the_stream():
    async with vms() as site, site.client() as client:
        async with following(client.alarms.changes(latency=1000, period=2000)) as seen:
            await anyio.sleep(10)
            site.asked.clear()
            (panic,) = site.emulator.store.site.items["alarmDefinitions"].values()
            for _ in range(50):
                site.emulator.store.raise_event(panic["eventType"])
                await anyio.sleep(0.1)
            assert await until(lambda: len(seen.changes) == 50, 3)
            await anyio.sleep(10)
            assert len([path for path, _ in site.asked if path.endswith("/alarms")]) <= 9


async def test_a_list_that_shifts_over_many_pages():
    async with vms(settings=XProtectSettings(page_size_max=50)) as site, site.client() as client:
        many = [site.add(f"a{n}") for n in range(230)]
        async with following(client.alarms.changes(snapshot=True)) as seen:
            rng = random.Random(1)
            for _ in range(60):
                site.emulator.store.close(many.pop(rng.randrange(len(many))))
                many.append(site.add("more"))
                await anyio.sleep(1)
            await anyio.sleep(90)
            assert (site.wrong(seen), site.twice(seen)) == ([], [])


async def test_what_leaves_the_filter_is_given_once_more():
    async with vms() as site, site.client() as client:
        async with following(client.alarms.changes(level=["CRITICAL"], snapshot=True)) as seen:
            one, two = site.add(priority=1), site.add(priority=3)
            await anyio.sleep(10)
            for level in (3, 2):
                site.emulator.store.update(one, {"priority": level})
                await anyio.sleep(35)
            site.emulator.store.update(two, {"priority": 1})
            await anyio.sleep(35)
            assert [(a, i) for a, i, _ in told(seen)] == [("CREATE", one), ("UPDATE", one), ("CREATE", two)]


@pytest.mark.parametrize("form", [str.upper, "cameras/{}".format, lambda one: [one, "hardware/" + one]])
async def test_only_what_comes_from_some_sources(form):
    async with vms() as site, site.client() as client:
        ours, other, _ = site.emulator.store.site.items["cameras"]
        async with following(client.alarms.changes(form(ours), snapshot=True)) as seen:
            one, two = site.add(source=ours), site.add(source=other)
            await anyio.sleep(10)
            site.emulator.store.close(one)
            site.emulator.store.close(two)
            await anyio.sleep(35)
            assert [(a, i) for a, i, _ in told(seen)] == [("CREATE", one), ("UPDATE", one)]


async def test_a_password_that_is_changed_ends_the_stream_after_one_log_in():
    async with vms() as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            site.emulator.access.add_user("demo", "other")
            site.emulator.access.expire_tokens()
            assert await until(lambda: seen.ended, 60)
            assert isinstance(seen.error, AuthenticationError)
            assert site.emulator.requests.by["POST", "/API/IDP/connect/token"] == 2


async def test_a_checkpoint_goes_on_after_a_restart():
    store = MemoryCheckpoint()
    async with vms() as site, site.client() as client:
        one, two, three = site.add(), site.add(), site.add()
        async with following(client.alarms.changes(snapshot=True, checkpoint=store)) as seen:
            await anyio.sleep(40)
        site.emulator.store.close(one)
        site.emulator.store.remove(two)
        four = site.add()
        site.emulator.store.close(four)
        await anyio.sleep(300)
        async with client.alarms.changes(snapshot=True, checkpoint=store) as stream:
            async with consuming(stream) as again:
                await anyio.sleep(90)
        for item, state in again.fold.items():
            seen.fold[item] = state
        assert len(again.gaps) == 1
        assert sorted(c["id"] for c in again.changes) == sorted([one, two, four])
        assert three not in again.fold
        assert site.wrong(seen) == []
        assert site.twice(again) == []


@pytest.mark.parametrize("overflow", ["recover", "conflate"])
async def test_a_slow_consumer(overflow):
    async with vms() as site, site.client() as client:
        stream = client.alarms.changes(snapshot=True, overflow=overflow, buffer=40)
        async with following(stream, pause=20) as seen:
            ids = [site.add() for _ in range(150)]
            for one in ids:
                site.emulator.store.update(one, {"priority": 1})
                await anyio.sleep(1)
            for one in ids[:70]:
                site.emulator.store.close(one)
            assert await until(lambda: not site.wrong(seen), 900)
            await anyio.sleep(300)
            assert (site.wrong(seen), site.twice(seen)) == ([], [])


async def test_without_the_right_to_view_alarms():
    async with vms() as site:
        site.emulator.access.add_user("eve", "demo", "no-alarms")
        async with site.client(auth=BasicUser("eve", "demo")) as client:
            with pytest.raises(PermissionDeniedError):
                async with client.alarms.changes():
                    pass


@pytest.mark.parametrize(
    "arguments",
    [
        {"latency": 0},
        {"period": float("nan")},
        {"level": "LOUD"},
        {"level": []},
        {"source": []},
        {"source": "4711"},
        {"overflow": "block"},
        {"snapshot": "some"},
        {"buffer": 0},
    ],
    ids=str,
)
async def test_arguments_that_make_no_sense(arguments):
    async with vms() as site, site.client() as client:
        with pytest.raises(ConfigurationError):
            client.alarms.changes(**arguments)


FAULTS = (
    Fault("status", path=API, status=503, body="<html>down</html>", times=5),
    Fault("status", path=API, status=500, times=3),
    Fault("status", path=API, status=429, retry_after="20", times=2),
    Fault("status", path="/api/rest/v1/alarms/*", status=404, body="<html>not here</html>", times=3),
    Fault("body", path=API, body="<html>log in</html>", content_type="text/html", times=2),
    Fault("cut", path=API, size=300, times=3),
    Fault("silence", path=API, size=100, times=1),
    Fault("delay", path=API, seconds=12, times=2),
    Fault("drop", path=API, when="reply", times=3),
    Fault("hang", path=API, times=1),
)


async def trouble(site, rng):
    emulator = site.emulator
    while True:
        await anyio.sleep(rng.expovariate(1 / 40))
        roll = rng.random()
        if roll < 0.15:
            emulator.go_down()
            await anyio.sleep(rng.choice((1, 5, 30, 120)))
            emulator.come_up()
        elif roll < 0.3:
            emulator.restart()
        elif roll < 0.5:
            emulator.access.expire_tokens()
        elif roll < 0.6:
            emulator.drop_sockets(lose=True)
        else:
            emulator.faults.add(rng.choice(FAULTS))


async def write(site, rng):
    store = site.emulator.store
    while True:
        await anyio.sleep(rng.expovariate(1 / 2))
        ids = [alarm["id"] for alarm in store.alarms()]
        roll = rng.random()
        if not ids or roll < 0.35:
            site.add(priority=rng.choice((1, 2, 3)))
        elif roll < 0.45:
            store.remove(rng.choice(ids))
        elif roll < 0.7:
            store.close(rng.choice(ids))
        else:
            change = {"priority": rng.choice((1, 2, 3)), "state": rng.choice((1, 4, 9))}
            store.update(rng.choice(ids), change)


@pytest.mark.parametrize("seed", range(3))
async def test_a_bad_quarter_of_an_hour(seed):
    rng = random.Random(seed)
    settings = XProtectSettings(
        visible_after=rng.choice((0.0, 2.0)),
        discovery=rng.choice(("here", "absent", "internal")),
        token_lifetime=rng.choice((60.0, 3600.0)),
        page_size_max=rng.choice((20, 2000)),
    )
    recovery = RecoveryPolicy(reconcile_every=200)
    async with vms(settings=settings) as site, site.client(recovery=recovery) as client:
        for _ in range(30):
            site.add()
        await anyio.sleep(5)
        async with client.alarms.changes(snapshot=True) as stream, consuming(stream) as seen:
            with anyio.move_on_after(900):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(trouble, site, rng)
                    tasks.start_soon(write, site, rng)
            site.emulator.come_up()
            site.emulator.faults.clear()
            await anyio.sleep(700)
            assert site.wrong(seen) == []
            assert site.twice(seen) == []
            assert stream.state is StreamState.CONNECTED
            assert seen.gaps
            assert seen.error is None
