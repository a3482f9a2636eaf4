"""The Alarms REST API of XProtect."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from tocsin.emulator._clock import ticks_text
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._xprotect_alarms import DOCUMENTED
from tocsin.emulator._xprotect_errors import absent, bad, no_right
from tocsin.emulator._xprotect_query import ALARM_FIELDS, Query, read_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.emulator._xprotect_access import Account
    from tocsin.emulator._xprotect_alarms import Alarm
    from tocsin.emulator._xprotect_query import Kind
    from tocsin.emulator._xprotect_settings import XProtectSettings
    from tocsin.emulator._xprotect_store import XProtectStore

BASE: Final = "/api/rest/v1"


class AlarmsRest:
    """Alarms, and what they refer to. Handlers are called with the store's lock held.

    Args:
        store: The VMS's data.
        settings: Its behaviour.
    """

    def __init__(self, store: XProtectStore, settings: XProtectSettings) -> None:
        self._store = store
        self._settings = settings
        updated: dict[str, Kind] = {"lastUpdatedTime": "time"} if settings.filter_updated else {}
        self._fields = {**ALARM_FIELDS, **updated}

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        site = self._store.site
        routes.add(f"{BASE}/alarms", GET=self.list, POST=self.create)
        routes.add(BASE + "/alarms/{id}", GET=self.get, PATCH=self.update)
        routes.add(BASE + "/alarms/{id}/history", GET=self.history)
        routes.add(BASE + "/alarms/{id}/snapshots", GET=self.snapshots, POST=self.add_snapshot)
        routes.add(f"{BASE}/alarmstatistics", GET=self.statistics)
        lists: dict[str, Callable[[], Sequence[Any]]] = {
            "alarmstates": lambda: site.states,
            "alarmpriorities": lambda: site.priorities,
            "alarmcategories": lambda: site.categories,
            "closereasons": lambda: site.reasons,
            "alarmmessages": lambda: site.messages,
        }
        for name, items in lists.items():
            routes.add(f"{BASE}/{name}", GET=_lister(items))

    def list(self, exchange: Exchange, account: Account) -> Reply:
        """A page of alarms."""
        settings = self._settings
        query = read_query(
            exchange.params, self._fields, size=settings.page_size, size_max=settings.page_size_max
        )
        _need(account, "view")
        alarms = self._store.visible(exchange.lag)
        documents = [alarm.doc for alarm in alarms if account.sees(alarm.doc["cameraId"])]
        data = {alarm.id: alarm.data for alarm in alarms} if query.data else None
        rows = [row if data is None else {**row, "data": data[row["id"]]} for row in query.select(documents)]
        return page_of(rows, query, exchange, settings)

    def create(self, exchange: Exchange, account: Account) -> Reply:
        """A new alarm; 202, it may be seen later only."""
        _need(account, "manage")
        body = body_of(exchange)
        found = self._store.site.source(body["source"]) if isinstance(body.get("source"), str) else None
        if found is not None and not account.sees(found[1]):
            raise bad("The source is not known", "source")
        alarm = self._store.submit(body)
        return data_reply(alarm.view(data=True), 202)

    def get(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """One alarm."""
        query = read_query(exchange.params, {}, size=1, size_max=2000)
        return data_reply(self._seen(exchange, account, id).view(data=query.data))

    def update(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """A changed alarm; 202, what changed may be seen later only."""
        self._seen(exchange, account, id)
        _need(account, "manage")
        body = body_of(exchange)
        if self._settings.patch_keys == "all" and (missing := DOCUMENTED - body.keys()):
            raise bad(f"A property is missing: {min(missing)}", min(missing))
        return data_reply(self._store.change(id, body, by=account.name).doc, 202)

    def history(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """What was done to an alarm."""
        return array_reply(self._store.history(self._seen(exchange, account, id).id))

    def snapshots(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """The pictures of an alarm."""
        return array_reply(self._store.snapshots(self._seen(exchange, account, id).id))

    def add_snapshot(self, exchange: Exchange, account: Account, id: str) -> Reply:
        """Another picture."""
        alarm = self._seen(exchange, account, id)
        _need(account, "manage")
        body = body_of(exchange)
        snapshot = {
            "id": self._store.site.guid(),
            "time": body.get("time") or ticks_text(self._store.ticks()),
            "source": body.get("source") or alarm.doc["source"],
            "image": body.get("image") or "",
        }
        kept = self._store.snapshots(alarm.id)
        kept.append(snapshot)
        del kept[:-100]
        return data_reply(snapshot, 201)

    def statistics(self, exchange: Exchange, account: Account) -> Reply:
        """How many alarms are in which state."""
        _need(account, "view")
        counts = Counter(
            alarm.doc["state"]["level"]
            for alarm in self._store.visible(exchange.lag)
            if account.sees(alarm.doc["cameraId"])
        )
        return array_reply([
            {"type": "State", "number": state["level"], "value": counts[state["level"]]}
            for state in self._store.site.states
        ])  # fmt: skip

    def rows(self, account: Account) -> Sequence[dict[str, Any]]:
        """The alarms that an account sees now, oldest first.

        Raises:
            ApiError: 403.
        """
        _need(account, "view")
        seen = (alarm.doc for alarm in reversed(self._store.visible()))
        return [doc for doc in seen if account.sees(doc["cameraId"])]

    def _seen(self, exchange: Exchange, account: Account, id: str) -> Alarm:
        _need(account, "view")
        alarm = self._store.seen(id, exchange.lag)
        if not account.sees(alarm.doc["cameraId"]):
            raise absent(f"alarms/{id}")
        return alarm


def body_of(exchange: Exchange) -> Mapping[str, Any]:
    """The body, a JSON object."""
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if "json" not in kind:
        raise bad("The body's content type is not application/json")
    body = exchange.json
    if not isinstance(body, dict):
        raise bad("The body is not a JSON object")
    return body


def data_reply(made: Any, status: int = 200) -> Reply:
    """One object in its envelope."""
    return Reply(status, dump({"data": made}))


def array_reply(items: Sequence[Any]) -> Reply:
    """A list in its envelope."""
    return Reply(200, dump({"array": items}))


def page_of(
    rows: Sequence[Mapping[str, Any]], query: Query, exchange: Exchange, settings: XProtectSettings
) -> Reply:
    """A page in its envelope.

    Args:
        rows: What is on it, and one more if there is more.
        query: What was asked.
        exchange: By whom.
        settings: What `_links.next` is like.
    """
    made: dict[str, Any] = {"array": rows[: query.size]}
    if len(rows) > query.size and settings.next_link != "absent":
        prefix = exchange.path if settings.next_link == "right" else exchange.path.removeprefix("/api")
        rest = [(name, value) for name, values in exchange.params.items() for value in values]
        rest = [pair for pair in rest if pair[0] not in {"page", "size"}]
        place = urlencode([*rest, ("page", query.page + 1), ("size", query.size)])
        made["_links"] = {"next": f"{prefix}?{place}"}
    return Reply(200, dump(made))


def _lister(items: Callable[[], Sequence[Any]]) -> Callable[[Exchange, Account], Reply]:
    def show(_exchange: Exchange, account: Account) -> Reply:
        _need(account, "view")
        return array_reply(items())

    return show


def _need(account: Account, right: str) -> None:
    if right not in account.rights:
        raise no_right(f"{right} alarms")
