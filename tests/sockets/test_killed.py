"""A consumer that is killed (SIGKILL) at any instant misses nothing, and repeats what was not kept."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tocsin.emulator import Emulator, serve

SCRIPT = Path(__file__).with_name("kept_consumer.py")
LIVES = 4


class Lives:
    """What the lives of a consumer wrote."""

    def __init__(self):
        self.fold = {}
        self.kept = []
        self.gaps = 0
        self.life = []

    def begin(self):
        self.life = []

    def take(self, words):
        match words:
            case ["kept", number]:
                self.kept_now = number
            case ["gap", _]:
                self.gaps += 1
                self.life.append(None)
            case [action, alarm_id, alarm]:
                self.fold[alarm_id] = alarm
                self.life.append({"action": action, "id": alarm_id, "alarm": alarm})

    def end(self):
        self.kept += [change for change in self.life[: self.kept_now] if change is not None]

    kept_now = 0


async def live(lives, command, *, until):
    """One life: it is killed when `until` returns; what it wrote before is read to the end."""
    lives.begin()
    lives.kept_now = 0
    process = await anyio.open_process(command, stderr=subprocess.PIPE)
    async with process, anyio.create_task_group() as tasks:

        async def read():
            lines = BufferedByteReceiveStream(process.stdout)
            while True:
                try:
                    line = await lines.receive_until(b"\n", 1_000_000)
                except (anyio.IncompleteRead, anyio.EndOfStream):
                    return
                lives.take(json.loads(line))

        tasks.start_soon(read)
        await until()
        process.kill()
    lives.end()


async def write(store, rng):
    while True:
        opened = [alarm["id"] for alarm in store.alarms() if alarm["status"] != "CLEARED"]
        if len(opened) < 10 or rng.random() < 0.3:
            store.create({"type": f"acme_{rng.random()}", "source": "4711"})
        elif rng.random() < 0.2:
            store.update(rng.choice(opened), {"status": "CLEARED"})
        else:
            store.update(rng.choice(opened), {"text": f"text {rng.random()}"})
        await anyio.sleep(rng.uniform(0, 0.02))


@pytest.mark.slow
@pytest.mark.limit(60)
@pytest.mark.parametrize("kind", ["file", "sqlite"])
async def test_killed_at_any_instant(kind, tmp_path, anyio_backend_name):
    if anyio_backend_name != ("asyncio" if kind == "file" else "trio"):
        pytest.skip("one loop each: the child is what is tested")
    rng = random.Random(7)
    emulator = Emulator()
    lives = Lives()
    async with serve(emulator) as server:
        command = [sys.executable, str(SCRIPT), server.url, kind, str(tmp_path / "c"), "0.02"]

        async def some_time():
            while not lives.life:
                await anyio.sleep(0.01)
            await anyio.sleep(rng.uniform(0, 0.8))

        async def all_is_told():
            with anyio.fail_after(20):
                while not lives.gaps or emulator.ledger.lost(lives.fold):
                    await anyio.sleep(0.05)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, emulator.store, rng)
            for _ in range(LIVES):
                await live(lives, command, until=some_time)
            tasks.cancel_scope.cancel()
        await live(lives, command, until=all_is_told)
    assert emulator.ledger.lost(lives.fold) == []
    assert emulator.ledger.duplicates(lives.kept) == []
    assert len(lives.kept) > 20
    assert lives.gaps >= 1
