import anyio
import pytest
from emulated.changes_rig import DEVICE, following, tenant

from tocsin import StreamState

pytestmark = pytest.mark.virtual_time


async def test_live_changes_come_as_they_are_written():
    async with tenant() as rig, following(rig) as seen:
        one = rig.raise_alarm()
        rig.store.update(one, {"severity": "CRITICAL"})
        rig.store.update(one, {"status": "CLEARED"})
        await rig.until(lambda: len(seen.items) >= 3)
        await anyio.sleep(200)
        assert seen.told == [("CREATE", one, "live"), ("UPDATE", one, "live"), ("UPDATE", one, "live")]
        assert seen.gaps == []
        change = seen.changes[0]
        assert (change.platform, change.site, change.key) == ("cumulocity", "t1", ("t1", one))
        assert change.alarm.source_id == DEVICE
        assert seen.stream.state is StreamState.CONNECTED
        assert rig.emulator.ledger.lost(seen.fold) == []
        assert rig.emulator.ledger.duplicates(seen.jsonl) == []
