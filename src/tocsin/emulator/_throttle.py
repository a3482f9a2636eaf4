"""The tenant's limit on requests: so many a second, then a queue, then 429.

Pure but for its lock: it is told the time and says how long a request has to wait.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from tocsin.emulator._errors import RefusedError

if TYPE_CHECKING:
    from tocsin.emulator._settings import ThrottleSettings


class Throttle:
    """Lets requests through at a rate; requests that wait are let through in the order in which they came.

    A second's worth of requests may come at once. May be used from any thread.

    Attributes:
        delayed: How many had to wait.
        refused: How many were answered with 429.
    """

    def __init__(self, settings: ThrottleSettings) -> None:
        self._lock = threading.Lock()
        self._settings = settings
        self._left = 0.0  # requests that may pass now; below zero, so many wait
        self._at: float | None = None
        self.delayed = 0
        self.refused = 0

    @property
    def settings(self) -> ThrottleSettings:
        """The limits; may be replaced at any time."""
        return self._settings

    @settings.setter
    def settings(self, settings: ThrottleSettings) -> None:
        with self._lock:
            self._settings = settings
            self._at = None

    def admit(self, now: float) -> float:
        """Count one request.

        Args:
            now: Monotonic seconds.

        Returns:
            Seconds that it has to wait in the queue.

        Raises:
            RefusedError: 429, the queue is full.
        """
        with self._lock:
            rate, room = self._settings.requests, self._settings.queue
            if rate is None or room is None:
                return 0.0
            burst = max(1.0, rate)
            passed = 0.0 if self._at is None else max(0.0, now - self._at)
            left = burst if self._at is None else min(burst, self._left + passed * rate)
            self._at, self._left = now, left
            if left - 1 < -room:
                self.refused += 1
                raise self._too_many()
            self._left = left - 1
            if self._left >= 0:
                return 0.0
            self.delayed += 1
            return -self._left / rate

    def _too_many(self) -> RefusedError:
        after = self._settings.retry_after
        headers = () if after is None else (("Retry-After", str(math.ceil(after))),)
        return RefusedError(
            429, "general/tooManyRequests", "The limit on requests of this tenant is exceeded", headers
        )

    def state(self) -> dict[str, Any]:
        """The limits and the counts, for the HTTP control."""
        return {
            "requests": self._settings.requests,
            "queue": self._settings.queue,
            "retryAfter": self._settings.retry_after,
            "delayed": self.delayed,
            "refused": self.refused,
        }
