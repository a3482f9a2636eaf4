"""Starts the Bayeux servers from npm, kills them, and publishes through them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

SCRIPT = Path(__file__).parent / "node" / "server.js"
KINDS = ("cometd", "faye")
MODULES = "TOCSIN_NODE_MODULES"
"""Names the folder with the installed packages; the nox session sets it."""


@dataclass(frozen=True)
class Seen:
    """What a server has seen since it was started.

    Attributes:
        messages: The meta messages that came: channel, clientId, connectionType.
        subscribed: The channels that somebody was subscribed to, in that order.
    """

    messages: list[dict[str, Any]]
    subscribed: list[str]

    def count(self, channel: str) -> int:
        return sum(message["channel"] == channel for message in self.messages)

    @property
    def transports(self) -> set[str]:
        """The transports over which sessions were held."""
        return {
            message["connectionType"] for message in self.messages if message["channel"] == "/meta/connect"
        }


def missing() -> str | None:
    """Why these tests cannot run, as a sentence; None if they can."""
    if shutil.which("node") is None:
        return "interop needs Node.js (node and npm), and node is not on the PATH"
    folder = os.environ.get(MODULES)
    if not folder:
        return f"interop needs the npm packages: run `nox -s interop`, or set {MODULES} to their node_modules"
    if not (Path(folder) / "faye").is_dir():
        return f"{MODULES} names {folder}, which holds no faye: run `npm ci` there with tests/interop/node"
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NpmServer:
    """One Bayeux server from npm, in a process of its own; a context manager."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        environment = {**os.environ, "NODE_PATH": os.environ[MODULES]}
        self._process = subprocess.Popen(
            ["node", str(SCRIPT), self.kind, str(self.port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "listening", f"{self.kind} does not start"

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Stop it without closing anything."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def publish(self, channel: str, data: Any) -> None:
        """Have the server publish something."""
        body = json.dumps({"channel": channel, "data": data}).encode()
        request = urllib.request.Request(f"{self.url}/publish", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=5) as response:
            assert response.status == 204

    def seen(self) -> Seen:
        """What came since it was started."""
        with urllib.request.urlopen(f"{self.url}/seen", timeout=5) as response:
            found = json.load(response)
        return Seen(found["messages"], found["subscribed"])

    def publish_alarm(self, number: int, action: str = "CREATE", **fields: Any) -> None:
        """Publish an alarm of device 4711 as the platform does."""
        moment = f"2026-01-01T00:00:{number % 60:02}.000Z"
        alarm = {
            "id": str(number),
            "type": "acme_Door",
            "text": f"Door {number}",
            "severity": "MAJOR",
            "status": "ACTIVE",
            "time": moment,
            "creationTime": moment,
            "lastUpdated": moment,
            "count": 1,
            "source": {"id": "4711"},
            **fields,
        }
        self.publish("/alarms/4711", {"realtimeAction": action, "data": alarm})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
