"""`tocsin watch --jsonl` in a process of its own, read line by line."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

Line = dict[str, Any]


class Watch:
    """Follows a server with the command that users type; a context manager.

    Attributes:
        lines: Every line so far.
    """

    def __init__(self, url: str, *options: str) -> None:
        self.lines: list[Line] = []
        self._fresh: queue.Queue[Line | None] = queue.Queue()
        command = [sys.executable, "-m", "tocsin", "watch", "--url", url, "--transport", "long-polling"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("C8Y_")}
        self._process = subprocess.Popen(
            [*command, "--no-snapshot", "--source", "4711", "--jsonl", *options],
            env={**environment, "C8Y_USER": "demo", "C8Y_PASSWORD": "demo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self._fresh.put(json.loads(text))
        self._fresh.put(None)

    def wait_for(self, what: str, wanted: Callable[[Line], bool], seconds: float) -> Line:
        """Read on until a line is as wanted."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                line = self._fresh.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                raise AssertionError(f"watch ended before {what}: {self.end()}")
            self.lines.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"no {what} within {seconds} s; so far: {self.lines}")

    def wait_state(self, *states: str, seconds: float) -> Line:
        return self.wait_for(
            f"state {states}", lambda line: line["event"] == "state" and line["state"] in states, seconds
        )

    def wait_change(self, number: int, seconds: float) -> Line:
        return self.wait_for(
            f"alarm {number}", lambda line: line["event"] == "change" and line["id"] == str(number), seconds
        )

    def gaps(self) -> list[Line]:
        return [line for line in self.lines if line["event"] == "gap"]

    def interrupt(self) -> int:
        """Press Ctrl-C and give the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=10)

    def end(self) -> str:
        """End it, and give what it wrote to stderr."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._process.stderr.closed:
            return ""
        text = self._process.stderr.read()
        self._process.stderr.close()
        self._process.stdout.close()
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
