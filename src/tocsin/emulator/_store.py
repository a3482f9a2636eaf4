"""Alarms and devices of one tenant, the rules by which they change, and who is told of it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tocsin.emulator import _alarms
from tocsin.emulator._audit import AuditTrail
from tocsin.emulator._author import NOBODY, Author
from tocsin.emulator._clock import Clock, to_text
from tocsin.emulator._devices import Device, Devices
from tocsin.emulator._errors import RefusedError, invalid, missing, too_many
from tocsin.emulator._index import Index, newest_first, widened
from tocsin.emulator._json import dump
from tocsin.emulator._ledger import Action, Ledger
from tocsin.emulator._query import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tocsin.emulator._alarms import Alarm
    from tocsin.emulator._settings import Settings

_REMOVED_KEPT: Final = 10_000  # removed alarms that a lagging read may still show


@dataclass(frozen=True, slots=True)
class Notice:
    """What a write tells the subscribers."""

    action: Action
    alarm: Alarm
    ancestors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a POST; `alarm` is None if it was suppressed. `before` is what an upsert met."""

    outcome: Literal["created", "repeated", "updated", "suppressed"]
    alarm: Alarm | None
    before: Alarm | None = None


class Store:
    """The tenant's data. Its public methods may be called from any thread, as users would write.

    Every write goes to the ledger and, unless it is silent, to the subscribers.
    """

    def __init__(self, settings: Settings, clock: Clock, base: Callable[[], str]) -> None:
        self._settings = settings
        self._clock = clock
        self._base = base
        self._index = Index()
        self._removed: deque[tuple[int, Alarm]] = deque(maxlen=_REMOVED_KEPT)
        self._number = 100
        self.lock = threading.RLock()
        self.devices = Devices()
        self.ledger = Ledger(settings.limits.ledger)
        self.audit = AuditTrail(settings.limits.audit, base)
        self.listeners: list[Callable[[Notice], None]] = []

    # What users of the platform do, in plain JSON.

    def create(self, alarm: Mapping[str, Any], *, silent: bool = False) -> dict[str, Any]:
        """Report an alarm as a device would; an unknown source becomes a device, absent keys get defaults.

        Args:
            alarm: JSON of the POST; `source` may be the bare id; `type` defaults to `test_Alarm`.
            silent: Store it without telling subscribers (processing mode QUIESCENT).

        Returns:
            The stored alarm's JSON, of the older alarm when this was a repeat. A suppressed one has no `id`.

        Raises:
            RefusedError: The platform would answer with an error.
        """
        body = {"type": "test_Alarm", "text": "", "severity": "MAJOR", **alarm}
        body.setdefault("time", self._clock_text())
        source = body.get("source", "1")
        body["source"] = {"id": str(source)} if isinstance(source, str | int) else source
        with self.lock:
            name = str(body["source"].get("id"))
            if name not in self.devices:
                self.add_device(id=name)
            return self.submitted_view(self.submit(body, silent=silent))

    def update(self, id: str, changes: Mapping[str, Any], *, silent: bool = False) -> dict[str, Any]:
        """Change an alarm as a PUT would, and return its JSON. A change to the same values is none."""
        with self.lock:
            return self.view(self.change(id, changes, silent=silent))

    def remove(self, id: str, *, silent: bool = False) -> None:
        """Delete an alarm. Only the profile `seed` tells subscribers."""
        with self.lock:
            self._drop(self.find(id), silent=silent)

    def get(self, id: str) -> dict[str, Any] | None:
        """An alarm's JSON as the REST API gives it, or None."""
        with self.lock:
            alarm = self._index.get(id)
            return None if alarm is None else self.view(alarm)

    def alarms(self) -> list[dict[str, Any]]:
        """All alarms as the REST API gives them, newest first."""
        with self.lock:
            return [self.view(alarm) for alarm in self.select(Query())]

    @property
    def count(self) -> int:
        """How many alarms there are."""
        return len(self._index)

    def add_device(
        self,
        name: str | None = None,
        *,
        id: str | None = None,
        parent: str | None = None,
        maintenance: bool = False,
        fragments: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add a device.

        Args:
            name: What people call it; `Device <id>` if absent.
            id: Its id; one is made if absent.
            parent: The device that it is a child of.
            maintenance: Suppress alarms for it.
            fragments: More keys.

        Returns:
            Its JSON.
        """
        with self.lock:
            number = id or self._next_id()
            body = {"name": name or f"Device {number}", "type": "test_Device", "c8y_IsDevice": {}}
            if maintenance:
                body["c8y_RequiredAvailability"] = {"responseInterval": 0}
            device = self.add_object({**body, **(fragments or {})}, number)
            if parent is not None:
                self.devices.link(parent, device.id)
            return self.device_view(device)

    def update_device(self, id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set keys of a device, such as its name; None removes one."""
        with self.lock:
            device = self.devices.update(id, changes, self._clock.now_ms())
            for alarm in self._index.of_source(id):
                alarm.raw = None  # shows the source's name
            return self.device_view(device)

    def set_maintenance(self, id: str, on: bool) -> None:
        """Put a device into maintenance, in which its alarms are suppressed, or take it out."""
        self.update_device(id, {"c8y_RequiredAvailability": {"responseInterval": 0 if on else 60}})

    def remove_device(self, id: str) -> None:
        """Delete a device and its alarms."""
        with self.lock:
            self.devices.get(id)
            for alarm in self._index.of_source(id):
                self._drop(alarm)
            self.devices.remove(id)

    # What the routes do. All of it is called with the lock held.

    def submit(
        self, body: Mapping[str, Any], *, silent: bool = False, stored: bool = True, by: Author = NOBODY
    ) -> Submitted:
        """A POST: a new alarm, a repeat, or nothing."""
        made = _alarms.draft(body)
        device = self.devices.find(made["source"]["id"])
        if device is None:
            raise invalid(f"source with id '{made['source']['id']}' does not exist")
        if device.in_maintenance or not stored:
            return Submitted("suppressed", None)
        now = self._clock.now_ms()
        before = self._index.repeat_of(device.id, made["type"])
        if before is not None:
            bump = self._settings.behaviour.bump_last_updated_on_repeat
            alarm = _alarms.repeated(before, made["time"], now, bump=bump)
            self._write("UPDATE", alarm, now, silent=silent)
            return Submitted("repeated", alarm)
        if len(self._index) >= self._settings.limits.alarms:
            raise too_many("alarms")
        alarm = _alarms.first(made, int(self._next_id()), now)
        self._write("CREATE", alarm, now, silent=silent)
        self.audit.add(now, by, None, alarm)
        return Submitted("created", alarm)

    def upsert(
        self,
        body: Mapping[str, Any],
        *,
        count: bool = False,
        silent: bool = False,
        stored: bool = True,
        by: Author = NOBODY,
    ) -> Submitted:
        """An upsert: the open alarm of that source and type takes what is sent, or a new one is made."""
        sent = {key: value for key, value in body.items() if value is not None}
        given = {"text": "", "severity": "MAJOR", "time": to_text(self._clock.now_ms()), **sent}
        made = _alarms.draft(given)
        before = self._index.repeat_of(made["source"]["id"], made["type"])
        if before is None or not stored:
            return self.submit(given, silent=silent, stored=stored, by=by)
        now = self._clock.now_ms()
        alarm = _alarms.upserted(before, body, now, count=count)
        self._changed(before, alarm, now, silent=silent, by=by)
        return Submitted("updated", alarm, before)

    def change(
        self, id: str, changes: Mapping[str, Any], *, silent: bool = False, by: Author = NOBODY
    ) -> Alarm:
        """A PUT. Nothing is stored and nobody told when nothing differs."""
        before = self.find(id)
        now = self._clock.now_ms()
        reject = self._settings.behaviour.immutable_keys == "reject"
        alarm = _alarms.changed(before, changes, now, reject=reject)
        self._changed(before, alarm, now, silent=silent, by=by)
        return alarm

    def find(self, id: str) -> Alarm:
        """The alarm's state.

        Raises:
            RefusedError: 404.
        """
        alarm = self._index.get(id)
        if alarm is None:
            raise missing("alarm", id)
        return alarm

    def select(self, query: Query) -> list[Alarm]:
        """What the query wants, newest first; the list is shared, do not change it."""
        return self._index.select(self._widen(query))

    def select_as_of(self, query: Query, moment: int) -> list[Alarm]:
        """What a replica that lags behind would answer: the states as they were at `moment` (ms)."""
        alive: Iterable[Alarm] = [*self._index, *(alarm for at, alarm in self._removed if at > moment)]
        then = [state for alarm in alive if (state := _state_at(alarm, moment)) is not None]
        return newest_first(self._widen(query), then)

    def find_as_of(self, id: str, moment: int) -> Alarm:
        """One alarm as it was at `moment` (ms), or 404."""
        alarm = self._index.get(id)
        if alarm is None:
            alarm = next((gone for at, gone in self._removed if gone.id == id and at > moment), None)
        state = None if alarm is None else _state_at(alarm, moment)
        if state is None:
            raise missing("alarm", id)
        return state

    def add_object(self, body: Mapping[str, Any], id: str | None = None) -> Device:
        """Store a managed object under a new id, or the one given."""
        if len(self.devices) >= self._settings.limits.devices:
            raise too_many("devices")
        return self.devices.add(id or self._next_id(), body, self._clock.now_ms())

    # JSON of what is stored.

    def view(self, alarm: Alarm) -> dict[str, Any]:
        """The REST API's JSON of a state."""
        base = self._base()
        device = self.devices.find(alarm.source)
        source = {"id": alarm.source, "self": f"{base}/inventory/managedObjects/{alarm.source}"}
        if device is not None and device.name is not None:
            source["name"] = device.name
        made = {"self": f"{base}/alarm/alarms/{alarm.id}", **alarm.doc, "source": source}
        made["history"] = {"auditRecords": [], "self": f"{base}/audit/auditRecords"}
        if not self._settings.behaviour.last_updated:
            del made["lastUpdated"]
        if self._settings.behaviour.misspelt_first_occurrence:
            made["firstOccurenceTime"] = made.pop("firstOccurrenceTime", made["time"])
        return made

    def raw(self, alarm: Alarm) -> bytes:
        """The same as JSON text, made once for each state."""
        if alarm.raw is None:
            alarm.raw = dump(self.view(alarm))
        return alarm.raw

    def live(self, alarm: Alarm) -> bytes:
        """A notification's JSON text: the source without a name, and maybe without `lastUpdated`."""
        if alarm.live is None:
            made = self.view(alarm)
            made["source"].pop("name", None)
            if not self._settings.bayeux.live_last_updated:
                made.pop("lastUpdated", None)
            alarm.live = dump(made)
        return alarm.live

    def link(self, id: str) -> str:
        """An alarm's URI."""
        return f"{self._base()}/alarm/alarms/{id}"

    def submitted_view(self, submitted: Submitted) -> dict[str, Any]:
        """The JSON that a POST is answered with."""
        if submitted.alarm is None:
            return {"self": self.link("null")}
        return self.view(submitted.alarm)

    def device_view(self, device: Device) -> dict[str, Any]:
        """The inventory's JSON of a device."""
        return self.devices.view(device, self._base())

    def _clock_text(self) -> str:
        with self.lock:
            return to_text(self._clock.now_ms())

    def _next_id(self) -> str:
        self._number += 1
        while str(self._number) in self.devices:
            self._number += 1
        return str(self._number)

    def _widen(self, query: Query) -> Query:
        if not query.kinds or query.sources is None:
            return query
        return widened(
            query,
            (name for source in query.sources for name in self.devices.descendants(source, query.kinds)),
        )

    def _changed(self, before: Alarm, alarm: Alarm, now: int, *, silent: bool, by: Author) -> None:
        if alarm is not before:
            self._write("UPDATE", alarm, now, silent=silent)
            self.audit.add(now, by, before, alarm)

    def _write(self, action: Action, alarm: Alarm, now: int, *, silent: bool) -> None:
        alarm.written = now
        self._index.put(alarm)
        alarm.seq = self.ledger.append(self._clock.now(), action, alarm.id, self.view(alarm), silent=silent)
        self._tell(action, alarm, silent=silent)

    def _drop(self, alarm: Alarm, *, silent: bool = False) -> None:
        silent = silent or self._settings.profile != "seed"
        self._index.remove(alarm)
        self._removed.append((self._clock.now_ms(), alarm))
        self.ledger.append(self._clock.now(), "DELETE", alarm.id, None, silent=silent)
        self._tell("DELETE", alarm, silent=silent)

    def _tell(self, action: Action, alarm: Alarm, *, silent: bool) -> None:
        if silent or not self.listeners:
            return
        notice = Notice(action, alarm, tuple(self.devices.ancestors(alarm.source)))
        for listener in self.listeners:
            listener(notice)


def _state_at(alarm: Alarm, moment: int) -> Alarm | None:
    state: Alarm | None = alarm
    while state is not None and state.written > moment:
        state = state.before
    return state


__all__ = ["Notice", "RefusedError", "Store", "Submitted"]
