"""The dashboard of the examples, as a browser and a supervisor see it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from doc_pages import ROOT
from tocsin.emulator import Emulator, Fault, serve


@pytest.fixture
def anyio_backend():
    return "asyncio"  # what is tested runs in a process of its own


@asynccontextmanager
async def dashboard(url):
    """Runs the example and gives its process and its address."""
    environment = {
        **os.environ, "C8Y_BASEURL": url, "C8Y_TENANT": "t1", "C8Y_USER": "demo", "C8Y_PASSWORD": "demo",
        "PYTHONWARNINGS": "error",
    }  # fmt: skip
    environment.pop("C8Y_TOKEN", None)
    command = [sys.executable, str(ROOT / "examples" / "dashboard.py"), "0"]
    async with await anyio.open_process(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            line = (await process.stdout.receive()).decode()
            yield process, re.search(r"http://\S+", line)[0]
        finally:
            if process.returncode is None:
                process.kill()


async def events(response):
    """The server-sent events of a response."""
    name = None
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def until(feed, name, **wanted):
    """The next event of that name with these values."""
    async for found, data in feed:
        if found == name and (not wanted or wanted.items() <= data.items()):
            return data
    raise AssertionError(f"the feed ended before {name} {wanted}")


@pytest.mark.limit(25)
async def test_a_browser_sees_what_is_open_and_what_changes_until_the_signal():
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    first = emulator.store.create({"type": "a", "text": "</script>\n\ndata: x", "source": {"id": "4711"}})[
        "id"
    ]
    async with (
        serve(emulator) as server,
        dashboard(server.url) as (process, url),
        httpx.AsyncClient() as http,
    ):
        async with http.stream("GET", f"{url}feed") as response:
            feed = events(response)
            await until(feed, "state", state="connected")
            second = emulator.store.create({"type": "b", "text": "late", "source": {"id": "4711"}})["id"]
            await until(feed, "alarm", text="late", phase="ACTIVE")
            async with http.stream("GET", f"{url}feed") as other:
                opened = await until(events(other), "open_alarms")
            assert [row["text"] for row in opened] == ["</script>\n\ndata: x", "late"]
            assert (await http.get(f"{url}ready")).json()["ready"] is True
            assert "EventSource" in (await http.get(url)).text
            emulator.store.update(second, {"status": "CLEARED"})
            await until(feed, "gone", key=f"t1/{second}")
            emulator.servers[0].cut()  # the page goes on, and says so
            await until(feed, "state", state="reconnecting")
            emulator.store.update(first, {"text": "seen"})
            await until(feed, "alarm", text="seen")
            process.send_signal(signal.SIGTERM)
            assert [event async for event in feed if event[0] == "open_alarms"] == []
        assert await process.wait() == 0
        assert emulator.sessions == 0
        assert b"".join([part async for part in process.stderr]) == b""


@pytest.mark.limit(25)
async def test_credentials_that_are_withdrawn_end_it_in_one_sentence():
    emulator = Emulator()
    async with (
        serve(emulator) as server,
        dashboard(server.url) as (process, url),
        httpx.AsyncClient() as http,
    ):
        async with http.stream("GET", f"{url}feed") as response:
            await until(events(response), "state", state="connected")
            emulator.faults.add(Fault("status", status=401, path="/*", times=None))
            emulator.servers[0].cut()
            assert await process.wait() == 1
        said = b"".join([part async for part in process.stderr]).decode()
        assert len(said.splitlines()) == 1, said
        assert "401" in said
