"""Bayeux over WebSocket: the real transport on a server in memory, under a clock that jumps."""

from __future__ import annotations

import json

import anyio
import pytest

from tocsin.errors import AuthenticationError, ConnectError, PermissionDeniedError, TransportError
from unit.bayeux.bayeux_peer import Ear, Server, serving, subscriber_of
from unit.bayeux.bayeux_sockets import Sockets, sockets_of

pytestmark = pytest.mark.virtual_time

HANDSHAKE = b'[{"id":"1","channel":"/meta/handshake","ext":{"ack":true}}]'


def playing(acks=False):
    server = Server("websocket")
    server.acks = acks
    return server, Sockets(server), Ear()


async def test_events_come_in_frames_of_their_own_and_connects_go_on():
    """bayeux.md 6.58: also while no connect is out."""
    server, app, ear = playing()
    server.rewrite = lambda requests, answers: (
        [{**answers[-1], "advice": {"interval": 5000}}]
        if requests[0]["channel"] == "/meta/connect"
        else answers
    )
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(1)
        assert not any(client.held for client in server.clients.values())
        server.publish("/a", 1)
        server.publish("/a", 2)
        await ear.hears("event", 2)
        assert not any(client.held for client in server.clients.values())
        await anyio.sleep(120)
    assert ear.data == [1, 2]
    assert server.log.count("/meta/connect") >= 4
    assert app.opened == 1
    assert not ear.all("lost")


async def test_a_session_outlives_its_socket():
    """bayeux.md 6.59: a new socket, the old client id, and what was queued meanwhile."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(1)
        server.reset()
        await anyio.sleep(0)
        while app.wires:
            await anyio.sleep(0.001)
        server.publish("/a", "meanwhile")
        await ear.hears("attached", 2)
        await ear.hears("event")
    assert [told[1] for told in ear.all("attached")] == [1, 1]
    assert [told[1:] for told in ear.all("lost")] == [(False, "the connection broke")]
    assert server.log.count("/meta/subscribe") == 1
    assert app.opened == 2
    connects = [m for batch in server.requests for m in batch if m["channel"] == "/meta/connect"]
    assert connects[2]["advice"]["timeout"] == 0


async def test_a_socket_that_dies_while_nothing_is_out_is_told_and_replaced():
    server, app, ear = playing()
    server.rewrite = lambda requests, answers: (
        [{**answers[-1], "advice": {"interval": 5000}}]
        if requests[0]["channel"] == "/meta/connect"
        else answers
    )
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(1)
        server.reset()
        await ear.hears("attached", 2)
    assert len(ear.all("lost")) == 1
    assert app.opened == 2


async def test_a_lost_pong_closes_the_socket_and_fails_what_is_out():
    """bayeux.md 6.60: also the command that nobody answers."""
    server, app, ear = playing()
    other = Ear()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        begun = anyio.current_time()
        app.wires[0].silence()
        await anyio.sleep(15)
        await ear.hears("lost")
        assert anyio.current_time() - begun <= 45
        subscriber.add(other, ["/b"])
        await ear.hears("attached", 2)
        await other.hears("attached")
    assert len(ear.all("lost")) <= 2  # the session may not outlive so long a silence
    assert app.opened <= 3


async def test_what_an_old_socket_still_holds_harms_nothing_on_the_new_one():
    """bayeux.md 6.60: the old one takes its time to close, and what was sent goes over the new one."""
    server, app, _ = playing()
    async with sockets_of(server, app) as make:
        transport = make()
        await transport.send(HANDSHAKE, limit=10)
        assert b"clientId" in (await transport.receive())[0]
        assert transport.hang_up(TransportError("doubted"))
        with pytest.raises(TransportError, match="doubted"):
            await transport.receive()
        await transport.send(
            b'[{"id":"2","channel":"/meta/subscribe","clientId":"c1","subscription":"/a"}]', limit=10
        )
        assert app.opened == 2
        assert json.loads((await transport.receive())[0])[0]["successful"]
        await transport.aclose()
        await transport.aclose()


async def test_two_messages_at_once_open_one_socket():
    server, app, _ = playing()
    async with sockets_of(server, app) as make:
        transport = make()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(lambda: transport.send(HANDSHAKE, limit=10))
        assert app.opened == 1
        await transport.aclose()


async def test_a_transport_without_a_socket_has_nothing_to_hang_up():
    server, app, _ = playing()
    async with sockets_of(server, app) as make:
        transport = make()
        assert not transport.hang_up(TransportError("x"))
        server.down = True
        with pytest.raises(ConnectError):
            await transport.send(HANDSHAKE, limit=10)
        await transport.aclose()


@pytest.mark.parametrize("word", ["/meta/connect", "/meta/subscribe"])
async def test_an_answer_that_does_not_come_is_one_loss_and_a_new_socket(word):
    """bayeux.md 6.15, 6.28: told once, waited for once."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        app.mute = word
        other = Ear()
        subscriber.add(other, ["/b"])
        begun = anyio.current_time()
        await ear.hears("lost")
        app.mute = ""
        assert anyio.current_time() - begun <= 72
        await other.hears("attached")
        assert subscriber._session._course._backoff.failures <= 1
    assert [told[1] for told in ear.all("lost")] == [False]
    assert app.opened == 2


