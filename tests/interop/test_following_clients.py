"""CometD's JavaScript client and the platform's own on an emulator that freezes, dies and comes back."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from interop.line_process import Line, LineProcess
from interop.npm_servers import MODULES
from interop.public_clients import HERE, EmulatorProcess, missing_node

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(90),
    pytest.mark.skipif(missing_node() is not None, reason=str(missing_node())),
]
SECONDS = 20
SOURCE = "4711"


class Follower(LineProcess):
    """A client from npm that follows the alarms of a device; a context manager."""

    def __init__(self, url: str, kind: str, transport: str) -> None:
        script = str(HERE / "node" / "follower.js")
        super().__init__(
            ["node", script, url, kind, transport, f"/alarms/{SOURCE}"],
            {**os.environ, "NODE_PATH": os.environ[MODULES]},
            lambda text: json.loads(text.removeprefix("SAW ")) if text.startswith("SAW ") else None,
        )

    def wait_meta(self, name: str, *, successful: bool = True) -> Line:
        return self.wait_for(
            f"{name} {successful}",
            lambda line: (line.get("meta"), line.get("successful")) == (name, successful),
            SECONDS,
        )

    def wait_alarm(self, text: str) -> Line:
        return self.wait_for(f"alarm {text}", lambda line: line.get("alarm") == text, SECONDS)

    def alarms(self) -> list[str]:
        return [line["alarm"] for line in self.lines if "alarm" in line]

    def sessions(self) -> int:
        """How many it had."""
        return sum((line.get("meta"), line.get("successful")) == ("handshake", True) for line in self.lines)


@pytest.fixture
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as emulator:
        yield emulator


@pytest.mark.parametrize("transport", ["long-polling", "websocket"])
@pytest.mark.parametrize("kind", ["cometd", "c8y"])
def test_a_client_finds_its_server_again(emulator: EmulatorProcess, kind: str, transport: str) -> None:
    with Follower(emulator.url, kind, transport) as follower, ThreadPoolExecutor() as threads:
        follower.wait_meta("subscribe")
        emulator.raise_alarm(SOURCE, "one")
        follower.wait_alarm("one")

        if kind == "cometd":  # it has the extension by which batches are acknowledged
            loses = {"long-polling": "drop_polls", "websocket": "drop_sockets"}[transport]
            while not emulator.control(loses, lose=True):
                pass
            emulator.raise_alarm(SOURCE, "two")  # into a connection that dies of it
            follower.wait_alarm("two")

        emulator.freeze()
        meanwhile = threads.submit(emulator.raise_alarm, SOURCE, "three")
        follower.wait_meta("connect", successful=False)
        emulator.thaw()
        meanwhile.result(timeout=SECONDS)
        if kind == "cometd":
            follower.wait_alarm("three")
        assert follower.wait_meta("connect")["transport"] == transport
        emulator.raise_alarm(SOURCE, "four")
        follower.wait_alarm("four")
        assert follower.sessions() == 1, "the server has kept it"

        emulator.restart()
        follower.wait_meta("handshake")
        follower.wait_meta("subscribe")
        emulator.raise_alarm(SOURCE, "five")
        follower.wait_alarm("five")
        assert follower.sessions() == 2
        assert follower.wait_meta("connect")["transport"] == transport
        seen = follower.alarms()
        assert seen == sorted(set(seen), key=["one", "two", "three", "four", "five"].index), "each once"
        assert follower.interrupt() == 0
