"""docs/testing.md names every switch, fault and control call that the emulator has."""

import dataclasses
import re
from pathlib import Path

import pytest

from tocsin.emulator import (
    BayeuxSettings,
    Behaviour,
    Emulator,
    Fault,
    Limits,
    LoginSettings,
    Notification2Settings,
    ThrottleSettings,
)
from tocsin.emulator.control import Control
from tocsin.emulator.faults import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))


@pytest.mark.parametrize(
    "kind",
    [BayeuxSettings, Behaviour, Fault, Limits, LoginSettings, Notification2Settings, ThrottleSettings],
)
def test_every_switch_is_named(kind):
    names = {field.name for field in dataclasses.fields(kind)} - {"_", "kind"}
    assert names <= NAMED


def test_every_fault_and_action_is_named():
    assert KINDS <= NAMED
    control = Control(Emulator(), "token")
    assert {*control._actions, "restart", "go_down"} <= NAMED
