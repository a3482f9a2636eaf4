"""Users with inventory roles alone: short pages, places instead of page numbers, few rights."""

import anyio
import pytest

from emulated.alarm_site import ids, site
from emulated.following import following, tenant, until
from tocsin import Action, Cumulocity, RecoveryPolicy, SubscriptionRefusedError
from tocsin.cumulocity import BasicAuth
from tocsin.emulator import BayeuxSettings, Behaviour
from tocsin.errors import PermissionDeniedError

MINE = frozenset({"1"})
HOW = pytest.mark.parametrize("how", ["offset", "page"])


def restricted(how, **options):
    return site(user="eve", behaviour=Behaviour(restricted_pages=how), **options)


def admit(s):
    s.emulator.access.add_user("eve", "demo", "no-alarms", sources=MINE)


@HOW
@pytest.mark.parametrize("page_size", [5, 20, 150])
@pytest.mark.parametrize("stable", [False, True])
async def test_a_list_goes_on_over_short_and_empty_pages_to_its_end(how, page_size, stable):
    async with restricted(how) as s:
        admit(s)
        mine = []
        for run, foreign in enumerate([3, 250, 0, 1, 130]):
            mine += [s.add(f"{run}_{number}", source="1") for number in range(21)]
            for number in range(foreign):
                s.add(f"{run}_{number}", source="9")
            s.later(3)
        given = await ids(s.alarms.list(page_size=page_size, stable=stable))
        assert sorted(given) == sorted(mine)
        assert len(s.asked) < 300


@HOW
@pytest.mark.parametrize("stable", [False, True])
async def test_a_list_keeps_all_that_stays_while_others_come_and_go(how, stable):
    async with restricted(how) as s:
        admit(s)
        rows = [(number, s.add(number, source="1" if number % 3 else "9")) for number in range(240)]
        mine = [one for number, one in rows if number % 3]
        foreign = [one for number, one in rows if not number % 3]
        gone = set(mine[100:105])
        s.before[2] = lambda: [s.add(1000 + number, source="9") for number in range(30)]
        s.before[3] = lambda: s.clear(*gone, *foreign[-20:])
        s.before[4] = lambda: [s.emulator.store.remove(one) for one in foreign[:10]]
        given = await ids(s.alarms.list(page_size=20, status="ACTIVE", stable=stable))
        assert len(given) == len(set(given))
        assert set(mine) - gone <= set(given)


async def test_a_scan_that_ends_without_a_row_is_not_the_end():
    async with restricted("offset") as s:
        admit(s)
        mine = s.add(0, source="1")
        for number in range(3500):
            s.add(number, source="9")
        assert await ids(s.alarms.list(page_size=5)) == [mine]
        assert await s.alarms.count() == 1
        assert (await s.alarms.get(mine)).id == mine
        page = await s.alarms.list(page_size=5)
        assert [alarm.id for alarm in page.items] == [mine]
        assert page.statistics.current_page == 3502
        assert page.statistics.total_pages is None


async def test_writes_are_refused_where_no_role_and_no_ownership_opens_them():
    async with restricted("offset") as s:
        s.emulator.access.add_user("eve", "demo", "no-alarms", sources=MINE, writes=MINE)
        mine, other = s.add(0, source="1"), s.add(0, source="9")
        assert (await s.alarms.acknowledge(mine)).status == "ACKNOWLEDGED"
        made = await s.alarms.create(type="t", text="", severity="MAJOR", source="1")
        assert made.alarm.source.id == "1"
        for call in (
            lambda: s.alarms.clear(other),
            lambda: s.alarms.get(other),
            lambda: s.alarms.create(type="t", text="", severity="MAJOR", source="9"),
        ):
            with pytest.raises(PermissionDeniedError):
                await call()


def eve(tenant_site, **options):
    return Cumulocity(
        tenant_site.server.url,
        BasicAuth("eve", "demo", tenant="t1"),
        transport_factory=tenant_site.server.transport_factory,
        clock=tenant_site.wall,
        **options,
    )


SMALL = RecoveryPolicy(page_size=10, reconcile_every=120)


@pytest.mark.virtual_time
@HOW
async def test_a_stream_recovers_what_lies_behind_many_empty_pages(how):
    async with tenant(behaviour=Behaviour(restricted_pages=how)) as s:
        admit(s)
        store = s.emulator.store
        first = [store.create({"source": "1", "type": f"early_{n}"})["id"] for n in range(25)]
        for number in range(400):
            store.create({"source": "9", "type": f"a{number}"})
        async with eve(s, recovery=SMALL) as client:
            stream = client.alarms.changes(snapshot=True, transport="polling")
            async with following(stream) as seen:
                assert await until(lambda: set(seen.fold) == set(first), 60)
                s.emulator.go_down()
                late = [store.create({"source": "1", "type": f"late_{n}"})["id"] for n in range(25)]
                store.update(first[0], {"status": "CLEARED"})
                for number in range(400):
                    store.create({"source": "9", "type": f"b{number}"})
                await anyio.sleep(30)
                s.emulator.come_up()
                assert await until(lambda: set(seen.fold) >= {*first, *late}, 200)
                assert await until(lambda: seen.fold[first[0]]["status"] == "CLEARED", 60)
                assert seen.error is None
        assert set(seen.fold) == {*first, *late}
        assert s.twice(seen) == []


@pytest.mark.virtual_time
@HOW
async def test_deletions_are_found_though_a_first_page_would_be_empty(how):
    async with tenant(behaviour=Behaviour(restricted_pages=how)) as s:
        admit(s)
        store = s.emulator.store
        first = [store.create({"source": "1", "type": f"early_{n}"})["id"] for n in range(5)]
        for number in range(1200):
            store.create({"source": "9", "type": f"a{number}"})
        async with eve(s, recovery=RecoveryPolicy(reconcile_every=120)) as client:
            stream = client.alarms.changes(snapshot=True, transport="polling")
            async with following(stream) as seen:
                assert await until(lambda: set(seen.fold) == set(first), 60)
                store.remove(first[0])
                store.remove(first[1])
                assert await until(lambda: seen.fold[first[0]] is None, 400)
                assert await until(lambda: seen.fold[first[1]] is None, 10)


@pytest.mark.virtual_time
async def test_live_alarms_come_by_the_channels_that_are_open():
    async with tenant(bayeux=BayeuxSettings(without_role="own")) as s:
        admit(s)
        async with eve(s) as client:
            with pytest.raises(SubscriptionRefusedError):
                async with client.alarms.changes():
                    pytest.fail("entered")
            async with following(client.alarms.changes("1")) as seen:
                store = s.emulator.store
                one = store.create({"source": "1"})["id"]
                store.create({"source": "9"})
                assert await until(lambda: one in seen.fold, 5)
                s.emulator.drop_polls(lose=True)
                s.emulator.forget_sessions()
                two = store.create({"source": "1", "type": "b"})["id"]
                assert await until(lambda: two in seen.fold, 60)
                assert set(seen.fold) == {one, two}
                assert {change["action"] for change in seen.changes} == {Action.CREATE}
