"""Each command against an emulator on loopback: what it prints, how it fails, how it ends.

The command runs in a process and an event loop of its own; the loop that only watches it need not be two.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import pytest
import trustme

from sockets.cli_process import COMMAND, environment, run, running
from tocsin.emulator import Emulator, Fault, XProtectEmulator, serve

pytestmark = [pytest.mark.timeout(90), pytest.mark.limit(80)]  # each command starts a Python of its own


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def emulator():
    emulator = Emulator()
    emulator.store.add_device("Door 7", id="4711")
    return emulator


@pytest.fixture
async def url(emulator):
    async with serve(emulator) as server:
        yield server.url


@pytest.fixture
def dead_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


def raised(emulator, number=1, **more):
    return emulator.store.create(
        {"type": f"acme_{number}", "text": f"text {number}", "source": "4711", **more}
    )


def one_sentence(err):
    assert len(err.splitlines()) == 1, err
    assert err.startswith("tocsin: ")
    assert "Traceback" not in err
    return err


async def test_raise_list_ack_clear_count(emulator, url):
    code, out, err = await run(
        "raise", "--source", "4711", "--type", "acme_Door", "--text", "Door 7 forced", "--jsonl", url=url
    )
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert (made["event"], made["outcome"], made["level"], made["phase"]) == (
        "alarm", "created", "MAJOR", "ACTIVE",
    )  # fmt: skip
    assert emulator.store.get(made["id"]) == made["alarm"]

    code, out, err = await run("ack", made["id"], url=url)
    assert (code, err) == (0, "")
    assert "ACKNOWLEDGED" in out
    code, out, _ = await run("list", "--status", "acknowledged", "--source", "4711", url=url)
    assert code == 0
    assert "Door 7 forced" in out.splitlines()[1]
    code, out, _ = await run("clear", made["id"], "--jsonl", url=url)
    assert (code, json.loads(out)["phase"]) == (0, "CLEARED")
    assert await run("count", "--status", "ACTIVE", url=url) == (0, "0\n", "")
    code, out, _ = await run("count", "--jsonl", url=url)
    assert json.loads(out) == {"event": "count", "platform": "cumulocity", "site": "t1", "count": 1}


async def test_many_are_acknowledged_or_cleared_when_told_to_be_sure(emulator, url):
    made = [raised(emulator, number)["id"] for number in range(3)]
    emulator.store.update(made[0], {"status": "CLEARED"})

    def statuses():
        return [emulator.store.get(one)["status"] for one in made]

    code, out, err = await run("ack", "--source", "4711", "--severity", "major", url=url)
    assert (code, out) == (0, "2 alarms would be acknowledged\n")
    assert "--yes" in one_sentence(err)
    assert statuses() == ["CLEARED", "ACTIVE", "ACTIVE"]

    code, out, err = await run("ack", "--source", "4711", "--source", "4711", "--yes", url=url)
    assert (code, out, err) == (0, "2 alarms acknowledged\n", "")
    assert statuses() == ["CLEARED", "ACKNOWLEDGED", "ACKNOWLEDGED"]

    code, out, err = await run("clear", "--severity", "MAJOR", "--yes", "--jsonl", url=url)
    told = {"event": "bulk", "platform": "cumulocity", "site": "t1", "verb": "clear", "matched": 2}
    assert (code, json.loads(out), err) == (0, {**told, "done": True}, "")
    assert statuses() == ["CLEARED"] * 3


async def test_history(emulator, url):
    made = raised(emulator)["id"]
    emulator.store.update(made, {"severity": "CRITICAL", "acme_Note": {"by": "\x1b[31mada"}})
    code, out, err = await run("history", made, url=url)
    assert (code, err) == (0, "")
    first, last = out.splitlines()
    assert "severity MAJOR -> CRITICAL" in first
    assert "Alarm created" in last
    assert "\x1b" not in out
    code, out, err = await run("history", made, "--jsonl", url=url)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["event"], line["alarm_id"], line["site"]) for line in lines] == [("audit", made, "t1")] * 2
    assert lines[0]["record"]["id"] == lines[0]["id"]
    code, out, err = await run("history", "31415", url=url)
    assert (code, out) == (0, "")
    assert "no records" in one_sentence(err)


async def test_a_repeat_says_what_was_not_taken(emulator, url):
    raised(emulator, severity="MINOR")
    code, out, err = await run(
        "raise", "--source", "4711", "--type", "acme_1", "--text", "text 1", "--severity", "critical", url=url
    )
    assert code == 0
    assert "MINOR" in out
    assert "severity" in one_sentence(err)


async def test_a_suppressed_alarm_is_no_alarm(emulator, url):
    emulator.store.set_maintenance("4711", True)
    code, out, err = await run("raise", "--source", "4711", "--type", "a", "--text", "t", "--jsonl", url=url)
    assert (code, err) == (0, "")
    assert json.loads(out)["outcome"] == "suppressed"
    assert json.loads(out)["alarm"] is None


async def test_one_alarm_that_is_not_there_does_not_stop_the_rest(emulator, url):
    there = raised(emulator)["id"]
    code, out, err = await run("ack", "999", there, url=url)
    assert code == 1
    assert "999" in one_sentence(err)
    assert "ACKNOWLEDGED" in out
    assert emulator.store.get(there)["status"] == "ACKNOWLEDGED"


async def test_list_gives_each_alarm_once_and_no_more_than_asked(emulator, url):
    for number in range(5):
        raised(emulator, number)
    code, out, _ = await run("list", "--jsonl", url=url)
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["id"] for event in events} == {alarm["id"] for alarm in emulator.store.alarms()}
    assert len(events) == 5
    _, out, _ = await run("list", "--jsonl", "--limit", "2", url=url)
    assert len(out.splitlines()) == 2


async def test_watch_tells_every_change_as_json(emulator, url):
    first = raised(emulator, severity="MINOR")["id"]
    async with running("watch", "--jsonl", url=url) as watch:
        await watch.event("state", state="connected")
        seen = await watch.event("change")
        assert (seen["id"], seen["origin"], seen["action"]) == (first, "snapshot", "CREATE")
        emulator.store.update(first, {"severity": "CRITICAL"})
        seen = await watch.event("change")
        assert (seen["action"], seen["origin"], seen["level"]) == ("UPDATE", "live", "CRITICAL")
        assert seen["alarm"]["severity"] == "CRITICAL"
        assert await watch.end(signal.SIGINT) == 0
        last = [json.loads(line) for line in (await watch.rest()).splitlines()]
        assert [event["state"] for event in last] == ["closed"]
        assert await watch.errors() == ""
    assert emulator.sessions == 0


async def test_watch_goes_on_from_its_checkpoint(emulator, url, tmp_path):
    first = raised(emulator)["id"]
    arguments = ("watch", "--jsonl", "--checkpoint", str(tmp_path / "c"))
    async with running(*arguments, url=url) as watch:
        await watch.event("change", id=first)
        assert await watch.end() == 0
    second = raised(emulator, 2)["id"]
    async with running(*arguments, "--no-wait", url=url) as watch:  # going on is no failed connection
        change = await watch.event("change")  # the first one is not told again
        assert (change["id"], change["origin"]) == (second, "recovered")
        assert (await watch.event("gap"))["recovered"] == 1
        code, _, err = await run(*arguments, url=url)
        assert code == 1
        assert "in use" in one_sentence(err)
        assert await watch.end() == 0
        assert await watch.errors() == ""


async def test_all_commands_on_the_other_platform():
    vms = XProtectEmulator()
    camera = next(iter(vms.store.site.items["cameras"]))
    async with serve(vms) as server:
        theirs = {"XPROTECT_URL": server.url, "XPROTECT_USER": "demo", "XPROTECT_PASSWORD": "demo"}

        async def asked(command, *arguments):
            code, out, err = await run(command, "--platform", "xprotect", *arguments, **theirs)
            return code, out, err

        kind = ("--type", "Line crossed", "--text", "Gate north", "--severity", "MAJOR")
        code, out, err = await asked("raise", "--source", camera, *kind, "--jsonl")
        assert (code, err) == (0, "")
        made = json.loads(out)
        assert (made["platform"], made["level"], made["phase"]) == ("xprotect", "MAJOR", "ACTIVE")
        assert (made["alarm"]["name"], made["alarm"]["message"]) == ("Line crossed", "Gate north")
        for command, phase in (("ack", "ACKNOWLEDGED"), ("clear", "CLEARED")):
            code, out, err = await asked(command, made["id"], "--jsonl")
            assert (code, err, json.loads(out)["phase"]) == (0, "", phase)
        assert await asked("count", "--status", "CLEARED", "--severity", "MAJOR") == (0, "1\n", "")
        unknown = ("raise", "--source", camera, *kind[:-1], "WARNING")
        code, _, err = await asked(*unknown)
        assert (code, "no priority" in one_sentence(err), vms.store.count) == (2, True, 1)
        code, out, err = await asked("count", "--severity", "WARNING")
        assert (code, "no priority 'WARNING'" in one_sentence(err)) == (2, True)
        code, out, _ = await asked("list", "--source", camera)
        head, row = out.splitlines()
        assert (code, head.index("Alarm")) == (0, row.index("Gate north"))
        code, out, err = await asked("history", made["id"], "--jsonl")
        records = [json.loads(line) for line in out.splitlines()]
        assert (code, err, {record["event"] for record in records}) == (0, "", {"audit"})
        assert [record["alarm_id"] for record in records] == [made["id"]] * len(records)
        times = [record["record"]["time"] for record in records]
        assert len(times) >= 2
        assert times == sorted(times, reverse=True)
        code, out, _ = await asked("history", made["id"])
        assert (code, len(out.splitlines())) == (0, len(times))
        for wrong in (("list", "--type", "x"), ("list", "--tenant", "t1"), ("ack", "--type", "x", "--yes")):
            code, out, err = await asked(*wrong)
            assert (code, out) == (2, "")
            one_sentence(err)
        theirs["XPROTECT_PASSWORD"] = "wrong"
        code, out, err = await asked("list")
        assert (code, out) == (1, "")
        assert "refused" in one_sentence(err)


async def test_many_alarms_are_changed_on_the_other_platform_and_it_says_how_far_it_came():
    vms = XProtectEmulator()
    camera, other = list(vms.store.site.items["cameras"])[:2]
    async with serve(vms) as server:
        theirs = {"XPROTECT_URL": server.url, "XPROTECT_USER": "demo", "XPROTECT_PASSWORD": "demo"}
        ours = [vms.store.create({"name": f"n{n}", "source": camera})["id"] for n in range(3)]
        vms.store.create({"name": "theirs", "source": other})

        async def asked(command, *arguments):
            given = ("--platform", "xprotect", "--source", camera, *arguments)
            return await run(command, *given, **theirs)

        code, out, err = await asked("ack")
        assert (code, out) == (0, "3 alarms would be acknowledged\n")
        assert "--yes" in one_sentence(err)
        before = len(writes(vms))
        vms.faults.add(Fault("status", status=403, method="PATCH", path=f"*{ours[0]}"))
        code, out, err = await asked("ack", "--yes")
        assert (code, out) == (1, "")
        told, failed = err.splitlines()
        assert "2 of 3 alarms were acknowledged" in told
        assert "403" in failed
        assert len(writes(vms)) == before + 3  # the newest first; none is sent again
        code, out, _ = await asked("ack", "--yes", "--jsonl")
        told = json.loads(out)
        assert (code, told["event"], told["matched"], told["done"]) == (0, "bulk", 1, True)
        assert await asked("clear", "--yes") == (0, "3 alarms cleared\n", "")
        assert await asked("clear") == (0, "0 alarms cleared\n", "")
        assert await asked("count", "--status", "CLEARED") == (0, "3\n", "")


async def test_doctor_on_the_other_platform():
    vms = XProtectEmulator()
    async with serve(vms) as server:
        theirs = {"XPROTECT_URL": server.url, "XPROTECT_USER": "demo", "XPROTECT_PASSWORD": "demo"}
        code, out, err = await run("doctor", "--platform", "xprotect", "--jsonl", **theirs)
        *findings, report = [json.loads(line) for line in out.splitlines()]
        assert (code, err) == (0, "")
        assert {finding["event"] for finding in findings} == {"finding"}
        assert {finding["platform"] for finding in findings} == {"xprotect"}
        assert (report["event"], report["complete"], report["differs"]) == ("report", True, 0)
        assert writes(vms) == []
        code, out, _ = await run("doctor", "--platform", "xprotect", **theirs)
        assert (code, "--write --source ID" in out) == (0, True)


def writes(vms):
    return [request for request in vms.requests.log if request.method == "PATCH"]


async def test_watch_on_the_other_platform():
    vms = XProtectEmulator()
    first = vms.store.create({"name": "one"})["id"]
    async with serve(vms) as server:
        theirs = {"XPROTECT_URL": server.url, "XPROTECT_USER": "demo", "XPROTECT_PASSWORD": "demo"}
        async with running("watch", "--platform", "xprotect", "--jsonl", **theirs) as watch:
            seen = await watch.event("change")
            assert (seen["platform"], seen["id"], seen["origin"]) == ("xprotect", first, "snapshot")
            second = vms.store.create({"name": "two"})["id"]
            assert (await watch.event("change"))["id"] == second
            assert await watch.end() == 0
            end = json.loads((await watch.rest()).splitlines()[-1])
            assert (end["state"], end["cause"]) == ("closed", None)
            assert await watch.errors() == ""


@pytest.fixture
async def other_url():
    other = Emulator(tenant="t2")
    raised(other, severity="CRITICAL")
    async with serve(other) as server:
        yield server.url


def two_sources(tmp_path, url, other_url, *, password="demo"):
    path = tmp_path / "watch.toml"
    path.write_text(
        f"""
