"""The promises on each transport of the real-time API: what befalls a held poll befalls a socket too."""

from __future__ import annotations

import json

import anyio
import pytest

from emulated.following import POLLED, following, tenant, until
from tocsin import AuthenticationError, Gap, StreamState
from tocsin.cumulocity import BasicAuth, Cumulocity
from tocsin.emulator import BayeuxSettings, Fault

pytestmark = pytest.mark.virtual_time


@pytest.fixture(params=["auto", "websocket", "long-polling", "auto without"])
def way(request):
    """What the stream asks for; the last one of a server that has no WebSocket."""
    return request.param


def site_of(way):
    return tenant(bayeux=POLLED if way == "auto without" else BayeuxSettings())


def transport_of(way):
    return way.split()[0]


def add(site, number=1):
    return str(site.emulator.store.create({"type": f"acme_{number}", "source": "4711"})["id"])


async def test_changes_come_as_they_are_written(way):
    async with (
        site_of(way) as site,
        site.client() as client,
        following(client.alarms.changes(transport=transport_of(way))) as seen,
    ):
        one = add(site)
        site.emulator.store.update(one, {"severity": "CRITICAL"})
        await anyio.sleep(0.1)
        site.emulator.store.update(one, {"status": "CLEARED"})
        await anyio.sleep(300)
        assert [change["action"] for change in seen.changes] == ["CREATE", "UPDATE", "UPDATE"]
        assert not seen.gaps
        assert site.wrong(seen) == site.twice(seen) == []
        polled = site.emulator.requests.by["POST", "/notification/realtime"] > 0
        assert polled is (way in ("long-polling", "auto without"))


async def test_an_outage_is_a_gap_and_everything_is_recovered(way):
    async with (
        site_of(way) as site,
        site.client() as client,
        following(client.alarms.changes(transport=transport_of(way))) as seen,
    ):
        one = add(site)
        await anyio.sleep(100)
        site.emulator.go_down()
        site.emulator.store.update(one, {"text": "b"})
        two = add(site, 2)
        await anyio.sleep(20)
        site.emulator.come_up()
        assert await until(lambda: seen.gaps, 200)
        assert {one, two} == set(seen.fold)
        assert site.wrong(seen) == site.twice(seen) == []
        assert len(seen.gaps) == 1
        assert isinstance(seen.gaps[0], Gap)


async def test_a_forgotten_session_is_made_anew(way):
    async with (
        site_of(way) as site,
        site.client() as client,
        following(client.alarms.changes(transport=transport_of(way))) as seen,
    ):
        await anyio.sleep(20)
        site.emulator.faults.add(Fault("forget"))
        await anyio.sleep(60)
        one = add(site)
        assert await until(lambda: one in seen.fold, 100)
        assert site.wrong(seen) == site.twice(seen) == []


async def test_a_wrong_password_is_raised_on_entering(way):
    async with site_of(way) as site:
        auth = BasicAuth("demo", "wrong", tenant="t1")
        factory = site.server.transport_factory
        async with Cumulocity(site.server.url, auth, transport_factory=factory) as client:
            with pytest.raises(AuthenticationError):
                async with client.alarms.changes(transport=transport_of(way)):
                    pass


async def test_leaving_ends_the_session(way):
    async with site_of(way) as site, site.client() as client:
        async with client.alarms.changes(transport=transport_of(way)):
            await anyio.sleep(20)
            begun = anyio.current_time()
        assert anyio.current_time() - begun <= 3
        await anyio.sleep(1)
        assert site.server.in_flight == 0


async def test_leaving_a_server_that_is_gone_is_bounded(way):
    async with site_of(way) as site, site.client() as client:
        async with client.alarms.changes(transport=transport_of(way)):
            await anyio.sleep(20)
            site.emulator.go_down()
            begun = anyio.current_time()
        assert anyio.current_time() - begun <= 3
        site.emulator.come_up()


async def test_health_tells_what_a_probe_asks_for():
    async with tenant() as site, site.client() as client:
        stream = client.alarms.changes()
        assert (stream.health().state, stream.health().ready) == (StreamState.RECONNECTING, False)
        async with stream:
            await anyio.sleep(200)
            health = stream.health()
            assert health.ready
            assert health.cause is None
            assert health.alive_age is not None
            assert health.sweep_age is not None
            assert health.alive_age <= 45 < health.attached_age <= health.state_age <= 201
            assert health.sweep_age <= 61
            assert (health.gap_age, health.backlog) == (None, 0)
            assert json.loads(json.dumps(health.as_json())) == {
                name: getattr(health, name) for name in health.__slots__
            }
            add(site)
            assert await until(lambda: stream.health().backlog == 1, 10)
            site.emulator.go_down()
            await anyio.sleep(100)
            health = stream.health()
            assert not health.ready
            assert health.state is StreamState.RECONNECTING
            assert health.attached_age is None
            assert health.gap_age >= 99
            assert health.alive_age >= 99
            site.emulator.come_up()
            assert await until(lambda: stream.health().ready, 200)
            assert stream.stats.gap_since is None
        assert stream.health().state is StreamState.CLOSED
