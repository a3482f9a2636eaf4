"""`changes(sessions=True)`: what a session of alarms brings forward, and that it harms nothing."""

# ruff: noqa: SIM117 - the stream is what is tested, it stands on its own line

import logging
import random

import anyio
import pytest

from emulated.following import following, until
from emulated.xprotect_following import vms
from tocsin import RecoveryPolicy, StreamState
from tocsin.emulator import Fault, XProtectSettings

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(40_000)]

CLOSED = 11
SESSIONS = "/api/rest/v1/alarmSessions"
RARE = {"wake": False, "latency": 5, "period": 5000}


def offering(**settings):
    return vms(settings=XProtectSettings(sessions=True, token_lifetime=50_000, **settings))


async def old(site, **fields):
    """An alarm that no look for new ones reaches."""
    one = site.add(**fields)
    await anyio.sleep(1000)
    return one


def count(site, method, below=""):
    by = site.emulator.requests.by
    return sum(n for (m, path), n in by.items() if m == method and path.startswith(SESSIONS + below))


@pytest.mark.parametrize("source", [None, "camera"])
async def test_a_change_is_told_within_latency(source):
    async with offering() as site, site.client() as client:
        ours, other, _ = site.emulator.store.site.items["cameras"]
        scope = "*" if source is None else ours
        one, two = await old(site, source=ours), await old(site, source=other)
        async with following(client.alarms.changes(scope, snapshot=True, sessions=True, **RARE)) as seen:
            await anyio.sleep(10)
            del seen.changes[:]
            for number, change in enumerate(({"priority": 1}, {"state": CLOSED}), start=1):
                site.emulator.store.update(two, {"priority": number})
                site.emulator.store.update(one, change)
                assert await until(
                    lambda number=number: sum(c["id"] == one for c in seen.changes) == number, 6
                )
            told = {(c["action"], c["id"]) for c in seen.changes}
            assert told == {("UPDATE", one)} | (set() if source else {("UPDATE", two)})
            assert {str(origin) for origin in seen.origins[-2:]} == {"live"}
            assert (site.twice(seen), seen.gaps) == ([], [])
        assert (count(site, "POST"), count(site, "DELETE")) == (1, 1)


async def test_without_sessions_nobody_asks_for_one():
    async with offering() as site, site.client() as client:
        one = await old(site)
        async with following(client.alarms.changes(snapshot=True, **RARE)) as seen:
            site.emulator.store.close(one)
            assert not await until(lambda: len(seen.changes) > 1, 100)
        assert count(site, "POST") == 0


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_a_server_without_sessions_is_asked_once(status, caplog):
    caplog.set_level(logging.INFO, "tocsin.xprotect")
    async with offering() as site, site.client() as client:
        site.emulator.faults.add(Fault("status", path=SESSIONS, status=status, times=None))
        async with following(client.alarms.changes(sessions=True, wake=False)) as seen:
            one = site.add()
            site.emulator.store.close(one)
            await anyio.sleep(1000)
            assert (site.wrong(seen), seen.gaps) == ([], [])
        assert count(site, "POST") == 1
        assert count(site, "GET") == count(site, "DELETE") == 0
        assert sum("without a session" in record.message for record in caplog.records) == 1


async def test_sessions_that_tell_nothing_are_given_up_and_ended():
    async with offering() as site, site.client() as client:
        site.emulator.faults.add(Fault("status", path=SESSIONS + "/*", status=404, method="GET", times=None))
        async with following(client.alarms.changes(sessions=True, wake=False)):
            await anyio.sleep(1000)
            assert count(site, "GET") == count(site, "POST") == count(site, "DELETE") == 3


