"""The inventory: devices, their tree, and who is in maintenance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tocsin.emulator._clock import to_text
from tocsin.emulator._errors import invalid, missing

KINDS: Final = ("childDevices", "childAssets", "childAdditions")
_PARENTS: Final = {
    "childDevices": "deviceParents",
    "childAssets": "assetParents",
    "childAdditions": "additionParents",
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DERIVED: Final = frozenset({"id", "self", "creationTime", "lastUpdated", *KINDS, *_PARENTS.values()})


class Device:
    """One managed object: its own keys, and its place in the tree."""

    __slots__ = ("children", "created", "doc", "id", "parents", "updated")

    def __init__(self, id: str, doc: dict[str, Any], now: int) -> None:
        self.id = id
        self.doc = doc
        self.created = now
        self.updated = now
        self.children: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}
        self.parents: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}

    @property
    def name(self) -> str | None:
        """What people call it; alarms show it beside the id."""
        name = self.doc.get("name")
        return name if isinstance(name, str) else None

    @property
    def owner(self) -> str | None:
        """The user who created it, or to whom it was given."""
        owner = self.doc.get("owner")
        return owner if isinstance(owner, str) else None

    @property
    def is_device(self) -> bool:
        """Whether it is a device, and not a group or another asset."""
        return "c8y_IsDevice" in self.doc

    @property
    def in_maintenance(self) -> bool:
        """Whether alarms for it are suppressed: a response interval of zero or less."""
        availability = self.doc.get("c8y_RequiredAvailability")
        interval = availability.get("responseInterval") if isinstance(availability, Mapping) else None
        if isinstance(interval, str) and _WHOLE.fullmatch(interval):
            interval = int(interval)
        return isinstance(interval, int | float) and interval <= 0


class Devices:
    """All managed objects of the tenant."""

    def __init__(self) -> None:
        self._all: dict[str, Device] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, id: object) -> bool:
        return id in self._all

    def all(self) -> list[Device]:
        """All of them, oldest first."""
        return list(self._all.values())

    def find(self, id: str) -> Device | None:
        """The device, or None."""
        return self._all.get(id)

    def get(self, id: str) -> Device:
        """The device.

        Raises:
            RefusedError: 404.
        """
        device = self._all.get(id)
        if device is None:
            raise missing("inventory", id)
        return device

    def add(self, id: str, body: Mapping[str, Any], now: int) -> Device:
        """Store a new device under an id that is free."""
        if id in self._all:
            raise invalid(f"id {id} is taken")
        doc = {key: value for key, value in body.items() if key not in _DERIVED and value is not None}
        device = self._all[id] = Device(id, doc, now)
        return device

    def update(self, id: str, changes: Mapping[str, Any], now: int) -> Device:
        """Set or, with None, remove keys of a device."""
        device = self.get(id)
        for key, value in changes.items():
            if key in _DERIVED:
                continue
            if value is None:
                device.doc.pop(key, None)
            else:
                device.doc[key] = value
        device.updated = now
        return device

    def remove(self, id: str) -> Device:
        """Take a device out of the inventory and out of the tree."""
        device = self.get(id)
        for kind in KINDS:
            for parent in device.parents[kind]:
                self._all[parent].children[kind].pop(id, None)
            for child in device.children[kind]:
                self._all[child].parents[kind].pop(id, None)
        del self._all[id]
        return device

    def link(self, parent: str, child: str, kind: str = "childDevices") -> None:
        """Put `child` below `parent`."""
        above, below = self.get(parent), self.get(child)
        if parent == child or parent in self.descendants(child, KINDS):
            raise invalid("a device cannot be below itself")
        above.children[kind][child] = None
        below.parents[kind][parent] = None

    def ancestors(self, id: str) -> list[str]:
        """The device itself and everything above it, nearest first."""
        found: dict[str, None] = {id: None}
        waiting = [id]
        while waiting:
            device = self._all.get(waiting.pop(0))
            for parents in device.parents.values() if device else ():
                waiting.extend(parent for parent in parents if parent not in found)
                found.update(parents)
        return list(found)

    def descendants(self, id: str, kinds: Iterable[str]) -> list[str]:
        """The device itself and everything below it by the given kinds of children."""
        kinds = tuple(kinds)
        found: dict[str, None] = {id: None}
        waiting = [id]
        while waiting:
            device = self._all.get(waiting.pop(0))
            for kind in kinds if device else ():
                children = device.children[kind] if device else {}
                waiting.extend(child for child in children if child not in found)
                found.update(children)
        return list(found)

    def view(self, device: Device, base: str) -> dict[str, Any]:
        """The JSON object that the inventory answers with."""
        url = f"{base}/inventory/managedObjects"
        made: dict[str, Any] = {
            "id": device.id,
            "self": f"{url}/{device.id}",
            "creationTime": to_text(device.created),
            "lastUpdated": to_text(device.updated),
            **device.doc,
        }
        for kind in KINDS:
            here = f"{url}/{device.id}/{kind}"
            made[kind] = {"references": self._references(device.children[kind], url, here), "self": here}
        for kind, key in _PARENTS.items():
            here = f"{url}/{device.id}/{key}"
            made[key] = {"references": self._references(device.parents[kind], url, here), "self": here}
        return made

    def _references(self, ids: Iterable[str], url: str, here: str) -> list[dict[str, Any]]:
        return [
            {
                "managedObject": {"id": id, "name": self._all[id].name, "self": f"{url}/{id}"},
                "self": f"{here}/{id}",
            }
            for id in ids
        ]
