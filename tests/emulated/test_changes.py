"""`alarms.changes()` on the emulator, in process, under a clock that jumps: each option, each fault."""

# ruff: noqa: SIM117 - the stream is what is tested, it stands on its own line

from contextlib import AsyncExitStack

import anyio
import pytest

from emulated.following import POLLED, consuming, following, tenant, until
from tocsin import (
    AuthenticationError,
    ConfigurationError,
    Cumulocity,
    NotFoundError,
    PermissionDeniedError,
    RecoveryPolicy,
    RequestTimeoutError,
    StreamState,
    SubscriptionRefusedError,
)
from tocsin.cumulocity import BasicAuth, BearerAuth, Severity
from tocsin.emulator import BayeuxSettings, Behaviour, Fault

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

DEVICE = "4711"
REST = "/alarm/*"


def add(site, number=1, source=DEVICE, **fields):
    return str(site.emulator.store.create({"type": f"acme_{number}", "source": source, **fields})["id"])


def told(seen):
    return [(c["action"], c["id"], str(o)) for c, o in zip(seen.changes, seen.origins, strict=True)]


# What comes, and how


@pytest.mark.parametrize("array", [False, True], ids=["object", "array"])
@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "unstamped"])
async def test_live_changes_come_as_they_are_written(array, stamped):
    bayeux = BayeuxSettings(array_data=array, live_last_updated=stamped)
    async with tenant(bayeux=bayeux) as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            one = add(site, severity="MAJOR", text="forced")
            await anyio.sleep(0.1)
            site.emulator.store.update(one, {"severity": "CRITICAL"})
            await anyio.sleep(0.1)
            site.emulator.store.update(one, {"status": "CLEARED"})
            await anyio.sleep(300)
            assert told(seen) == [("CREATE", one, "live"), ("UPDATE", one, "live"), ("UPDATE", one, "live")]
            assert seen.gaps == []
            assert site.wrong(seen) == []
            assert site.twice(seen) == []


async def test_what_a_change_carries():
    async with tenant() as site, site.client(name="north") as client:
        async with client.alarms.changes() as stream:
            one = add(site, severity="MAJOR", text="forced", acme_Door={"no": 7})
            change = await stream.__anext__()
        assert (change.platform, change.site, change.key) == ("cumulocity", "north", ("north", one))
        assert (change.alarm.text, change.alarm.severity) == ("forced", Severity.MAJOR)
        assert change.alarm["acme_Door"] == {"no": 7}
        assert change.received_at.tzinfo is not None


@pytest.mark.parametrize("snapshot", [False, True, "all"])
async def test_snapshots(snapshot):
    async with tenant() as site, site.client() as client:
        opened, cleared = add(site, 1), add(site, 2)
        site.emulator.store.update(cleared, {"status": "CLEARED"})
        await anyio.sleep(1000)
        async with following(client.alarms.changes(snapshot=snapshot)) as seen:
            await anyio.sleep(1000)
            expected = {False: [], True: [opened], "all": [cleared, opened]}[snapshot]
            assert sorted(told(seen)) == sorted(("CREATE", one, "snapshot") for one in expected)
            assert seen.gaps == []


async def test_a_snapshot_larger_than_a_page_and_than_the_buffer():
    async with tenant() as site, site.client() as client:
        for number in range(300):
            add(site, number)
            if number % 100 == 0:
                await anyio.sleep(1)
        async with following(client.alarms.changes(snapshot=True, buffer=40)) as seen:
            assert await until(lambda: len(seen.changes) == 300, 60)
            await anyio.sleep(100)
            assert site.wrong(seen) == []
            assert len(seen.changes) == 300


async def test_a_cut_is_a_gap_and_what_was_missed_is_recovered():
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            one = add(site, 1, text="a")
            await anyio.sleep(100)
            site.emulator.go_down()
            await anyio.sleep(2)
            site.emulator.store.update(one, {"text": "b"})
            two = add(site, 2)
            await anyio.sleep(20)
            site.emulator.come_up()
            assert await until(lambda: seen.gaps, 120)
            assert sorted(told(seen)) == [
                ("CREATE", one, "live"),
                ("CREATE", two, "recovered"),
                ("UPDATE", one, "recovered"),
            ]
            (gap,) = seen.gaps
            assert gap.recovered == 2
            assert (gap.platform, gap.site) == ("cumulocity", "t1")
            assert 20 <= (gap.until - gap.since).total_seconds() <= 120