async def test_a_connect_that_is_held_too_long_while_events_flow_is_given_its_time():
    """bayeux.md 2.3: a server that holds connects as it likes loses one socket by it, not one each time."""
    server, app, ear = playing()

    async def answer(message, before=server.answer):
        if message["channel"] == "/meta/connect" and message["advice"]["timeout"]:
            message["advice"]["timeout"] = 60_000
        answers = await before(message)
        if message["channel"] == "/meta/connect":
            answers[-1]["advice"] = {"reconnect": "retry", "interval": 0, "timeout": 60_000}
        return answers

    server.answer = answer
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        await anyio.sleep(1)
        for n in range(60):
            server.publish("/a", n)
            await anyio.sleep(5)
    assert ear.data == list(range(60))
    assert len(ear.all("lost")) == 1
    assert app.opened == 2


async def test_what_is_not_json_costs_nothing_but_itself():
    """bayeux.md 6.40 and the specification's arrays."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        for text in ("junk", "17", '{"channel":"/a","data":"bare"}', "[[]]"):
            await app.sends[0]({"type": "websocket.send", "text": text})
        await ear.hears("event")
        await anyio.sleep(100)
    assert ear.data == ["bare"]
    assert len(ear.all("unreadable")) == 3
    assert not ear.all("lost")


async def test_blank_frames_are_heartbeats_and_junk_is_logged_once(caplog):
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        for blank in ("", " ", "\r\n"):
            await app.sends[0]({"type": "websocket.send", "text": blank})
        server.publish("/a", 1)
        await ear.hears("event")
        assert not ear.all("unreadable")
        for _ in range(50):
            await app.sends[0]({"type": "websocket.send", "text": "junk"})
        await ear.hears("unreadable", 50)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


async def test_a_connect_reply_that_nobody_asked_for_starts_nothing():
    """bayeux.md 6.10, 6.16: neither a late one, nor one without an id while none is out."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        await anyio.sleep(1)
        before = len(server.requests)
        late = [{"channel": "/meta/connect", "id": "1", "successful": True}]
        late += [{"channel": "/meta/connect", "id": "2", "successful": False, "error": "402::x"}]
        await app.sends[0]({"type": "websocket.send", "text": json.dumps(late)})
        await anyio.sleep(5)
        assert len(server.requests) == before
    assert not ear.all("lost")


async def test_a_beat_of_the_servers_own_is_answered_by_the_next_connect():
    """cumulocity.md 3.3: empty connect replies come by themselves, without an id."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        await anyio.sleep(1)
        client = server.clients["c1"]
        client.held.set()  # the server lets go of what it holds, and says so without the id
        server.rewrite = lambda _, answers: [{k: v for k, v in a.items() if k != "id"} for a in answers]
        before = server.log.count("/meta/connect")
        await ear.hears("alive", 3)
        await anyio.sleep(1)
        assert server.log.count("/meta/connect") == before + 1
    assert not ear.all("lost")


async def test_a_session_unknown_to_a_connect_is_replaced_on_a_socket_of_its_own():
    """bayeux.md 6.22, 6.59."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a", "/b/*"])
        await ear.hears("alive", 2)
        server.clients.clear()
        server.reset()
        await ear.hears("attached", 2)
        begun = server.log.index("/meta/handshake", 1)
        assert server.log[begun : begun + 4] == [
            "/meta/handshake",
            "/meta/subscribe",
            "/meta/subscribe",
            "/meta/connect",
        ]
        assert server.requests[0] != server.requests[-1]
        assert len(app.wires) == 1


@pytest.mark.parametrize("way", ["long-polling", "websocket"])
async def test_a_batch_that_was_lost_on_the_way_comes_again(way):
    """bayeux.md 6.45, 6.46, 6.47."""
    server, ear, lost = Server(way), Ear(), []
    server.acks = True

    async def handle(body, before=server.handle):
        answer = await before(body)
        if b'"data": 1' in answer and not lost:
            lost.append(answer)
            server.reset()
            await anyio.sleep_forever()
        return answer

    server.handle = handle
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        await anyio.sleep(1)
        server.publish("/a", 1)
        await ear.hears("event")
        server.publish("/a", 2)
        await ear.hears("event", 2)
        subscriber.renew("to begin anew")
        await ear.hears("attached", 3)
    assert lost
    assert ear.data == [1, 2]
    connects = [m for batch in server.requests for m in batch if m["channel"] == "/meta/connect"]
    numbers = [m["ext"]["ack"] for m in connects]
    assert numbers[:2] == [0, 1]
    begun = next(n for n, m in enumerate(connects) if m["clientId"] == "c2")
    assert numbers[begun] == 0
    assert numbers[:begun] == sorted(numbers[:begun])
    shakes = [m for batch in server.requests for m in batch if m["channel"] == "/meta/handshake"]
    assert all(m["ext"]["ack"] is True for m in shakes)


