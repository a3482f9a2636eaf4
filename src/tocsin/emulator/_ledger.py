"""The append-only record of what really happened, and how a consumer's view is held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tocsin.emulator._clock import to_ms

if TYPE_CHECKING:
    from datetime import datetime

Action = Literal["CREATE", "UPDATE", "DELETE"]

# What may differ between two messages about the same state: links, names, and what only some channels carry.
_VOLATILE: Final = frozenset({
    "self", "history", "creationTime", "lastUpdated", "firstOccurrenceTime", "firstOccurenceTime",
    "severityOrdinal", "statusOrdinal",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One write.

    Args:
        seq: 1, 2, 3, … over all alarms.
        at: The server's wall clock.
        action: What was done.
        id: The alarm.
        alarm: Its JSON after the write; None after a DELETE.
        silent: Whether subscribers were not told.
    """

    seq: int
    at: datetime
    action: Action
    id: str
    alarm: Mapping[str, Any] | None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """An alarm that a consumer has wrong.

    Args:
        id: The alarm.
        expected: The server's state; None if it is gone.
        got: The consumer's; None if it has none.
    """

    id: str
    expected: Mapping[str, Any] | None
    got: Mapping[str, Any] | None


class Ledger(Sequence[Entry]):
    """Every write since the start, oldest first.

    Args:
        limit: How many entries are kept.
        essence: An alarm's JSON without what may differ between two messages about the same state.
        is_open: Whether an alarm's JSON says that it is open.
    """

    def __init__(
        self,
        limit: int,
        *,
        essence: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
        is_open: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> None:
        self._limit = limit
        self._essence = essence or _essence
        self._is_open = is_open or _is_open
        self._entries: list[Entry] = []
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        return self._entries[index]

    @property
    def seq(self) -> int:
        """The number of the last write; remember it to ask later what came after."""
        return self._entries[-1].seq if self._entries else self.dropped

    def append(
        self, at: datetime, action: Action, id: str, alarm: Mapping[str, Any] | None, *, silent: bool
    ) -> int:  # fmt: skip
        """Record a write; only the store calls this."""
        entry = Entry(self.seq + 1, at, action, id, alarm, silent)
        self._entries.append(entry)
        if len(self._entries) > self._limit:
            surplus = len(self._entries) // 10 + 1
            del self._entries[:surplus]
            self.dropped += surplus
        return entry.seq

    def after(self, seq: int) -> list[Entry]:
        """The writes later than `seq`."""
        return self._entries[max(0, seq - self.dropped) :]

    def of(self, id: str) -> list[Entry]:
        """The writes to one alarm."""
        return [entry for entry in self._entries if entry.id == id]

    def truth(self) -> dict[str, Mapping[str, Any]]:
        """The alarms that exist now, by id, as JSON."""
        last = {entry.id: entry.alarm for entry in self._entries}
        return {id: alarm for id, alarm in last.items() if alarm is not None}

    def lost(
        self, fold: Mapping[str, Mapping[str, Any] | None], *, since: int | None = None
    ) -> list[Difference]:
        """What a consumer has wrong at the end.

        Args:
            fold: The consumer's last JSON of each alarm, by id; None or absent if it thinks it gone.
            since: The ledger's `seq` when the consumer attached without a snapshot: only alarms written
                after it count, closed ones too. None: it took a snapshot, and every open alarm counts,
                closed ones only where the consumer claims to know them.

        Returns:
            One difference for each alarm whose last state the consumer does not hold.
        """
        truth = self.truth()
        if since is None:
            ids = {id for id, alarm in truth.items() if self._is_open(alarm)} | fold.keys()
        else:
            ids = {entry.id for entry in self.after(since)}
        wrong = []
        for id in sorted(ids, key=_by_number):
            expected, got = truth.get(id), fold.get(id)
            if self._key(expected) != self._key(got):
                wrong.append(Difference(id, expected, got))
        return wrong

    def duplicates(self, changes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The changes that a consumer was given twice, or out of order, or that never happened.

        For each alarm the states given must be a strictly rising selection of the states written.

        Args:
            changes: What the consumer was given, in order: objects with `action`, `id` and `alarm` (JSON
                or None), as the command line's `--jsonl` prints them. Others are passed over.

        Returns:
            The changes that do not fit.
        """
        written: dict[str, list[Entry]] = {}
        for entry in self._entries:
            written.setdefault(entry.id, []).append(entry)
        place: dict[str, int] = {}
        wrong = []
        for change in changes:
            if change.get("action") is None:
                continue
            id = str(change["id"])
            entries, start = written.get(id, []), place.get(id, 0)
            wanted = self._key(None if change["action"] == "DELETE" else change.get("alarm"))
            found = next(
                (i for i in range(start, len(entries)) if self._key(entries[i].alarm) == wanted), None
            )
            if found is None:
                wrong.append(change)
            else:
                place[id] = found + 1
        return wrong

    def _key(self, alarm: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if alarm is None else self._essence(alarm)


def essence(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """An alarm's JSON without what may differ between two messages about the same state."""
    kept = {key: value for key, value in alarm.items() if key not in _VOLATILE}
    source = kept.get("source")
    if isinstance(source, Mapping):
        kept["source"] = str(source.get("id"))
    with suppress(ValueError):  # else compared as it is written
        kept["time"] = to_ms(kept.get("time"))
    return kept


_essence = essence


def _is_open(alarm: Mapping[str, Any]) -> bool:
    return str(alarm.get("status", "")).upper() != "CLEARED"


def _by_number(id: str) -> tuple[int, str]:
    return (int(id) if id.isdigit() else 0, id)
