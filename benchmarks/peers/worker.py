"""One candidate in a process of its own: `python -m benchmarks.peers.worker CANDIDATE ROW URL [CA]`.

It says on a line of JSON that it is ready, or why it is not, then does what each line on its standard input
asks for and answers with what that took. It ends with its standard input.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.to_thread import run_sync

from benchmarks.peers import bodies
from benchmarks.peers.candidates import Place, make
from benchmarks.peers.core import pin
from benchmarks.peers.rows import ROWS, Row
from benchmarks.peers.server import SPAN, source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from anyio.abc import TaskGroup

__all__ = ["Work", "control", "main"]


def control(url: str, path: str, **asked: object) -> dict[str, Any]:
    """Ask the server for something, and wait until it has it."""
    connection = http.client.HTTPConnection(url.partition("//")[2], timeout=120)
    try:
        connection.request("POST", f"/bench/{path}", json.dumps(asked))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


class Work:
    """A candidate's part in a row; an async context manager.

    Args:
        candidate: Its name.
        row: The row.
        url: The server, in plain text or over TLS.
        ca: The authority behind its certificate.

    Raises:
        ImportError: The candidate is not installed.
    """

    def __init__(self, candidate: str, row: Row, url: str, ca: str | None = None) -> None:
        self._row = row
        self._url = url
        self._user = candidate
        self._made = make(candidate, Place(url, candidate, ca))

    async def __aenter__(self) -> Self:
        await self._made.__aenter__()
        if self._row.kind == "events":
            await self._made.subscribe()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._made.__aexit__(*error)

    async def round(self, size: int, serial: int) -> dict[str, float]:
        """Do the work once; seconds, CPU seconds, items.

        Raises:
            ValueError: It did less or more than it should.
        """
        gc.collect()
        cpu, began = time.process_time(), time.perf_counter()
        done = await self._do(size, serial)
        took = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu, "items": done}
        if done != size:
            raise ValueError(f"{done} items instead of {size}")
        return took

    async def _do(self, size: int, serial: int) -> int:
        row, made = self._row, self._made
        if row.kind in {"list", "memory"}:
            asked = source(row.delay_ms, size, serial)
            return int(await made.list(asked, row.page_size, touch=row.touch))
        if row.kind == "get":
            ids = [bodies.identity(serial * SPAN + number) for number in range(size)]
            return int(await made.get(ids, row.in_flight))
        if row.kind == "post":
            return int(await made.post([f"acme_{serial}_{number}" for number in range(size)], row.in_flight))
        if row.kind == "events":
            control(self._url, "feed", user=self._user, serial=serial, count=size, each=row.each)
            return int(await made.events(size))
        return int(await made.retry(size))

    async def memory(self, size: int, serial: int) -> dict[str, float]:
        """Read so many alarms in one list; the peaks of the resident size in MB at a fifth and at the end."""
        fifth = size // 5
        await self.round(fifth, serial)
        early = _peak()
        took = await self.round(size, serial + 1)
        return {"early": early, "peak": _peak(), "wall": took["wall"]}

    async def subscribers(self, size: int, orders: AsyncIterator[Any]) -> None:
        """Hold so many subscriptions until the next order; how long they took, kB and sockets of each."""
        async with anyio.create_task_group() as group:
            await self._up(group, [size])  # one more, so that nothing is left to be loaded
            gc.collect()
            before, sockets, began = _resident(), _sockets(), time.perf_counter()
            await self._up(group, range(size))
            took = time.perf_counter() - began
            gc.collect()
            each = {"kb": (_resident() - before) / size, "sockets": (_sockets() - sockets) / size}
            _say({"wall": took, **each})
            await anext(orders)
            group.cancel_scope.cancel()

    async def _up(self, group: TaskGroup, numbers: Collection[int]) -> None:
        """Start subscribers, and wait until all have what they wait for."""
        all_up = anyio.Event()
        left = len(numbers)

        def one_up() -> None:
            nonlocal left
            left -= 1
            if not left:
                all_up.set()

        for number in numbers:
            group.start_soon(self._made.subscriber, number, one_up)
        with anyio.fail_after(90):
            await all_up.wait()


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return float(line.split()[1])
    raise LookupError(field)


def _peak() -> float:
    return _status("VmHWM:") / 1024


def _resident() -> float:
    return _status("VmRSS:")


def _sockets() -> int:
    folder = "/proc/self/fd"
    links = [os.path.join(folder, name) for name in os.listdir(folder)]
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.islink(link))


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


async def _orders() -> AsyncIterator[Any]:
    while line := await run_sync(sys.stdin.readline, abandon_on_cancel=True):
        yield json.loads(line)


async def _run(candidate: str, row: Row, url: str, ca: str | None) -> None:
    async with Work(candidate, row, url, ca) as work:
        _say({"ready": candidate})
        orders = _orders()
        async for order in orders:
            if row.kind == "memory":
                _say(await work.memory(order["size"], order["serial"]))
            elif row.kind == "subscribers":
                await work.subscribers(order["size"], orders)
                return
            else:
                _say(await work.round(order["size"], order["serial"]))


def main() -> None:
    """Work until standard input ends."""
    pin()
    candidate, name, url, *ca = sys.argv[1:]
    row = next(row for row in ROWS if row.name == name)
    try:
        anyio.run(_run, candidate, row, url, ca[0] if ca else None)
    except ImportError as error:
        _say({"missing": str(error)})
    except Exception as error:  # noqa: BLE001 - whatever it is belongs in the table
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        _say({"failed": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
