"""Notification 2.0 from end to end: nothing is lost, nothing twice, and nothing acknowledged too early."""

from __future__ import annotations

import json
import logging
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from emulated.following import Site, consuming, following, until
from emulated.notification_server import NotificationServer
from tocsin import Change, ConfigurationError, Gap, Origin, RequestTimeoutError
from tocsin.cumulocity._scope import Scope
from tocsin.cumulocity.notification2._aside import SetAside
from tocsin.cumulocity.notification2._attach import Feed
from tocsin.cumulocity.notification2._live import LiveNotifications
from tocsin.emulator import Emulator
from tocsin.errors import AuthenticationError, NotFoundError, PermissionDeniedError
from tocsin.testing import VirtualWallClock, in_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tocsin import ChangeStream, Cumulocity
    from tocsin.cumulocity import Alarm

pytestmark = pytest.mark.virtual_time


class Place(Site):
    """One emulated tenant with Notification 2.0."""

    notifications: NotificationServer

    def raise_alarm(self, n: int | str, *, source: str = "4711") -> str:
        return str(self.emulator.store.create({"type": f"acme_{n}", "source": source, "text": "a"})["id"])

    def write(self, alarm: str, text: str) -> None:
        self.emulator.store.update(alarm, {"text": text})


@asynccontextmanager
async def tenant(*, expires: float = 86_400.0, **options: Any) -> AsyncIterator[Place]:
    wall = VirtualWallClock()
    emulator = Emulator(clock=wall, rng=random.Random(3), **options)
    notifications = NotificationServer(emulator)
    async with in_process(notifications) as server:
        place = Place(emulator, server, wall, wall)
        place.notifications = notifications
        notifications.expires = expires
        yield place


def changes(client: Cumulocity, **options: Any) -> ChangeStream[Alarm]:
    return client.alarms.changes(transport="notification2", subscriber="pager", **options)


async def take(stream: ChangeStream[Alarm], count: int, seconds: float = 30.0) -> list[Any]:
    got: list[Any] = []
    with anyio.move_on_after(seconds):
        while len(got) < count:
            got.append(await anext(stream))
    return got


async def test_changes_come_and_each_is_acknowledged_when_the_next_is_asked_for() -> None:
    async with tenant() as site, site.client() as client, changes(client) as stream:
        subscriber = site.notifications.only()
        alarm = site.raise_alarm(1)
        site.write(alarm, "b")
        first, second = await take(stream, 2)
        await anyio.sleep(1)
        assert [first.alarm.text, second.alarm.text] == ["a", "b"]
        assert first.origin is Origin.LIVE
        assert len(subscriber.acked) == 1, "the second one is in hand"
        await second.ack()
        await first.ack()  # known already
        await anyio.sleep(1)
        assert len(subscriber.acked) == 2
        (subscription,) = site.notifications.subscriptions.values()
        assert subscription == {
            "context": "tenant",
            "subscription": "tocsinAlarms",
            "nonPersistent": False,
            "subscriptionFilter": {"apis": ["alarms"]},
        }


async def test_what_was_not_handled_comes_again_to_the_next_stream_and_what_was_does_not() -> None:
    async with tenant() as site, site.client() as client:
        async with changes(client) as stream:
            alarms = [site.raise_alarm(n) for n in range(4)]
            got = await take(stream, 2)  # the second is in hand when the stream is left
        assert [change.id for change in got] == alarms[:2]
        for alarm in alarms:
            for text in "bc":
                await anyio.sleep(0.002)  # two writes of one millisecond leave it to a read which was last
                site.write(alarm, text)
        async with changes(client) as stream:
            got = await take(stream, 100, 60)
        assert [(item.id, item.alarm.text) for item in got] == [
            *((alarm, "a") for alarm in alarms[1:]),
            *((alarm, text) for alarm in alarms for text in "bc"),
        ], "every state that waited, in order; no gap"
        assert site.notifications.only().waiting == []


async def test_an_interruption_alone_loses_nothing_and_is_no_gap() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)) as seen:
        alarm = site.raise_alarm(1)
        await anyio.sleep(100)
        for how in ("reset", "abort"):
            site.notifications.break_all(how)
            for text in ("b", "c", "a", "d"):
                site.write(alarm, f"{how} {text}")
            await anyio.sleep(30)
        site.notifications.close_all(1000)
        site.write(alarm, "last")
        await anyio.sleep(100)
        assert seen.texts() == ["a", *(f"{h} {t}" for h in ("reset", "abort") for t in "bcad"), "last"]
        assert seen.gaps == []
        assert site.twice(seen) == []
        assert set(seen.origins) == {Origin.LIVE}


