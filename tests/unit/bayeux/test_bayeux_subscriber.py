"""The subscriber over a server in memory, under a clock that jumps."""

from __future__ import annotations

import anyio
import pytest

from tocsin._stream._owner import TaskOwner
from tocsin.errors import AuthenticationError, ConfigurationError, NotFoundError, TransportError
from unit.bayeux.bayeux_peer import Ear, Server, Wire, serving, subscriber_of

pytestmark = pytest.mark.virtual_time


@pytest.fixture(params=["long-polling", "websocket"])
def way(request):
    """What is spoken; over WebSocket the transport, its frames and the HTTP before them are the real ones."""
    return request.param


async def test_events_flow_from_the_very_answer_to_the_subscription(way):
    """bayeux.md 6.33, 6.17."""
    server, ear = Server(way), Ear()
    server.late["/a/1"] = ["early"]
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a/1"])
        await ear.hears("attached")
        server.publish("/a/1", "late")
        await ear.hears("event", 2)
    assert ear.data == ["early", "late"]
    assert [told[3:] for told in ear.all("event")] == [(1, False), (1, True)]
    assert server.log[:4] == ["/meta/handshake", "/meta/subscribe", "/meta/connect", "/meta/connect"]
    assert server.log[-1] == "/meta/disconnect"
    assert ear.told[-1] == ("closed", None)
    assert not ear.all("lost")


async def test_a_second_listener_need_not_wait_for_the_held_poll(way):
    """bayeux.md 6.55."""
    server, first, second, third = Server(way), Ear(), Ear(), Ear()
    async with serving(server) as subscriber:
        subscriber.add(first, ["/a"])
        await first.hears("attached")
        begun = anyio.current_time()
        subscriber.add(second, ["/b"])
        await second.hears("attached")
        subscriber.add(third, ["/b"])
        await third.hears("attached")
        assert anyio.current_time() - begun < 1
    assert server.log.count("/meta/handshake") == 1


async def test_two_listeners_share_a_channel(way):
    """bayeux.md 6.35."""
    server, one, two = Server(way), Ear(), Ear()
    async with serving(server) as subscriber:
        first, second = subscriber.add(one, ["/a/*", "/a/1"]), subscriber.add(two, ["/a/*"])
        await one.hears("attached")
        await two.hears("attached")
        server.publish("/a/1", 1)
        await one.hears("event")
        await two.hears("event")
        await first.remove()
        server.publish("/a/1", 2)
        await two.hears("event", 2)
        assert server.log.count("/meta/unsubscribe") == 1  # /a/1; /a/* is still wanted
        await second.remove()
        assert server.log[-1] == "/meta/disconnect"
        assert not server.clients
    assert (one.data, two.data) == ([1], [1, 2])
    assert server.log.count("/meta/subscribe") == 2


async def test_a_listener_that_raises_harms_nobody(way, caplog):
    """bayeux.md 6.38."""

    class Bad(Ear):
        def on_events(self, events, **_):
            raise RuntimeError("mine")

        on_alive = on_attached = on_lost = on_events  # type: ignore[assignment]

    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(Bad(), ["/a"])
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        server.publish("/a", 1)
        await ear.hears("event")
        server.publish("/a", 2)
        await ear.hears("event", 2)
    assert "listener raised" in caplog.text


async def test_a_server_that_is_killed_and_restarted_is_followed_again(way):
    """bayeux.md 6.27, 6.28: without any call by the application; the loss is told."""
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        server.down = True
        server.restart()
        await anyio.sleep(120)
        lost = len(ear.all("lost"))
        assert lost >= 3
        assert not any(told[1] for told in ear.all("lost"))  # nobody has said so yet
        server.down = False
        await ear.hears("attached", 2)
        assert [told[1] for told in ear.all("lost")[lost:]] == [True]
        server.publish("/a", "again")
        await ear.hears("event")
    assert [told[1] for told in ear.all("attached")] == [1, 2]
    assert all(t.closed for t in server.transports)


async def test_a_server_that_freezes_for_a_moment_keeps_the_session(way):
    """bayeux.md 6.26."""
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(1)
        server.reset()
        await ear.hears("attached", 2)
    assert [told[1] for told in ear.all("attached")] == [1, 1]
    assert len(ear.all("lost")) == 1
    assert server.log.count("/meta/subscribe") == 1


