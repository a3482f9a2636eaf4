"""Many alarms of an emulated XProtect, changed one by one while others work on them too."""

from random import Random

import pytest

from tocsin.cli._options import Scope
from tocsin.cli._xprotect import DIALECT
from tocsin.emulator import XProtectEmulator
from tocsin.testing import in_process
from tocsin.xprotect import BasicUser, XProtect

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(("verb", "levels", "changed"), [("acknowledge", [4, 11], 1), ("clear", [11, 11], 2)])
async def test_what_somebody_closed_or_removed_meanwhile_is_left_alone(verb, levels, changed):
    vms = XProtectEmulator(rng=Random(7))
    camera = next(iter(vms.store.site.items["cameras"]))
    first, second, third = [vms.store.create({"name": f"n{n}", "source": camera})["id"] for n in range(3)]
    async with in_process(vms) as server:
        client = XProtect(server.url, BasicUser("demo", "demo"), transport_factory=server.transport_factory)
        async with client:
            many = DIALECT.many(Scope(source=[camera]), verb)
            assert await many.count(client) == 3
            vms.store.close(second)
            vms.store.remove(third)
            await many.change(client)
            assert many.changed == changed
    stand = {one["id"]: one["state"]["level"] for one in vms.store.alarms()}
    assert [stand[first], stand[second]] == levels
