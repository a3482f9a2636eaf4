"""The routes of the inventory: devices, their names, their maintenance, their children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tocsin.emulator._access import INVENTORY_ADMIN, INVENTORY_READ
from tocsin.emulator._devices import KINDS, Device
from tocsin.emulator._errors import invalid
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._inventory_query import InventoryQuery
from tocsin.emulator._json import dump
from tocsin.emulator._query import collection, paging

if TYPE_CHECKING:
    from tocsin.emulator._store import Store

_OBJECTS = "/inventory/managedObjects"


class Inventory:
    """Answers `/inventory/managedObjects…`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add(_OBJECTS, GET=self.list, POST=self.create)
        routes.add(_OBJECTS + "/{id}", GET=self.get, PUT=self.update, DELETE=self.delete)
        routes.add(_OBJECTS + "/{id}/{kind}", GET=self.children, POST=self.add_child)

    def list(self, exchange: Exchange) -> Reply:
        """A page of managed objects, by `ids`, `type`, `fragmentType`, `name`, `query` and `q`."""
        exchange.user.need(INVENTORY_READ)
        page = paging(exchange.params)
        found = _queried(self._store.devices.all(), exchange.params)
        asked = [(name, text) for name, texts in exchange.params.items() for text in texts]
        asked = [pair for pair in asked if pair[0] not in {"pageSize", "currentPage"}]
        query = urlencode([*asked, ("pageSize", page.size), ("currentPage", "")])
        url = f"{exchange.base}{_OBJECTS}?{query}"
        body = collection(url, "managedObjects", page, found, self._store.device_view)
        return Reply(200, dump(body), "managedObjectCollection")

    def create(self, exchange: Exchange) -> Reply:
        """Create a managed object."""
        exchange.user.need(INVENTORY_ADMIN)
        body = {"owner": exchange.user.name, **exchange.object}
        view = self._store.device_view(self._store.add_object(body))
        return Reply(201, dump(view), "managedObject", (("Location", view["self"]),))

    def get(self, exchange: Exchange, id: str) -> Reply:
        """Read one."""
        exchange.user.need(INVENTORY_READ)
        return self._reply(self._store.devices.get(id))

    def update(self, exchange: Exchange, id: str) -> Reply:
        """Change one: its name, its required availability, any fragment."""
        exchange.user.need(INVENTORY_ADMIN)
        return Reply(200, dump(self._store.update_device(id, exchange.object)), "managedObject")

    def delete(self, exchange: Exchange, id: str) -> Reply:
        """Delete one, its alarms with it."""
        exchange.user.need(INVENTORY_ADMIN)
        self._store.remove_device(id)
        return Reply(204)

    def children(self, exchange: Exchange, id: str, kind: str) -> Reply:
        """The references to one kind of children."""
        exchange.user.need(INVENTORY_READ)
        view = self._store.device_view(self._store.devices.get(id))
        return Reply(200, dump(view[_kind(kind)]), "managedObjectReferenceCollection")

    def add_child(self, exchange: Exchange, id: str, kind: str) -> Reply:
        """Put a device below another: `{"managedObject":{"id":"…"}}`."""
        exchange.user.need(INVENTORY_ADMIN)
        child = exchange.object.get("managedObject")
        if not isinstance(child, Mapping) or "id" not in child:
            raise invalid("managedObject with an id is missing")
        self._store.devices.link(id, str(child["id"]), _kind(kind))
        view = self._store.device_view(self._store.devices.get(str(child["id"])))
        return Reply(201, dump({"managedObject": view}), "managedObjectReference")

    def _reply(self, device: Device) -> Reply:
        return Reply(200, dump(self._store.device_view(device)), "managedObject")


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise invalid(f"no such kind of children: {kind:.60}")
    return kind


def _queried(devices: Iterable[Device], params: Mapping[str, Any]) -> Sequence[Device]:
    found = [device for device in devices if _wanted(device, params)]
    for name in ("query", "q"):
        if name in params:
            query = InventoryQuery(params[name][0])
            found = [device for device in found if query.wants(device)]
            query.sort(found)
    return [device for device in found if device.is_device] if "q" in params else found


def _wanted(device: Device, params: Mapping[str, Any]) -> bool:
    ids = [word for value in params.get("ids", ()) for word in value.split(",")]
    kinds, fragments, names = (params.get(name, [None])[0] for name in ("type", "fragmentType", "name"))
    return (
        (not ids or device.id in ids)
        and (kinds is None or device.doc.get("type") == kinds)
        and (fragments is None or fragments in device.doc)
        and (names is None or device.name == names)
    )