async def test_a_dead_peer_is_noticed_within_liveness(way):
    """bayeux.md 6.15, design §2.4."""
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        await anyio.sleep(1)
        begun = anyio.current_time()
        server.frozen = True
        await ear.hears("lost")
        assert anyio.current_time() - begun <= 45


async def test_a_transport_that_never_ends_is_ended():
    """bayeux.md 6.15: the limit is kept even if the transport forgets it."""

    class Stuck(Wire):
        async def exchange(self, messages, *, held, silence, total):
            if held:
                await anyio.sleep_forever()
            return await super().exchange(messages, held=held, silence=silence, total=total)

    server, ear = Server(), Ear()
    async with serving(server, lambda _: Stuck(server)) as subscriber:
        subscriber.add(ear, ["/a"])
        begun = anyio.current_time()
        await ear.hears("lost")
        assert anyio.current_time() - begun <= 45


async def test_a_transport_that_raises_anything_is_survived(caplog):
    """bayeux.md 6.20: no exception escapes the loop."""

    class Odd(Wire):
        async def exchange(self, messages, **limits):
            if faults and len(self.server.requests) > 3:
                raise faults.pop(0)
            return await super().exchange(messages, **limits)

        async def aclose(self):
            await super().aclose()
            raise OSError("bad file descriptor")

    faults = [ValueError("a"), ExceptionGroup("g", [TransportError("b")]), KeyError("c")]
    server, ear = Server(), Ear()
    async with serving(server, lambda _: Odd(server)) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        server.publish("/a", 1)
        await ear.hears("attached", 2)
    assert not faults
    assert len(ear.all("lost")) == 3


async def test_a_refused_channel_is_told_to_its_own_listener(way):
    """bayeux.md 6.31."""
    server, good, poor = Server(way), Ear(), Ear()
    server.denied = {"/secret"}
    async with serving(server) as subscriber:
        subscriber.add(poor, ["/secret"])
        subscriber.add(good, ["/a"])
        await good.hears("attached")
        await poor.hears("refused")
        subscriber.renew("try again")
        await good.hears("attached", 2)
    assert not good.all("refused")
    assert len(poor.all("refused")) == 2
    assert not poor.all("attached")


async def test_who_has_to_wait_for_a_channel_is_told_why_and_nobody_else(way):
    server, good, late = Server(way), Ear(), Ear()
    async with serving(server) as subscriber:
        subscriber.add(good, ["/a"])
        await good.hears("attached")
        server.busy = {"/b"}
        subscriber.add(late, ["/b"])
        await late.hears("lost", 3)
        assert "503::busy" in str(late.all("lost")[-1])
        server.busy = set()
        await late.hears("attached")
    assert not good.all("lost")