@pytest.mark.parametrize("lost", ["forgotten", "expired", "restart"])
async def test_a_session_that_is_lost_is_made_anew(lost):
    async with offering() as site, site.client() as client:
        one = await old(site)
        async with following(client.alarms.changes(snapshot=True, sessions=True, **RARE)) as seen:
            await anyio.sleep(12)
            if lost == "restart":
                site.emulator.restart()
            elif lost == "expired":
                site.wall.jump(100)
            else:
                site.emulator.faults.add(
                    Fault("status", path=SESSIONS + "/*", status=410, method="GET", times=1)
                )
            await anyio.sleep(12)
            site.emulator.store.close(one)
            assert await until(lambda: len(seen.changes) == 2, 6)
            assert count(site, "POST") == 2


@pytest.mark.parametrize("body", ["<html>log in</html>", "[]", '{"data":7}', "", "{" * 300])
async def test_garbage(body):
    async with offering() as site, site.client() as client:
        one = await old(site)
        options = {"snapshot": True, "sessions": True, **RARE}
        async with following(client.alarms.changes(**options)) as seen:
            await anyio.sleep(12)
            site.emulator.faults.add(Fault("body", path=SESSIONS + "/*", method="GET", body=body, times=4))
            await anyio.sleep(200)
            site.emulator.store.close(one)
            assert await until(lambda: len(seen.changes) == 2, 6)
            assert (seen.gaps, seen.error) == ([], None)
        site.emulator.faults.add(Fault("body", path=SESSIONS, method="POST", body=body, times=None))
        async with following(client.alarms.changes(**options)) as seen:
            await anyio.sleep(200)
            assert (seen.error, count(site, "POST")) == (None, 2)


async def test_ids_that_nobody_knows_cost_one_read_each():
    body = '{"data":{"updatedInSession":["%s"]}}'
    async with offering() as site, site.client() as client:
        site.add()
        async with following(client.alarms.changes(snapshot=True, sessions=True, **RARE)) as seen:
            await anyio.sleep(12)
            unknown = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
            site.emulator.faults.add(
                Fault("body", path=SESSIONS + "/*", method="GET", body=body % unknown, times=1)
            )
            site.asked.clear()
            await anyio.sleep(100)
            assert [path for path, _ in site.asked].count(f"/api/rest/v1/alarms/{unknown}") == 1
            assert len(seen.changes) == 1


async def test_alarms_of_other_sources_are_not_given_whoever_names_them():
    async with offering() as site, site.client() as client:
        ours, other, _ = site.emulator.store.site.items["cameras"]
        foreign = await old(site, source=other)
        async with following(client.alarms.changes(ours, snapshot=True, sessions=True, **RARE)) as seen:
            await anyio.sleep(12)
            body = f'{{"data":{{"updatedInSession":["{foreign}"]}}}}'
            site.emulator.faults.add(Fault("body", path=SESSIONS + "/*", method="GET", body=body))
            site.asked.clear()
            await anyio.sleep(100)
            assert [path for path, _ in site.asked].count(f"/api/rest/v1/alarms/{foreign}") == 1
            assert seen.changes == []


async def test_a_new_alarm_brings_a_look_forward():
    async with offering() as site, site.client() as client:
        stream = client.alarms.changes(wake=False, latency=300, period=5000, sessions=True)
        async with following(stream) as seen:
            await anyio.sleep(100)
            site.add()
            assert await until(lambda: len(seen.changes) == 1, 31)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", path=SESSIONS, status=503, times=2),
        Fault("status", path=SESSIONS, status=429, retry_after="20"),
        Fault("drop", path=SESSIONS),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_a_server_that_is_busy_at_first_gets_its_session_later(fault):
    async with offering() as site, site.client() as client:
        one = await old(site)
        site.emulator.faults.add(fault)
        async with following(client.alarms.changes(snapshot=True, sessions=True, **RARE)) as seen:
            await anyio.sleep(200)
            site.emulator.store.close(one)
            assert await until(lambda: len(seen.changes) == 2, 6)