[sources.north]
url = "{url}"
tenant = "t1"
user = "demo"
password_env = "NORTH"

[sources.south]
url = "{other_url}"
tenant = "t2"
user = "demo"
severity = ["MAJOR", "CRITICAL"]
password_command = ["echo", "{password}"]
"""
    )
    return str(path)


async def test_watch_follows_all_sources_of_a_file(emulator, url, other_url, tmp_path):
    first = raised(emulator, severity="MINOR")["id"]
    config = two_sources(tmp_path, url, other_url)
    async with running("watch", "--config", config, "--jsonl", NORTH="demo") as watch:
        seen = [await watch.event("change") for _ in range(2)]
        told = {change["site"]: (change["platform"], change["level"], change["origin"]) for change in seen}
        assert told == {
            "north": ("cumulocity", "MINOR", "snapshot"),
            "south": ("cumulocity", "CRITICAL", "snapshot"),
        }
        emulator.store.update(first, {"status": "CLEARED"})
        seen = await watch.event("change", site="north")
        assert (seen["phase"], seen["origin"]) == ("CLEARED", "live")
        assert await watch.end() == 0
        last = [json.loads(line) for line in (await watch.rest()).splitlines()]
        assert sorted(event["site"] for event in last if event["event"] == "state") == ["north", "south"]
        assert await watch.errors() == ""
    assert emulator.sessions == 0


async def test_a_source_that_refuses_the_password_stops_no_other(emulator, url, other_url, tmp_path):
    config = two_sources(tmp_path, url, other_url, password="wrong")
    async with running("watch", "--config", config, NORTH="demo") as watch:
        said = ""
        while not ("STATE  connected" in said and "401" in said):
            said += await watch.line()
        made = raised(emulator)["id"]
        while not (line := await watch.line()).startswith("north "):
            pass
        assert line.split()[2:4] == ["CREATE", made]
        assert await watch.end() == 0
        assert "no connection to south yet" in one_sentence(await watch.errors())
    code, _, err = await run("watch", "--config", config, "--no-wait", "--jsonl", NORTH="demo")
    assert code == 1
    assert "no connection to south: " in err


async def test_a_mistake_in_a_file_is_one_sentence(url, tmp_path):
    config = two_sources(tmp_path, url, url)
    code, out, err = await run("watch", "--config", config, url=url)
    assert (code, out) == (2, "")
    assert f"{config}: source 'north': 'password_env' names NORTH" in one_sentence(err)
    code, out, err = await run("watch", "--config", config, "--tenant", "t1")
    assert (code, out) == (2, "")
    assert "--config says what is followed" in one_sentence(err)


async def test_watch_without_a_terminal_is_plain_lines(emulator, url):
    async with running("watch", "--no-snapshot", url=url) as watch:
        while "connected" not in await watch.line():
            pass
        made = raised(emulator, text="\x1b[31m[red]Door\x1b[0m \u202e7")["id"]
        line = await watch.line()
        assert line.split()[1:] == ["CREATE", made, "MAJOR", "ACTIVE", "4711", "[red]Door", "7"]
        assert await watch.end(signal.SIGTERM) == 0


async def test_watch_filters(emulator, url):
    async with running(
        "watch", "--jsonl", "--no-snapshot", "--source", "4711", "--severity", "critical", "--type", "b",
        "--transport", "long-polling", url=url,
    ) as watch:  # fmt: skip
        await watch.event("state", state="connected")
        raised(emulator, severity="CRITICAL")
        emulator.store.create({"type": "b", "text": "minor", "severity": "MINOR", "source": "4711"})
        wanted = emulator.store.create({"type": "b", "text": "x", "severity": "CRITICAL", "source": "4712"})
        emulator.store.update(wanted["id"], {"status": "CLEARED"})
        emulator.store.add_device(id="4713")
        emulator.store.update(emulator.store.alarms()[0]["id"], {"text": "never"})
        wanted = emulator.store.alarms()[1]["id"]
        emulator.store.update(wanted, {"severity": "CRITICAL"})
        assert (await watch.event("change"))["id"] == wanted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["watch", "demo", "emulator"])
async def test_a_signal_is_an_ordinary_end(url, command, number):
    arguments = {
        "watch": ("watch", "--jsonl"), "demo": ("demo", "--jsonl"), "emulator": ("emulator", "--port", "0"),
    }[command]  # fmt: skip
    async with running(*arguments, url=url) as started:
        await started.line()
        assert await started.end(number) == 0
        assert "Traceback" not in await started.errors()


async def test_a_signal_while_a_file_is_being_read(tmp_path):
    os.mkfifo(path := tmp_path / "watch.toml")
    async with running("watch", "--config", str(path)) as watch:
        writer = await anyio.to_thread.run_sync(os.open, path, os.O_WRONLY, abandon_on_cancel=True)
        try:
            assert await watch.end(signal.SIGTERM) == 0
        finally:
            os.close(writer)
        assert await watch.errors() == ""


async def test_a_signal_while_there_is_no_connection(dead_port):
    async with running("watch", url=f"http://127.0.0.1:{dead_port}") as watch:
        await watch.line()
        assert await watch.end() == 0


def stop_reading(*arguments, url, until):
    """Reads a command's output up to a line, then closes the pipe under it."""
    command = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while until not in (line := command.stdout.readline()):
        assert line
    command.stdout.close()
    return command, line.decode()


