"""docs/emulator.md names every setting and control call of the emulated XProtect, and its code runs."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

from doc_pages import blocks
from tocsin.emulator import XProtectEmulator, XProtectSettings
from tocsin.emulator.control import Control

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"
NAMED = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8")))))


def test_every_setting_is_named():
    assert {field.name for field in dataclasses.fields(XProtectSettings)} <= NAMED


def test_every_action_and_count_is_named():
    emulator = XProtectEmulator()
    assert {*Control(emulator, "token")._actions, *emulator.control_state()} <= NAMED


async def test_the_code_runs_as_it_stands():
    namespace = {"__name__": "shown"}
    for block in blocks(PAGE, "python"):
        code = compile(block.source, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, namespace)
        if inspect.iscoroutine(result):
            await result
    states = {alarm["state"]["level"] for alarm in namespace["emulator"].store.alarms()}
    assert states == {11}
    assert len(namespace["emulator"].faults) == 8