async def test_a_silent_server_is_found_dead_and_the_next_socket_brings_what_waits() -> None:
    async with tenant() as site, site.client() as client:
        stream = changes(client)
        async with following(stream) as seen:
            site.notifications.break_all("silence")
            site.raise_alarm(1)
            assert await until(lambda: bool(seen.changes), 20), (
                "found by a read before the peer counts as dead"
            )
            assert await until(lambda: stream.stats.reconnects == 1, 45 + 60)
            site.raise_alarm(2)
            assert await until(lambda: len(seen.changes) == 2, 60)
            assert await until(lambda: site.notifications.only().waiting == [], 60)
            assert site.twice(seen) == []


async def test_a_long_outage_is_bridged_by_reads_and_told() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)) as seen:
        alarm = site.raise_alarm(1)
        await anyio.sleep(60)
        site.notifications.refuse = [503] * 40
        site.notifications.break_all()
        site.write(alarm, "b")
        assert await until(lambda: seen.texts() == ["a", "b"], 150)
        assert seen.origins[-1] is Origin.RECOVERED
        site.notifications.refuse = []
        assert await until(lambda: len(seen.gaps) == 1, 120)
        assert seen.gaps[0].recovered == 1
        await anyio.sleep(60)
        assert seen.texts() == ["a", "b"], "the message that waited tells nothing new"
        assert site.notifications.only().waiting == []


async def test_a_feed_that_died_is_found_by_reads_and_mended() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)) as seen:
        await anyio.sleep(60)
        site.notifications.subscriptions.clear()
        alarm = site.raise_alarm(1)
        assert await until(lambda: seen.texts() == ["a"], 120)
        assert await until(lambda: len(seen.gaps) == 1, 60)
        assert seen.gaps[0].recovered == 1
        assert await until(lambda: bool(site.notifications.subscriptions), 60)
        site.write(alarm, "b")
        assert await until(lambda: seen.texts() == ["a", "b"], 5)
        assert seen.origins[-1] is Origin.LIVE


async def test_snapshots_and_deletions_are_as_on_any_transport() -> None:
    async with tenant() as site, site.client() as client:
        alarms = [site.raise_alarm(n) for n in range(3)]
        async with following(changes(client, snapshot=True)) as seen:
            assert await until(lambda: len(seen.changes) == 3, 10)
            site.emulator.store.remove(alarms[0])
            assert await until(lambda: seen.fold[alarms[0]] is None, 1000)
            assert site.wrong(seen) == []


async def test_block_takes_no_more_than_fits_and_loses_nothing() -> None:
    async with tenant() as site, site.client() as client:
        stream = changes(client, overflow="block", buffer=10)
        async with stream:
            alarm = site.raise_alarm(0)
            for n in range(3000):
                site.write(alarm, f"text {n}")
                await anyio.sleep(0.002)
            await anyio.sleep(300)
            assert stream.stats.buffered <= 11
            assert stream.state == "connected"
            assert len(site.notifications.only().waiting) > 1500, "the platform keeps the rest"
            async with consuming(stream) as seen:
                assert await until(lambda: len(seen.changes) == 3001, 300)
            assert seen.texts() == ["a", *(f"text {n}" for n in range(3000))]
            assert seen.gaps == []
            assert stream.stats.dropped == 0


async def test_a_slow_consumer_is_not_overtaken_by_reads() -> None:
    async with tenant() as site, site.client() as client:
        stream = changes(client)
        async with following(stream, pause=30.0) as seen:
            alarm = site.raise_alarm(0)
            for n in range(1500):
                site.write(alarm, f"text {n}")
                await anyio.sleep(0.01)
            assert await until(lambda: len(seen.changes) == 1501, 3000)
            assert seen.gaps == []
            assert (stream.stats.misses, stream.stats.reconnects) == (0, 0)


async def test_an_overflow_keeps_messages_until_what_was_dropped_is_handled() -> None:
    async with tenant() as site, site.client() as client:
        async with changes(client, buffer=20) as stream:
            await anyio.sleep(60)
            alarms = [site.raise_alarm(n) for n in range(60)]
            await anyio.sleep(5)
            subscriber = site.notifications.only()
            assert subscriber.acked == [], "nobody has handled anything"
            async with consuming(stream) as seen:
                assert await until(lambda: set(seen.fold) == set(alarms), 120)
                assert await until(lambda: len(subscriber.acked) == 60, 60)
            assert seen.gaps
        assert site.twice(seen) == []


