"""Each promise of the design, end to end, and that it rests on the mechanism that is said to keep it.

Such a scenario runs twice: as it is, and with the mechanism switched off. Then the promise must break, or the
test proves nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from emulated.following import POLLED, consuming, following, tenant, until, without_sweeps
from tocsin import (
    AuthenticationError,
    ConfigurationError,
    Origin,
    ReconnectPolicy,
    RecoveryPolicy,
    StreamState,
    SubscriptionRefusedError,
    Timeouts,
)
from tocsin.emulator import Fault
from tocsin.testing import VirtualWallClock

if TYPE_CHECKING:
    from tocsin import ChangeStream, Cumulocity
    from tocsin.cumulocity import Alarm

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

both = pytest.mark.parametrize("on", [True, False], ids=["on", "off"])

RECOVERY_TIME = 45 + 60 + 30 + 30
"""Seconds: detection, backoff, one sweep, and thirty."""
NEVER = 1_000_000.0


def add(site: Any, number: int, **fields: Any) -> str:
    return str(site.emulator.store.create({"type": f"acme_{number}", "source": "4711", **fields})["id"])


def sweeping(client: Cumulocity, on: bool) -> ChangeStream[Alarm]:
    return client.alarms.changes(snapshot=True) if on else without_sweeps(client, snapshot=True)


# 1. Convergence


@both
async def test_the_fold_converges_after_an_outage(on: bool) -> None:
    async with tenant() as site, site.client() as client:
        old = add(site, 0)
        async with following(sweeping(client, on)) as seen:
            assert await until(lambda: old in seen.fold, 10)
            missed = [add(site, number) for number in range(1, 4)]
            assert await until(lambda: set(missed) <= seen.fold.keys(), 10)
            site.emulator.go_down()
            await anyio.sleep(100)
            site.emulator.store.update(old, {"status": "CLEARED"})
            site.emulator.store.update(missed[0], {"severity": "CRITICAL"})
            fresh = add(site, 9)
            await anyio.sleep(5)
            site.emulator.come_up()
            assert await until(lambda: not site.wrong(seen), RECOVERY_TIME) is on
            assert (fresh in seen.fold) is on
            assert site.twice(seen) == []


@both
async def test_a_deletion_that_nobody_tells_is_found_within_a_reconcile_period(on: bool) -> None:
    recovery = RecoveryPolicy() if on else RecoveryPolicy(reconcile_every=NEVER)
    async with tenant(profile="current") as site, site.client(recovery=recovery) as client:
        kept, doomed = add(site, 0), add(site, 1)
        async with following(client.alarms.changes(snapshot=True)) as seen:
            await anyio.sleep(120)
            site.emulator.store.remove(doomed)
            assert await until(lambda: not site.wrong(seen), 900 + RECOVERY_TIME) is on
            assert (seen.fold[doomed] is None) is on
            assert seen.fold[kept] is not None


@both
async def test_a_silent_write_is_found_by_the_sweep(on: bool) -> None:
    async with tenant() as site, site.client() as client:
        alarm = add(site, 0)
        async with following(sweeping(client, on)) as seen:
            await anyio.sleep(120)
            site.emulator.store.update(alarm, {"text": "silent"}, silent=True)
            assert await until(lambda: not site.wrong(seen), 90) is on


# 2. No silent loss


@both
async def test_a_message_lost_in_a_living_session_is_recovered_and_told(on: bool) -> None:
    async with tenant() as site, site.client() as client:
        alarm = add(site, 0)
        async with following(sweeping(client, on)) as seen:
            await anyio.sleep(120)
            site.emulator.faults.add(Fault("lose", channel="/alarms/*"))
            at = site.wall()
            site.emulator.store.update(alarm, {"text": "lost on the way"})
            assert await until(lambda: bool(seen.gaps), 120) is on
            assert (not site.wrong(seen)) is on
            if on:
                gap = seen.gaps[-1]
                assert gap.since <= at <= gap.until
                assert gap.recovered == 1
                assert seen.origins[-1] is Origin.RECOVERED


async def test_without_a_rest_api_every_loss_is_a_gap_that_cannot_be_recovered() -> None:
    async with tenant() as site, site.client() as client:
        site.emulator.faults.add(Fault("status", status=404, body="no such page", path="/[!n]*", times=None))
        async with following(client.alarms.changes("4711")) as seen:
            first = add(site, 1)
            assert await until(lambda: first in seen.fold, 10)
            down = site.wall()
            site.emulator.restart()
            add(site, 2)
            assert await until(lambda: bool(seen.gaps), RECOVERY_TIME)
            gap = seen.gaps[-1]
            assert gap.recovered is None
            assert gap.since <= down <= gap.until
            third = add(site, 3)
            assert await until(lambda: third in seen.fold, 10), "live again"
            assert seen.error is None


@both
async def test_a_consumer_that_slept_loses_nothing_but_what_it_chose_to_drop(on: bool) -> None:
    async with tenant() as site, site.client() as client:
        policy = "recover" if on else "drop_oldest"
        stream = client.alarms.changes(snapshot=True, buffer=20, overflow=policy)
        async with stream:
            ids = [add(site, number) for number in range(100)]
            for alarm in ids:
                await anyio.sleep(0.01)
                site.emulator.store.update(alarm, {"severity": "CRITICAL"})
            await anyio.sleep(5)
            assert stream.stats.buffered <= 20
            async with consuming(stream) as seen:
                assert await until(lambda: not site.wrong(seen), RECOVERY_TIME) is on
            assert seen.gaps
            assert all((gap.recovered is not None) is on for gap in seen.gaps)
            assert site.twice(seen) == []


# 3. No duplicates, commit order


async def test_doubled_and_reordered_messages_are_given_once_and_in_order() -> None:
    async with tenant(profile="seed") as site, site.client() as client:
        doubled = site.emulator.faults.add(Fault("duplicate", chance=0.5, times=None))
        swapped = site.emulator.faults.add(Fault("reorder", chance=0.3, times=None))
        stream = client.alarms.changes(snapshot=True)
        async with following(stream) as seen:
            for number in range(60):
                alarm = add(site, number)
                await anyio.sleep(0.2)
                site.emulator.store.update(alarm, {"severity": "MINOR"})
                site.emulator.store.update(alarm, {"severity": "MAJOR"})
                site.emulator.store.update(alarm, {"severity": "MINOR"})
                await anyio.sleep(0.05)
                if number % 3 == 0:
                    site.emulator.store.update(alarm, {"status": "CLEARED"})
                if number % 5 == 0:
                    site.emulator.store.remove(alarm)
            assert await until(lambda: not site.wrong(seen), RECOVERY_TIME)
            await anyio.sleep(200)
            assert site.twice(seen) == []
            assert doubled.fired > 20
            assert swapped.fired > 20
            assert stream.stats.duplicates > 20, "the server said it twice, the stream did not"


async def test_what_a_sweep_reads_again_is_not_given_again() -> None:
    async with tenant() as site, site.client() as client:
        for number in range(30):
            add(site, number)
        async with following(client.alarms.changes(snapshot=True)) as seen:
            for _ in range(5):
                await anyio.sleep(100)
                site.emulator.restart()
            await anyio.sleep(100)
            assert len(seen.changes) == 30
            assert site.twice(seen) == []


# 4. Never deaf


@both
async def test_a_peer_that_fell_silent_is_noticed_within_liveness(on: bool) -> None:
    options = {} if on else {"liveness": NEVER, "advice_timeout": NEVER / 2}
    async with tenant() as site, site.client(**options) as client:
        stream = client.alarms.changes(snapshot=True)
        async with following(stream):
            await anyio.sleep(40)
            assert site.emulator.silence_polls() == 1
            assert await until(lambda: stream.stats.reconnects > 0, 45 + 1) is on


@both
async def test_a_subscription_that_does_not_deliver_is_found_out(on: bool) -> None:
    async with (
        tenant() as site,
        site.client() as client,
        following(sweeping(client, on)) as seen,
    ):
        await anyio.sleep(120)
        site.emulator.faults.add(Fault("lose", times=None))
        for number in range(10):
            add(site, number)
            await anyio.sleep(60)
        assert await until(lambda: not site.wrong(seen), RECOVERY_TIME) is on


async def test_alarms_still_come_while_only_the_live_channel_is_down() -> None:
    async with tenant() as site, site.client() as client:
        stream = client.alarms.changes(snapshot=True)
        async with following(stream) as seen:
            await anyio.sleep(60)
            site.emulator.faults.add(Fault("status", path="/notification/realtime", times=None))
            site.emulator.forget_sessions(advise=True)
            assert await until(lambda: stream.state is StreamState.RECONNECTING, 60)
            for number in range(10):
                fresh = add(site, number)
                assert await until(lambda fresh=fresh: fresh in seen.fold, RECOVERY_TIME)
            assert stream.state is StreamState.RECONNECTING
            assert seen.gaps == []


async def test_a_read_that_trickles_for_ever_does_not_stop_recovery() -> None:
    async with (
        tenant() as site,
        site.client(timeouts=Timeouts(total=None)) as client,
        following(client.alarms.changes(snapshot=True)) as seen,
    ):
        await anyio.sleep(100)
        site.emulator.faults.add(Fault("drip", path="/alarm/alarms", method="GET", size=1, seconds=25))
        site.emulator.faults.add(Fault("lose", times=None))
        missed = add(site, 1)
        assert await until(lambda: missed in seen.fold, 60 + 300 + 30)


async def test_an_expired_token_is_raised() -> None:
    async with (
        tenant() as site,
        site.client() as client,
        following(client.alarms.changes(snapshot=True)) as seen,
    ):
        await anyio.sleep(100)
        site.emulator.faults.add(Fault("status", status=401, times=None))
        assert await until(lambda: seen.ended, 300)
        assert isinstance(seen.error, AuthenticationError)


async def test_a_refused_subscription_is_raised_on_entering() -> None:
    async with tenant() as site, site.client() as client:
        site.emulator.faults.add(Fault("reject", channel="/meta/subscribe", times=None))
        with pytest.raises(SubscriptionRefusedError):
            async with client.alarms.changes():
                pass


async def test_a_forgotten_session_is_made_anew() -> None:
    async with tenant() as site, site.client() as client:
        stream = client.alarms.changes(snapshot=True)
        async with following(stream) as seen:
            for advise in (True, False):
                await anyio.sleep(100)
                assert site.emulator.forget_sessions(advise=advise) == 1
                fresh = add(site, int(advise))
                assert await until(lambda fresh=fresh: fresh in seen.fold, RECOVERY_TIME)
                assert await until(lambda: stream.state is StreamState.CONNECTED, RECOVERY_TIME)
            assert len(seen.gaps) == 2


# 5. Bounded


@both
async def test_a_sleeping_consumer_costs_no_more_than_its_buffer(on: bool) -> None:
    async with (
        tenant() as site,
        site.client() as client,
        client.alarms.changes(buffer=50 if on else 100_000) as stream,
    ):
        for number in range(300):
            add(site, number)
            await anyio.sleep(0.1)
        assert (stream.stats.buffered <= 50) is on
        assert stream.state is not StreamState.CLOSED


# 6. Polite


@both
async def test_ten_idle_minutes_cost_a_few_requests_a_minute(on: bool) -> None:
    async with tenant() as site, site.client(**({} if on else {"advice_timeout": 1.0})) as client:
        add(site, 0)
        stream = client.alarms.changes(snapshot=True)
        async with following(stream) as seen:
            await anyio.sleep(60)
            before = site.requests()
            await anyio.sleep(600)
            assert (site.requests() - before <= 60) is on
            assert seen.gaps == []
            assert len(seen.changes) == 1
            assert stream.stats.reconnects == 0


@both
async def test_a_broken_server_is_not_hammered(on: bool) -> None:
    reconnect = ReconnectPolicy() if on else ReconnectPolicy(initial=0.5, maximum=0.5)
    async with (
        tenant() as site,
        site.client(reconnect=reconnect) as client,
        following(client.alarms.changes(snapshot=True)) as seen,
    ):
        await anyio.sleep(30)
        site.emulator.restart()
        site.emulator.faults.add(Fault("status", status=503, times=None))
        before = site.requests()
        await anyio.sleep(600)
        assert (site.requests() - before <= 120) is on
        site.emulator.faults.clear()
        fresh = add(site, 1)
        assert await until(lambda: fresh in seen.fold, RECOVERY_TIME)


@both
async def test_retry_after_is_obeyed(on: bool) -> None:
    reconnect = ReconnectPolicy() if on else ReconnectPolicy(retry_after_max=0.0, maximum=5.0)
    async with (
        tenant(bayeux=POLLED) as site,
        site.client(reconnect=reconnect) as client,
        following(client.alarms.changes()) as seen,
    ):
        await anyio.sleep(30)
        busy = Fault("status", status=429, retry_after="100", path="/notification/*", times=None)
        site.emulator.faults.add(busy)
        await anyio.sleep(40)
        before = site.emulator.requests.by["POST", "/notification/realtime"]
        await anyio.sleep(90)
        asked = site.emulator.requests.by["POST", "/notification/realtime"] - before
        assert (asked <= 1) is on
        assert seen.error is None


# 7. Clean


@both
async def test_leaving_ends_the_session_and_leaves_nothing(on: bool) -> None:
    async with tenant() as site:
        async with site.client() as client:
            async with following(client.alarms.changes(snapshot=True)):
                await anyio.sleep(10)
                assert site.emulator.sessions == 1
                if not on:
                    site.emulator.faults.add(Fault("drop", channel="/meta/disconnect", times=None))
            assert (site.emulator.sessions == 0) is on
        await anyio.wait_all_tasks_blocked()
        assert site.server.in_flight == 0


async def test_leaving_a_server_that_is_gone_takes_no_longer_than_the_close_timeout() -> None:
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes(snapshot=True)):
            await anyio.sleep(10)
            site.emulator.faults.add(Fault("hang", times=None))
            began = anyio.current_time()
        assert anyio.current_time() - began <= 2.0 + 1.5


async def test_cancelled_at_every_await_it_leaves_no_task_and_no_request() -> None:
    for steps in range(0, 240, 3):
        async with tenant() as site:
            add(site, 0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow_a_little, site)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert site.server.in_flight == 0, f"cancelled after {steps} steps"


async def follow_a_little(site: Any) -> None:
    async with site.client() as client, client.alarms.changes(snapshot=True) as stream:
        await anext(stream)
        add(site, 1)
        await anext(stream)
        site.emulator.restart()
        add(site, 2)
        await anext(stream)


@pytest.mark.parametrize("where", ["stream", "client"])
async def test_an_error_in_the_body_leaves_as_itself(where: str) -> None:
    async with tenant() as site:
        add(site, 0)
        error = KeyError("mine")
        with pytest.raises(KeyError) as caught:  # noqa: PT012 - where it leaves is what is tested
            async with site.client() as client:
                async with client.alarms.changes(snapshot=True) as stream:
                    await anext(stream)
                    if where == "stream":
                        raise error
                raise error
        assert caught.value is error


async def test_a_client_that_was_left_says_so() -> None:
    async with tenant() as site:
        async with site.client() as client:
            pass
        with pytest.raises(ConfigurationError):
            async with client.alarms.changes():
                pass


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_wall_clock_that_is_set_changes_nothing(hours: int) -> None:
    async with tenant() as site:
        mine = VirtualWallClock()
        async with site.client(clock=mine) as client, following(client.alarms.changes(snapshot=True)) as seen:
            await anyio.sleep(30)
            mine.jump(timedelta(hours=hours).total_seconds())
            site.emulator.restart()
            fresh = add(site, 1)
            assert await until(lambda: fresh in seen.fold, RECOVERY_TIME)
            before = site.requests()
            await anyio.sleep(300)
            assert site.requests() - before <= 40
            assert all(gap.since <= gap.until for gap in seen.gaps)
