"""Bayeux clients that nobody here wrote against the emulator's realtime endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.public_clients import EmulatorProcess, javascript, missing_node, missing_python, python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]
needs_node = pytest.mark.skipif(missing_node() is not None, reason=str(missing_node()))
needs_python = pytest.mark.skipif(missing_python() is not None, reason=str(missing_python()))
LIFE = [["CREATE", "ACTIVE"], ["UPDATE", "ACKNOWLEDGED"], ["UPDATE", "CLEARED"]]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as emulator:
        yield emulator


@needs_node
@pytest.mark.parametrize("channel", ["/alarms/4711", "/alarmsWithChildren/4712"])
def test_faye(emulator: EmulatorProcess, channel: str) -> None:
    assert javascript("faye_client.js", emulator.url, channel) == {"seen": LIFE}


@needs_python
def test_aiocometd(emulator: EmulatorProcess) -> None:
    seen = python("aiocometd_client.py", emulator.url, "bayeux")
    assert seen == {"seen": LIFE, "kind": "long-polling", "left": []}


@needs_python
def test_aiocometd_is_refused_a_channel(emulator: EmulatorProcess) -> None:
    assert python("aiocometd_client.py", emulator.url, "refusals") == {"refused": 403}
