"""The Config REST API of XProtect, as far as alarms and events need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._errors import too_many
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._xprotect_errors import absent, bad, no_right
from tocsin.emulator._xprotect_query import read_query
from tocsin.emulator._xprotect_rest import BASE, body_of, data_reply, page_of
from tocsin.emulator._xprotect_site import COLLECTIONS, EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.emulator._xprotect_access import Account
    from tocsin.emulator._xprotect_query import Kind
    from tocsin.emulator._xprotect_settings import XProtectSettings
    from tocsin.emulator._xprotect_site import Item
    from tocsin.emulator._xprotect_store import XProtectStore

_DEFINITIONS: Final = 1000
_FIELDS: dict[str, Kind] = {
    "id": "guid", "name": "text", "displayName": "text", "generatorType": "text"
}  # fmt: skip


class ConfigRest:
    """Cameras, event types, alarm definitions. Handlers are called with the store's lock held.

    Args:
        store: The VMS's data.
        settings: Its behaviour.
    """

    def __init__(self, store: XProtectStore, settings: XProtectSettings) -> None:
        self._store = store
        self._site = store.site
        self._settings = settings

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        for name in COLLECTIONS:
            path = f"{BASE}/{name.lower()}"
            if name == "alarmDefinitions":
                routes.add(path, GET=self._list(name), POST=self.define)
                routes.add(
                    path + "/{id}", GET=self._get(name), PUT=self.redefine, PATCH=self.redefine,
                    DELETE=self.undefine,
                )  # fmt: skip
            else:
                routes.add(path, GET=self._list(name))
                routes.add(path + "/{id}", GET=self._get(name))

    def define(self, exchange: Exchange, account: Account) -> Reply:
        """A new alarm definition."""
        _administers(account)
        body = self._checked({"name": None, "eventType": None, **body_of(exchange)})
        if len(self._site.items["alarmDefinitions"]) >= _DEFINITIONS:
            raise too_many("alarm definitions")
        made = self._site.add("alarmDefinitions", body["name"], **{"enabled": True, **body})
        return Reply(201, dump({"result": {"path": {"type": "alarmDefinitions", "id": made["id"]}, **made}}))

    def redefine(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """A changed alarm definition."""
        _administers(account)
        item = self._site.find("alarmDefinitions", id)
        item.update(self._checked(body_of(exchange)))
        return data_reply(item)

    def undefine(self, _exchange: Exchange, account: Account, id: str) -> Reply:
        """One alarm definition less."""
        _administers(account)
        item = self._site.find("alarmDefinitions", id)
        del self._site.items["alarmDefinitions"][item["id"]]
        return Reply(200, dump({"state": "Success"}))

    def _checked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        site = self._site
        known: dict[str, Callable[[Any], object]] = {
            "name": lambda value: isinstance(value, str) and value.strip(),
            "eventType": lambda value: str(value).lower() in site.items["eventTypes"],
            "sourceList": lambda value: isinstance(value, list),
            "priority": lambda value: _is_one(value, site.priorities),
            "category": lambda value: _is_one(value, site.categories),
        }
        for key, holds in known.items():
            if key in body and not holds(body[key]):
                raise bad(f"{key} is missing or wrong", key)
        return {key: value for key, value in body.items() if key not in {"id", "relations"}}

    def _list(self, name: str) -> Callable[[Exchange, Account], Reply]:
        def show(exchange: Exchange, account: Account) -> Reply:
            settings = self._settings
            query = read_query(exchange.params, _FIELDS, size=10_000, size_max=10_000, bare=True)
            disabled = "disabled" in exchange.params
            items = [
                item
                for item in self._site.items[name].values()
                if (disabled or item.get("enabled", True)) and _sees(account, name, item)
            ]
            return page_of(query.select(items), query, exchange, settings)

        return show

    def _get(self, name: str) -> Callable[..., Reply]:
        def show(_exchange: Exchange, account: Account, id: str) -> Reply:
            item = self._site.find(name, id)
            if not _sees(account, name, item):
                raise absent(f"{name}/{id}")
            return data_reply(item)

        return show


def _sees(account: Account, name: str, item: dict[str, Any]) -> bool:
    return name != "cameras" or account.sees(item["id"])


def _administers(account: Account) -> None:
    if "manage" not in account.rights:
        raise no_right("change the configuration")


def _is_one(id: object, choices: Sequence[Item]) -> bool:
    return id == EMPTY or (isinstance(id, str) and id.lower() in [choice["id"] for choice in choices])
