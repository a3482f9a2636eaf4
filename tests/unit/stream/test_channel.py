"""The text channel: whole messages from any split of bytes, dead peers found, nothing lost by cancelling."""

from __future__ import annotations

import base64
import re
import tracemalloc
import zlib
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._redact import Redactor
from tocsin._http._request import Request
from tocsin._stream._channel import Frames, TextChannel, open_channel
from tocsin._stream._channel_terms import ChannelClosedError, ChannelSettings
from tocsin.emulator._web_socket import accept_header
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
)
from tocsin.testing import in_process
from unit.http.http_servers import serving

SETTINGS = ChannelSettings()
WHERE = Request("GET", "/notification/realtime")


def text(data: bytes, *, pieces: int = 1) -> bytes:
    """A message as a server frames it, in so many fragments."""
    step = max(1, -(-len(data) // pieces))
    cut = [data[i : i + step] for i in range(0, len(data), step)] or [b""]
    wire = b""
    for number, piece in enumerate(cut):
        opcode = Opcode.CONT if number else Opcode.TEXT
        wire += Frame(opcode, piece, fin=number == len(cut) - 1).serialize(mask=False)
    return wire


def control(opcode: Opcode, data: bytes = b"") -> bytes:
    return Frame(opcode, data).serialize(mask=False)


class TestFrames:
    @given(
        st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 4)), max_size=6),
        st.lists(st.integers(1, 40), min_size=1),
    )
    def test_any_split_of_the_bytes_gives_the_same_messages(self, messages, steps) -> None:
        wire = b"".join(text(data, pieces=n) + control(Opcode.PING, b"x") for data, n in messages)
        frames, got, at = Frames(SETTINGS, 0.0), [], 0
        for step in steps * (len(wire) + 1):
            if at >= len(wire):
                break
            got += frames.received(wire[at : at + step], 0.0)
            at += step
        assert got == [data for data, _ in messages]
        assert frames.over is None
        assert frames.to_send().count(b"\x8a") >= len(messages)  # each ping has its pong

    def test_the_peer_is_asked_in_time_and_dead_without_an_answer(self) -> None:
        frames = Frames(SETTINGS, 100.0)
        frames.beat(119.9)
        assert frames.idle
        frames.beat(120.0)
        assert not frames.idle
        assert frames.next_beat == 130.0
        frames.received(text(b"[]"), 125.0)  # what comes does not prove that ours arrives
        frames.beat(130.0)
        assert "ping" in str(frames.over)

    def test_a_pong_proves_it_alive_and_a_wrong_one_does_not(self) -> None:
        frames = Frames(SETTINGS, 0.0)
        frames.beat(20.0)
        frames.received(control(Opcode.PONG, b"9"), 21.0)
        assert frames.next_beat == 30.0
        frames.received(control(Opcode.PONG, b"1"), 22.0)
        assert frames.next_beat == 42.0
        frames.beat(42.0)
        frames.received(control(Opcode.PONG, b"1"), 43.0)  # an old one
        frames.beat(52.0)
        assert frames.over is not None

    def test_a_peer_that_is_known_to_be_busy_is_not_taken_for_dead_until_then(self) -> None:
        frames = Frames(SETTINGS, 0.0)
        frames.excuse(240.0)
        assert frames.next_beat == 20.0  # it is asked all the same
        frames.beat(20.0)
        assert frames.next_beat == 240.0
        frames.beat(239.0)
        assert frames.over is None
        frames.excuse(50.0)
        frames.beat(50.0)
        assert frames.over is not None

    def test_messages_before_a_close_are_kept_and_the_code_is_told(self) -> None:
        frames = Frames(SETTINGS, 0.0)
        got = frames.received(text(b"a") + control(Opcode.CLOSE, b"\x03\xe9going\x1b away"), 0.0)
        assert got == [b"a"]
        assert isinstance(frames.over, ChannelClosedError)
        assert frames.over.code == 1001
        assert "\x1b" not in str(frames.over)
        assert not frames.idle  # our own close

    def test_what_a_server_says_at_the_end_is_shown_without_secrets(self) -> None:
        frames = Frames(SETTINGS, 0.0, Redactor(["hunter2"]))
        frames.received(control(Opcode.CLOSE, b"\x03\xf0who is hunter2?"), 0.0)
        assert "hunter2" not in f"{frames.over!r}{frames.over.reason}"

    @pytest.mark.parametrize(
        ("wire", "reason"),
        [
            (text(b"x" * 2000), "too large"),
            (text(b"x" * 2000, pieces=4), "too large"),
            (b"\xff\xff\xff\xff", "no WebSocket"),
            (control(Opcode.CONT, b"x"), "no WebSocket"),
            (Frame(Opcode.TEXT, b"x").serialize(mask=True), "no WebSocket"),
            (text(b"x" * 100)[:2].replace(b"\x81", b"\xc1") + zlib.compress(bytes(100_000)), "no WebSocket"),
            (b"\x83\x00", "no WebSocket"),
            (Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=False) + text(b"y"), "no WebSocket"),
            (b"\x09\x00", "no WebSocket"),
            (b"\x89\x7e\x00\x80" + bytes(128), "no WebSocket"),
            (b"\x88\x01\x03", "no WebSocket"),
            (b"\x88\x02\x00\x01", "no WebSocket"),
            (b"\x88\x04\x03\xe8\xff\xff", "no WebSocket"),
            (b"\x81\x7f" + b"\xff" * 8, "large|no WebSocket"),
            (b"\x81\x7f" + (50 * 2**20).to_bytes(8, "big"), "too large"),
            (b"", "without a word"),
        ],
        ids=[
            "large",
            "large in pieces",
            "garbage",
            "stray continuation",
            "masked",
            "compressed unasked",
            "reserved opcode",
            "message within a message",
            "ping in pieces",
            "long ping",
            "half a close code",
            "impossible close code",
            "close reason not UTF-8",
            "endless",
            "50 MB",
            "end",
        ],
    )
    def test_what_breaks_the_rules_ends_it(self, wire: bytes, reason: str) -> None:
        frames = Frames(ChannelSettings(max_bytes=1000), 0.0)
        assert frames.received(wire, 0.0) == []
        assert frames.over is not None
        assert re.search(reason, frames.over.reason)
        assert frames.received(text(b"later"), 0.0) == []

    def test_endless_fragments_cost_no_memory(self) -> None:
        frames = Frames(ChannelSettings(max_bytes=1000), 0.0)
        frames.received(Frame(Opcode.TEXT, b"", fin=False).serialize(mask=False), 0.0)
        empty = Frame(Opcode.CONT, b"", fin=False).serialize(mask=False) * 10_000
        tracemalloc.start()
        try:
            for _ in range(5):
                assert frames.received(empty, 0.0) == []
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert kept < 100_000
        assert frames.received(text(b"x")[:1].replace(b"\x81", b"\x80") + b"\x01x", 0.0) == [b"x"]

    @pytest.mark.parametrize("name", ["open_within", "ping_every", "pong_within", "max_bytes"])
    def test_settings_that_cannot_work_are_refused(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=name):
            ChannelSettings(**{name: 0})