@pytest.mark.parametrize("shape", ["string", "number", "object"])
async def test_deletions_that_are_told_come_at_once(shape):
    async with tenant(profile="seed", bayeux=BayeuxSettings(delete_shape=shape)) as site:
        async with site.client() as client, following(client.alarms.changes()) as seen:
            one = add(site)
            await until(lambda: seen.changes, 5)
            site.emulator.store.remove(one)
            assert await until(lambda: len(seen.changes) == 2, 5)
            assert told(seen)[1] == ("DELETE", one, "live")
            await anyio.sleep(2000)
            assert len(seen.changes) == 2


async def test_deletions_that_nobody_tells_are_found_by_reconciling():
    async with tenant(profile="current") as site, site.client() as client:
        one, two = add(site, 1), add(site, 2)
        async with following(client.alarms.changes(snapshot=True)) as seen:
            await until(lambda: len(seen.changes) == 2, 5)
            site.emulator.store.remove(one)
            assert await until(lambda: seen.fold.get(one, 0) is None, 1000)
            assert told(seen)[2:] == [("DELETE", one, "recovered")]
            assert seen.fold[two] is not None
            assert site.wrong(seen) == []


async def test_an_unreadable_message_is_read_back_and_costs_nothing():
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            await anyio.sleep(100)
            site.emulator.faults.add(Fault("garble"))
            one = add(site)
            assert await until(lambda: one in seen.fold, 60)
            await anyio.sleep(100)
            assert site.wrong(seen) == []
            assert site.twice(seen) == []


async def test_odd_alarms_are_survived_with_the_rest_intact():
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            one = add(site)
            site.emulator.publish("/alarms/4711", {"realtimeAction": "CREATE", "data": {"id": one}})
            site.emulator.publish("/alarms/4711", 7)
            site.emulator.publish("/alarms/4711", None)
            site.emulator.publish(
                "/alarms/4711", [{"realtimeAction": "UPDATE", "data": {"id": one, "count": "x"}}]
            )
            await anyio.sleep(300)
            two = add(site, 2)
            assert await until(lambda: two in seen.fold, 5)
            assert site.wrong(seen) == []
            assert seen.error is None


# Scopes and filters


async def test_one_source_several_and_children():
    async with tenant() as site, site.client() as client, AsyncExitStack() as stack:
        site.emulator.store.add_device("Hall", id="10")
        site.emulator.store.add_device("Door", id="11", parent="10")
        site.emulator.store.add_device("Other", id="12")
        old = [add(site, 1, "10"), add(site, 1, "11"), add(site, 1, "12")]

        async def start(source, **options):
            changes = client.alarms.changes(source, snapshot=True, **options)
            return await stack.enter_async_context(following(changes))

        one = await start(10)
        several = await start(["10", "12"])
        below = await start("10", children=True)
        everything = await start("*")
        assert site.emulator.sessions == 1, "one session for all"
        new = [add(site, 2, "10"), add(site, 2, "11"), add(site, 2, "12")]
        await anyio.sleep(200)
        for seen, places in ((one, [0]), (several, [0, 2]), (below, [0, 1]), (everything, [0, 1, 2])):
            assert seen.fold.keys() == {ids[place] for ids in (old, new) for place in places}
            assert len(seen.changes) == 2 * len(places)
            assert seen.gaps == []
        site.emulator.restart()
        await anyio.sleep(1)
        late = add(site, 3, "11")
        await anyio.sleep(200)
        assert [late in seen.fold for seen in (one, several, below, everything)] == [False, False, True, True]


async def test_an_alarm_that_leaves_the_severity_filter_is_given_once_more():
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes(severity=["MAJOR", Severity.CRITICAL])) as seen:
            quiet, loud = add(site, 1, severity="MINOR"), add(site, 2, severity="MAJOR")
            for severity in ("CRITICAL", "MINOR", "WARNING", "MAJOR"):
                await anyio.sleep(1)
                site.emulator.store.update(loud, {"severity": severity})
            await anyio.sleep(100)
            assert quiet not in seen.fold
            assert [c["alarm"]["severity"] for c in seen.changes] == ["MAJOR", "CRITICAL", "MINOR", "MAJOR"]


