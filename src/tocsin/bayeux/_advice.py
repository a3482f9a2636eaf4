"""Advice: what the server tells about timing and about what to do next (Bayeux 1.0, advice). No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Advice", "Reconnect"]


class Reconnect(Enum):
    """What to do when a connect has ended."""

    RETRY = "retry"
    HANDSHAKE = "handshake"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice. It holds until another replaces it, or the session ends.

    Attributes:
        reconnect: What to do next; None where it is missing or unknown.
        interval: Seconds to leave between two connects; negative: do not connect again.
        timeout: Seconds that the server holds a connect; None where it does not say.
        multiple_clients: Another session shares our cookies, so that the server holds no connect.
    """

    reconnect: Reconnect | None = None
    interval: float = 0.0
    timeout: float | None = None
    multiple_clients: bool = False

    @classmethod
    def read(cls, wire: Mapping[str, Any], connection_type: str) -> Advice:
        """Read advice off the wire: milliseconds become seconds, the transport's own section wins.

        A field of an impossible type counts as missing: one odd field must not cost the others.
        """
        own = wire.get(connection_type)
        merged = {**wire, **own} if isinstance(own, dict) else wire
        reconnect = merged.get("reconnect")
        interval = _milliseconds(merged.get("interval"))
        timeout = _milliseconds(merged.get("timeout"))
        return cls(
            reconnect=Reconnect(reconnect) if reconnect in _RECONNECTS else None,
            interval=interval or 0.0,
            timeout=timeout if timeout is not None and timeout >= 0 else None,
            multiple_clients=merged.get("multiple-clients") is True,
        )


_RECONNECTS = ("retry", "handshake", "none")


def _milliseconds(value: object) -> float | None:
    """Return seconds, or None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = value / 1000
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
