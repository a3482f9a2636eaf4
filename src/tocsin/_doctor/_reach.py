"""How a server is reached, and what clock it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tocsin._doctor._probe import Judgement, assumed, differs, untold
from tocsin._doctor._visit import Stopwatch

if TYPE_CHECKING:
    from tocsin._doctor._visit import Visit

__all__ = ["Address", "ClockSample", "judge_address", "judge_clocks", "look_at_address", "sample_clock"]

_LOOPBACK: Final = ("127.", "localhost", "[::1]")
_SKEW: Final = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """How the server was reached."""

    scheme: str
    host: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One answer's Date against our clock: seconds that the server is ahead, at least and at most."""

    low: float | None
    high: float


async def look_at_address(visit: Visit) -> Address:
    """What the first request showed."""
    return Address(visit.scheme, visit.host, visit.arrived)


def judge_address(seen: Address) -> Judgement:
    """Whether secrets travel safely."""
    took = f"answered in {seen.seconds * 1000:.0f} ms"
    if seen.scheme == "https":
        return assumed(f"{took}, over TLS with a certificate that is trusted")
    if seen.host.startswith(_LOOPBACK):
        return assumed(f"{took}, in plain text on this machine")
    return differs(f"{took}, in plain text: whoever is on the way can read the credentials")


async def sample_clock(visit: Visit, path: str, query: tuple[tuple[str, str], ...]) -> ClockSample:
    """The date of an answer to a small question."""
    before, watch = visit.wall(), Stopwatch()
    response = await visit.get(path, query)
    if response.date is None:
        return ClockSample(None, 0.0)
    ahead = (response.date - before).total_seconds()
    return ClockSample(ahead - watch.seconds, ahead + 1.0)


def judge_clocks(samples: list[ClockSample]) -> Judgement:
    """Whether the clocks agree. A Date has whole seconds, and an answer takes its time."""
    lows = [sample.low for sample in samples if sample.low is not None]
    if not lows:
        return differs("answers have no Date: sweeps then go by the largest lastUpdated alone")
    low, high = max(lows), min(sample.high for sample in samples if sample.low is not None)
    if low > high:
        return untold("the server's clock jumps, or its nodes disagree")
    between = f"the server is between {low:+.1f} s and {high:+.1f} s ahead of this machine"
    if low > _SKEW or high < -_SKEW:
        return differs(f"{between}: times of alarms that are made here are as wrong")
    return assumed(between)