class Server:
    """An ASGI application that speaks WebSocket; `script` is what it does once it has accepted."""

    def __init__(self, script=None, *, status: int | None = None) -> None:
        self.script = script or echo
        self.status = status
        self.scopes: list = []
        self.left: list = []

    async def __call__(self, scope, receive, send) -> None:
        self.scopes.append(scope)
        await receive()
        if self.status is not None:
            body = b'{"error":"security/Unauthorized","message":"no"}'
            await send({"type": "websocket.http.response.start", "status": self.status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": body})
            return
        await send({"type": "websocket.accept"})
        try:
            await self.script(scope, receive, send)
        finally:
            self.left.append(scope)


async def echo(scope, receive, send) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def hold(scope, receive, send) -> None:
    while (await receive())["type"] == "websocket.receive":
        pass


@asynccontextmanager
async def channel(app, settings=SETTINGS, **options):
    async with (
        in_process(app) as server,
        HttpCore(server.url, transport_factory=server.transport_factory, **options) as core,
        core.session() as session,
    ):
        opened = await open_channel(session, WHERE, settings)
        try:
            yield opened
        finally:
            await opened.aclose()


@pytest.mark.virtual_time
class TestChannel:
    async def test_messages_go_both_ways_with_the_credentials_of_the_client(self) -> None:
        app = Server()
        async with channel(app, auth=BasicAuth("ada", "secret", tenant="t1")) as opened:
            for message in (b"[]", "Tür".encode(), b"x" * 300_000, b""):
                await opened.send(message)
                assert await opened.receive() == [message]
        assert b"authorization" in dict(app.scopes[0]["headers"])
        assert len(app.left) == 1

    async def test_an_idle_channel_lives_on_pings(self) -> None:
        async with channel(Server(hold)) as opened:
            with anyio.move_on_after(600) as scope:
                await opened.receive()
            assert scope.cancelled_caught
            await opened.send(b"still here")

    async def test_a_silent_peer_is_found_dead_in_time(self) -> None:
        async def silent(scope, receive, send) -> None:
            await receive()
            scope["extensions"]["tocsin.wire"].silence()
            await hold(scope, receive, send)

        async with channel(Server(silent)) as opened:
            await opened.send(b"hush")
            began = anyio.current_time()
            with pytest.raises(ChannelClosedError, match="ping"):
                await opened.receive()
            assert anyio.current_time() - began == pytest.approx(30.0)
            with pytest.raises(ChannelClosedError, match="ping"):
                await opened.send(b"x")

    @pytest.mark.parametrize("fault", ["abort", "reset"])
    async def test_a_broken_connection_is_told_after_what_came_before(self, fault: str) -> None:
        async def breaks(scope, receive, send) -> None:
            await send({"type": "websocket.send", "text": "one"})
            await receive()
            getattr(scope["extensions"]["tocsin.wire"], fault)()

        async with channel(Server(breaks)) as opened:
            assert await opened.receive() == [b"one"]
            await opened.send(b"go")
            with pytest.raises(TransportError):
                await opened.receive()

    async def test_the_peers_close_is_told_with_its_code(self) -> None:
        async def closes(scope, receive, send) -> None:
            await send({"type": "websocket.send", "text": "bye"})
            await send({"type": "websocket.close", "code": 1001, "reason": "restart"})

        async with channel(Server(closes)) as opened:
            assert await opened.receive() == [b"bye"]
            for _ in range(2):
                with pytest.raises(ChannelClosedError, match="restart") as caught:
                    await opened.receive()
                assert caught.value.code == 1001

    @pytest.mark.parametrize(
        ("status", "error"), [(401, AuthenticationError), (409, ConflictError), (200, ProtocolError)]
    )
    async def test_a_refusal_is_its_status(self, status: int, error: type[Exception]) -> None:
        with pytest.raises(error):
            async with channel(Server(status=status)):
                pass

    async def test_a_server_that_never_consents_is_given_up(self) -> None:
        class Mute(Server):
            async def __call__(self, scope, receive, send) -> None:
                await receive()
                self.left.append((await receive())["type"])

        app = Mute()
        began = anyio.current_time()
        with pytest.raises(RequestTimeoutError):
            async with channel(app):
                pass
        assert anyio.current_time() - began == pytest.approx(10.0)
        assert app.left == ["websocket.disconnect"]

    async def test_a_cancelled_receive_loses_nothing(self) -> None:
        async def counts(scope, receive, send) -> None:
            for number in range(300):
                await send({"type": "websocket.send", "text": str(number)})
                await anyio.sleep(0.01)
            await hold(scope, receive, send)

        got: list[bytes] = []
        async with channel(Server(counts)) as opened:
            turn = 0
            while len(got) < 300:
                turn += 1
                with anyio.move_on_after(0.004 * (turn % 4)):
                    got += await opened.receive()
        assert got == [b"%d" % number for number in range(300)]

    async def test_a_cancelled_send_leaves_no_half_message(self) -> None:
        async with channel(Server()) as opened:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await opened.send(b"first")
            await opened.send(b"second")
            got = await opened.receive()
            assert got[-1] == b"second" or await opened.receive() == [b"second"]

    async def test_closing_is_polite_bounded_and_repeatable(self) -> None:
        codes = []

        async def notes(scope, receive, send) -> None:
            codes.append((await receive())["code"])

        async with channel(Server(notes)) as opened:
            await opened.aclose()
            await opened.aclose()
        assert codes == [1000]

        async def ignores(scope, receive, send) -> None:
            await anyio.sleep_forever()

        app = Server(ignores)
        async with in_process(app) as server:
            async with (
                HttpCore(server.url, transport_factory=server.transport_factory) as core,
                core.session() as session,
            ):
                opened = await open_channel(session, WHERE, SETTINGS)
                began = anyio.current_time()
                await opened.aclose()
                assert anyio.current_time() - began <= SETTINGS.close_within
            server.cut()


class Wire:
    """A connection.

    Args:
        said: What the peer says.
        write: What becomes of a write: it is ``taken``, or ``breaks`` the connection, or ``blocks``.
    """

    def __init__(self, *said: bytes, write: str = "blocks") -> None:
        self.said = list(said)
        self.outcome = write
        self.closed = anyio.Event()
        self.more = anyio.Event()

    def say(self, data: bytes) -> None:
        self.said.append(data)
        self.more.set()

    async def read(self) -> bytes:
        await anyio.lowlevel.checkpoint()  # httpcore's streams can be cancelled here, whatever there is
        if not self.said:
            self.more = anyio.Event()
            await self.more.wait()
        return self.said.pop(0) if self.said else b""

    async def write(self, data: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self.outcome == "blocks":
            await self.closed.wait()
        if self.outcome != "taken":
            raise TransportError("the connection broke", reason="the connection broke")

    async def aclose(self) -> None:
        self.closed.set()
        self.more.set()


@pytest.mark.virtual_time
class TestPeerThatTakesNothing:
    async def test_closing_is_bounded_also_while_a_message_cannot_leave(self) -> None:
        for waits in (0, 1, 3):
            opened = TextChannel(Wire(), SETTINGS)

            async def says(opened=opened) -> None:
                with pytest.raises(ChannelClosedError):
                    await opened.send(b"x")

            async with anyio.create_task_group() as tasks:
                for _ in range(waits):
                    tasks.start_soon(says)
                await anyio.sleep(1)
                began = anyio.current_time()
                await opened.aclose()
                assert anyio.current_time() - began <= SETTINGS.close_within

    async def test_a_message_that_cannot_leave_is_told_in_its_time_and_none_follows_it(self) -> None:
        opened = TextChannel(Wire(), SETTINGS)

        async def says(limit: float) -> None:
            with pytest.raises(ChannelClosedError, match="within 2 s"):
                await opened.send(b"x", within=limit)

        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(says, 2.0)
            await anyio.sleep(1)
            tasks.start_soon(says, 10.0)
        assert anyio.current_time() - began == pytest.approx(2.0)
        await opened.aclose()

    async def test_what_came_before_a_write_that_failed_is_given_first(self) -> None:
        goodbye = control(Opcode.CLOSE, b"\x03\xe9")
        for last, error in ((goodbye, "1001"), (control(Opcode.PING), "broke")):
            opened = TextChannel(Wire(text(b"last words") + last, write="breaks"), SETTINGS)
            assert await opened.receive() == [b"last words"]
            with pytest.raises(ChannelClosedError, match=error):
                await opened.receive()
            await opened.aclose()


@pytest.mark.virtual_time
async def test_a_pong_that_waits_to_be_read_is_no_silence() -> None:
    """Whoever reads may be busy for longer than a pong may take."""
    wire = Wire(text(b"a"), write="taken")
    opened = TextChannel(wire, SETTINGS)
    assert await opened.receive() == [b"a"]
    with anyio.move_on_after(21):
        await opened.receive()
    await anyio.sleep(60)
    wire.say(control(Opcode.PONG, b"1") + text(b"b"))
    assert await opened.receive() == [b"b"]
    await opened.aclose()


class TestOnSockets:
    async def test_frames_that_come_with_the_handshake_are_not_lost(self) -> None:
        async def handler(server, stream, number) -> None:
            head = await server.read_request(stream)
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            accept = accept_header(key.partition(b":")[2].strip())
            reply = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            await stream.send(reply + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + text(b"early"))
            await stream.send(text(b"late"))
            await server.read_request(stream)

        async with serving(handler) as server, HttpCore(server.url) as core, core.session() as session:
            opened = await open_channel(session, WHERE, SETTINGS)
            got = await opened.receive()
            if len(got) < 2:
                got += await opened.receive()
            assert got == [b"early", b"late"]
            await opened.aclose()
        assert server.open == 0

    @pytest.mark.parametrize(
        ("accept", "more"),
        [
            (b"AAAA", b""),
            (accept_header(base64.b64encode(bytes(16))), b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            (accept_header(base64.b64encode(bytes(16))), b"Sec-WebSocket-Protocol: chat\r\n"),
        ],
        ids=["another key", "an extension", "a subprotocol"],
    )
    async def test_a_wrong_answer_to_the_handshake_is_refused_and_closed(self, accept, more) -> None:
        async def handler(server, stream, number) -> None:
            await server.read_request(stream)
            await stream.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n" + more + b"\r\n"
            )
            await server.read_request(stream)

        async with serving(handler) as server, HttpCore(server.url) as core, core.session() as session:
            with pytest.raises(ProtocolError, match="does not fit"):
                await open_channel(session, WHERE, SETTINGS, key=lambda: bytes(16))
        assert server.open == 0
