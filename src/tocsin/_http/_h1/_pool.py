"""Who gets which connection: a state machine without I/O and without a clock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C")
Origin: TypeAlias = tuple[str, str, int]

__all__ = ["Claim", "Origin", "Pool"]


class Claim(Generic[C]):
    """One exchange's claim to a connection.

    Attributes:
        origin: Scheme, host and port that the connection must lead to.
        granted: Whether a place is held.
        connection: With a place: the connection, or None to open one.
        wake: Called once when a claim that had to wait is granted, or the pool was closed; set by its owner.
    """

    __slots__ = ("connection", "granted", "origin", "wake")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.wake: Callable[[], None] = _nobody
        self.granted = False
        self.connection: C | None = None


class Pool(Generic[C]):
    """Places for connections, given in the order in which they were asked for.

    A place is held from its grant until `give_back`, whether its connection stands already or not. Whoever
    holds a place tells of its end exactly once; then the place goes to the claim that waits longest.

    Args:
        size: The most places.
        keepalive: Seconds after which an idle connection is not used again.
        drop: Closes a connection; must neither block nor raise.
    """

    __slots__ = ("_drop", "_held", "_idle", "_keepalive", "_size", "_waiting", "closed")

    def __init__(self, size: int, keepalive: float, drop: Callable[[C], None]) -> None:
        self._size = size
        self._keepalive = keepalive
        self._drop = drop
        self._held: dict[Claim[C], None] = {}
        self._idle: deque[tuple[Origin, C, float]] = deque()  # the one used last is the last
        self._waiting: deque[Claim[C]] = deque()
        self.closed = False

    @property
    def idle(self) -> int:
        """Connections that nobody uses."""
        return len(self._idle)

    @property
    def held(self) -> int:
        """Places that somebody holds."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Claims without a place."""
        return len(self._waiting)

    def claim(self, origin: Origin, now: float) -> Claim[C]:
        """Ask for a place; it is granted at once, or later through `wake`."""
        self._expire(now)
        claim: Claim[C] = Claim(origin)
        if self._waiting or self.closed:  # nobody overtakes
            self._waiting.append(claim)
        else:
            self._grant(claim)
            if not claim.granted:
                self._waiting.append(claim)
        return claim

    def give_back(self, claim: Claim[C], now: float, *, reusable: bool) -> None:
        """Take a place back, or the wish for one; may be called again, which does nothing.

        Args:
            claim: The claim. It need not have been granted.
            now: Seconds.
            reusable: Whether its connection can take another exchange; if not, it is dropped.
        """
        connection, claim.connection = claim.connection, None
        if not claim.granted:
            if claim in self._waiting:
                self._waiting.remove(claim)
            return
        if claim not in self._held:
            return
        del self._held[claim]
        if connection is not None:
            if reusable and not self.closed:
                self._idle.append((claim.origin, connection, now))
            else:
                self._drop(connection)
        while self._waiting and not self.closed:
            following = self._waiting[0]
            self._grant(following)
            if not following.granted:
                break
            self._waiting.popleft()
            following.wake()

    def close(self) -> list[C]:
        """Drop what is idle and wake all who wait, without a place.

        Returns:
            The connections in use: theirs to close.
        """
        self.closed = True
        while self._idle:
            self._drop(self._idle.pop()[1])
        while self._waiting:
            self._waiting.popleft().wake()
        return [claim.connection for claim in self._held if claim.connection is not None]

    def _grant(self, claim: Claim[C]) -> None:
        """Give a place if there is one: the connection used last, a new one, or that of another origin."""
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at][0] == claim.origin:
                claim.connection = self._idle[at][1]
                del self._idle[at]
                break
        else:
            if len(self._held) + len(self._idle) >= self._size:
                if not self._idle:
                    return
                self._drop(self._idle.popleft()[1])
        claim.granted = True
        self._held[claim] = None

    def _expire(self, now: float) -> None:
        while self._idle and now - self._idle[0][2] >= self._keepalive:
            self._drop(self._idle.popleft()[1])


def _nobody() -> None:
    """Wakes nobody."""
