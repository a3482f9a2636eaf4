"""A process of its own that tells what happens, read line by line."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

Line = dict[str, Any]


class LineProcess:
    """A context manager.

    Args:
        command: What to run.
        env: Its environment, whole.
        parse: Makes something of a line of its stdout; None leaves it out.

    Attributes:
        lines: Every line that was read so far.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], parse: Callable[[str], Line | None]
    ) -> None:
        self.lines: list[Line] = []
        self._parse = parse
        self._fresh: queue.Queue[Line | None] = queue.Queue()
        self._process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            if (line := self._parse(text)) is not None:
                self._fresh.put(line)
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
                raise AssertionError(f"it ended before {what}: {self.end()}")
            self.lines.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"no {what} within {seconds} s; so far: {self.lines}")

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
