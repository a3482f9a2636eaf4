"""Messages over which a consumer failed again and again. Set aside, they cannot stop the ones behind them."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

__all__ = ["SetAside"]

_MOST: Final = 3
"""Failures after which a message is set aside."""
_REMEMBERED: Final = 10_000


class SetAside:
    """Counts, for the streams of one client, how often a consumer failed over a message.

    A message has no id, so it is known by what it says: the alarm's id, its ``lastUpdated``, its count and
    status are in there.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[bytes, int] = OrderedDict()

    @staticmethod
    def mark(action: str, body: bytes) -> bytes:
        """What a message is known by."""
        return blake2b(body, digest_size=16, person=action.encode("utf-8", "replace")[:16]).digest()

    def failed(self, mark: bytes) -> None:
        """A consumer failed over it."""
        self._failures[mark] = self._failures.pop(mark, 0) + 1
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def handled(self, mark: bytes) -> None:
        """It was handled after all."""
        self._failures.pop(mark, None)

    def holds(self, mark: bytes) -> bool:
        """Whether it failed too often."""
        return self._failures.get(mark, 0) >= _MOST