async def test_many_changes_at_once_cost_one_comparison():
    async with offering() as site, site.client() as client:
        many = [site.add() for _ in range(150)]
        await anyio.sleep(1000)
        async with following(client.alarms.changes(snapshot=True, sessions=True, **RARE)) as seen:
            await anyio.sleep(12)
            site.asked.clear()
            for one in many:
                site.emulator.store.update(one, {"priority": 1})
            assert await until(lambda: len(seen.changes) == 300, 6)
            await anyio.sleep(60)
            assert len([path for path, _ in site.asked if "/alarms/" in path and SESSIONS not in path]) == 0
            assert (site.wrong(seen), site.twice(seen)) == ([], [])


async def test_a_client_that_is_left_first_ends_the_session():
    async with offering() as site:
        async with site.client() as client:
            stream = client.alarms.changes(sessions=True)
            await stream.__aenter__()
            await anyio.sleep(12)
        assert (count(site, "POST"), count(site, "DELETE")) == (1, 1)
        await stream.aclose()


@pytest.mark.parametrize("times", [0.0, 0.01, 5.5])
async def test_who_leaves_at_any_time_leaves_no_session(times):
    async with offering() as site:
        async with site.client() as client:
            async with client.alarms.changes(sessions=True):
                await anyio.sleep(times)
        assert count(site, "DELETE") == count(site, "POST")


@pytest.mark.parametrize("fault", ["hang", "drop"])
async def test_leaving_is_bounded_whatever_the_server_does(fault):
    async with offering() as site, site.client(close_timeout=2.0) as client:
        async with client.alarms.changes(sessions=True, wake=False):
            await anyio.sleep(12)
            site.emulator.faults.add(Fault(fault, path=SESSIONS + "/*", method="DELETE", times=None))
            before = anyio.current_time()
        assert anyio.current_time() - before <= 3.5


async def test_requests_of_an_idle_session_are_bounded():
    async with offering() as site, site.client() as client:
        options = {"wake": False, "latency": 200, "period": 5000, "sessions": True}
        async with following(client.alarms.changes(**options)):
            await anyio.sleep(3000)
        assert (count(site, "POST"), count(site, "GET")) == (1, 100)


@pytest.mark.parametrize("seed", range(2))
async def test_bad_times(seed):
    rng = random.Random(seed)
    recovery = RecoveryPolicy(reconcile_every=200)
    faults = (
        Fault("status", path="/api/rest/*", status=503, times=4),
        Fault("status", path=SESSIONS + "*", status=429, retry_after="20", times=2),
        Fault("cut", path=SESSIONS + "/*", size=30, times=2),
        Fault("silence", path=SESSIONS + "/*", size=30, times=1),
        Fault("drop", path=SESSIONS + "*", when="reply", times=2),
        Fault("status", path=SESSIONS + "*", status=404, times=3),
    )
    async with vms(settings=XProtectSettings(sessions=True, token_lifetime=60)) as site:
        async with site.client(recovery=recovery) as client:
            stream = client.alarms.changes(snapshot=True, sessions=True)
            async with following(stream) as seen:
                await anyio.sleep(12)  # one that told something is never given up
                for step in range(200):
                    ids = [alarm["id"] for alarm in site.emulator.store.alarms()]
                    if not ids or rng.random() < 0.4:
                        site.add()
                    elif rng.random() < 0.2:
                        site.emulator.store.remove(rng.choice(ids))
                    else:
                        change = {"priority": rng.choice((1, 2, 3)), "state": rng.choice((1, 4, CLOSED))}
                        site.emulator.store.update(rng.choice(ids), change)
                    if step % 7 == 0:
                        site.emulator.faults.add(rng.choice(faults))
                    if step % 61 == 60:
                        site.emulator.restart()
                    await anyio.sleep(rng.expovariate(1 / 3))
                site.emulator.faults.clear()
                await anyio.sleep(500)
                assert (site.wrong(seen), site.twice(seen), seen.error) == ([], [], None)
                assert stream.state is StreamState.CONNECTED
                assert count(site, "GET") > 20
