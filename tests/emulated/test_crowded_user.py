"""More processes of one user than the platform lets listen: each one's session is closed by the next."""

from contextlib import AsyncExitStack

import anyio
import pytest

from emulated.following import consuming, tenant, until
from tocsin.emulator import BayeuxSettings

pytestmark = pytest.mark.virtual_time


async def test_one_stream_too_many_loses_nothing_and_makes_no_storm():
    async with tenant(bayeux=BayeuxSettings(connections=2)) as s, AsyncExitStack() as stack:
        store = s.emulator.store
        everyone = []
        for _ in range(3):
            client = await stack.enter_async_context(s.client())
            stream = await stack.enter_async_context(client.alarms.changes())
            everyone.append(await stack.enter_async_context(consuming(stream)))
        made = []
        before = s.emulator.requests.channels["/meta/handshake"]
        for number in range(6):
            made.append(store.create({"source": "1", "type": f"t{number}"})["id"])
            await anyio.sleep(30)
        shakes = s.emulator.requests.channels["/meta/handshake"] - before
        assert await until(lambda: all(set(seen.fold) == set(made) for seen in everyone), 120)
        assert [s.twice(seen) for seen in everyone] == [[]] * 3
        assert [seen.error for seen in everyone] == [None] * 3
        assert 0 < shakes < 60  # in three minutes, over all
