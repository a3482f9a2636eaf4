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
    from tocsin.xprotect._lookups import Lookups

__all__ = ["Following", "Kept"]


class Kept:
    """What a client and all its views read once.

    Args:
        gateway: Sends the requests, with the client's own options.
    """

    __slots__ = ("_gateway", "_lookups")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lookups: Lookups | None = None

    @property
    def lookups(self) -> Lookups:
        """What the site has to choose from."""
        if self._lookups is None:
            from tocsin.xprotect._lookups import Lookups

            self._lookups = Lookups(self._gateway)
        return self._lookups


@dataclass(frozen=True, slots=True)
class Following:
    """What a client lends its services and streams.

    Attributes:
        gateway: Sends their requests; `gateway.core.session()` makes connections of a stream's own.
        kept: What all views of the client read once.
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
    kept: Kept
    owner: TaskOwner
    site: str
    reconnect: ReconnectPolicy
    recovery: RecoveryPolicy
    clock: Callable[[], datetime]
    rng: random.Random
    open_timeout: float | None
    close_timeout: float
    sweeps: bool = True
