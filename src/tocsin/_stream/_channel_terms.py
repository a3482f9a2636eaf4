"""How a text channel behaves and how it ends: what those need to know who open one only perhaps. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tocsin.errors import ConfigurationError, TransportError

__all__ = ["ChannelClosedError", "ChannelSettings"]


class ChannelClosedError(TransportError):
    """The channel is over: the peer closed it, or it is dead.

    Attributes:
        code: The peer's close code; None where it gave none.
    """

    def __init__(self, message: str, *, code: int | None = None, reason: str | None = None) -> None:
        super().__init__(message, reason=reason, maybe_applied=True)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Times (seconds) and limits (bytes) of a channel.

    Attributes:
        open_within: For the handshake, from the connection to the server's consent.
        ping_every: So often the peer is asked for a sign of life.
        pong_within: For its answer; then the channel is dead.
        send_within: For a message to leave; then the channel is dead.
        close_within: For a polite end.
        max_bytes: The largest message that is read.
    """

    open_within: float = 10.0
    ping_every: float = 20.0
    pong_within: float = 10.0
    send_within: float = 10.0
    close_within: float = 2.0
    max_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        for name in ("open_within", "ping_every", "pong_within", "send_within", "close_within", "max_bytes"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be a finite number above 0, not {value!r}")
