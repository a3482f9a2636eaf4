"""Which of two transports to try next: the better one, or the one that nearly always works. No I/O."""

from __future__ import annotations

from tocsin.bayeux._failures import WornOutError
from tocsin.errors import ConnectError, TocsinError

__all__ = ["Ways"]

_TRIES = 3
_BACK_AFTER = 600.0
_BACK_AT_MOST = 6 * 3600.0


class Ways:
    """Prefers the first; turns to the second when the first cannot be had, and back later.

    Args:
        first: The preferred connection type.
        second: The other one.
        tries: So many sessions in a row must fail on the first once it has worked: a server that restarts
            must not drive everybody to the second.
        back_after: Seconds after which the first is worth a look again; twice as many after each in vain.
    """

    def __init__(
        self, first: str, second: str, *, tries: int = _TRIES, back_after: float = _BACK_AFTER
    ) -> None:
        self.current = first
        self._first = first
        self._second = second
        self._tries = tries
        self._back_after = back_after
        self._left = 1
        self._back_at = 0.0
        self._in_vain = 0

    def choose(self, error: TocsinError | None, now: float) -> str:
        """The connection type for a new session.

        Args:
            error: Why the last handshake failed; None at first and after a success.
            now: Monotonic seconds.
        """
        if self.current == self._second:
            if now >= self._back_at:
                self.go_back()
        elif error is not None and not isinstance(error, ConnectError):  # else no way leads there
            self._left -= 1
            if self._left <= 0 or isinstance(error, WornOutError):
                self.current = self._second
                self.stay(now)
        return self.current

    def worked(self) -> None:
        """A connect has succeeded over the last choice."""
        if self.current == self._first:
            self._left = self._tries
            self._in_vain = 0

    def go_back(self) -> None:
        """The first seems to work again; a single failure tells otherwise."""
        self.current = self._first
        self._left = 1

    def stay(self, now: float, *, looked: bool = True) -> None:
        """The first does not work yet, or nobody has looked."""
        self._back_at = now + min(self._back_after * 2.0**self._in_vain, _BACK_AT_MOST)
        self._in_vain = min(self._in_vain + looked, 30)

    @property
    def back_at(self) -> float | None:
        """When the first is worth a look (monotonic); None while it is in use."""
        return self._back_at if self.current == self._second else None