async def test_a_type_filter_is_the_servers_where_it_can_be():
    async with tenant() as site, site.client() as client:
        async with (
            following(client.alarms.changes(type="acme_1", snapshot=True)) as plain,
            following(client.alarms.changes(type=["acme_1", "a,b"], snapshot=True)) as odd,
        ):
            one, _ = add(site, 1), add(site, 2)
            three = str(site.emulator.store.create({"type": "a,b", "source": DEVICE})["id"])
            await anyio.sleep(100)
            assert list(plain.fold) == [one]
            assert list(odd.fold) == [one, three]
            queries = [seen.query for seen in site.emulator.requests.log if seen.path == "/alarm/alarms"]
            assert any("type=acme_1" in query for query in queries)
            assert not any("a%2Cb" in query or "a,b" in query for query in queries)


@pytest.mark.parametrize(
    "options",
    [
        {"source": []},
        {"source": ["1", "*"]},
        {"source": "a/b"},
        {"source": "*", "children": True},
        {"severity": []},
        {"severity": "LOUD"},
        {"type": []},
        {"type": " "},
        {"snapshot": "some"},
        {"overflow": "block"},
        {"overflow": "explode"},
        {"buffer": 0},
        {"transport": "notification2"},
        {"transport": "pigeon"},
        {"checkpoint": "file"},
    ],
    ids=str,
)
async def test_what_cannot_be_followed_is_refused_at_the_call(options):
    async with tenant() as site:
        client = site.client()
        with pytest.raises(ConfigurationError):
            client.alarms.changes(**options)


# Overflow


async def test_overflow_recovers_what_was_dropped():
    async with tenant() as site, site.client() as client:
        async with client.alarms.changes(buffer=20) as stream:
            await anyio.sleep(100)
            for number in range(120):
                add(site, number)
                await anyio.sleep(0.1)
            async with consuming(stream) as seen:
                assert await until(lambda: len(seen.fold) == 120 and seen.gaps, 200)
                await anyio.sleep(200)
                assert site.wrong(seen) == []
                assert site.twice(seen) == []
                assert [gap.recovered is None for gap in seen.gaps] == [False]


async def test_overflow_conflates():
    async with tenant() as site, site.client() as client:
        async with client.alarms.changes(buffer=5, overflow="conflate") as stream:
            one = add(site)
            for number in range(50):
                site.emulator.store.update(one, {"text": str(number)})
                await anyio.sleep(0.1)
            async with consuming(stream) as seen:
                await anyio.sleep(100)
                assert told(seen) == [("CREATE", one, "live")]
                assert site.wrong(seen) == []
                assert stream.stats.conflated == 50


async def test_overflow_drops_the_oldest_and_says_so():
    async with tenant() as site, site.client() as client:
        async with client.alarms.changes(buffer=20, overflow="drop_oldest") as stream:
            ids = []
            for number in range(50):
                ids.append(add(site, number))
                await anyio.sleep(0.1)
            async with consuming(stream) as seen:
                await anyio.sleep(200)
                assert list(seen.fold) == ids[-20:]
                assert [gap.recovered for gap in seen.gaps] == [None]


# One session, two addresses, no session


async def test_streams_of_a_client_share_one_session_and_the_last_ends_it():
    async with tenant() as site, site.client() as client:
        async with client.alarms.changes(DEVICE) as first:
            async with client.alarms.changes("*") as second:
                assert site.emulator.sessions == 1
                one = add(site)
                assert [(await stream.__anext__()).id for stream in (first, second)] == [one, one]
            await anyio.sleep(20)
            assert site.emulator.subscriptions == [["/alarms/4711"]]
            two = add(site, 2)
            assert (await first.__anext__()).id == two
        assert site.emulator.sessions == 0
        async with client.alarms.changes("*") as third:
            assert site.emulator.sessions == 1
            three = add(site, 3)
            assert (await third.__anext__()).id == three
    assert site.emulator.sessions == 0


async def test_an_error_in_one_stream_does_not_end_another():
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes("*")) as healthy:
            site.emulator.faults.add(Fault("reject", channel="/meta/subscribe", subscription="/alarms/1"))
            with pytest.raises(SubscriptionRefusedError):
                async with client.alarms.changes("1"):
                    pytest.fail("entered")
            one = add(site)
            assert await until(lambda: one in healthy.fold, 5)
            assert healthy.gaps == []


