"""A tenant whose requests are limited: calls wait and get through, and streams lose nothing."""

from functools import partial

import anyio
import pytest

from emulated.following import following, tenant, until
from tocsin import RateLimitError, RetryPolicy
from tocsin.emulator import ThrottleSettings

pytestmark = pytest.mark.virtual_time


async def test_a_burst_of_calls_gets_through_and_nothing_is_created_twice():
    throttle = ThrottleSettings(requests=5, queue=2)
    async with tenant(throttle=throttle) as s, s.client(retry=RetryPolicy(attempts=10)) as client:
        s.emulator.store.add_device(id="1")
        create = partial(client.alarms.create, text="", severity="MAJOR", source="1")
        async with anyio.create_task_group() as tasks:
            for number in range(25):
                tasks.start_soon(partial(create, type=f"t{number}"))
        assert s.emulator.throttle.refused > 0
        assert [alarm["count"] for alarm in s.emulator.store.alarms()] == [1] * 25


async def test_who_does_not_retry_is_told():
    async with tenant(throttle=ThrottleSettings(requests=1, queue=0, retry_after=7)) as s:
        s.emulator.store.add_device(id="1")
        async with s.client(retry=RetryPolicy.none()) as client:
            await client.alarms.count()
            with pytest.raises(RateLimitError) as caught:
                await client.alarms.count()
            assert caught.value.retry_after == 7


async def test_a_stream_survives_a_tenant_that_is_over_its_limit():
    async with tenant() as s, s.client() as client:
        store = s.emulator.store
        first = store.create({"source": "1", "type": "first"})["id"]
        async with following(client.alarms.changes(snapshot=True)) as seen:
            assert await until(lambda: first in seen.fold, 10)
            # Others use the limit up: one request in five seconds is left, and it may not wait.
            s.emulator.throttle.settings = ThrottleSettings(requests=0.2, queue=0)
            s.emulator.forget_sessions()
            late = [store.create({"source": "1", "type": f"late{n}"})["id"] for n in range(5)]
            assert await until(lambda: set(seen.fold) == {first, *late}, 300)
            assert s.emulator.throttle.refused > 0
            s.emulator.throttle.settings = ThrottleSettings()
            last = store.create({"source": "1", "type": "last"})["id"]
            assert await until(lambda: last in seen.fold, 120)
            assert seen.error is None
        assert s.wrong(seen) == []
        assert s.twice(seen) == []
