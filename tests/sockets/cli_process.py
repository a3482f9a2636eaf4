"""The command line in a process of its own, as its users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

COMMAND = (sys.executable, "-m", "tocsin")


def environment(url=None, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("C8Y_", "XPROTECT_"))}
    if url is not None:
        kept |= {"C8Y_BASEURL": url, "C8Y_TENANT": "t1", "C8Y_USER": "demo", "C8Y_PASSWORD": "demo"}
    return {**kept, "COLUMNS": "100", **more}


async def run(*arguments, url=None, stdin=b"", **variables):
    """Runs a command to its end: code, stdout, stderr."""
    ran = await anyio.run_process(
        [*COMMAND, *arguments], input=stdin, env=environment(url, **variables), check=False
    )
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


class Running:
    """A command that goes on until it is told to end."""

    def __init__(self, process):
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def line(self):
        return (await self._lines.receive_until(b"\n", 1_000_000)).decode()

    async def event(self, kind, **wanted):
        """Reads JSON lines up to one that is of a kind and has these values."""
        while True:
            seen = json.loads(await self.line())
            if seen["event"] == kind and wanted.items() <= seen.items():
                return seen

    async def rest(self):
        left = bytearray(self._lines.buffer)
        async for chunk in self.process.stdout:
            left += chunk
        return left.decode()

    async def errors(self):
        said = bytearray()
        async for chunk in self.process.stderr:
            said += chunk
        return said.decode()

    async def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return await self.process.wait()


@asynccontextmanager
async def running(*arguments, url=None, **variables):
    """Starts a command; what is left of it at the end is killed."""
    process = await anyio.open_process(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        env=environment(url, PYTHONUNBUFFERED="1", **variables),
    )
    async with process:
        try:
            yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()