async def test_an_alarm_over_which_the_consumer_fails_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    async with tenant() as site, site.client() as client:
        async with changes(client):
            pass
        poison = site.raise_alarm("poison")
        good = site.raise_alarm("good")
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await _fail_over(changes(client), poison)
        async with changes(client) as stream:
            (item,) = await take(stream, 1)
            assert item.id == good
            await item.ack()
            await anyio.sleep(1)
        assert site.notifications.only().waiting == []
    told = [record for record in caplog.records if "set aside" in record.getMessage()]
    assert len(told) == 1
    assert poison in told[0].getMessage()


async def _fail_over(stream: ChangeStream[Alarm], alarm: str) -> None:
    async with stream:
        async for item in stream:
            assert item.id == alarm
            raise ZeroDivisionError


async def test_leaving_with_an_item_in_hand_is_no_failure() -> None:
    async with tenant() as site, site.client() as client:
        async with changes(client):
            pass
        alarm = site.raise_alarm(1)
        for _ in range(5):
            async with changes(client) as stream:
                assert [item.id for item in await take(stream, 1)] == [alarm]


async def test_what_cannot_be_read_is_looked_up_and_acknowledged() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)) as seen:
        await anyio.sleep(60)
        site.notifications.mute = True
        alarm = site.raise_alarm(1)
        site.notifications.mute = False
        for body in (b"{", b"", b"[[[", b'{"type":"acme_1"}'):
            site.notifications.publish(body)
        subscriber = site.notifications.only()
        assert await until(lambda: len(subscriber.acked) == 4, 60)
        assert seen.texts() == ["a"]
        assert seen.fold[alarm] is not None


async def test_odd_characters_and_large_bodies_arrive_as_they_are() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)) as seen:
        text = "one\u2028two\u0085three\u2029 \\n\\n " + "x" * 2_000_000
        alarm = site.raise_alarm(1)
        site.emulator.store.update(alarm, {"text": text})
        assert await until(lambda: seen.texts() == ["a", text], 20)


async def test_a_token_that_expired_is_made_anew_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with tenant(expires=1800) as site, site.client() as client, following(changes(client)) as seen:
        tokens = site.notifications.tokens
        assert site.notifications.calls.count("POST token") == 1
        await anyio.sleep(1800)
        site.notifications.break_all()
        site.raise_alarm(1)
        assert await until(lambda: len(tokens) == 2 and bool(seen.changes), 10)
        for terms in tokens.values():
            terms["until"] = 0  # revoked: 401 though it says otherwise
        site.notifications.break_all()
        site.raise_alarm(2)
        assert await until(lambda: len(tokens) == 3 and len(seen.changes) == 2, 10)
        for token in tokens:
            assert token not in caplog.text
            assert token.rpartition(".")[2] not in caplog.text
        assert all(b"authorization" not in headers for headers in site.notifications.headers)


async def test_errors_say_nothing_of_the_token() -> None:
    async with tenant() as site, site.client() as client:
        site.notifications.refuse = [401, 401]
        with pytest.raises(AuthenticationError) as caught:
            async with changes(client):
                pass
        (token,) = site.notifications.tokens
        assert token not in f"{caught.value!r} {caught.value} {caught.value.url}"
        assert "token=" not in str(caught.value.url)


@pytest.mark.parametrize(("status", "error"), [(403, PermissionDeniedError), (401, AuthenticationError)])
async def test_missing_rights_end_a_stream_at_once(status: int, error: type[Exception]) -> None:
    async with tenant() as site, site.client() as client:
        site.notifications.fail = [status]
        with pytest.raises(error) as caught:
            async with changes(client):
                pass
        assert status != 403 or "ROLE_NOTIFICATION_2_ADMIN" in str(caught.value)


async def test_failures_of_the_token_endpoint_are_waited_out() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)) as seen:
        site.notifications.tokens.clear()
        site.notifications.fail = [503, 500, 429, 401, 404, 403]
        site.notifications.break_all()
        site.raise_alarm(1)
        assert await until(lambda: bool(seen.changes), 120)
        assert seen.error is None