async def test_an_older_server_is_found_at_its_own_address():
    async with tenant(bayeux=BayeuxSettings(notification_path=False)) as site, site.client() as client:
        async with following(client.alarms.changes()) as seen:
            one = add(site)
            assert await until(lambda: one in seen.fold, 5)
            by = site.emulator.requests.by
            assert by["POST", "/notification/realtime"] == 1
            assert by["POST", "/cep/realtime"] >= 3


async def test_polling_needs_no_session():
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes(transport="polling", snapshot=True)) as seen:
            await anyio.sleep(100)
            one = add(site)
            assert await until(lambda: one in seen.fold, 11)
            site.emulator.store.update(one, {"status": "CLEARED"})
            assert await until(lambda: seen.fold[one]["status"] == "CLEARED", 11)
            assert told(seen) == [("CREATE", one, "live"), ("UPDATE", one, "live")]
            site.emulator.go_down()
            await anyio.sleep(60)
            two = add(site, 2)
            site.emulator.come_up()
            assert await until(lambda: two in seen.fold, 120)
            assert len(seen.gaps) == 1
            assert site.emulator.requests.channels.total() == 0


async def test_a_server_before_10_11():
    async with tenant(behaviour=Behaviour(last_updated=False)) as site, site.client() as client:
        async with following(client.alarms.changes(snapshot=True)) as seen:
            one = add(site)
            await anyio.sleep(1)
            site.emulator.store.update(one, {"severity": "CRITICAL"})
            await anyio.sleep(100)
            site.emulator.go_down()
            two = add(site, 2)
            site.emulator.come_up()
            assert await until(lambda: two in seen.fold, 200)
            await anyio.sleep(200)
            assert site.wrong(seen) == []
            assert site.twice(seen) == []


# Wrong use, wrong servers


@pytest.mark.parametrize("transport", ["auto", "polling"])
async def test_a_wrong_password_is_raised_at_entering(transport):
    async with tenant() as site:
        wrong = BasicAuth("demo", "wrong", tenant="t1")
        async with Cumulocity(
            site.server.url, wrong, transport_factory=site.server.transport_factory
        ) as client:
            with pytest.raises(AuthenticationError) as caught:
                async with client.alarms.changes(transport=transport):
                    pytest.fail("entered")
            assert "wrong" not in str(caught.value)
        assert site.emulator.sessions == 0


@pytest.mark.parametrize("transport", ["auto", "polling"])
async def test_a_missing_role_is_raised_at_entering(transport):
    async with tenant() as site:
        site.emulator.access.add_user("eve", "x", "no-alarms")
        site.emulator.faults.add(Fault("status", path=REST, status=403, times=None))
        eve = BasicAuth("eve", "x", tenant="t1")
        async with Cumulocity(
            site.server.url, eve, transport_factory=site.server.transport_factory
        ) as client:
            with pytest.raises((PermissionDeniedError, SubscriptionRefusedError)):
                async with client.alarms.changes(transport=transport):
                    pytest.fail("entered")


async def test_an_unreachable_server_says_so_at_once_and_is_waited_for():
    async with tenant() as site, site.client(open_timeout=None) as client:
        site.emulator.go_down()
        stream = client.alarms.changes()
        states = stream.states()
        seen = []

        async def watch():
            async for change in states:
                seen.append(change)
                if len(seen) == 2:
                    await anyio.sleep(200)
                    site.emulator.come_up()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            async with stream:
                assert stream.state is StreamState.CONNECTED
        assert [str(change.state) for change in seen[:2]] == ["reconnecting", "reconnecting"]
        assert seen[1].cause
        assert (seen[1].at - seen[0].at).total_seconds() < 1
        assert seen[-1].state is StreamState.CLOSED
        assert {change.site for change in seen} == {"t1"}


async def test_an_unreachable_server_is_given_up_after_the_open_timeout():
    async with tenant() as site, site.client(open_timeout=20) as client:
        site.emulator.go_down()
        with pytest.raises(RequestTimeoutError, match=r"not attached within 20 s: .+"):
            async with client.alarms.changes():
                pytest.fail("entered")


async def test_a_wrong_address_without_a_live_channel():
    async with tenant() as site, site.client() as client:
        site.emulator.faults.add(Fault("status", path=REST, status=404, body="nothing here", times=None))
        with pytest.raises(NotFoundError):
            async with client.alarms.changes(transport="polling"):
                pytest.fail("entered")


