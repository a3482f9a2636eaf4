"""From a coroutine to an exit code: signals, pipes and errors end every command in the same way."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Final

import anyio

from tocsin.cli._output import Output
from tocsin.cli._text import plain
from tocsin.errors import ConfigurationError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["DONE", "FAILED", "MISUSED", "complain", "run"]

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2


def complain(sentence: str) -> None:
    """Write one sentence to stderr, plain and on one line."""
    try:
        sys.stderr.write(f"tocsin: {plain(sentence, 1000)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody is there to be told
        return


def run(command: Callable[[Output], Awaitable[int]], *, needs_reader: bool = True) -> int:
    """Run a command to its exit code.

    Args:
        command: Writes to the output that it is given and returns an exit code.
        needs_reader: Whether it ends when nobody reads its stdout any more.

    Returns:
        What the command returned; 0 when it was interrupted or its reader went away; 2 for a
        `ConfigurationError`; 1 for every other error, which is told on stderr in one sentence.
    """
    output = Output()
    warnings.showwarning = _show_warning
    code = anyio.run(_ending, command, output, needs_reader)
    if output.stuck:
        # A thread is caught in a write that nobody reads; Python would wait for it for ever.
        os._exit(code)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning as a sentence, without the file and line that nobody at a terminal asks for."""
    complain(str(message))


async def _ending(command: Callable[[Output], Awaitable[int]], output: Output, needs_reader: bool) -> int:
    code = DONE
    # Shielded, so that a second signal is still heard while the first one is being obeyed.
    listening = anyio.CancelScope(shield=True)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_signal, listening, tasks.cancel_scope)
            if needs_reader:
                tasks.start_soon(_until_hangup, tasks.cancel_scope, output)
            try:
                code = await _reported(command, output)
            finally:
                listening.cancel()
                tasks.cancel_scope.cancel()
    except* (SystemExit, KeyboardInterrupt):
        code = DONE  # a signal that came before anybody listened, as while a file was being read
    return code


async def _reported(command: Callable[[Output], Awaitable[int]], output: Output) -> int:
    try:
        return await command(output)
    except BrokenPipeError:
        return DONE
    except ConfigurationError as error:
        complain(str(error))
        return MISUSED
    except (TocsinError, OSError) as error:
        complain(str(error))
        return FAILED


async def _until_signal(listening: anyio.CancelScope, scope: anyio.CancelScope) -> None:
    if sys.platform == "win32":  # Ctrl-C comes as KeyboardInterrupt there; see __main__
        return
    with listening, anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if scope.cancel_called:
                os._exit(DONE)  # asked twice: taking leave takes too long for whoever is asking
            scope.cancel()


async def _until_hangup(scope: anyio.CancelScope, output: Output) -> None:
    await output.wait_hangup()
    scope.cancel()
