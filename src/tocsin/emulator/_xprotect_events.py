"""The events of a VMS, as its REST API and its WebSocket show them, and who is told of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._clock import TICKS, ticks_text
from tocsin.emulator._xprotect_errors import bad
from tocsin.emulator._xprotect_site import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.emulator._clock import Clock
    from tocsin.emulator._xprotect_settings import XProtectSettings
    from tocsin.emulator._xprotect_site import Site

_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        id: Its id.
        local_id: A number.
        type: The event type's id.
        source: Such as `cameras/<id>`.
        time: With seven digits.
        state_group: The group whose state it sets; None: it is about no state.
        data: More about it.
        stored: Whether the REST API shows it.
    """

    id: str
    local_id: int
    type: str
    source: str
    time: str
    state_group: str | None
    data: Mapping[str, Any] | None
    stored: bool

    def rest(self, *, data: bool) -> dict[str, Any]:
        """Its JSON at the REST API."""
        made: dict[str, Any] = {
            "id": self.id, "localId": self.local_id, "type": self.type, "source": self.source,
            "time": self.time, "specversion": "1.0", "datatype": "",
        }  # fmt: skip
        return {**made, "data": self.data or {}} if data else made

    def live(self) -> dict[str, Any]:
        """Its JSON on the WebSocket, where keys are all lower case."""
        made: dict[str, Any] = {
            "specversion": "1.0", "id": self.id, "source": self.source, "type": self.type, "time": self.time
        }  # fmt: skip
        if self.state_group is not None:
            made["stategroupid"] = self.state_group
        if self.data is not None:
            made |= {"datatype": "json", "data": self.data}
        return made


class EventLog:
    """What happened. Called with the store's lock held.

    Args:
        site: Which event types and sources there are.
        settings: For how long events are kept.
        clock: The server's clock.
        ticks: Makes stamps that rise.
    """

    def __init__(
        self, site: Site, settings: XProtectSettings, clock: Clock, ticks: Callable[[], int]
    ) -> None:
        self._site = site
        self._settings = settings
        self._clock = clock
        self._ticks = ticks
        self._number = 0
        self._newest = 0
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._listeners: list[Callable[[Event], None]] = []

    def add(self, type: str, source: str | None, data: Mapping[str, Any] | None) -> tuple[Event, str]:
        """Have an event happen; it, and the id of the camera that it is of.

        Raises:
            ApiError: 400.
        """
        kind = self._site.items["eventTypes"].get(type.lower())
        if kind is None:
            raise bad("The event type is not known", "type")
        path, camera = f"userDefinedEvents/{kind['id']}", EMPTY
        if source is not None:
            found = self._site.source(source) if "/" in source else None
            if found is None:
                raise bad("The source is not known", "source")
            path, camera = found
        self._number += 1
        self._newest = self._ticks()
        group = kind["stateGroupId"]
        event = Event(
            self._site.guid(), self._number, kind["id"], path, ticks_text(self._newest),
            None if group == EMPTY else group, dict(data) if data else None,
            stored=kind["generatorType"] == "External" and self._settings.event_retention > 0,
        )  # fmt: skip
        if event.stored:
            self._kept.append(event)
        for listener in list(self._listeners):
            listener(event)
        return event, camera

    def stored(self) -> list[Event]:
        """Those that are kept and to be seen, newest first."""
        now = self._clock.now_ms() * (TICKS // 1000)
        oldest = ticks_text(max(0, now - round(self._settings.event_retention * TICKS)))
        newest = ticks_text(max(self._newest, now) - round(self._settings.visible_after * TICKS))
        return [event for event in reversed(self._kept) if oldest < event.time <= newest]

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have a listener told of each; what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