async def test_another_connection_of_the_same_consumer_is_waited_out_and_named() -> None:
    async with tenant() as site, site.client() as client, changes(client) as first:
        with pytest.raises(RequestTimeoutError, match="another connection"):
            async with changes(client):
                pass
        assert first.state == "connected"
        tries = len(site.notifications.queries)
        assert 5 <= tries <= 14
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_later, first, 20)
            async with changes(client) as second:
                site.raise_alarm(1)
                assert len(await take(second, 1)) == 1


async def _leave_later(stream: ChangeStream[Alarm], seconds: float) -> None:
    await anyio.sleep(seconds)
    await stream.aclose()


async def test_a_flapping_server_is_not_hammered() -> None:
    async with tenant() as site, site.client() as client, following(changes(client)):
        before = len(site.notifications.queries)
        with anyio.move_on_after(300):
            while True:
                site.notifications.close_all(1000)
                await anyio.sleep(0.05)
        assert len(site.notifications.queries) - before < 40
        assert site.notifications.calls.count("POST token") == 1


async def test_acknowledgements_go_only_on_the_socket_that_brought_the_message() -> None:
    async with tenant() as site, site.client() as client, changes(client) as stream:
        site.raise_alarm(1)
        site.raise_alarm(2)
        first = await anext(stream)
        site.notifications.break_all()
        await anyio.sleep(30)  # both came again, under the same ack ids
        (socket,) = site.notifications.sockets
        assert len(socket.out) == 2
        assert site.notifications.only().acked == []
        second = await anext(stream)
        assert second.id != first.id
        await second.ack()
        await anyio.sleep(1)
        assert len(site.notifications.only().acked) == 2
        assert socket.foreign == []


async def test_shared_consumers_split_what_comes() -> None:
    async with tenant() as site, site.client() as one, site.client() as two:
        first = changes(one, shared=True, consumer="a")
        second = changes(two, shared=True, consumer="b")
        async with following(first) as left, following(second) as right:
            alarms = {site.raise_alarm(n, source=str(4711 + n % 3)) for n in range(30)}
            assert await until(lambda: set(left.fold) | set(right.fold) == alarms, 30)
            assert left.fold
            assert right.fold
            assert not set(left.fold) & set(right.fold)
            await anyio.sleep(1000)
            assert left.gaps == right.gaps == []
            assert first.cause is None
            assert {query.get("consumer") for query in site.notifications.queries} == {"a", "b"}
            assert first.stats.reads == 0


async def test_a_shared_feed_that_somebody_deleted_is_made_anew_and_told_as_a_loss() -> None:
    async with tenant() as site, site.client() as client, following(changes(client, shared=True)) as seen:
        await anyio.sleep(130)
        assert seen.gaps == []
        site.notifications.subscriptions.clear()
        site.raise_alarm(1)
        assert await until(lambda: len(seen.gaps) == 1, 65)
        (gap,) = seen.gaps
        assert gap.recovered is None
        assert 55 < (gap.until - gap.since).total_seconds() < 65
        alarm = site.raise_alarm(2)
        assert await until(lambda: list(seen.fold) == [alarm], 5)


async def test_a_device_that_is_gone_does_not_keep_the_others_from_being_fed() -> None:
    async with tenant() as site, site.client() as client:
        core = client.notification2.subscriptions._core
        feed = Feed(core, "topic", Scope.of(["1", "2"]))
        site.notifications.fail = [404]
        with pytest.raises(NotFoundError):
            await feed.ensure()
        assert not await feed.ensure()
        site.notifications.subscriptions.clear()
        site.notifications.fail = [404]
        assert await feed.ensure()
        assert [one["source"]["id"] for one in site.notifications.subscriptions.values()] == ["2"]


async def test_leaving_in_no_time_leaves_no_connection_though_acknowledgements_are_due() -> None:
    async with tenant() as site, site.client() as client, changes(client) as stream:
        consumer = stream._reader._attachment  # type: ignore[attr-defined]
        consumer._acks._due.append(b"never sent")
        with anyio.move_on_after(0.5):
            await consumer.remove()
        assert await until(lambda: not site.notifications.sockets, 5)


def test_what_is_set_aside_stays_so_though_it_comes_again() -> None:
    aside, acked = SetAside(), []
    body = b'{"id":"1","type":"a","severity":"MAJOR","status":"ACTIVE","time":"2026-01-01T00:00:00Z"}'
    for _ in range(3):
        aside.failed(aside.mark("CREATE", body))
    live = LiveNotifications(None, Scope(), aside, None)  # type: ignore[arg-type]
    live.acknowledge = lambda socket, ack: acked.append((socket, ack))
    for socket in (1, 2):
        live.on_frame(b"x\n/t1/alarms/7\nCREATE\n\n" + body, socket=socket)
    assert acked == [(1, b"x"), (2, b"x")]


