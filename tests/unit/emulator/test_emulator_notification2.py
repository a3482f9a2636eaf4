"""Notification 2.0 as cumulocity.md §4 tells it: subscriptions, tokens, consumers on WebSockets."""

import base64
import json

import anyio
import pytest
from emulator_consumer import SUBSCRIPTIONS, TENANT, consuming, refused, subscribe, token, write
from emulator_socket import Closed, RefusedUpgrade, dialled
from emulator_talk import talking
from hypothesis import given
from hypothesis import strategies as st

from tocsin.emulator import Emulator, Fault, Notification2Settings
from tocsin.testing import VirtualWallClock

pytestmark = pytest.mark.virtual_time


def made(**settings) -> Emulator:
    emulator = Emulator(clock=VirtualWallClock(), notification2=Notification2Settings(**settings))
    for number in ("1", "2"):
        emulator.store.add_device(id=number)
    emulator.store.add_device(id="1a", parent="1")
    return emulator


@pytest.fixture
async def emulator():
    return made()


class TestSubscriptions:
    async def test_they_are_made_listed_and_deleted(self, emulator):
        async with talking(emulator) as talk:
            reply = await subscribe(talk)
            assert reply.status_code == 201
            one = reply.json()
            assert one.items() >= {**TENANT, "nonPersistent": False}.items()
            assert reply.headers["location"] == one["self"]
            assert (await talk.get(f"{SUBSCRIPTIONS}/{one['id']}")).json() == one
            other = {"context": "mo", "source": {"id": "1"}, "subscription": "other"}
            two = (await talk.http.post(SUBSCRIPTIONS, json=other)).json()
            for params, ids in (
                ({}, [one["id"], two["id"]]),
                ({"context": "mo"}, [two["id"]]),
                ({"source": "1"}, [two["id"]]),
                ({"subscription": "acme"}, [one["id"]]),
                ({"typeFilter": "x"}, []),
                ({"pageSize": 1, "currentPage": 2, "withTotalPages": "true"}, [two["id"]]),
            ):
                page = (await talk.get(SUBSCRIPTIONS, **params)).json()
                assert [item["id"] for item in page["subscriptions"]] == ids
            assert page["statistics"]["totalPages"] == 2
            assert (await talk.http.delete(f"{SUBSCRIPTIONS}/{one['id']}")).status_code == 204
            assert (await talk.http.delete(f"{SUBSCRIPTIONS}/{one['id']}")).status_code == 404

    async def test_the_same_again_is_a_conflict(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            reply = await subscribe(talk)
            assert (reply.status_code, reply.json()["error"]) == (409, "reliable-notification/Duplicate")
            assert (await subscribe(talk, nonPersistent=True)).status_code == 201

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"context": "x"}, 422),
            ({"context": "mo"}, 422),
            ({"context": "mo", "source": {"id": "nobody"}}, 404),
            ({"source": {"id": "1"}}, 422),
            ({"subscription": "a-b"}, 422),
            ({"subscription": None}, 422),
            ({"subscriptionFilter": {"apis": ["alarmsWithChildren"]}}, 422),
            ({"subscriptionFilter": {"apis": ["*", "alarms"]}}, 422),
            ({"subscriptionFilter": {"apis": "alarms"}}, 422),
            ({"subscriptionFilter": {"typeFilter": "'a' and 'b'"}}, 422),
            ({"subscriptionFilter": {"typeFilter": ""}}, 422),
            ({"nonPersistent": "no"}, 422),
            ({"fragmentsToCopy": [1]}, 422),
            ({"subscriptionFilter": {"apis": ["*"], "typeFilter": "'a' or 'b'"}}, 201),
            ({"context": "mo", "source": {"id": "1"}, "subscriptionFilter": {"apis": ["measurements"]}}, 201),
        ],
    )
    async def test_what_is_taken(self, emulator, changes, status):
        async with talking(emulator) as talk:
            assert (await subscribe(talk, **changes)).status_code == status

    async def test_many_go_at_once(self, emulator):
        async with talking(emulator) as talk:
            mo = {"context": "mo", "source": {"id": "1"}}
            await subscribe(talk)
            await subscribe(talk, **mo)
            for params, status in (({}, 422), ({"context": "mo"}, 422), ({"source": "1"}, 204)):
                reply = await talk.http.delete(SUBSCRIPTIONS, params=params)
                assert reply.status_code == status
            [left] = (await talk.get(SUBSCRIPTIONS)).json()["subscriptions"]
            assert left["context"] == "tenant"
            assert (await talk.http.delete(SUBSCRIPTIONS, params={"context": "tenant"})).status_code == 204

    async def test_they_go_with_their_device(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk, context="mo", source={"id": "1"})
            emulator.store.remove_device("1")
            assert (await talk.get(SUBSCRIPTIONS)).json()["subscriptions"] == []

    async def test_a_role_is_needed(self, emulator):
        emulator.access.add_user("eve", "pw", "read-only")
        async with talking(emulator, "eve", "pw") as talk:
            assert (await subscribe(talk)).status_code == 403
            assert (await talk.get(SUBSCRIPTIONS)).status_code == 403
            body = {"subscriber": "me", "subscription": "acme"}
            assert (await talk.http.post("/notification2/token", json=body)).status_code == 403

    async def test_there_may_be_none(self):
        async with talking(made(there=False)) as talk:
            assert (await subscribe(talk)).status_code == 404
            with pytest.raises(RefusedUpgrade) as error:
                async with dialled(talk.http, "/notification2/consumer?token=x"):
                    pass
            assert error.value.status == 404


