"""What a platform has accepted and goes on with after its answer: 202, or a 204 that comes too early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import current_time, move_on_after, sleep

from tocsin._http._request import is_number
from tocsin.errors import ConfigurationError, RequestTimeoutError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Accepted"]

_FIRST: Final = 0.5
_LONGEST: Final = 10.0
_STALLED: Final = 20.0
"""Seconds without progress after which the platform may have given up."""


class Accepted:
    """Work that a platform has accepted. It has no id there and reports nothing: what is left is looked for.

    Attributes:
        status: The HTTP status that it was accepted with.
        done: Whether it is known to be done. False after a 202 until `check` or `wait` found nothing left.
        left: How many alarms were left at the last look; None before the first one, and where the platform
            tells only that there are some.

    Args:
        what: The work, for errors: ``the bulk update``.
        status: The HTTP status.
        look: Tells how many alarms are left, or None for some; no `look`: the work is done.
    """

    __slots__ = ("_look", "_moved", "_what", "done", "left", "status")

    def __init__(self, what: str, status: int, look: Callable[[], Awaitable[int | None]] | None) -> None:
        self._what = what
        self._look = look
        self._moved: float | None = None
        self.status = status
        self.done = look is None
        self.left: int | None = 0 if look is None else None

    async def check(self) -> bool:
        """Look once whether it is done. Cancelling it is safe.

        Raises:
            TocsinError: What is left could not be read; the work itself may well go on.
        """
        if self.done or self._look is None:
            return True
        try:
            left = await self._look()
        except TocsinError as error:
            error.args = (
                f"{self._what} was accepted with {self.status} and may well go on, but what is left of it "
                f"could not be read: {error}",
                *error.args[1:],
            )
            raise
        if left is None or self.left is None or left < self.left:
            self._moved = current_time()
        self.left = left
        self.done = left == 0
        return self.done

    async def wait(self, timeout: float | None = 60.0) -> None:
        """Wait until nothing is left, looking after half a second and then ever more rarely, every 10 s.

        Cancelling it ends the wait, not the work. It may be called again.

        Args:
            timeout: Seconds; None: for ever, even if the platform has dropped the work.

        Raises:
            ConfigurationError: `timeout` is no number of seconds.
            RequestTimeoutError: It is not done in time; the error says how much is left.
            TocsinError: What is left could not be read; the work itself may well go on.
        """
        if timeout is not None and not (is_number(timeout) and timeout >= 0):
            raise ConfigurationError("wait: timeout is a number of seconds, or None to wait for ever")
        pause = _FIRST
        with move_on_after(timeout):
            while not await self.check():
                await sleep(pause)
                pause = min(pause * 2, _LONGEST)
        if not self.done:
            raise RequestTimeoutError(
                f"{self._what} was accepted with {self.status} and is not done after {timeout:g} s: "
                f"{self._rest()}",
                maybe_applied=True,
            )

    def _rest(self) -> str:
        if self.left is None:
            looked = self._moved is not None
            return "some alarms are left" if looked else "how much is left could not be read in that time"
        rest = "1 alarm is left" if self.left == 1 else f"{self.left} alarms are left"
        still = 0.0 if self._moved is None else current_time() - self._moved
        if still >= _STALLED:
            rest += f", as many as {still:.0f} s ago: the platform may have dropped it halfway; ask again"
        return rest

    def __repr__(self) -> str:
        return f"<Accepted {self._what}, {self.status}, {'done' if self.done else f'left: {self.left}'}>"
