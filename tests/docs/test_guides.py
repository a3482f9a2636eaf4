"""The guides: their blocks run in order, each page against a platform of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import anyio
import pytest

from doc_pages import ROOT
from docs.guide import run
from tocsin.emulator import Emulator, serve

SAID = {
    "adding": [],
    "first_steps": ["MAJOR Door 7 forced", "live CLEARED Door 7 forced", "404 ", "0 alarms"],
    "from_c8y_api": ["3 major, 1 acknowledged", "a page of 2", "a page of 1"],
    "from_pyc8y": ["Smoke in hall 2 {'floor': 3}", "1 1 1 1", "1 to be cleared", "CREATE Water"],
}


@pytest.mark.limit(20)
@pytest.mark.parametrize("page", SAID)
async def test_the_blocks_of_a_guide_run_in_order(page, capsys):
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    async with serve(emulator) as server:
        namespace = await run(page, server.url)
        if "main" in namespace:
            await namespace["main"]()
    out = capsys.readouterr().out
    assert [words for words in SAID[page] if words not in out] == [], out


def test_the_tests_among_the_examples_pass_as_their_reader_runs_them(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(tmp_path / "pytest.ini"),
    ]
    ran = subprocess.run(
        [*command, str(ROOT / "examples" / "test_escalate.py")],
        capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^8 passed", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.limit(20)
async def test_the_escalating_daemon_runs_by_itself():
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    emulator.store.create({"type": "a", "text": "Fire", "severity": "CRITICAL", "source": {"id": "4711"}})
    async with serve(emulator) as server:
        environment = {
            **os.environ, "C8Y_BASEURL": server.url, "C8Y_TENANT": "t1", "C8Y_USER": "demo",
            "C8Y_PASSWORD": "demo",
        }  # fmt: skip
        environment.pop("C8Y_TOKEN", None)
        command = [sys.executable, str(ROOT / "examples" / "escalate.py"), "0.1"]
        async with await anyio.open_process(command, env=environment, stderr=None) as process:
            said = (await process.stdout.receive()).decode()
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
    assert said.strip() == "nobody has looked at 101 'Fire' on 4711"


def test_the_page_about_platforms_names_the_files_that_there_are():
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    table = text.partition("## Files")[2].partition("Recovery is not")[0]
    names = re.findall(r"`(\w+\.py)`", table)
    folder = ROOT / "src" / "tocsin" / "cumulocity"
    assert len(names) == 13
    assert [name for name in names if not (folder / name).is_file()] == []
