"""Alarms and events of one VMS, the rules by which they change, and who is told of it."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._clock import TICKS, ticks_text
from tocsin.emulator._errors import too_many
from tocsin.emulator._ledger import Ledger
from tocsin.emulator._xprotect_alarms import Alarm, changes_of, draft, is_closed, remark_of, with_ids
from tocsin.emulator._xprotect_errors import absent
from tocsin.emulator._xprotect_events import Event, EventLog
from tocsin.emulator._xprotect_site import CLOSED, EMPTY, ONLINE, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from tocsin.emulator._clock import Clock
    from tocsin.emulator._ledger import Action
    from tocsin.emulator._xprotect_settings import XProtectSettings

_STATES_KEPT: Final = 20  # past states of one alarm, for reads that lag
_HISTORY_KEPT: Final = 1000  # entries for one alarm
_VOLATILE: Final = frozenset({"data", "lastUpdatedTime"})


class XProtectStore:
    """The VMS's data. Its public methods may be called from any thread, as users would write.

    Every write goes to the ledger.

    Args:
        settings: The VMS's behaviour.
        clock: Its clock.
        rng: Where ids come from.

    Attributes:
        site: The configuration.
        events: What happened.
        lock: Held while a request is handled.
        ledger: Every write since the start.
    """

    def __init__(self, settings: XProtectSettings, clock: Clock, rng: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._last = 0
        self._local = 0
        self._alarms: dict[str, Alarm] = {}
        self._removed: deque[tuple[int, Alarm]] = deque(maxlen=10_000)
        self._history: dict[str, list[dict[str, Any]]] = {}
        self._snapshots: dict[str, list[dict[str, Any]]] = {}
        self._swept = 0
        self.lock = threading.RLock()
        self.site = Site(rng)
        self.events = EventLog(self.site, settings, clock, self.ticks)
        self.ledger = Ledger(
            settings.limits.ledger, essence=essence, is_open=lambda alarm: not is_closed(alarm)
        )

    # What operators, devices and integrations do, in plain JSON.

    def create(self, alarm: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Trigger an alarm, as a POST would.

        Args:
            alarm: `name`, `message`, `source` and so on; absent ones get defaults.

        Returns:
            Its JSON.

        Raises:
            RefusedError: The platform would answer with an error.
        """
        with self.lock:
            return self.submit({"name": "Alarm", **(alarm or {})}).doc

    def update(self, id: str, changes: Mapping[str, Any], *, by: str = "") -> dict[str, Any]:
        """Change an alarm as a PATCH would; states, priorities and so on may be given by level.

        Args:
            id: The alarm.
            changes: As a PATCH has them.
            by: Who does it.

        Returns:
            Its JSON.
        """
        with self.lock:
            return self.change(id, with_ids(changes, self.site), by=by).doc

    def close(self, id: str, *, by: str = "") -> dict[str, Any]:
        """Close an alarm."""
        return self.update(id, {"state": CLOSED}, by=by)

    def remove(self, id: str) -> None:
        """Let an alarm vanish, as retention does. Nobody is told."""
        with self.lock:
            self._drop(self.find(id))

    def get(self, id: str) -> dict[str, Any] | None:
        """An alarm's JSON with its data, or None."""
        with self.lock:
            alarm = self._alarms.get(id.lower())
            return None if alarm is None else alarm.view(data=True)

    def alarms(self) -> list[dict[str, Any]]:
        """All alarms, newest first."""
        with self.lock:
            return sorted((alarm.doc for alarm in self._alarms.values()), key=_time, reverse=True)

    @property
    def count(self) -> int:
        """How many alarms there are."""
        return len(self._alarms)

    def add_camera(
        self, name: str | None = None, *, id: str | None = None, enabled: bool = True
    ) -> dict[str, Any]:
        """Add a camera.

        Args:
            name: What people call it.
            id: Its id; one is made if absent.
            enabled: Lists leave out those that are not, unless asked with `disabled`.

        Returns:
            Its JSON.
        """
        with self.lock:
            number = len(self.site.items["cameras"])
            name = name or f"Camera {number + 1}"
            camera = self.site.add_camera(name, id, enabled=enabled, channel=number)
            self.happen(ONLINE, f"cameras/{camera['id']}")
            return camera

    def add_user_event(self, name: str, *, id: str | None = None) -> dict[str, Any]:
        """Add a user-defined event.

        Args:
            name: What people call it.
            id: Its id; one is made if absent.

        Returns:
            Its JSON.
        """
        with self.lock:
            return self.site.add_event(name, id)

    def add_definition(
        self,
        name: str,
        event_type: str,
        *,
        sources: tuple[str, ...] = (),
        priority: int = 1,
        category: int | None = None,
    ) -> dict[str, Any]:
        """Add an alarm definition: an event of the type makes an alarm.

        Args:
            name: Its name, and that of the alarms.
            event_type: The event type's id.
            sources: Paths of the sources whose events count; none: any.
            priority: The level of the alarms' priority.
            category: The level of their category.

        Returns:
            Its JSON.
        """
        with self.lock:
            chosen = next(item for item in self.site.priorities if item["level"] == priority)
            kind = next((item for item in self.site.categories if item["level"] == category), None)
            return self.site.add(
                "alarmDefinitions", name, enabled=True, eventType=event_type, sourceList=list(sources),
                relatedCameraList=[], enableRule="0", owner="", priority=chosen["id"],
                category=kind["id"] if kind is not None else EMPTY,
            )  # fmt: skip

    def raise_event(
        self, type: str, source: str | None = None, *, data: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Have an event happen; alarm definitions may make an alarm of it.

        Args:
            type: The event type's id.
            source: Such as `cameras/<id>`; None: the event type itself, if it is a user-defined one.
            data: More about it.

        Returns:
            Its JSON.

        Raises:
            RefusedError: The platform would answer with an error.
        """
        with self.lock:
            return self.happen(type, source, data).rest(data=True)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have a listener told of every event, with the lock held.

        Args:
            listener: Called with each event, in order.

        Returns:
            What ends it.
        """
        with self.lock:
            return self.events.listen(listener)

    # What the routes do. All of it is called with the lock held.

    def submit(self, body: Mapping[str, Any]) -> Alarm:
        """A POST of an alarm."""
        self.sweep()
        if len(self._alarms) >= self._settings.limits.alarms:
            raise too_many("alarms")
        doc, data = draft(body, self.site, self.ticks())
        self._local += 1
        doc = {"id": self.site.guid(), "localId": self._local, **doc}
        return self._write("CREATE", doc, data, None)

    def change(self, id: str, body: Mapping[str, Any], *, by: str = "") -> Alarm:
        """A PATCH of an alarm; nothing is written when it says nothing."""
        alarm = self.find(id)
        made = changes_of(body, self.site, null_clears=self._settings.null_clears)
        comment, reason = remark_of(body, self.site)
        differing = {key: value for key, value in made.items() if alarm.doc[key] != value}
        if not differing and comment is None and reason is None:
            return alarm
        now = ticks_text(self.ticks())
        doc = {**alarm.doc, **differing, "lastUpdatedTime": now}
        entry = {
            "time": now, "author": by, "text": comment or "", "state": doc["state"],
            "priority": doc["priority"], "assignedTo": doc["assignedTo"],
            "reasonForClosing": reason,
        }  # fmt: skip
        history = self._history.setdefault(alarm.id, [])
        history.append(entry)
        del history[:-_HISTORY_KEPT]
        return self._write("UPDATE", doc, alarm.data, alarm)

    def find(self, id: str) -> Alarm:
        """The alarm's newest state, to be seen or not.

        Raises:
            ApiError: 404.
        """
        alarm = self._alarms.get(id.lower())
        if alarm is None:
            raise absent(f"alarms/{id}")
        return alarm

    def visible(self, lag: float | None = None) -> list[Alarm]:
        """What is to be seen now, or was `lag` seconds ago; newest first."""
        self.sweep()
        moment = self._moment(lag)
        alive = [*self._alarms.values(), *(alarm for at, alarm in self._removed if at > moment)]
        seen = [state for alarm in alive if (state := alarm.as_of(moment)) is not None]
        return sorted(seen, key=lambda alarm: _time(alarm.doc), reverse=True)

    def seen(self, id: str, lag: float | None = None) -> Alarm:
        """An alarm as it is to be seen now, or was `lag` seconds ago.

        Raises:
            ApiError: 404.
        """
        self.sweep()
        moment = self._moment(lag)
        alarm = self._alarms.get(id.lower())
        if alarm is None and lag is not None:
            alarm = next((gone for at, gone in self._removed if gone.id == id.lower() and at > moment), None)
        state = None if alarm is None else alarm.as_of(moment)
        if state is None:
            raise absent(f"alarms/{id}")
        return state

    def history(self, id: str) -> list[dict[str, Any]]:
        """What was done to an alarm, oldest first."""
        return self._history.get(id, [])

    def snapshots(self, id: str) -> list[dict[str, Any]]:
        """The pictures of an alarm; the list may be added to."""
        return self._snapshots.setdefault(id, [])

    def happen(self, type: str, source: str | None, data: Mapping[str, Any] | None = None) -> Event:
        """An event."""
        event, camera = self.events.add(type, source, data)
        for definition in self.site.definitions_for(event.type, event.source):
            self._trigger(definition, event, event.source if camera != EMPTY else "")
        return event

    def ticks(self) -> int:
        """The time in ticks; no two are the same."""
        now = self._clock.now_ms() * (TICKS // 1000) + self._rng.randrange(TICKS // 1000)
        self._last = max(now, self._last + 1)
        return self._last

    def sweep(self) -> None:
        """Let vanish what retention lets vanish; looked at once a second at most."""
        limits = (self._settings.open_retention, self._settings.closed_retention)
        now = self._clock.now_ms()
        if limits == (None, None) or now < self._swept + 1000:
            return
        self._swept = now
        for alarm in list(self._alarms.values()):
            limit = limits[alarm.closed]
            if limit is not None and alarm.at + limit * 1000 <= now:
                self._drop(alarm)

    def _trigger(self, definition: Mapping[str, Any], event: Event, source: str) -> None:
        kind = self.site.items["eventTypes"][event.type]
        chosen = {key: definition.get(key) for key in ("priority", "category")}
        body = {
            "name": definition["name"], "message": kind["name"], "source": source,
            **{key: id for key, id in chosen.items() if id != EMPTY},
        }  # fmt: skip
        self.submit(body)

    def _write(
        self, action: Action, doc: dict[str, Any], data: Mapping[str, Any], before: Alarm | None
    ) -> Alarm:
        now = self._clock.now_ms()
        alarm = Alarm(doc, data, now, now + round(self._settings.visible_after * 1000), before)
        self._alarms[alarm.id] = alarm
        past = before
        for _ in range(_STATES_KEPT):
            past = past.before if past is not None else None
        if past is not None and past.before is not None:
            past.visible, past.before = past.before.visible, None  # older reads end here, and find something
        self.ledger.append(self._clock.now(), action, alarm.id, doc, silent=False)
        return alarm

    def _drop(self, alarm: Alarm) -> None:
        del self._alarms[alarm.id]
        self._history.pop(alarm.id, None)
        self._snapshots.pop(alarm.id, None)
        self._removed.append((self._clock.now_ms(), alarm))
        self.ledger.append(self._clock.now(), "DELETE", alarm.id, None, silent=True)

    def _moment(self, lag: float | None) -> int:
        return self._clock.now_ms() - round((lag or 0) * 1000)


def essence(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """An alarm's JSON without what may differ between two reads of the same state."""
    return {key: value for key, value in alarm.items() if key not in _VOLATILE}


def _time(doc: Mapping[str, Any]) -> str:
    time: str = doc["time"]
    return time