@pytest.mark.parametrize("way", ["long-polling", "websocket"])
async def test_without_the_servers_word_nothing_is_acknowledged(way):
    """bayeux.md 6.47."""
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 3)
    assert not any(
        "ext" in m for batch in server.requests for m in batch[:1] if m["channel"] == "/meta/connect"
    )


async def test_a_batch_that_can_never_be_read_does_not_come_for_ever():
    """Who waits for an acknowledgement sends the same junk again and again: a new session ends that."""
    server, ear = Server(), Ear()
    server.acks = server.rude = True

    async def handle(body, before=server.handle):
        answer = await before(body)
        return b'[{"channel":"/a","da' if b"poison" in answer else answer

    server.handle = handle
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        server.publish("/a", "poison")
        begun = anyio.current_time()
        while server.numbers < 2:
            await anyio.sleep(1)
            assert anyio.current_time() - begun < 30
        await ear.hears("attached", 2)
        server.publish("/a", "fine")
        await ear.hears("event")
    assert ear.data == ["fine"]
    assert ("lost", True, "a batch cannot be read") in ear.told


@pytest.mark.parametrize("busy", [True, False])
async def test_connects_answered_at_once_are_neither_spun_on_nor_held_against_a_busy_server(busy):
    server, app, ear = playing()

    async def hold(client, seconds):
        await anyio.sleep(0.2)

    server.hold = hold
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        before = server.log.count("/meta/connect")
        for n in range(300):
            if busy:
                server.publish("/a", n)
            await anyio.sleep(0.1)
        connects = server.log.count("/meta/connect") - before
    assert connects > 100 if busy else connects < 30


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (403, PermissionDeniedError)])
async def test_a_socket_that_is_refused_for_good_is_raised(status, error):
    """bayeux.md 6.6."""
    server, app, ear = playing()
    app.refusal = status
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("closed")
        await anyio.sleep(100)
    assert isinstance(ear.told[-1][1], error)
    assert len(ear.all("closed")) == 1


@pytest.mark.parametrize("after", [n / 10 for n in range(0, 25, 2)])
async def test_cancelling_at_any_moment_leaves_no_socket_and_no_session(after):
    """bayeux.md 6.50."""
    server, app, ear = playing()

    async def slow(message, before=server.answer):
        await anyio.sleep(0.35)
        return await before(message)

    server.answer = slow
    async with sockets_of(server, app) as make:
        subscriber = subscriber_of(server, make, close_timeout=2.0)
        with anyio.move_on_after(after):
            subscriber.add(ear, ["/a"])
            await subscriber.run()
    assert not app.wires
    assert not server.clients
    assert ear.told[-1] == ("closed", None)


async def test_closing_a_half_open_socket_is_bounded():
    """bayeux.md 6.48: nothing that is sent arrives, nothing comes back."""
    server, app, ear = playing()
    server.rude = True
    async with serving(server, app=app, close_timeout=2.0) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("alive", 2)
        app.wires[0].silence()
        begun = anyio.current_time()
    assert anyio.current_time() - begun <= 2.1


@pytest.mark.limit(20_000)
async def test_hundreds_of_new_sockets_leave_nothing_behind():
    """bayeux.md 6.44."""
    server, app, ear = playing()
    async with serving(server, app=app) as subscriber:
        subscriber.add(ear, ["/a"])
        for n in range(1, 201):
            await ear.hears("attached", n)
            await anyio.sleep(12)
            if n % 10 == 0:
                server.restart()
            else:
                server.reset()
        await ear.hears("attached", 201)
        assert len(subscriber._links) == 1
        (link,) = subscriber._links.values()
        await anyio.sleep(40)
        assert len(link._waiting) <= 1
        assert len(app.wires) == 1
    assert len(ear.all("lost")) == 200 + 20  # a restart is told twice: cut off, then forgotten


@pytest.mark.parametrize("way", ["long-polling", "websocket"])
async def test_a_server_that_flaps_does_not_fill_the_log(way, caplog):
    """An outage reaches the log once, however often it is tried again."""
    caplog.set_level("INFO", "tocsin")
    server, ear = Server(way), Ear()
    async with serving(server) as subscriber:
        subscriber.add(ear, ["/a"])
        await ear.hears("attached")
        for _ in range(120):
            await anyio.sleep(1)
            server.reset()
        server.down = True
        server.reset()
        await anyio.sleep(600)
        told = len(ear.all("lost"))
        server.down = False
        await ear.hears("attached", len(ear.all("attached")) + 1)
    assert told > 30
    assert 1 <= len(caplog.records) <= 4
