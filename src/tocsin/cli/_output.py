"""Lines to stdout. A reader that is slow holds up its own lines, never the event loop."""

from __future__ import annotations

import os
import select
import stat
from typing import Final

import anyio
from anyio import to_thread

__all__ = ["Output"]

_AT_ONCE: Final = 4096
"""Bytes that a pipe which says it is writable takes without blocking (Linux's PIPE_BUF)."""
_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at whether the reader is still there."""


class Output:
    """Writes whole lines to a file descriptor, in order, each at once.

    Attributes:
        stuck: True while a line is not yet written. After a cancellation it tells that a thread is still
            caught in a write that nobody reads.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lock = anyio.Lock()
        self.stuck = False

    async def write(self, line: bytes) -> None:
        """Write one line. Cancelling it may leave the line cut; nothing more is written then.

        Raises:
            BrokenPipeError: The reader is gone.
        """
        async with self._lock:
            if self.stuck:
                return
            self.stuck = True
            try:
                if len(line) <= _AT_ONCE and self._takes_more():
                    self._write(line)
                else:
                    await to_thread.run_sync(self._write, line, abandon_on_cancel=True)
            except OSError:
                self.stuck = False
                raise
            self.stuck = False

    async def wait_hangup(self) -> None:
        """Return when the reader of a pipe has gone away, also while there is nothing to write."""
        mode = os.fstat(self._descriptor).st_mode
        if not (hasattr(select, "poll") and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))):
            await anyio.sleep_forever()
        watch = select.poll()
        watch.register(self._descriptor, 0)
        while not watch.poll(0):  # noqa: ASYNC110 - nothing tells us, so we look
            await anyio.sleep(_LOOK_EVERY)

    def _takes_more(self) -> bool:
        try:
            return bool(select.select([], [self._descriptor], [], 0)[1])
        except (OSError, ValueError):  # Windows selects sockets only
            return False

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever gave us the pipe has set it non-blocking
                select.select([], [self._descriptor], [])
