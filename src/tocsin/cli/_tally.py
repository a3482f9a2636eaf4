"""What a view was shown, held against the emulators' ledgers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from tocsin.models import Change, Gap, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin._stream._states import StateChange
    from tocsin.cli._jsonl import RawAlarm
    from tocsin.cli._views import View
    from tocsin.emulator import Ledger

__all__ = ["Counting", "Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The last line of the demo.

    Attributes:
        seen: Changes that were shown.
        recovered: How many of them only a read brought.
        lost: Alarms whose last state was never shown.
        duplicated: Changes that were shown twice, out of order, or that never happened.
        gaps: Gaps that were told.
    """

    seen: int
    recovered: int
    lost: int
    duplicated: int
    gaps: int


class Counting:
    """A view that also keeps what it was shown.

    Args:
        view: Where it is really shown.
        ledgers: What really happened at each site.
    """

    def __init__(self, view: View, ledgers: Mapping[str, Ledger]) -> None:
        self._view = view
        self._ledgers = ledgers
        self._seen: dict[str, list[dict[str, Any]]] = {site: [] for site in ledgers}
        self._folds: dict[str, dict[str, Mapping[str, Any] | None]] = {site: {} for site in ledgers}
        self._recovered = 0
        self._gaps = 0
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Draw until cancelled."""
        await self._view.run()

    async def show(self, item: Change[RawAlarm] | Gap) -> None:
        """Count it and show it."""
        if isinstance(item, Gap):
            self._gaps += 1
        else:
            alarm = None if item.alarm is None else json.loads(item.alarm.raw)
            self._seen[item.site].append({"action": str(item.action), "id": item.id, "alarm": alarm})
            self._folds[item.site][item.id] = alarm
            self._recovered += item.origin is Origin.RECOVERED
        self._changed.set()
        await self._view.show(item)

    async def show_state(self, change: StateChange) -> None:
        """Show it."""
        await self._view.show_state(change)

    async def note(self, sentence: str) -> None:
        """Show it."""
        await self._view.note(sentence)

    async def wait_complete(self) -> None:
        """Return once all that happened has been shown."""
        while self._lost():
            self._changed = anyio.Event()
            await self._changed.wait()

    def summary(self) -> Summary:
        """Count up, over all sites."""
        return Summary(
            seen=sum(len(seen) for seen in self._seen.values()),
            recovered=self._recovered,
            lost=self._lost(),
            duplicated=sum(
                len(ledger.duplicates(self._seen[site])) for site, ledger in self._ledgers.items()
            ),
            gaps=self._gaps,
        )

    def _lost(self) -> int:
        return sum(len(ledger.lost(self._folds[site])) for site, ledger in self._ledgers.items())
