"""`tocsin watch --jsonl` in a process of its own, read line by line."""

from __future__ import annotations

import json
import os
import sys

from interop.line_process import Line, LineProcess


class Watch(LineProcess):
    """Follows a server with the command that users type; a context manager."""

    def __init__(self, url: str, *options: str) -> None:
        command = [sys.executable, "-m", "tocsin", "watch", "--url", url, "--transport", "long-polling"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("C8Y_")}
        super().__init__(
            [*command, "--no-snapshot", "--source", "4711", "--jsonl", *options],
            {**environment, "C8Y_USER": "demo", "C8Y_PASSWORD": "demo"},
            json.loads,
        )

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
