"""How a change stream recovers: every period, limit and wait of `recovery.md` in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from tocsin.errors import ConfigurationError

__all__ = ["RecoveryPolicy"]


_MAY_BE_ZERO: Final = frozenset({
    "skew", "check_share", "settle_flood", "stale_wait", "grace", "look_pause",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """Periods (seconds) and limits (counts) of recovery. The defaults suit a platform in the cloud.

    Attributes:
        overlap: How far each sweep reaches back behind the cursor. Longer than a write may take to become
            readable, and than the server's clocks may differ.
        verify_first: After attaching, the second sweep runs this much later: a subscription may take effect
            late.
        verify_every: A sweep proves this often that the subscription delivers.
        look_every: Where a platform cannot list what changed since a time, new alarms are looked for this
            often, and `verify_every` is the period at which all open ones are compared.
        look_pause: A hint that something happened makes such a look at once, but no sooner than this after
            the last one.
        reconcile_every: A pass over all open alarms, which finds deletions, runs this often.
        grace: How long a live message may lag behind the read that showed its change before it counts as
            missed.
        silence: After misses turned out to be silent writes, no new session is made for this long.
        page_size: Rows a request asks for.
        empty_pages: So many pages in a row without a new row end a window whose server goes on offering more;
            ten times as many if they are empty, for users with inventory roles are shown alarms of others
            as nothing.
        settle_limit: Alarms read by id at once.
        settle_flood: More alarms in doubt than this are read by a sweep instead.
        check_rate: Vanished alarms that are read by id, per second.
        check_share: If more than this share of the alarms vanished, the credentials are checked first.
        stale_wait: A read that shows an older state than one already known is repeated after this much.
        retry_first: Wait after a first failed read; doubles with each failure.
        retry_max: The longest such wait.
        retry_after_max: A server's Retry-After is obeyed up to this much: until then nothing proves that the
            live channel delivers.
        skew: How far the clock behind the HTTP header ``Date`` may be from the one behind ``lastUpdated``.
            Used where no row tells the server's time. A ``Date`` that is further than this ahead of our own
            clock is not used at all.
        remembered: Closed and deleted alarms kept in memory.
        max_tracked: Open alarms kept in memory.
    """

    overlap: float = 30.0
    verify_first: float = 5.0
    verify_every: float = 60.0
    look_every: float = 5.0
    look_pause: float = 1.0
    reconcile_every: float = 900.0
    grace: float = 10.0
    silence: float = 900.0
    page_size: int = 2000
    empty_pages: int = 20
    settle_limit: int = 4
    settle_flood: int = 50
    check_rate: float = 10.0
    check_share: float = 0.1
    stale_wait: float = 1.0
    retry_first: float = 1.0
    retry_max: float = 60.0
    retry_after_max: float = 300.0
    skew: float = 900.0
    remembered: int = 100_000
    max_tracked: int = 1_000_000

    def __post_init__(self) -> None:
        """Refuse what no stream can run with."""
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in _MAY_BE_ZERO else None
            if value < 0 or (value == 0 and least is None):
                bound = "0 or more" if least == 0 else "above 0"
                raise ConfigurationError(f"RecoveryPolicy.{field.name} must be {bound}, not {value}")
