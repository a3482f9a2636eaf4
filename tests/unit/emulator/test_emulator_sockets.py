"""The emulator on real sockets: what the wire shows to a plain TCP client and to httpx."""

import base64
import json
import socket
import struct
import subprocess
import sys
import threading
import time

import anyio
import anyio.to_thread
import httpx
import pytest
from emulator_consumer import consuming, subscribe, write
from emulator_talk import Talk, events

from tocsin.emulator import BayeuxSettings, Emulator, Fault, serve

AUTH = base64.b64encode(b"t1/demo:demo").decode()


class Wire:
    """A TCP client that tells what it saw: bytes, a plain end (FIN), or a reset (RST)."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def request(self, line: str, body: bytes = b"", more: str = "") -> None:
        head = f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {AUTH}\r\nAccept: */*\r\n{more}"
        self.socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def rest(self, seconds: float = 5) -> tuple[bytes, str]:
        got, deadline = b"", time.monotonic() + seconds
        try:
            while True:
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                if not (part := self.socket.recv(65536)):
                    break
                got += part
        except TimeoutError:
            return got, "silence"
        except ConnectionResetError:
            return got, "reset"
        return got, "end"

    def until(self, wanted: bytes) -> bytes:
        """Read until something has come, or for ten seconds."""
        got, deadline = b"", time.monotonic() + 10
        while wanted not in got:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            part = self.socket.recv(65536)
            assert part, got
            got += part
        return got

    def close(self) -> None:
        self.socket.close()


async def in_thread(work, *args):
    return await anyio.to_thread.run_sync(work, *args)


@pytest.fixture
async def served():
    emulator = Emulator(bayeux=BayeuxSettings(heartbeat=0.05))
    emulator.store.add_device(id="4711")
    emulator.store.create({"source": "4711", "text": "x" * 1000})
    async with serve(emulator) as server:
        server.emulator = emulator
        yield server


@pytest.fixture
async def talk(served):
    async with httpx.AsyncClient(
        base_url=served.url, auth=("demo", "demo"), trust_env=False, timeout=5
    ) as http:
        yield Talk(http)


@pytest.fixture
def wire(served):
    made = Wire(served.port)
    yield made
    made.close()


GET = "GET /alarm/alarms"


async def test_links_show_where_it_listens(served, talk):
    [alarm] = await talk.alarms()
    assert alarm["self"].startswith(served.url + "/")


async def test_writers_on_other_threads_wake_held_polls(served, talk):
    await talk.attach()
    emulator = served.emulator

    def write():
        for number in range(50):
            emulator.store.create({"source": "4711", "type": str(number)})

    seen = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_thread, write)
        while len(seen) < 50:
            seen += events(await talk.connect(5))
    assert [number for _action, number in seen] == [e.id for e in emulator.ledger][1:]


@pytest.mark.parametrize(("reset", "end"), [(False, "end"), (True, "reset")])
@pytest.mark.parametrize("kind", ["drop", "cut"])
async def test_connections_end_before_an_answer(served, wire, kind, reset, end):
    served.emulator.faults.add(Fault(kind, reset=reset))
    wire.request(GET)
    assert await in_thread(wire.rest) == (b"", end)


async def test_a_body_is_cut_to_the_byte(served, wire):
    served.emulator.faults.add(Fault("cut", size=700))
    wire.request(GET)
    got, end = await in_thread(wire.rest)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert (len(body), end) == (700, "end")


async def test_silence_is_not_an_end(served, wire):
    served.emulator.faults.add(Fault("silence", size=10))
    wire.request(GET)
    got, end = await in_thread(wire.rest, 0.3)
    assert (len(got.partition(b"\r\n\r\n")[2]), end) == (10, "silence")


async def test_a_body_can_come_drop_by_drop(served, wire):
    served.emulator.faults.add(Fault("drip", size=100, seconds=0.01))
    wire.request(GET)

    def read():
        parts = []
        while sum(map(len, parts)) < 1000:
            parts.append(wire.socket.recv(65536))
        return parts

    assert len(await in_thread(read)) > 5


async def test_heartbeats_arrive_as_they_are_sent(served, talk, wire):
    await talk.attach()
    connect = {"channel": "/meta/connect", "connectionType": "long-polling", "clientId": talk.client_id}
    body = json.dumps([connect]).encode()
    cookie = f"Cookie: BAYEUX_BROWSER={talk.http.cookies['BAYEUX_BROWSER']}\r\n"
    wire.request("POST /notification/realtime", body, cookie)
    await in_thread(wire.until, b"\r\n\r\n1\r\n \r\n1\r\n \r\n")
    served.emulator.store.create({"source": "4711", "type": "new"})
    await in_thread(wire.until, b'"realtimeAction":"CREATE"')


async def test_a_client_that_resets_leaves_nothing_behind(served, talk):
    await talk.attach()
    async with httpx.AsyncClient(base_url=served.url, cookies=talk.http.cookies, trust_env=False) as http:
        with anyio.move_on_after(0.2):
            other = Talk(http)
            other.client_id = talk.client_id
            http.auth = talk.http.auth
            await other.connect(30)
    plain = Wire(served.port)
    plain.request(GET)
    plain.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()
    await served.emulator.until(lambda: served.emulator.held_polls == 0)
    assert (await talk.connect())[0]["successful"]


async def test_restart_cuts_idle_connections_too(served, talk, wire):
    wire.request(GET)
    await in_thread(wire.socket.recv, 65536)
    await talk.attach()
    served.emulator.restart()
    _got, end = await in_thread(wire.rest)
    assert end in {"end", "reset"}
    assert (await talk.connect())[0]["error"].startswith("402")


async def test_down_means_connection_refused_on_the_same_port(served, talk):
    port = served.port
    for _ in range(3):
        served.emulator.go_down()
        with pytest.raises(httpx.ConnectError):
            await talk.get("/alarm/alarms")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
        served.emulator.come_up()
        assert (await talk.get("/alarm/alarms")).status_code == 200
    assert served.port == port


async def test_an_outage_over_http_ends_by_itself(served, talk):
    token = served.emulator.enable_control()
    reply = await talk.http.post(
        "/__emulator__/actions",
        json={"do": "go_down", "seconds": 0.2},
        headers={"Authorization": f"Bearer {token}"},
        auth=None,
    )
    assert reply.status_code == 202
    await served.emulator.until(lambda: served.refusing)
    with pytest.raises(httpx.ConnectError):
        await talk.get("/alarm/alarms")
    await served.emulator.until(lambda: not served.refusing)
    await served.emulator.until(lambda: not served.emulator.down)
    assert (await talk.get("/alarm/alarms")).status_code == 200


@pytest.mark.parametrize(
    "nonsense", [b"\0\1\2\3\r\n\r\n", b"GET", b"POST /x HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
async def test_nonsense_does_not_hurt(served, talk, wire, nonsense):
    wire.socket.sendall(nonsense)
    wire.socket.shutdown(socket.SHUT_WR)
    await in_thread(wire.rest)
    assert (await talk.get("/alarm/alarms")).status_code == 200


async def test_a_taken_port_is_told(served):
    with pytest.raises(OSError, match="in use"):
        async with serve(Emulator(), port=served.port):
            pass


async def test_leaving_ends_held_polls_and_the_thread():
    emulator = Emulator()
    before = threading.active_count()
    async with (
        serve(emulator) as server,
        httpx.AsyncClient(base_url=server.url, auth=("demo", "demo")) as http,
    ):
        talk = await Talk(http).attach()
        async with anyio.create_task_group() as tasks:

            async def hold():
                with pytest.raises(httpx.TransportError):
                    await talk.connect(30)

            tasks.start_soon(hold)
            await emulator.until(lambda: emulator.held_polls == 1)
            server.stop()
    assert not [t for t in threading.enumerate() if t.name == "tocsin emulator" and t.is_alive()][before:]
    assert emulator.servers == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)


async def test_stopping_says_nothing(capfd, caplog):
    emulator = Emulator()
    emulator.faults.add(Fault("delay", seconds=3600))
    async with serve(emulator) as server:
        busy = Wire(server.port)
        busy.request(GET)
        await emulator.until(lambda: emulator.requests.total == 1)
    busy.close()
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


async def test_ipv6():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        async with serve(Emulator(), host="::1") as server, httpx.AsyncClient(trust_env=False) as http:
            assert server.url.startswith("http://[::1]:")
            assert (await http.get(server.url + "/alarm", auth=("demo", "demo"))).status_code == 200
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_in_the_foreground_it_ends_on_signals(number):
    code = (
        "from tocsin.emulator import Emulator, serve_forever\n"
        "serve_forever(Emulator(), ready=lambda url: print(url, flush=True))\n"
        "print('over', flush=True)\n"
    )
    import signal

    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        url = child.stdout.readline().decode().strip()
        try:
            with httpx.stream("GET", url + "/alarm", auth=("demo", "demo"), trust_env=False) as reply:
                assert reply.status_code == 200
                child.send_signal(getattr(signal, number))
            out, err = child.communicate(timeout=10)
        finally:
            child.kill()
    assert (child.returncode, out, err) == (0, b"over\n", b"")


async def test_a_consumer_and_a_writer_on_another_thread(served, talk):
    emulator = served.emulator
    await subscribe(talk)
    async with consuming(talk) as line:
        await in_thread(write, emulator, "a", "b")
        assert [await line.text(), await line.text()] == ["a", "b"]
        await emulator.until(lambda: emulator.broker.backlogs() == {"acme/me": 0})
        await line.ping()
        line.protocol.send_close(1000)
        await line.flush()
        await emulator.until(lambda: emulator.broker.consumers == 0)
    async with consuming(talk):
        pass