async def test_a_stream_of_devices_and_types_has_a_topic_of_its_own() -> None:
    async with tenant() as site, site.client() as client:
        stream = changes(client, source=["4711", "4712"], type=["acme_1", "acme_2"])
        async with following(stream) as seen:
            for source in ("4711", "4712", "4713"):
                for n in (1, 2, 3):
                    site.raise_alarm(n, source=source)
            assert await until(lambda: len(seen.changes) == 4, 20)
            await anyio.sleep(100)
            assert len(seen.changes) == 4
        fed = await client.notification2.subscriptions.list()
        assert [(one.context, one.source, one.apis, one.type_filter) for one in fed] == [
            ("mo", source, ("alarms",), "'acme_1' or 'acme_2'") for source in ("4711", "4712")
        ]
        topic = client.notification2.topic(["4711", "4712"], type=["acme_2", "acme_1"])
        assert {one.name for one in fed} == {topic}
        assert topic != client.notification2.topic()


async def test_unsubscribing_and_deleting_leave_nothing() -> None:
    async with tenant() as site, site.client() as client:
        service = client.notification2
        async with changes(client):
            pass
        assert site.notifications.subscribers
        site.notifications.result = "SCHEDULED"
        assert await service.unsubscribe("pager")
        assert not await service.unsubscribe("pager")
        assert site.notifications.subscribers == {}
        assert not await service.subscriptions.ensure(service.topic())
        (left,) = await service.subscriptions.list(service.topic())
        assert await service.subscriptions.delete(left)
        assert not await service.subscriptions.delete(left.id)
        assert await service.subscriptions.list() == ()


@pytest.mark.parametrize("turn", [*range(30), *range(30, 60, 3)])
async def test_cancelling_anywhere_leaves_nothing_and_loses_nothing(turn: int) -> None:
    async with tenant() as site, site.client() as client:
        async with changes(client):
            pass
        alarms = [site.raise_alarm(n) for n in range(3)]
        handled: list[str] = []
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel_after, scope, turn)
                async with changes(client) as stream:
                    async for item in stream:
                        await item.ack()
                        handled.append(item.id)
        assert await until(lambda: not site.notifications.sockets, 5)
        async with changes(client) as stream:
            got = await take(stream, 3 - len(handled), 20)
        assert [*handled, *(item.id for item in got)][-1] == alarms[-1]
        assert set(handled) | {item.id for item in got} == set(alarms)


async def _cancel_after(scope: anyio.CancelScope, turn: int) -> None:
    for _ in range(turn * 3):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "notification2"},
        {"transport": "notification2", "subscriber": "a-b"},
        {"transport": "notification2", "subscriber": ""},
        {"transport": "notification2", "subscriber": "a", "shared": True, "snapshot": True},
        {"transport": "notification2", "subscriber": "a", "consumer": "b"},
        {"transport": "auto", "subscriber": "a"},
        {"transport": "polling", "shared": True},
        {"transport": "websocket", "overflow": "block"},
    ],
)
async def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    async with tenant() as site, site.client() as client:
        with pytest.raises(ConfigurationError):
            client.alarms.changes(**options)


async def test_a_backlog_that_grows_old_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with tenant() as site, site.client() as client:
        async with changes(client):
            pass
        for n in range(5):
            site.raise_alarm(n)
        await anyio.sleep(1000)
        async with changes(client) as stream:
            got = await take(stream, 5)
        assert len([item for item in got if isinstance(item, Change)]) == 5
        assert not [item for item in got if isinstance(item, Gap)]
    assert len([record for record in caplog.records if "min behind" in record.getMessage()]) == 1


async def test_changes_can_be_copied_and_pickled() -> None:
    import copy
    import pickle

    async with tenant() as site, site.client() as client, changes(client) as stream:
        site.raise_alarm(1)
        change = await anext(stream)
        for other in (pickle.loads(pickle.dumps(change)), copy.copy(change)):
            assert other.id == change.id
            assert json.loads(other.alarm.raw) == json.loads(change.alarm.raw)
            await other.ack()
        await anyio.sleep(1)
        assert site.notifications.only().acked == []