BARE = {
    "404": {"kind": "status", "status": 404, "body": "Not Found", "content_type": "text/plain"},
    "404 in JSON": {"kind": "status", "status": 404, "body": '{"error":"Not Found"}'},
    "400": {"kind": "status", "status": 400, "body": "", "content_type": "text/plain"},
    "405": {"kind": "status", "status": 405, "body": ""},
    "HTML": {"kind": "body", "body": "<html><title>It works</title></html>", "content_type": "text/html"},
    "silence": {"kind": "hang"},
}


@pytest.mark.parametrize("fault", BARE.values(), ids=BARE.keys())
async def test_a_bare_bayeux_server_is_followed_with_gaps(fault):
    async with tenant() as site, site.client() as client:
        site.emulator.faults.add(Fault(path=REST, times=None, **fault))
        async with following(client.alarms.changes(DEVICE)) as seen:
            one = add(site)
            assert await until(lambda: one in seen.fold, 5)
            site.emulator.restart()
            assert await until(lambda: site.emulator.sessions == 1, 30)
            assert await until(lambda: seen.gaps, 60)
            site.emulator.store.update(one, {"text": "b"})
            assert await until(lambda: seen.fold[one]["text"] == "b", 5)
            site.emulator.restart()
            assert await until(lambda: len(seen.gaps) == 2, 60)
            assert [gap.recovered for gap in seen.gaps] == [None, None]
            await anyio.sleep(2000)
            assert len(seen.changes) == 2
            assert len(seen.gaps) == 2
            assert seen.error is None


@pytest.mark.parametrize("bayeux", [POLLED, BayeuxSettings()], ids=["long-polling", "websocket"])
@pytest.mark.parametrize("status", [500, 503])
async def test_a_platform_whose_reads_fail_for_long_is_not_taken_for_a_bare_server(status, bayeux):
    async with tenant(bayeux=bayeux) as site, site.client() as client:
        order = site.emulator.faults.add(Fault("status", path=REST, status=status, times=None))
        async with following(client.alarms.changes(DEVICE)) as seen:
            await anyio.sleep(500)
            order.remove()
            site.emulator.go_down()
            one = add(site)
            site.emulator.come_up()
            assert await until(lambda: one in seen.fold, 300)


async def test_a_slow_platform_is_not_taken_for_a_bare_server():
    async with tenant() as site, site.client() as client:
        site.emulator.faults.add(Fault("delay", path=REST, query="pageSize=2000", seconds=25, times=None))
        async with following(client.alarms.changes(DEVICE)) as seen:
            await anyio.sleep(200)
            site.emulator.go_down()
            one = add(site)
            site.emulator.come_up()
            assert await until(lambda: one in seen.fold, 300)


async def test_a_platform_that_seems_bare_while_it_starts_is_recovered_from_later():
    async with tenant() as site, site.client() as client:
        order = site.emulator.faults.add(Fault("hang", path=REST, times=None))
        async with following(client.alarms.changes(DEVICE)) as seen:
            await anyio.sleep(100)
            order.remove()
            await anyio.sleep(300)
            site.emulator.go_down()
            one = add(site)
            site.emulator.come_up()
            assert await until(lambda: one in seen.fold, 120)
            assert [gap.recovered for gap in seen.gaps] == [1]


async def test_a_proxys_404_deletes_nothing():
    async with tenant() as site, site.client() as client:
        one = add(site)
        async with following(client.alarms.changes(snapshot=True)) as seen:
            await until(lambda: seen.changes, 5)
            page = "<html>404</html>"
            order = site.emulator.faults.add(Fault("status", path=REST, status=404, body=page, times=None))
            await anyio.sleep(3000)
            order.remove()
            await anyio.sleep(2000)
            assert told(seen) == [("CREATE", one, "snapshot")]


async def test_lost_rights_delete_nothing_and_are_told():
    async with tenant() as site, site.client(recovery=RecoveryPolicy(reconcile_every=100)) as client:
        one = add(site)
        async with client.alarms.changes(snapshot=True) as stream, consuming(stream) as seen:
            await until(lambda: seen.changes, 5)
            empty = '{"alarms":[],"statistics":{"pageSize":2000,"currentPage":1}}'
            site.emulator.faults.add(Fault("body", path="/alarm/alarms", body=empty, times=None))
            site.emulator.faults.add(Fault("status", path="/user/currentUser", status=403, times=None))
            assert await until(lambda: stream.state is StreamState.DEGRADED, 500)
            await anyio.sleep(1000)
            assert told(seen) == [("CREATE", one, "snapshot")]


