"""Asking for something once, for all who want it at the same time."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import Lock

from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """One asks, and what comes of it is everybody's, also its failure.

    Else those who want something of a site that is down would wait for each other, and each would ask anew.
    """

    __slots__ = ("_failure", "_failures", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._failure: TocsinError | None = None
        self._failures = 0

    async def get(self, known: Callable[[], T | None], find: Callable[[], Awaitable[T]]) -> T:
        """Return what is known, or find it. Cancelling it leaves the asking to the next one.

        Args:
            known: What is known; None if it has to be asked for.
            find: Asks for it.

        Raises:
            TocsinError: It failed, for this one or for the one that this one waited for.
        """
        failures = self._failures
        async with self._lock:
            if (there := known()) is not None:
                return there
            if self._failure is not None and failures != self._failures:
                raise copy(self._failure)
            self._failure = None
            try:
                return await find()
            except TocsinError as error:
                self._failure = copy(error).with_traceback(None)
                self._failures += 1
                raise
