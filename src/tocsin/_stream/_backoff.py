"""How long to wait before trying again. No clock and no random in here: both come in as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

__all__ = ["Backoff", "ReconnectPolicy", "delays"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """When a live channel that broke is tried again.

    Waits grow by half up to `maximum` and are drawn evenly from zero to that bound (full jitter), so that a
    thousand clients of a server that restarts do not come back in the same second. Doubling would make a
    server that was away for four seconds be missed for twenty, after a few short draws. What the server asks
    for (its advice, Retry-After) is a lower bound.

    Attributes:
        initial: Upper bound of the first wait, in seconds.
        maximum: Upper bound of every wait, in seconds.
        spread: Upper bound of the wait, in seconds, before a new session where the old one went with its
            connection: so a restart looks, and everybody who follows the server sees it in the same moment.
            Whoever had to wait for longer already has been spread by that.
        multiplier: By how much the bound grows with each failure.
        quiet: Seconds that the channel must have worked before the next failure counts as the first again.
            A server that accepts and drops at once is not hammered.
        retry_after_max: A server's Retry-After is obeyed up to this many seconds.
        attempts: Failures in a row after which it is given up with the last error; None goes on for ever.
    """

    initial: float = 1.0
    maximum: float = 60.0
    spread: float = 3.0
    multiplier: float = 1.5
    quiet: float = 10.0
    retry_after_max: float = 300.0
    attempts: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.initial <= self.maximum < float("inf"):
            raise ConfigurationError("ReconnectPolicy needs 0 < initial <= maximum, in seconds")
        if not 1 <= self.multiplier < float("inf"):
            raise ConfigurationError("ReconnectPolicy.multiplier must be 1 or more")
        if not 0 <= self.spread < float("inf"):
            raise ConfigurationError("ReconnectPolicy.spread must be 0 or more, in seconds")
        if self.quiet < 0 or self.retry_after_max < 0:
            raise ConfigurationError("ReconnectPolicy.quiet and .retry_after_max must not be negative")
        if self.attempts is not None and self.attempts < 1:
            raise ConfigurationError("ReconnectPolicy.attempts must be 1 or more, or None")

    def bound(self, failures: int) -> float:
        """Return the upper bound of the next wait, in seconds.

        Args:
            failures: How many there were in a row; 1 is the first.
        """
        try:
            return min(self.maximum, self.initial * self.multiplier ** max(failures - 1, 0))
        except OverflowError:
            return self.maximum

    def delay(
        self, failures: int, jitter: float, *, floor: float = 0.0, retry_after: float | None = None
    ) -> float:
        """Return the seconds to wait after the given number of failures in a row.

        Args:
            failures: 1 after the first failure. 0 waits no longer than the floor.
            jitter: A number drawn evenly from [0, 1).
            floor: Seconds that the server asks for between two tries.
            retry_after: Seconds from a Retry-After header. Jitter comes on top, because everybody got the
                same number.
        """
        wait = self.bound(failures) * jitter if failures > 0 else 0.0
        if retry_after is not None:
            asked = min(max(retry_after, 0.0), self.retry_after_max)
            wait = max(wait, asked + self.initial * jitter)
        return max(wait, floor)

    def scatter(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait before a session is made in place of one that went with its connection.

        Args:
            failures: How many connects in a row had failed; 0: the connection held.
            jitter: A number drawn evenly from [0, 1).
        """
        window = min(self.spread, self.maximum)
        return window * jitter if failures > 0 and self.bound(failures) < window else 0.0


class Backoff:
    """Counts failures in a row, and knows when a success has lasted long enough to forget them."""

    __slots__ = ("_good_since", "_policy", "failures")

    def __init__(self, policy: ReconnectPolicy) -> None:
        self._policy = policy
        self._good_since: float | None = None
        self.failures = 0

    @property
    def spent(self) -> bool:
        """Whether the policy's number of attempts is used up."""
        attempts = self._policy.attempts
        return attempts is not None and self.failures >= attempts

    def good(self, now: float) -> None:
        """Note a success at `now` (monotonic seconds)."""
        if self._good_since is None:
            self._good_since = now
        self._settle(now)

    def failed(
        self,
        now: float,
        jitter: float,
        *,
        floor: float = 0.0,
        retry_after: float | None = None,
        first_free: bool = False,
    ) -> float:
        """Note a failure and return the seconds to wait.

        Args:
            now: Monotonic seconds.
            jitter: A number drawn evenly from [0, 1).
            floor: Seconds that the server asks for.
            retry_after: Seconds from a Retry-After header.
            first_free: The first failure in a row waits for the floor alone: the server itself told what to
                do next, so that trying at once is no guess.
        """
        self._settle(now)
        self._good_since = None
        self.failures += 1
        counted = self.failures - 1 if first_free else self.failures
        return self._policy.delay(counted, jitter, floor=floor, retry_after=retry_after)

    def reset(self) -> None:
        """Forget all failures."""
        self.failures = 0
        self._good_since = None

    def _settle(self, now: float) -> None:
        """Forget the failures if the success has lasted."""
        if self._good_since is not None and now - self._good_since >= self._policy.quiet:
            self.failures = 0


def delays(policy: ReconnectPolicy, rng: random.Random) -> Iterator[float]:
    """Yield the waits of a policy, in seconds, until its attempts are used up; start anew after a success."""
    failures = 0
    while policy.attempts is None or failures < policy.attempts:
        failures += 1
        yield policy.delay(failures, rng.random())
