"""Whole lines, in order; a reader that is slow or gone is noticed."""

from __future__ import annotations

import os
from contextlib import suppress

import anyio
import pytest

from tocsin.cli._output import Output


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    for end in (read, write):
        with suppress(OSError):
            os.close(end)


async def test_lines_come_whole_and_in_order(pipe):
    read, write = pipe
    output = Output(write)
    await output.write(b"one\n")
    await output.write(b"two\n")
    assert os.read(read, 100) == b"one\ntwo\n"


async def test_a_slow_reader_holds_up_its_lines_and_nothing_else(pipe):
    read, write = pipe
    output = Output(write)
    line = b"x" * 300_000 + b"\n"
    seen = bytearray()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.write, line)
        while not output.stuck:
            await anyio.sleep(0)
        while len(seen) < len(line):  # the loop turns although the pipe is full
            seen += await anyio.to_thread.run_sync(os.read, read, 65536)
    assert seen == line
    assert not output.stuck


async def test_a_write_that_nobody_reads_can_be_cancelled_and_says_so(pipe):
    read, write = pipe
    output = Output(write)
    with anyio.move_on_after(0.05):
        await output.write(b"x" * 300_000)
    assert output.stuck
    await output.write(b"after\n")  # goes nowhere: a cut line stands before it
    os.close(read)  # frees the thread


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_reader_that_is_gone_is_a_broken_pipe(pipe, size):
    read, write = pipe
    os.close(read)
    output = Output(write)
    with pytest.raises(BrokenPipeError):
        await output.write(b"x" * size)
    assert not output.stuck


async def test_a_reader_that_goes_is_noticed_without_writing(pipe):
    read, write = pipe
    output = Output(write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.wait_hangup)
        await anyio.sleep(0)
        os.close(read)


async def test_a_pipe_set_non_blocking_by_others_loses_nothing(pipe):
    read, write = pipe
    os.set_blocking(write, False)
    output = Output(write)
    line = b"y" * 200_000 + b"\n"
    seen = bytearray()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.write, line)
        while len(seen) < len(line):
            seen += await anyio.to_thread.run_sync(os.read, read, 65536)
    assert seen == line
