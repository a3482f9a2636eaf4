"""The README's blocks and the examples run as they stand, against an emulator on loopback."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from doc_pages import ROOT, blocks
from tocsin.emulator import Emulator, XProtectEmulator, serve

README = ROOT / "README.md"
PRINTED_URLS = ("http://127.0.0.1:8111", "http://127.0.0.1:8112")


@pytest.fixture
def emulator():
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    return emulator


def as_code(block, *urls):
    """Compiles a block so that a failure shows the README's own line."""
    source = "\n" * (block.line - 1) + block.source
    for printed, url in zip(PRINTED_URLS, urls, strict=False):
        source = source.replace(printed, url)
    return compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_readmes_blocks_run_in_order_on_one_page(emulator, capsys):
    found = blocks(README, "python")
    assert len(found) >= 4
    namespace = {"__name__": "readme"}
    async with serve(emulator) as server, serve(XProtectEmulator()) as other:
        for block in found:
            result = eval(as_code(block, server.url, other.url), namespace)
            if inspect.iscoroutine(result):
                await result
    out = capsys.readouterr().out
    assert "Door 7 forced" in out
    assert "Smoke in hall 2" in out
    assert "401" in out


@pytest.mark.parametrize(
    "page", ["alarms.md", "daemons.md", "errors.md", "login.md", "streams.md", "testing.md", "watch.md"]
)
def test_code_in_the_documentation_is_python(page):
    found = blocks(ROOT / "docs" / page, "python")
    assert found
    for block in found:
        compile(block.source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_test_shown_in_the_documentation_passes():
    source = blocks(ROOT / "docs" / "testing.md", "python")[0].source
    namespace = {"__name__": "shown"}
    exec(source, namespace)
    await namespace["test_raised_alarm_is_followed"]()


async def run_example(name, *arguments, url, **more):
    """Runs one example as its reader would."""
    environment = {
        **os.environ, "C8Y_BASEURL": url, "C8Y_TENANT": "t1", "C8Y_USER": "demo", "C8Y_PASSWORD": "demo",
        "PYTHONWARNINGS": "error", **more,
    }  # fmt: skip
    for name_ in ("C8Y_TOKEN", "APPLICATION_KEY"):
        environment.pop(name_, None)
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    ran = await anyio.run_process(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
    )
    assert (ran.returncode, ran.stderr.decode()) == (0, "")
    return ran.stdout.decode()


@pytest.mark.limit(20)
async def test_follow_runs(emulator):
    emulator.store.create({"type": "a", "text": "one", "severity": "MAJOR", "source": {"id": "4711"}})
    emulator.store.create({"type": "b", "text": "two", "severity": "MINOR", "source": {"id": "4711"}})
    async with serve(emulator) as server:
        out = await run_example("follow.py", "2", url=server.url)
    assert out.splitlines()[-1].endswith("2 open")


@pytest.mark.limit(20)
async def test_both_platforms_runs(emulator):
    emulator.store.create({"type": "a", "text": "one", "severity": "MAJOR", "source": {"id": "4711"}})
    emulator.store.create({"type": "b", "text": "two", "severity": "MINOR", "source": {"id": "4711"}})
    vms = XProtectEmulator()
    vms.store.update(vms.store.create({"name": "three"})["id"], {"priority": 1})
    async with serve(emulator) as server, serve(vms) as other:
        theirs = {"XPROTECT_URL": other.url, "XPROTECT_USER": "demo", "XPROTECT_PASSWORD": "demo"}
        out = await run_example("both_platforms.py", "2", url=server.url, **theirs)
    lines = out.splitlines()
    assert sorted(line.split(";")[0] for line in lines) == [
        "cumulocity tenant: CREATE MAJOR ACTIVE one",
        "xprotect vms: CREATE CRITICAL ACTIVE three",
    ]
    assert lines[-1].endswith("2 open")


@pytest.mark.limit(20)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the example has a loop of its own
async def test_both_platforms_tells_that_one_is_down(emulator):
    emulator.store.create({"type": "a", "text": "one", "severity": "MAJOR", "source": {"id": "4711"}})
    theirs = {"XPROTECT_URL": "http://127.0.0.1:1", "XPROTECT_USER": "demo", "XPROTECT_PASSWORD": "demo"}
    async with serve(emulator) as server:
        out = await run_example("both_platforms.py", "1", url=server.url, **theirs)
    assert "vms is not there yet" in out.splitlines()[0]


@pytest.mark.limit(20)
async def test_raise_and_acknowledge_runs(emulator):
    async with serve(emulator) as server:
        out = await run_example("raise_and_acknowledge.py", "4711", url=server.url)
    assert out.splitlines()[-1] == "now CLEARED"


@pytest.mark.limit(20)
async def test_log_requests_runs(emulator):
    async with serve(emulator) as server:
        out = await run_example("log_requests.py", url=server.url)
    told = re.sub(r"\d+ bytes, \d\.\d{3} s", "…", out).splitlines()
    assert told == [
        "INFO GET /alarm/alarms/count: 200, …",
        "INFO 0 alarms",
        "WARNING GET /alarm/alarms/0: 404, …",
        "INFO there is no alarm 0",
    ]


@pytest.mark.limit(20)
async def test_request_metrics_runs(emulator):
    async with serve(emulator) as server:
        out = await run_example("request_metrics.py", url=server.url)
    assert 'c8y_requests_total{method="GET",route="/alarm/alarms/count",outcome="200"} 1\n' in out
    assert 'c8y_requests_total{method="GET",route="/alarm/alarms/{id}",outcome="404"} 2\n' in out
    assert out.endswith("c8y_requests_in_flight 0\n")
    assert len(out.splitlines()) == 7


@pytest.mark.limit(20)
async def test_shift_end_runs(emulator):
    ids = [emulator.store.create({"type": f"a{n}", "text": "x", "source": "4711"})["id"] for n in range(2)]
    async with serve(emulator) as server:
        out = await run_example("shift_end.py", "4711", url=server.url)
        assert out == "2 active alarms\n"
        out = await run_example("shift_end.py", "4711", "--yes", url=server.url)
    told = [f"{one} x: demo changed status to ACKNOWLEDGED" for one in ids[::-1]]
    assert out.splitlines() == ["2 active alarms", "all acknowledged", *told]


async def test_the_blocks_about_alarms_run(emulator, capsys):
    from tocsin import Cumulocity
    from tocsin.cumulocity import BasicAuth

    page = ROOT / "docs" / "alarms.md"
    emulator.store.create({"type": "acme_DoorForced", "text": "x", "source": "4711"})
    ada = BasicAuth("demo", "demo", tenant="t1")
    async with serve(emulator) as server, Cumulocity(server.url, ada) as c8y:
        namespace = {"__name__": "alarms", "c8y": c8y}
        for block in blocks(page, "python"):
            result = eval(as_code(block, server.url), namespace)
            if inspect.iscoroutine(result):
                await result
    out = capsys.readouterr().out
    assert "MAJOR -> CRITICAL" in out
    assert "GET /inventory/managedObjects: 200 in " in out
    assert emulator.store.alarms()[0]["status"] == "CLEARED"


def test_the_block_about_retries_runs():
    for block in blocks(ROOT / "docs" / "errors.md", "python"):
        exec(as_code(block), {"__name__": "errors"})


@pytest.mark.parametrize("name", ["follow.py", "raise_and_acknowledge.py", "shift_end.py"])
def test_an_example_without_a_password_says_so_in_one_sentence(name):
    environment = {**os.environ, "C8Y_BASEURL": "http://127.0.0.1:1", "C8Y_USER": "demo"}
    environment.pop("C8Y_TOKEN", None)
    environment.pop("C8Y_PASSWORD", None)
    command = [sys.executable, str(ROOT / "examples" / name), "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)
    assert ran.returncode == 1
    assert ran.stderr == "the environment variable C8Y_PASSWORD is not set, nor is C8Y_TOKEN\n"


def test_every_example_is_run_by_a_test():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    examples = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert len(examples) >= 5
    assert [name for name in examples if f'"{name}"' not in tests] == []
