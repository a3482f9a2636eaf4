"""The configuration of one VMS as its Config REST API shows it: cameras, event types, alarm definitions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._xprotect_errors import absent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

EMPTY: Final = "00000000-0000-0000-0000-000000000000"
EXTERNAL_EVENT: Final = "0fcb1955-0e80-4fd4-a78a-db47ee89700c"
ONLINE: Final = "dd3e6464-7dc0-405a-a92f-6150587563e8"
"""The event type of a device that can be reached."""

CLOSED: Final = 11
_STATES: Final = {1: "New", 4: "In progress", 9: "On hold", CLOSED: "Closed"}
_PRIORITIES: Final = {  # the ids that are the same everywhere
    1: ("8188ff24-b5da-4c19-9ebf-c1d8fc2caa75", "High"),
    2: ("9ad9338b-22ba-4f2e-bf62-e6948ae99bbf", "Medium"),
    3: ("34f1f987-6854-44fb-88a5-daa0add1e38a", "Low"),
}
_CATEGORIES: Final = ("Break-in", "Fire", "Technical")
_REASONS: Final = ("False alarm", "Handled", "Test")
_BUILT_IN_EVENTS: Final = {
    "85867627-b287-4439-9e55-a63701e1715b": "Request start recording",
    "77b1e70d-ba8d-4bb8-9ee8-43b09746d82a": "Request stop recording",
    "7605f8b0-7f5f-4432-b223-0bb2dc3f1f5c": "Request bookmark",
}
_GROUPS: Final = {
    "1eacbcad-d566-4375-834b-cfbe3d937caa": "Device Events",
    "5946b6fa-44d9-4f4c-82bb-46a17b924265": "External Events",
}
_STATEFUL: Final = {  # state group: (event type, its name, the state that it brings about)
    "Motion": [
        ("6eb95dd6-7ccc-4bce-99f8-af0d0b582d77", "Motion Started", "Started"),
        ("6f55a7a7-d21c-4629-ac18-af1975e395a2", "Motion Stopped", "Stopped"),
    ],
    "Recording": [
        ("4577f552-765a-438c-bc7d-e5ff1f754bc3", "Recording Started", "Started"),
        ("79a94f89-92de-4fca-8a43-5561d407423d", "Recording Stopped", "Stopped"),
    ],
    "Communication": [
        (ONLINE, "Communication Started", "Started"),
        ("0ee90664-2924-42a0-a816-4129d0ecabdc", "Communication Stopped", "Stopped"),
        ("a334af1c-4b4b-4957-9e5f-ab8ca07feab6", "Communication Error", "Error"),
    ],
    "Output": [
        ("7a78f5bb-d8c3-4997-89b7-cae72713b7db", "Output Activated", "Activated"),
        ("35742498-bcc5-4f0a-9800-827c9388d1cd", "Output Deactivated", "Deactivated"),
    ],
}
COLLECTIONS: Final = (
    "cameras", "hardware", "microphones", "speakers", "metadata", "inputEvents", "outputs",
    "userDefinedEvents", "analyticsEvents", "eventTypes", "eventTypeGroups", "stateGroups",
    "alarmDefinitions",
)  # fmt: skip

Item = dict[str, "Any"]


class Site:
    """The configuration. Its methods are called with the store's lock held.

    Attributes:
        items: By the name of a collection, its objects by id.
        states: The alarm states, `{id, level, name}`; so are `priorities`, `categories`, `reasons`.
        messages: The texts that alarms can have.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.items: dict[str, dict[str, Item]] = {name: {} for name in COLLECTIONS}
        self.states = [self._level(level, name) for level, name in _STATES.items()]
        self.priorities = [
            {"id": id, "level": level, "name": name} for level, (id, name) in _PRIORITIES.items()
        ]
        self.categories = [self._level(number, name) for number, name in enumerate(_CATEGORIES, 1)]
        self.reasons = [self._level(number, name) for number, name in enumerate(_REASONS, 1)]
        self.messages = ["Door forced", "Line crossed", "Camera covered"]
        self.hardware = self.add("hardware", "Recorder 1", enabled=True)["id"]
        for id, name in _GROUPS.items():
            self.add("eventTypeGroups", name, id=id)
        for group, types in _STATEFUL.items():
            group_id = self.add("stateGroups", group)["id"]
            for id, name, state in types:
                self._type(id, name, "System", stateGroupId=group_id, state=state)
        self._type(EXTERNAL_EVENT, "External Event", "System")
        for id, name in _BUILT_IN_EVENTS.items():
            self.add_event(name, id=id)

    def guid(self) -> str:
        """A new id."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def add(self, collection: str, name: str, /, *, id: str | None = None, **more: Any) -> Item:
        """Add an object."""
        key = (id or self.guid()).lower()
        kind = "hardware" if collection == "cameras" else None
        relations: Item = {"self": {"type": collection, "id": key}}
        if kind is not None:
            relations["parent"] = {"type": kind, "id": self.hardware}
        item = {
            "id": key,
            "name": name,
            "displayName": name,
            "description": "",
            **more,
            "relations": relations,
        }
        self.items[collection][key] = item
        return item

    def add_camera(self, name: str, id: str | None, *, enabled: bool, channel: int) -> Item:
        """Add a camera."""
        return self.add("cameras", name, id=id, enabled=enabled, channel=channel, shortName="")

    def add_event(self, name: str, id: str | None = None) -> Item:
        """Add a user-defined event, which is an event type too."""
        item = self.add("userDefinedEvents", name, id=id, subtype="CustomEvent")
        self._type(item["id"], name, "External", generatorName="External Events")
        return item

    def find(self, collection: str, id: str) -> Item:
        """An object.

        Raises:
            ApiError: 404.
        """
        item = self.items.get(collection, {}).get(id.lower())
        if item is None:
            raise absent(f"{collection}/{id}")
        return item

    def state(self, level: int) -> Item:
        """The alarm state of a level."""
        return next(state for state in self.states if state["level"] == level)

    def source(self, given: str) -> tuple[str, str] | None:
        """A source's path and its camera, or None if it is not known.

        Args:
            given: A bare camera id, or a path such as `cameras/<id>`.
        """
        kind, slash, id = given.strip("/").lower().rpartition("/")
        kind = next((name for name in COLLECTIONS if name.lower() == kind), kind) if slash else "cameras"
        if id not in self.items.get(kind, {}):
            return None
        return f"{kind}/{id}", id if kind == "cameras" else EMPTY

    def definitions_for(self, type: str, source: str) -> list[Mapping[str, Any]]:
        """The alarm definitions that an event brings alarms about by."""
        return [
            item
            for item in self.items["alarmDefinitions"].values()
            if item.get("enabled", True) and _matches(item, type, source)
        ]

    def _type(self, id: str, name: str, generator: str, **more: Any) -> None:
        self.add(
            "eventTypes", name, id=id, generatorType=generator, generatorSubtype="", generatorID=EMPTY,
            builtIn=generator == "System", occursGlobally=False, counterEventID=EMPTY,
            **{"state": "", "stateGroupId": EMPTY, "generatorName": generator, **more},
        )  # fmt: skip

    def _level(self, level: int, name: str) -> Item:
        return {"id": self.guid(), "level": level, "name": name}


def _matches(definition: Mapping[str, Any], type: str, source: str) -> bool:
    sources = [_path(item) for item in definition.get("sourceList") or ()]
    wanted = str(definition.get("eventType", "")).lower()
    if wanted == EXTERNAL_EVENT:
        return f"userdefinedevents/{type}" in sources
    return wanted == type and (not sources or source.lower() in sources)


def _path(item: object) -> str:
    if isinstance(item, dict):
        return f"{item.get('type')}/{item.get('id')}".lower()
    return str(item).lower()
