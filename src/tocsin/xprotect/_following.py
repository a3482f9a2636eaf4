"""What a client lends its services and streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin._stream._owner import TaskOwner
    from tocsin._stream._policy import RecoveryPolicy
    from tocsin.xprotect._gateway import Gateway

__all__ = ["Following"]


@dataclass(frozen=True, slots=True)
class Following:
    """What a client lends its services and streams.

    Attributes:
        gateway: Sends their requests; `gateway.core.session()` makes connections of a stream's own.
        owner: Has their tasks.
        site: What changes are marked with.
        reconnect: When a connection that broke is tried again.
        recovery: How streams find what they missed.
        clock: Aware UTC now.
        rng: Draws the jitter.
        open_timeout: Seconds that entering a stream may take; None: for ever.
        close_timeout: Seconds that taking leave of the server may take.
        sweeps: False only where a test or the demonstration shows what the sweeps are worth.
    """

    gateway: Gateway
    owner: TaskOwner
    site: str
    reconnect: ReconnectPolicy
    recovery: RecoveryPolicy
    clock: Callable[[], datetime]
    rng: random.Random
    open_timeout: float | None
    close_timeout: float
    sweeps: bool = True