# Secrets and cost


async def test_nothing_shows_a_secret(caplog):
    caplog.set_level(0)
    secret = "hunter2-and-more"
    async with tenant() as site:
        site.emulator.access.add_user("ada", secret)
        ada = BasicAuth("ada", secret, tenant="t1")
        client = Cumulocity(
            site.server.url,
            ada,
            transport_factory=site.server.transport_factory,
            headers={"X-Key": "k" * 12},
            application_key="app-key-77",
        )
        async with client:
            shown = [repr(client), repr(client.alarms), repr(client.with_options(timeout=5))]
            async with client.alarms.changes() as stream:
                add(site)
                shown += [repr(stream), repr(await stream.__anext__()), repr(stream.stats)]
                site.emulator.restart()
                await anyio.sleep(100)
    for token in (secret, *ada.secrets):
        assert not any(token in text for text in shown)
        assert token not in caplog.text


async def test_an_idle_stream_is_cheap():
    async with tenant() as site, site.client() as client:
        add(site)
        async with following(client.alarms.changes()) as seen:
            await anyio.sleep(120)
            site.emulator.requests.clear()
            await anyio.sleep(600)
            by = site.emulator.requests.by
            assert by["POST", "/notification/realtime"] <= 25
            assert site.emulator.requests.total <= 40
            assert seen.gaps == []
            assert seen.changes == []


# The client


async def test_a_client_says_how_it_is_to_be_used():
    async with tenant() as site:
        client = site.client()
        with pytest.raises(ConfigurationError, match="not open"):
            async with client.alarms.changes():
                pass
        async with client:
            for odd in (True, 0, None):
                with pytest.raises(ConfigurationError):
                    client.with_options(timeout=odd)
            view = client.with_options(timeout=7.0)
            with pytest.raises(ConfigurationError, match="view"):
                async with view:
                    pass
            async with view.alarms.changes() as stream:
                one = add(site)
                assert (await stream.__anext__()).id == one
        with pytest.raises(ConfigurationError, match="closed"):
            async with client.alarms.changes():
                pass
        with pytest.raises(ConfigurationError):
            async with client:
                pass


async def test_a_client_from_the_environment():
    async with tenant() as site:
        env = {
            "C8Y_BASEURL": site.server.url,
            "C8Y_TENANT": "t1",
            "C8Y_USER": "demo",
            "C8Y_PASSWORD": "demo",
            "APPLICATION_KEY": "key-1",
        }
        factory = site.server.transport_factory
        async with Cumulocity.from_env(env, transport_factory=factory) as client:
            assert client.site == "t1"
            assert await client.alarms.count() == 0
        async with Cumulocity.from_env(env, transport_factory=factory, name="mine") as client:
            assert client.site == "mine"
        token = site.emulator.access.issue_token("demo")
        env |= {"C8Y_TOKEN": token, "C8Y_PASSWORD": "wrong"}
        async with Cumulocity.from_env(env, transport_factory=factory) as client:
            assert await client.alarms.count() == 0
        for name in ("C8Y_BASEURL", "C8Y_USER", "C8Y_PASSWORD"):
            broken = {key: value for key, value in env.items() if key not in (name, "C8Y_TOKEN")}
            for unset in (broken, {**broken, name: ""}):  # as `${NAME}` of a compose file has it
                with pytest.raises(ConfigurationError, match=name):
                    Cumulocity.from_env(unset)


def test_the_site_of_a_client():
    url = "https://acme.example.com:8443/base"
    assert Cumulocity(url, BasicAuth("u", "p", tenant="t1")).site == "t1"
    assert Cumulocity(url, BasicAuth("u", "p"), tenant="t2").site == "t2"
    assert Cumulocity(url, BearerAuth("token")).site == "acme.example.com:8443"
    assert Cumulocity(url, BearerAuth("token"), name="x").site == "x"
    with pytest.raises(ConfigurationError, match="two tenants"):
        Cumulocity(url, BasicAuth("u", "p", tenant="t1"), tenant="t2")
    with pytest.raises(ConfigurationError, match="open_timeout"):
        Cumulocity(url, None, open_timeout=0)
