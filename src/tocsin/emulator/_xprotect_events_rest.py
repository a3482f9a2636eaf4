"""The Events REST API of XProtect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._xprotect_errors import absent, bad, no_right
from tocsin.emulator._xprotect_query import EVENT_FIELDS, read_query
from tocsin.emulator._xprotect_rest import BASE, body_of, data_reply, page_of

if TYPE_CHECKING:
    from tocsin.emulator._xprotect_access import Account
    from tocsin.emulator._xprotect_events import Event
    from tocsin.emulator._xprotect_settings import XProtectSettings
    from tocsin.emulator._xprotect_store import XProtectStore

_BULK: Final = 1000  # events of one request


class EventsRest:
    """Events. Handlers are called with the store's lock held.

    Args:
        store: The VMS's data.
        settings: Its behaviour.
    """

    def __init__(self, store: XProtectStore, settings: XProtectSettings) -> None:
        self._store = store
        self._settings = settings

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add(f"{BASE}/events", GET=self.show, POST=self.trigger)
        routes.add(f"{BASE}/events/bulk", POST=self.trigger_all)
        routes.add(BASE + "/events/{id}", GET=self.get)

    def show(self, exchange: Exchange, account: Account) -> Reply:
        """A page of stored events."""
        settings = self._settings
        query = read_query(
            exchange.params, EVENT_FIELDS, size=settings.page_size, size_max=settings.page_size_max
        )
        events = [event.rest(data=query.data) for event in self._seen(account)]
        return page_of(query.select(events), query, exchange, settings)

    def get(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """One stored event."""
        query = read_query(exchange.params, {}, size=1, size_max=2000)
        for event in self._seen(account):
            if event.id == id.lower():
                return data_reply(event.rest(data=query.data))
        raise absent(f"events/{id}")

    def trigger(self, exchange: Exchange, account: Account) -> Reply:
        """An event; 202."""
        return data_reply(self._triggered(body_of(exchange), account), 202)

    def trigger_all(self, exchange: Exchange, account: Account) -> Reply:
        """Several events, each with a status of its own; 207."""
        events = body_of(exchange).get("events")
        if not isinstance(events, list) or len(events) > _BULK:
            raise bad(f"events is a list of at most {_BULK} events", "events")
        results: list[dict[str, Any]] = []
        for event in events:
            try:
                results.append({"status": 202, "data": self._triggered(event, account)})
            except RefusedError as refused:
                detail = {"errorText": refused.message}
                results.append({
                    "status": refused.status, "error": {"httpCode": refused.status, "details": [detail]}
                })  # fmt: skip
        return Reply(207, dump({"array": results}))

    def _triggered(self, body: Any, account: Account) -> dict[str, Any]:
        kind, source = (body.get("type"), body.get("source")) if isinstance(body, dict) else (None, None)
        if not isinstance(kind, str):
            raise bad("The event type is missing", "type")
        if source is not None and not isinstance(source, str):
            raise bad("The source is not a string", "source")
        known = self._store.site.items["eventTypes"].get(kind.lower(), {})
        generator = known.get("generatorType", "External")
        if account.login != "service" and generator not in {"External", "MIPDevice"}:
            raise no_right("trigger events of this type")
        found = None if source is None else self._store.site.source(source)
        if found is not None and not account.sees(found[1]):
            raise bad("The source is not known", "source")
        data = body.get("data")
        if data is not None and not isinstance(data, dict):
            raise bad("The data of the event is not an object", "data")
        return self._store.happen(kind, source, data).rest(data=False)

    def rows(self, account: Account) -> list[dict[str, Any]]:
        """The stored events that an account sees now, oldest first."""
        return [event.rest(data=True) for event in reversed(self._seen(account))]

    def _seen(self, account: Account) -> list[Event]:
        return [
            event for event in self._store.events.stored() if account.sees(_camera(event.source))
        ]  # fmt: skip


def _camera(source: str) -> str:
    kind, _, id = source.partition("/")
    return id if kind == "cameras" else ""
