"""How a session behaves: limits and times. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tocsin._stream._backoff import ReconnectPolicy
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SessionSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """The settings of a session. All times are seconds.

    Attributes:
        advice_timeout: For how long the server is asked to hold a connect.
        liveness: Silence (not a byte, not even a heartbeat) after which the peer of a held connect is dead.
        allowance: What the network may take: the limit of every other exchange, and what a connect may take
            longer than the server was asked to hold it.
        close_timeout: How long leaving may take, whatever the server does.
        minimum_delay: What lies between two connects where the first one brought no answer of its own.
        reconnect: When to try again after a failure.
        connection_types: What we can speak, the best first, where the transport does not say.
        elsewhere: The connection type to which the owner turns when a session cannot be had over another one,
            or does not hold; None: there is no choice.
        handshake_ext: Called for every handshake, also the automatic ones: what goes into its `ext`, such as
            credentials.
        hide: Takes secrets out of what a server says, before it is shown to anybody.
    """

    advice_timeout: float = 30.0
    liveness: float = 45.0
    allowance: float = 10.0
    close_timeout: float = 2.0
    minimum_delay: float = 1.0
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    connection_types: tuple[str, ...] = ("long-polling",)
    elsewhere: str | None = None
    handshake_ext: Callable[[], Mapping[str, Any]] | None = field(default=None, repr=False)
    hide: Callable[[str], str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("advice_timeout", "liveness", "allowance", "close_timeout", "minimum_delay"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be a finite number of seconds above 0, not {value!r}")
        if not self.connection_types:
            raise ConfigurationError("connection_types must name at least one connection type")

    @property
    def ask(self) -> float:
        """For how long to ask the server to hold a connect, so that its answer comes within `liveness`."""
        return min(self.advice_timeout, max(self.liveness - self.allowance, self.liveness / 2))