async def test_a_renewed_session_takes_everything_along(way):
    """Recovery: a session that was caught losing messages is replaced, and the old one is ended."""
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a", "/b/*"])
        await ear.hears("attached")
        subscriber.renew("it seems deaf")
        await ear.hears("attached", 2)
        await anyio.sleep(1)
        assert list(server.clients) == ["c2"]
        server.publish("/b/1", 1)
        await ear.hears("event")
    assert ("lost", True, "it seems deaf") in ear.told


async def test_unreadable_elements_reach_the_listener():
    """bayeux.md 6.40."""
    server, ear = Server(), Ear()
    server.rewrite = lambda _, answers: (
        [17, *answers] if any(a["channel"] == "/a" for a in answers) else answers
    )
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        server.publish("/a", 1)
        await ear.hears("event")
    assert ear.all("unreadable") == [("unreadable", b"17")]


async def test_a_fatal_error_is_told_once_and_ends_it():
    """bayeux.md 6.6."""

    class Refusing(Wire):
        async def exchange(self, messages, **limits):
            await anyio.lowlevel.checkpoint()
            raise AuthenticationError("wrong password", status=401)

    server, ear, other = Server(), Ear(), Ear()
    async with serving(server, lambda _: Refusing(server)) as subscriber:
        registration = subscriber.add(ear, ["/a"])
        await ear.hears("closed")
        await anyio.sleep(100)
        assert len(server.transports) == 1
        await registration.remove()
        subscriber.add(other, ["/a"])  # the user's own new try
        await other.hears("closed")
    (closed,) = ear.all("closed")
    assert isinstance(closed[1], AuthenticationError)


async def test_the_owner_may_move_to_another_address():
    errors = []

    class Missing(Wire):
        async def exchange(self, messages, **limits):
            await anyio.lowlevel.checkpoint()
            raise NotFoundError("nothing here", status=404)

    server, ear = Server(), Ear()

    def connect(error):
        errors.append(type(error))
        return Wire(server) if error else Missing(server)

    async with serving(server, connect) as subscriber:
        subscriber.add(ear, ["/a"])
        begun = anyio.current_time()
        await ear.hears("attached")
        assert anyio.current_time() - begun < 0.1
    assert errors == [type(None), NotFoundError]


@pytest.mark.parametrize("error", [ConfigurationError("no such profile"), ZeroDivisionError("a mistake")])
async def test_an_error_of_the_owner_is_final_and_told(error, caplog):
    def connect(_):
        raise error

    server, ear = Server(), Ear()
    async with serving(server, connect) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("closed")
        await anyio.sleep(10)
    (closed,) = ear.all("closed")
    assert closed[1] is error or closed[1].__cause__ is error


@pytest.mark.parametrize("trouble", ["none", "frozen", "down"])
async def test_closing_is_bounded_whatever_the_server_does(way, trouble):
    """bayeux.md 6.48."""
    server, ear = Server(way), Ear()
    async with serving(server, close_timeout=2.0) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(5)
        server.frozen, server.down = trouble == "frozen", trouble == "down"
        begun = anyio.current_time()
    assert anyio.current_time() - begun <= (2.1 if trouble == "frozen" else 0.1)
    assert ear.told[-1] == ("closed", None)


async def test_removing_is_bounded_and_may_be_repeated(way):
    """bayeux.md 6.48, 6.52."""
    server, ear = Server(way), Ear()
    async with serving(server, close_timeout=2.0) as subscriber:
        registration = subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        server.frozen = server.rude = True
        begun = anyio.current_time()
        await registration.remove()
        await registration.remove()
        assert anyio.current_time() - begun <= 2.1
        told = len(ear.told)
        server.frozen = False
        await anyio.sleep(100)
        assert len(ear.told) == told


async def test_removing_one_of_two_is_bounded_too(way):
    """bayeux.md 6.42, 6.48: the unsubscribe is not answered, and nobody waits for it."""
    server, one, two = Server(way), Ear(), Ear()
    async with serving(server, close_timeout=2.0) as subscriber:
        first = subscriber.add(one, ["/a"])
        subscriber.add(two, ["/b"])
        await two.hears("attached")
        server.frozen = server.rude = True
        begun = anyio.current_time()
        await first.remove()
        assert anyio.current_time() - begun <= 2.1


async def test_a_failed_command_is_a_loss_until_the_next_good_connect():
    """bayeux.md 1.7: events may have been written into the answer that did not come."""

    class Losing(Wire):
        async def exchange(self, messages, **limits):
            reply = await super().exchange(messages, **limits)
            if b"/late" in messages and len(ear.all("lost")) == 0:
                raise TransportError("cut off", maybe_applied=True)
            return reply

    server, ear, other = Server(), Ear(), Ear()
    async with serving(server, lambda _: Losing(server)) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        subscriber.add(other, ["/late"])
        await ear.hears("lost")
        alive = len(ear.all("alive"))
        await ear.hears("attached", 2)
        assert len(ear.all("alive")) == alive + 1
        await other.hears("attached")
    assert [told[1] for told in ear.all("lost")] == [False]


async def test_a_farewell_that_is_not_heard_is_given_up():

    class Deaf(Wire):
        async def exchange(self, messages, **limits):
            if b"/meta/disconnect" in messages:
                await anyio.sleep_forever()
            return await super().exchange(messages, **limits)

    server, ear = Server(), Ear()
    server.rude = True
    async with serving(server, lambda _: Deaf(server), close_timeout=2.0) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        subscriber.renew("it seems deaf")
        await ear.hears("attached", 2)
        assert not server.transports[0].closed
        await anyio.sleep(2.1)
        assert server.transports[0].closed


async def test_an_idle_subscriber_holds_no_session(way):
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        for n in (1, 2, 3):
            registration = subscriber.add(ear, ["/a"])
            await ear.hears("attached", n)
            await registration.remove()
            assert not server.clients
            await anyio.sleep(1)
            assert all(t.closed for t in server.transports)


async def test_a_listener_may_let_go_or_renew_while_it_is_told(way):
    """bayeux.md 6.30."""
    server = Server(way)

    class Quitter(Ear):
        def on_lost(self, **what):
            super().on_lost(**what)
            tasks.start_soon(registration.remove)

    ear = Quitter()
    async with serving(server) as subscriber, anyio.create_task_group() as tasks:
        registration = subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(1)
        server.reset()
        await ear.hears("lost")
        await anyio.sleep(100)
        requests = len(server.requests)
        await anyio.sleep(1000)
        assert len(server.requests) == requests
    assert len(ear.all("lost")) == 1


@pytest.mark.parametrize("after", [n / 10 for n in range(25)])
async def test_cancelling_at_any_moment_leaves_nothing(after):
    """bayeux.md 6.50: no task (the guard looks), no connection, no session."""

    class Slow(Wire):
        async def exchange(self, messages, **limits):
            await anyio.sleep(0.35)
            reply = await super().exchange(messages, **limits)
            await anyio.sleep(0.35)
            return reply

        async def aclose(self):
            await anyio.sleep(0.1)
            await super().aclose()

    server, ear = Server(), Ear()
    subscriber = subscriber_of(server, lambda _: Slow(server), close_timeout=2.0)
    with anyio.move_on_after(after):
        subscriber.add(ear, ["/a"])
        await subscriber.run()
    assert all(t.closed and not t.polls and not t.commands for t in server.transports)
    assert not server.clients
    assert ear.told[-1] == ("closed", None)


@pytest.mark.limit(100_000)
async def test_a_thousand_reconnects_leave_nothing_behind():
    """bayeux.md 6.44."""
    server, ear = Server(), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        for n in range(1, 1001):
            await ear.hears("attached", n)
            await anyio.sleep(12)  # long enough for the waits not to grow
            if n % 10 == 0:
                server.restart()
            else:
                server.reset()
            ear.told = ear.all("attached")
        await ear.hears("attached", 1001)
        await anyio.sleep(10)
        assert len(subscriber._links) == 1
        assert len(subscriber._registrations) == 1
        assert not subscriber._leaving
        assert sum(not t.closed for t in server.transports) == 1
    assert len(server.transports) == 101


async def test_an_idle_stream_costs_two_requests_a_minute(way):
    """Design §2, promise 6."""
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        before = len(server.requests)
        await anyio.sleep(600)
        assert len(server.requests) - before <= 21
    assert not ear.all("lost")


async def test_a_flapping_server_is_not_stormed(way):
    """Design §2, promise 6."""
    server, ear = Server(way), Ear()
    server.rude = True
    server.rewrite = lambda requests, answers: (
        [
            {
                **answers[-1],
                "successful": False,
                "error": "402::session_unknown",
                "advice": {"reconnect": "handshake"},
            }
        ]
        if requests[0]["channel"] == "/meta/connect"
        else answers
    )
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await anyio.sleep(600)
    assert server.log.count("/meta/handshake") < 60


async def test_a_subscriber_runs_once_and_not_after_its_end():
    server = Server()
    subscriber = subscriber_of(server)
    owner = TaskOwner("test")
    async with owner.open():
        owner.start(subscriber.run, "subscriber")
        await anyio.sleep(1)
        with pytest.raises(ConfigurationError):
            await subscriber.run()
    with pytest.raises(ConfigurationError):
        subscriber.add(Ear(), ["/a"])


@pytest.mark.parametrize("channels", [[], ["a"], ["/meta/connect"], ["/ok", "/a/*/b"]])
async def test_bad_channels_are_refused_before_anything_is_sent(channels):
    """bayeux.md 6.34."""
    server = Server()
    async with serving(server) as subscriber:
        with pytest.raises(ConfigurationError):
            subscriber.add(Ear(), channels)
        await anyio.sleep(10)
    assert not server.requests