async def test_a_broken_pipe_is_an_ordinary_end(url):
    def watch():
        command, _ = stop_reading("watch", "--jsonl", url=url, until=b'"connected"')
        with command:  # nothing needs to be written for it to notice
            return command.wait(5), command.stderr.read()

    assert await anyio.to_thread.run_sync(watch) == (0, b"")


async def test_a_pipe_that_breaks_under_a_long_list_is_an_ordinary_end(emulator, url):
    for number in range(300):
        raised(emulator, number)
    shell = f"{' '.join(COMMAND)} list --jsonl | head -n 1; echo code ${{PIPESTATUS[0]}}"
    ran = await anyio.run_process(["bash", "-c", shell], env=environment(url), check=False)
    assert ran.stdout.decode().splitlines()[-1] == "code 0"
    assert ran.stderr == b""


async def test_help_into_a_closed_pipe():
    read, write = os.pipe()
    os.close(read)
    ran = await anyio.run_process([*COMMAND, "--help"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["list", "count", "watch"])
async def test_a_wrong_password(url, command):
    code, out, err = await run(command, url=url, C8Y_PASSWORD="sesame-42")
    assert code == 1
    assert "401" in one_sentence(err)
    assert "sesame-42" not in out + err


async def test_a_missing_role(emulator, url):
    emulator.access.add_user("bob", "pw", "no-alarms")
    arguments = ("raise", "--source", "4711", "--type", "a", "--text", "t")
    code, _, err = await run(*arguments, url=url, C8Y_USER="bob", C8Y_PASSWORD="pw")
    assert code == 1
    assert "403" in one_sentence(err)


async def test_watching_without_the_role(emulator, url):
    emulator.access.add_user("bob", "pw", "no-alarms")
    code, _, err = await run("watch", url=url, C8Y_USER="bob", C8Y_PASSWORD="pw")
    assert code == 1
    assert "/alarms/*" in one_sentence(err)


@pytest.mark.parametrize(
    "arguments", [("count",), ("watch", "--no-wait"), ("watch", "--no-wait", "--transport", "polling")]
)
async def test_a_dead_port(dead_port, arguments):
    code, _, err = await run(*arguments, url=f"http://127.0.0.1:{dead_port}")
    assert code == 1
    assert "refused" in one_sentence(err)
    assert f"127.0.0.1:{dead_port}" in err


async def test_a_first_connection_that_fails_is_told_and_tried_again(emulator):
    async with serve(emulator) as server:
        server.refusing = True
        async with running("watch", "--jsonl", url=server.url) as watch:
            seen = await watch.event("state", state="reconnecting")
            while seen["cause"] is None:
                seen = await watch.event("state", state="reconnecting")
            assert "refused" in seen["cause"]
            server.refusing = False
            await watch.event("state", state="connected")
            assert await watch.end() == 0
            assert "trying again" in one_sentence(await watch.errors())


@pytest.mark.parametrize(
    ("address", "code"),
    [("acme.example.com", 2), ("ftp://acme.example.com", 2), ("https://", 2), ("http://nowhere.invalid", 1)],
)
async def test_a_bad_url(address, code):
    ended, _, err = await run("count", url=address)
    assert ended == code
    assert "Traceback" not in err
    assert all(line.startswith("tocsin: ") for line in err.splitlines())


class Page(BaseHTTPRequestHandler):
    """A proxy's way of saying that nobody is there."""

    def do_GET(self):
        body = b"<html><head><title>Proxy Error</title></head><body>no <b>upstream</b></body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class's name

    def log_message(self, *_):
        pass


@contextmanager
def page_server(context=None):
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # a client that leaves in the handshake
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(5)


@pytest.mark.parametrize("arguments", [("list",), ("watch", "--no-wait")])
async def test_html_from_a_proxy(arguments):
    with page_server() as port:
        code, _, err = await run(*arguments, url=f"http://127.0.0.1:{port}")
    assert code == 1
    assert "page" in one_sentence(err)


@pytest.mark.parametrize("arguments", [("count",), ("watch", "--no-wait")])
async def test_a_certificate_that_nobody_trusts(tmp_path, arguments):
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "other.pem"
    other.cert_pem.write_to_path(trusted)
    with page_server(context) as port:
        code, _, err = await run(*arguments, "--ca", str(trusted), url=f"https://127.0.0.1:{port}")
    assert code == 1
    assert "certificate" in one_sentence(err)


async def test_the_password_comes_from_stdin(url):
    code, out, err = await run(
        "count", "--password-file", "-", url=url, C8Y_PASSWORD="wrong", stdin=b"demo\n"
    )
    assert (code, out, err) == (0, "0\n", "")


async def test_a_log_in_by_oauth_with_a_code(emulator, url):
    emulator.access.add_user("demo", "demo", code="918273")
    code, out, err = await run("count", "--auth", "oauth", "--tfa-code", "918273", url=url)
    assert (code, out, err) == (0, "0\n", "")
    assert emulator.requests.by["POST", "/tenant/oauth/token"] == 1
    code, _, err = await run("count", "--auth", "oauth", url=url)
    assert code == 1
    assert "give tfa_code" in one_sentence(err)
    code, _, err = await run("count", "--auth", "oauth", "--tfa-code", "ask", url=url)
    assert code == 2
    assert "needs a terminal" in one_sentence(err)


async def test_the_emulator_says_where_it_listens_and_nothing_else():
    async with running("emulator", "--port", "0", "--password", "s3cret") as server:
        line = await server.line()
        assert line.startswith("listening on http://127.0.0.1:")
        url = line.split()[-1]
        code, _, _ = await run(
            "raise", "--source", "4711", "--type", "a", "--text", "t", url=url, C8Y_PASSWORD="s3cret"
        )
        assert code == 0
        assert await server.end() == 0
        assert await server.rest() == ""
        assert "s3cret" not in await server.errors()


async def test_the_emulator_goes_on_when_nobody_reads_its_output_any_more():
    server, line = await anyio.to_thread.run_sync(
        lambda: stop_reading("emulator", "--port", "0", url=None, until=b"listening")
    )
    with server:
        for _ in range(2):
            assert (await run("count", url=line.split()[-1]))[0] == 0
        server.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(server.wait, 5) == 0


async def test_faults_are_ordered_over_http_only_if_asked_for():
    async with running("emulator", "--port", "0", "--control") as server:
        url = (await server.line()).split()[-1]
        said = b""
        while b"bearer token" not in said or not said.endswith(b"\n"):
            said += await server.process.stderr.receive()
        assert f"{url}/__emulator__/".encode() in said
        assert len(said.split()[-1]) > 20
        assert await server.end() == 0
    async with running("emulator", "--port", "0") as server:
        await server.line()
        assert await server.end() == 0
        assert "token" not in await server.errors()


async def test_a_port_that_is_taken(url):
    code, out, err = await run("emulator", "--port", url.rsplit(":", 1)[1])
    assert (code, out) == (1, "")
    assert "in use" in one_sentence(err)


@pytest.mark.parametrize("name", ["typer", "starlette"])
async def test_a_missing_extra_is_one_sentence(tmp_path, name):
    (tmp_path / f"{name}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{name}'\", name={name!r})"
    )
    code, out, err = await run("demo", PYTHONPATH=str(tmp_path))
    assert (code, out) == (2, "")
    assert "pip install 'tocsin[" in one_sentence(err)


async def test_doctor_reports_as_far_as_it_came_when_it_is_interrupted(emulator, url):
    raised(emulator)
    async with running("doctor", "--jsonl", "--source", "4711", url=url) as doctor:
        found = await doctor.event("finding", name="cep-path")
        assert (found["verdict"], found["writes"]) == ("as_assumed", False)
        await emulator.until(lambda: emulator.held_polls == 1)
        assert await doctor.end() == 0
        report = json.loads((await doctor.rest()).splitlines()[-1])
        assert (report["event"], report["complete"], report["skipped"]) == ("report", False, 11)
        assert await doctor.errors() == ""
    assert emulator.sessions == 0
    code, out, err = await run("doctor", url=url, C8Y_PASSWORD="wrong")
    assert (code, out) == (1, "")
    assert "401" in one_sentence(err)


async def test_demo_loses_nothing():
    code, out, err = await run("demo", "--seconds", "5", "--jsonl")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    changes = [event for event in events if event["event"] == "change"]
    assert {change["action"] for change in changes} == {"CREATE", "UPDATE", "DELETE"}
    assert any(change["origin"] == "recovered" for change in changes)
    assert any(event["event"] == "gap" for event in events)
    assert {change["platform"] for change in changes} == {"cumulocity", "xprotect"}
    summary = events[-1]
    assert list(summary) == ["event", "seen", "recovered", "lost", "duplicated", "gaps"]
    assert (summary["event"], summary["lost"], summary["duplicated"]) == ("summary", 0, 0)
    assert summary["seen"] == len(changes)


async def test_demo_without_recovery_loses_and_tells_people_so():
    code, out, err = await run("demo", "--seconds", "5", "--no-sweep")
    assert (code, err) == (0, "")
    lost, duplicated = re.search(r"^lost (\d+), duplicated (\d+)$", out, re.MULTILINE).groups()
    assert int(lost) > 0
    assert int(duplicated) == 0
    assert "what was missed cannot be read back" in out