class TestTokens:
    async def test_claims(self, emulator):
        async with talking(emulator) as talk:
            made = await token(talk, expiresInMinutes=5, shared=True)
            part = made.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + "=="))
            assert claims["sub"] == "me"
            assert claims["topic"] == "t1/relnotif/acme"
            assert claims["exp"] - claims["iat"] == 300
            assert (claims["shared"], claims["volatile"]) == ("true", "false")
            assert claims["jti"]

    @pytest.mark.parametrize(
        "changes",
        [{"subscriber": ""}, {"subscriber": "a b"}, {"subscription": None}, {"expiresInMinutes": 0},
         {"expiresInMinutes": "1"}, {"shared": "true"}, {"type": "x"}, {"signed": 1}],
    )  # fmt: skip
    async def test_what_is_not_taken(self, emulator, changes):
        async with talking(emulator) as talk:
            body = {"subscriber": "me", "subscription": "acme", **changes}
            assert (await talk.http.post("/notification2/token", json=body)).status_code == 422

    @given(st.text(max_size=20) | st.just("a.b.c"))
    async def test_others_are_refused(self, text):
        async with talking(Emulator()) as talk:
            with pytest.raises(RefusedUpgrade) as error:
                async with dialled(talk.http, "/notification2/consumer", params={"token": text}):
                    pass
            assert error.value.status == 401

    async def test_expiry_refuses_the_next_connect_only(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            given = await token(talk, expiresInMinutes=1)
            async with consuming(talk, given) as line:
                await anyio.sleep(61)
                write(emulator, "late")
                assert await line.text() == "late"
            assert await refused(talk, given) == 401
            fresh = await token(talk)
            emulator.expire_notification_tokens()
            assert await refused(talk, fresh) == 401
            async with consuming(talk):
                pass

    async def test_a_changed_token_is_refused(self, emulator):
        async with talking(emulator) as talk:
            head, claims, signature = (await token(talk)).split(".")
            assert await refused(talk, f"{head}.{claims}x.{signature}") == 401


class TestConsumers:
    async def test_a_message(self, emulator):
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            [one] = write(emulator, "Smoke \u2028\u0085\n\nhere", source="1")
            emulator.store.update(one, {"severity": "MINOR"})
            (ack, address, action), body = await line.message()
            assert (address, action) == ("/t1/alarms/1", "CREATE")
            assert body["text"] == "Smoke \u2028\u0085\n\nhere"
            assert body.keys() == emulator.store.get(one).keys()
            (other, _address, action), body = await line.message()
            assert (action, body) == ("UPDATE", emulator.store.get(one))
            assert ack != other

    async def test_more_lines_in_the_head(self):
        emulator = made(header_lines=("x: 1", "y"))
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            write(emulator, "a")
            head, _body = await line.message()
            assert head[3:] == ["x: 1", "y"]

    async def test_nothing_before_the_first_connect_and_everything_after_it(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            write(emulator, "before")
            async with consuming(talk) as line:
                assert await line.quiet()
            await emulator.until(lambda: emulator.broker.consumers == 0)
            write(emulator, "a", "b")
            assert emulator.broker.backlogs() == {"acme/me": 2}
            async with consuming(talk) as line:
                assert [await line.text(), await line.text()] == ["a", "b"]

    async def test_what_is_not_acknowledged_comes_again_in_order(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            async with consuming(talk) as line:
                write(emulator, "a", "b", "c")
                assert await line.text(acknowledge=False) == "a"
                assert await line.text() == "b"
                await line.say("nonsense")
                assert await line.text(acknowledge=False) == "c"
                await emulator.until(lambda: emulator.broker.backlogs() == {"acme/me": 2})
            await emulator.until(lambda: emulator.broker.consumers == 0)
            write(emulator, "d")
            async with consuming(talk) as line:
                assert [await line.text() for _ in range(3)] == ["a", "c", "d"]
                await emulator.until(lambda: emulator.broker.backlogs() == {"acme/me": 0})

    async def test_an_acknowledgement_counts_on_its_own_connection_only(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            async with consuming(talk) as line:
                write(emulator, "a", "b")
                await line.message()
                (second, *_), _body = await line.message()
            await emulator.until(lambda: emulator.broker.consumers == 0)
            async with consuming(talk) as line:
                (first, *_), body = await line.message()
                assert body["text"] == "a"
                (again, *_), _body = await line.message()
                assert again == second  # ids repeat over connections
                await line.say(first)
                await emulator.until(lambda: emulator.broker.backlogs() == {"acme/me": 1})

    async def test_delivery_stops_when_too_much_is_out(self):
        emulator = made(unacknowledged=3)
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            write(emulator, "a", "b", "c", "d")
            (first, *_), _body = await line.message()
            assert [await line.text(acknowledge=False) for _ in range(2)] == ["b", "c"]
            assert await line.quiet()
            await line.say(first)
            assert await line.text() == "d"

    async def test_redelivery_on_the_same_connection(self):
        emulator = made(redeliver_after=60)
        async with talking(emulator, timeout=1000) as talk, consuming(talk) as line:
            await subscribe(talk)
            write(emulator, "a")
            begun = anyio.current_time()
            assert [await line.text(acknowledge=False), await line.text()] == ["a", "a"]
            assert anyio.current_time() - begun == pytest.approx(60, abs=1)
            assert await line.quiet(100)

    async def test_exclusive_consumers_exclude(self, emulator):
        async with talking(emulator) as talk:
            async with consuming(talk):
                assert await refused(talk) == 409
                async with consuming(talk, subscriber="another"):
                    pass
            await emulator.until(lambda: emulator.broker.consumers == 0)
            async with consuming(talk):
                pass

    @pytest.mark.parametrize(("goodbye", "status"), [(True, None), (False, 409)])
    async def test_a_crashed_one_counts_as_connected_for_a_while(self, goodbye, status):
        emulator = made(lingering=60)
        async with talking(emulator) as talk:
            async with consuming(talk) as line:
                if goodbye:
                    line.protocol.send_close(1000)
                    await line.flush()
            await emulator.until(lambda: emulator.broker.consumers == 0)
            if status is not None:
                assert await refused(talk) == status
                await anyio.sleep(61)
            async with consuming(talk):
                pass

    async def test_shared_ones_split_by_source(self, emulator):
        async with talking(emulator) as talk, consuming(talk, shared=True) as one:
            await subscribe(talk)
            async with consuming(talk, shared=True) as two:
                assert await refused(talk) == 409  # not shared
                for number in range(20):
                    write(emulator, f"{number}a", f"{number}b", source=f"d{number}")
                await anyio.sleep(0.05)
                got = []
                for line in (one, two):
                    mine = []
                    while not await line.quiet():
                        mine.append((await line.message())[1])
                    got.append(mine)
                sources = [{alarm["source"]["id"] for alarm in mine} for mine in got]
                assert len(got[0]) + len(got[1]) == 40
                assert sources[0].isdisjoint(sources[1])
                assert all(sources)
            # What the second one did not acknowledge goes to the first.
            texts = {(await one.message())[1]["text"] for _ in got[1]}
            assert texts == {alarm["text"] for alarm in got[1]}

    async def test_a_consumer_that_comes_back_gets_its_sources_again(self, emulator):
        topic, sources = ("acme", False), [f"d{n}" for n in range(40)]

        def join(name):
            return emulator.broker.connect(topic, "me", shared=True, bell=None, client=name)

        def owners():
            return {source: one.subscriber.of(source).name for source in sources}

        one, two = join("one"), join("two")
        before = owners()
        assert set(before.values()) == {"one", "two"}
        three = join("three")
        assert all(now in (before[source], "three") for source, now in owners().items())
        two.subscriber.consumers[:] = [three, one]
        two.subscriber.consumers.remove(three)
        assert set(owners().values()) == {"one"}
        join("two")
        assert owners() == before

    async def test_the_idle_are_closed_unless_they_ping(self, emulator):
        async with talking(emulator, timeout=1000) as talk, consuming(talk) as line:
            for _ in range(4):
                await anyio.sleep(200)
                await line.ping()
            begun = anyio.current_time()
            with pytest.raises(Closed):
                await line.hear()
            assert anyio.current_time() - begun == pytest.approx(300, abs=1)

    async def test_what_is_sent_again_to_the_dead_does_not_keep_them(self):
        emulator = made(redeliver_after=70)
        async with talking(emulator, timeout=1000) as talk, consuming(talk) as line:
            await subscribe(talk)
            write(emulator, "a")
            begun = anyio.current_time()
            for _ in range(5):
                await line.hear()
            with pytest.raises(Closed):
                await line.hear()
            assert anyio.current_time() - begun == pytest.approx(300, abs=1)

    async def test_a_full_backlog_fails_writers_though_it_is_stored(self):
        emulator = made(backlog=2000)
        async with talking(emulator) as talk:
            await subscribe(talk)
            async with consuming(talk):
                pass
            statuses = [(await talk.post(source={"id": "1"}, type=f"{n}")).status_code for n in range(5)]
            assert statuses[0] == 201
            assert statuses[-1] == 500
            assert len(await talk.alarms()) == 5
            await emulator.until(lambda: emulator.broker.consumers == 0)
            async with consuming(talk) as line:
                while not await line.quiet():
                    await line.text()
            await emulator.until(lambda: emulator.broker.backlogs() == {"acme/me": 0})
            assert (await talk.post(source={"id": "1"}, type="again")).status_code == 201

    async def test_what_waits_too_long_is_dropped(self):
        emulator = made(lifetime=100)
        async with talking(emulator) as talk:
            await subscribe(talk)
            async with consuming(talk):
                pass
            await emulator.until(lambda: emulator.broker.consumers == 0)
            write(emulator, "old")
            await anyio.sleep(101)
            write(emulator, "new")
            async with consuming(talk) as line:
                assert await line.text() == "new"

    async def test_subscriptions_take_effect_late(self):
        emulator = made(delay=5)
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            write(emulator, "early")
            await anyio.sleep(5.1)
            write(emulator, "late")
            assert await line.text() == "late"

    async def test_deletions_are_not_told(self):
        emulator = Emulator(profile="seed")
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            [one] = write(emulator, "a")
            emulator.store.remove(one)
            write(emulator, "b")
            assert [await line.text(), await line.text()] == ["a", "b"]

    async def test_a_deleted_subscription_leaves_the_backlog(self, emulator):
        async with talking(emulator) as talk:
            one = (await subscribe(talk)).json()
            async with consuming(talk) as line:
                write(emulator, "a")
                await line.message()
            await talk.http.delete(f"{SUBSCRIPTIONS}/{one['id']}")
            write(emulator, "b")
            async with consuming(talk) as line:
                assert await line.text() == "a"
                assert await line.quiet()

    async def test_what_is_not_persistent_waits_for_nobody(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk, nonPersistent=True)
            async with consuming(talk, nonPersistent=True) as line:
                write(emulator, "heard")
                assert await line.text(acknowledge=False) == "heard"
            await emulator.until(lambda: emulator.broker.consumers == 0)
            write(emulator, "unheard")
            async with consuming(talk, nonPersistent=True) as line, consuming(talk) as other:
                write(emulator, "again")
                assert await line.text() == "again"
                assert await other.quiet()  # another topic of that name

    @pytest.mark.parametrize(
        ("apis", "source", "addresses"),
        [
            (["*"], "1", ["/t1/alarms/1"]),
            (["*"], "1a", ["/t1/alarmsWithChildren/1"]),
            (["alarms"], "1a", []),
            (["alarmsWithChildren"], "2", []),
            (["events"], "1", []),
        ],
    )
    async def test_what_a_device_subscribes_to(self, emulator, apis, source, addresses):
        own = ["/t1/alarmsWithChildren/1"] if apis == ["*"] and source == "1" else []
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk, context="mo", source={"id": "1"}, subscriptionFilter={"apis": apis})
            write(emulator, "a", source=source)
            got = []
            while not await line.quiet():
                got.append((await line.message())[0][1])
            assert got == addresses + own

    async def test_filters(self, emulator):
        async with talking(emulator) as talk, consuming(talk) as line:
            given = {"apis": ["alarms"], "typeFilter": "'a' or 'b'"}
            await subscribe(talk, subscriptionFilter=given, fragmentsToCopy=["kept"])
            for kind in ("a", "x", "b"):
                emulator.store.create(
                    {"source": "1", "type": kind, "text": kind, "kept": {"n": 1}, "left": 1}
                )
            for kind in ("a", "b"):
                _head, body = await line.message()
                assert body["text"] == kind
                assert "kept" in body
                assert "left" not in body


class TestLeavingForGood:
    async def test_unsubscribe(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            given = await token(talk)
            async with consuming(talk, given) as line:
                write(emulator, "a")
                emulator.expire_notification_tokens()
                reply = await talk.http.post("/notification2/unsubscribe", params={"token": given}, auth=None)
                assert (reply.status_code, reply.json()) == (200, {"result": "DONE"})
                await line.hear()
                with pytest.raises(Closed):
                    await line.hear()
            assert emulator.broker.backlogs() == {}
            reply = await talk.http.post("/notification2/unsubscribe", params={"token": given})
            assert reply.status_code == 404
            reply = await talk.http.post("/notification2/unsubscribe", params={"token": "x"})
            assert reply.status_code == 401

    async def test_by_a_word_on_the_socket(self, emulator):
        async with talking(emulator) as talk, consuming(talk) as line:
            await line.say("unsubscribe_subscriber")
            with pytest.raises(Closed):
                await line.hear()
            assert emulator.broker.backlogs() == {}


class TestFaults:
    @pytest.mark.parametrize(
        ("kind", "texts"),
        [("lose", ["b"]), ("duplicate", ["a", "a", "b"]), ("reorder", ["b", "a"]), ("garble", [None, "b"])],
    )
    async def test_on_messages(self, emulator, kind, texts):
        emulator.faults.add(Fault(kind, channel="/t1/alarms/*"))
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            write(emulator, "a", "b")
            assert [(await line.message())[1].get("text") for _ in texts] == texts
            assert await line.quiet()

    @pytest.mark.parametrize("status", [401, 409, 500])
    async def test_on_the_upgrade(self, emulator, status):
        emulator.faults.add(Fault("status", path="/notification2/consumer", status=status))
        async with talking(emulator) as talk:
            given = await token(talk)
            assert await refused(talk, given) == status
            async with consuming(talk, given):
                pass

    async def test_a_lost_acknowledgement(self, emulator):
        emulator.faults.add(Fault("hang", method="FRAME"))
        async with talking(emulator) as talk:
            await subscribe(talk)
            async with consuming(talk) as line:
                write(emulator, "a", "b")
                assert [await line.text(), await line.text()] == ["a", "b"]
                await emulator.until(lambda: emulator.broker.backlogs() == {"acme/me": 1})
            await emulator.until(lambda: emulator.broker.consumers == 0)
            async with consuming(talk) as line:
                assert await line.text() == "a"

    async def test_a_poisoned_body(self, emulator):
        async with talking(emulator) as talk, consuming(talk) as line:
            await subscribe(talk)
            emulator.faults.add(Fault("body", method="FRAME", body="no head at all"))
            await line.say("x")
            await emulator.until(lambda: len(emulator.faults) == 0)
            write(emulator, "a")
            assert await line.hear() == "no head at all"

    async def test_restart_keeps_what_is_durable(self, emulator):
        async with talking(emulator) as talk:
            await subscribe(talk)
            async with consuming(talk) as line:
                write(emulator, "a")
                await line.message()
                emulator.restart()
                with pytest.raises(Closed):
                    await line.hear()
            await emulator.until(lambda: emulator.broker.consumers == 0)
            async with consuming(talk) as line:
                assert await line.text() == "a"

    async def test_over_http(self, emulator):
        control = emulator.enable_control()
        headers = {"Authorization": f"Bearer {control}"}
        async with talking(emulator) as talk:
            given = await token(talk)
            async with consuming(talk, given) as line:
                state = (await talk.http.get("/__emulator__/state", headers=headers, auth=None)).json()
                assert (state["consumers"], state["backlogs"], state["sockets"]) == (1, {"acme/me": 0}, 1)
                for action in ("expire_notification_tokens", "drop_sockets"):
                    reply = await talk.http.post(
                        "/__emulator__/actions", json={"do": action}, headers=headers, auth=None
                    )
                    assert reply.status_code == 200
                with pytest.raises(Closed):
                    await line.hear()
            assert await refused(talk, given) == 401
