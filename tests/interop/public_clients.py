"""Starts `tocsin emulator` as users do, and runs the platform's public clients against it, unmodified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from interop.npm_servers import MODULES
from interop.npm_servers import missing as missing_npm

if TYPE_CHECKING:
    from typing import Self

HERE = Path(__file__).parent
PYTHON = "TOCSIN_CLIENTS_PYTHON"
"""Names the interpreter of an environment with pypi/requirements.txt; the nox session sets it."""
SECONDS = 60


def missing_node() -> str | None:
    """Why `@c8y/client` cannot run, as a sentence; None if it can."""
    if sentence := missing_npm():
        return sentence
    if not (Path(os.environ[MODULES]) / "@c8y" / "client").is_dir():
        return f"{MODULES} names {os.environ[MODULES]}, which holds no @c8y/client: run `npm ci` there"
    return None


def missing_python() -> str | None:
    """Why the clients from PyPI cannot run, as a sentence; None if they can."""
    if not os.environ.get(PYTHON):
        return f"run `nox -s interop`, or set {PYTHON} to a python with tests/interop/pypi/requirements.txt"
    return None


def javascript(script: str, url: str, scenario: str) -> Any:
    """What a client from npm saw."""
    environment = {**os.environ, "NODE_PATH": os.environ[MODULES]}
    return result(["node", str(HERE / "node" / script), url, scenario], environment)


def python(script: str, url: str, scenario: str) -> Any:
    """What a client from PyPI saw."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("C8Y_", "PYTHON"))}
    return result([os.environ[PYTHON], str(HERE / "pypi" / script), url, scenario], kept)


def result(command: list[str], environment: dict[str, str]) -> Any:
    """Runs a scenario to its end and reads its last line."""
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, f"{command[-1]} failed:\n{ran.stdout}\n{ran.stderr}"
    last = ran.stdout.strip().splitlines()[-1]
    assert last.startswith("RESULT "), ran.stdout
    return json.loads(last.removeprefix("RESULT "))


class EmulatorProcess:
    """`tocsin emulator` in a process of its own; a context manager.

    Args:
        options: More of its command line.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, *options: str) -> None:
        self.url = ""
        self._options = options
        self._port = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tocsin", "emulator", "--port", str(self._port), "--control"),
                *self._options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on "), line
        self.url = line.removeprefix("listening on ").strip()
        self._port = int(self.url.rpartition(":")[2])
        told = [self._process.stderr.readline() for _ in range(2)]
        self._token = told[-1].split()[-1]

    def restart(self) -> None:
        """End it as a crash does, and start it again on the same port; it remembers nothing."""
        self._process.kill()
        self._end()
        self._start()

    def freeze(self) -> None:
        """Stop it without closing anything."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def _end(self) -> int:
        status = self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert self._process.stderr is not None
        assert "Traceback" not in self._process.stderr.read()
        self._process.stderr.close()
        return status

    def control(self, do: str, **body: Any) -> Any:
        """Orders something over HTTP, as users of other languages do."""
        reply = httpx.post(
            f"{self.url}/__emulator__/actions",
            json={"do": do, **body},
            headers={"authorization": f"Bearer {self._token}"},
        )
        return reply.raise_for_status().json()["result"]

    def raise_alarm(self, source: str, text: str) -> None:
        """Raises an alarm of a type of its own."""
        body = {"type": f"acme_{text}", "text": text, "severity": "MAJOR", "source": {"id": source}}
        reply = httpx.post(
            f"{self.url}/alarm/alarms",
            json={**body, "time": datetime.now(UTC).isoformat()},
            auth=("t1/demo", "demo"),
        )
        reply.raise_for_status()

    def alarms(self, source: str) -> list[dict[str, Any]]:
        """The truth about a device, newest first, asked for in plain HTTP."""
        reply = httpx.get(
            f"{self.url}/alarm/alarms",
            params={"source": source, "pageSize": 2000},
            auth=("t1/demo", "demo"),
            headers={"accept": "application/json"},
        )
        return reply.raise_for_status().json()["alarms"]

    def statuses(self, source: str) -> dict[str, list[str]]:
        """The statuses of a device's alarms by severity."""
        found: dict[str, list[str]] = {}
        for alarm in self.alarms(source):
            found.setdefault(alarm["severity"], []).append(alarm["status"])
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._process.terminate()
        assert self._end() == 0
