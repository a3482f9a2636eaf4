"""The page about daemons: its blocks run, on both event loops, and its table of time limits is true."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import inspect
import json
import os
import re
import signal

import pytest

from doc_pages import ROOT, blocks
from tocsin import Change, Cumulocity, ReconnectPolicy, RecoveryPolicy, RetryPolicy, StreamState, Timeouts
from tocsin.cumulocity.changes import DEFAULT_BUFFER
from tocsin.emulator import Emulator, serve

PAGE = ROOT / "docs" / "daemons.md"
PRINTED_URL = "http://127.0.0.1:8111"


@pytest.fixture
async def site():
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    async with serve(emulator) as server:
        yield emulator, server.url


def page(url):
    namespace = {"__name__": "daemons"}
    found = blocks(PAGE, "python")
    assert len(found) == 4
    for block in found:
        source = "\n" * (block.line - 1) + block.source.replace(PRINTED_URL, url)
        exec(compile(source, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
    return namespace


@pytest.mark.limit(20)
async def test_the_daemon_on_the_page_follows_until_a_signal(site, capsys):
    emulator, url = site
    emulator.store.create({"type": "a", "text": "there before", "source": {"id": "4711"}})
    shown = page(url)
    seen = []

    async def handle(item):
        assert isinstance(item, Change)
        seen.append(item.alarm.text)
        os.kill(os.getpid(), signal.SIGTERM)

    await shown["run_until_signal"](handle)
    assert seen == ["there before"]
    assert emulator.sessions == 0
    out = capsys.readouterr().out
    assert " reconnecting " in out
    assert " connected " in out


async def test_the_probe_says_how_it_is(site):
    _, url = site
    shown = page(url)
    async with Cumulocity(url, shown["auth"]) as c8y:
        stream = c8y.alarms.changes()
        assert shown["deaf"](stream)
        assert shown["probe"](stream)[0] == 503
        async with stream:
            await stream.wait_state(StreamState.CONNECTED)
            status, body = shown["probe"](stream)
            assert (status, json.loads(json.dumps(body))["state"]) == (200, "connected")
            assert not shown["deaf"](stream)
            assert shown["deaf"](stream, limit=0.0)
        assert shown["deaf"](stream)
        assert shown["probe"](stream)[0] == 503


def defaults():
    """Every time limit by the name that the page gives it."""
    found = {
        f"{type(value).__name__}.{field.name}": getattr(value, field.name)
        for value in (Timeouts(), RetryPolicy(), ReconnectPolicy(), RecoveryPolicy())
        for field in dataclasses.fields(value)
    }
    parameters = inspect.signature(Cumulocity).parameters
    return found | {name: parameters[name].default for name in parameters}


def test_the_time_limits_are_what_the_page_says():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (\d+) s \| (`[^|]+`) \|$", text, re.MULTILINE)
    assert len(rows) == 12
    known = defaults()
    for seconds, names in rows:
        for name in re.findall(r"`([^`]+)`", names):
            assert known[name] == float(seconds), name


def test_the_buffer_is_what_the_page_says():
    assert f"(`buffer=`, {DEFAULT_BUFFER})" in PAGE.read_text(encoding="utf-8")


def test_the_unit_file_starts_again_after_failures_only():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(blocks(PAGE, "ini")[0].source)
    assert unit["Service"]["Restart"] == "on-failure"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
