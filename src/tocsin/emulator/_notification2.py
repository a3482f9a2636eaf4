"""Notification 2.0 over HTTP: subscriptions, tokens, and leaving for good."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._access import NOTIFICATION_ADMIN
from tocsin.emulator._broker import Subscription
from tocsin.emulator._broker_tokens import Grant
from tocsin.emulator._errors import RefusedError, invalid, missing
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._query import paging, totals
from tocsin.emulator.cumulocity import page_links

if TYPE_CHECKING:
    from tocsin.emulator._broker import Broker
    from tocsin.emulator._broker_tokens import BrokerTokens
    from tocsin.emulator._store import Store

_PATH: Final = "/notification2/subscriptions"
_TENANT: Final = frozenset({"alarms", "events", "managedobjects", "operations", "*"})
_OBJECT: Final = _TENANT | {"alarmsWithChildren", "eventsWithChildren", "measurements"}
_NAME: Final = re.compile(r"[a-zA-Z0-9]+")
_TYPES: Final = re.compile(r"'[^']+'(?:\s+or\s+'[^']+')*")
_YEAR: Final = 527_040  # minutes


class Notification2Api:
    """Answers `/notification2/…`. Every method is called with the store's lock held."""

    def __init__(self, broker: Broker, tokens: BrokerTokens, store: Store, limit: int) -> None:
        self._broker = broker
        self._tokens = tokens
        self._store = store
        self._limit = limit
        self._made = 0

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add(_PATH, GET=self.page, POST=self.create, DELETE=self.delete_many)
        routes.add(_PATH + "/{id}", GET=self.get, DELETE=self.delete)
        routes.add("/notification2/token", POST=self.token)
        routes.add("/notification2/unsubscribe", POST=self.unsubscribe)

    def page(self, exchange: Exchange) -> Reply:
        """A page of the subscriptions that fit."""
        exchange.user.need(NOTIFICATION_ADMIN)
        page = paging(exchange.params)
        found = self._found(exchange, "context", "source", "subscription", "typeFilter")
        start = (page.page - 1) * page.size
        shown = found[start : start + page.size]
        following = page.page + 1 if len(shown) == page.size else None
        statistics: dict[str, Any] = {"currentPage": page.page, "pageSize": page.size}
        body = {
            "subscriptions": [self._view(exchange, one) for one in shown],
            "statistics": statistics | totals(page, len(found)),
            **page_links(exchange, page, following),
        }
        return Reply(200, dump(body), "subscriptionCollection")

    def create(self, exchange: Exchange) -> Reply:
        """Add one."""
        exchange.user.need(NOTIFICATION_ADMIN)
        made = self._read(exchange.object)
        if any(one.doc == made.doc for one in self._broker.living()):
            raise RefusedError(409, "reliable-notification/Duplicate", "There is such a subscription already")
        if len(self._broker.subscriptions) >= self._limit:
            raise RefusedError(507, "emulator/Limit", "No more subscriptions are held; see Limits")
        self._broker.subscriptions[made.id] = made
        view = self._view(exchange, made)
        return Reply(201, dump(view), "subscription", (("Location", view["self"]),))

    def get(self, exchange: Exchange, id: str) -> Reply:
        """One."""
        exchange.user.need(NOTIFICATION_ADMIN)
        return Reply(200, dump(self._view(exchange, self._find(id))), "subscription")

    def delete(self, exchange: Exchange, id: str) -> Reply:
        """Stop what feeds; consumers and their backlog stay."""
        exchange.user.need(NOTIFICATION_ADMIN)
        del self._broker.subscriptions[self._find(id).id]
        return Reply(204)

    def delete_many(self, exchange: Exchange) -> Reply:
        """Stop those of a context or a source."""
        exchange.user.need(NOTIFICATION_ADMIN)
        context, source = (exchange.params.get(name, [None])[0] for name in ("context", "source"))
        if context not in {None, "mo", "tenant"} or (source is None and context != "tenant"):
            raise invalid("a source is needed, or the context tenant")
        for one in self._found(exchange, "context", "source"):
            del self._broker.subscriptions[one.id]
        return Reply(204)

    def token(self, exchange: Exchange) -> Reply:
        """A token for a consumer."""
        exchange.user.need(NOTIFICATION_ADMIN)
        body = exchange.object
        grant = Grant(
            _name(body, "subscriber"),
            (_name(body, "subscription"), _flag(body, "nonPersistent")),
            _flag(body, "shared"),
        )
        minutes = body.get("expiresInMinutes", 1440)
        if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= _YEAR:
            raise invalid("expiresInMinutes is above 0")
        if body.get("type", "notification") != "notification":
            raise invalid("the only type is notification")
        _flag(body, "signed")
        return Reply(200, dump({"token": self._tokens.make(grant, minutes)}), "token")

    def unsubscribe(self, exchange: Exchange) -> Reply:
        """Forget a subscriber; a token that has expired will do."""
        grant = self._tokens.read(exchange.params.get("token", [""])[0], expired=True)
        self._broker.unsubscribe(grant.topic, grant.subscriber)
        return Reply(200, dump({"result": self._broker.settings.unsubscribed}), "unsubscribe")

    def _found(self, exchange: Exchange, *names: str) -> list[Subscription]:
        wanted = {name: exchange.params[name][0] for name in names if name in exchange.params}
        return [
            one
            for one in self._broker.living()
            if all(_values(one).get(name) == value for name, value in wanted.items())
        ]

    def _find(self, id: str) -> Subscription:
        found = next((one for one in self._broker.living() if one.id == id), None)
        if found is None:
            raise missing("subscription", id)
        return found

    def _view(self, exchange: Exchange, one: Subscription) -> dict[str, Any]:
        made = {"self": f"{exchange.base}{_PATH}/{one.id}", "id": one.id, **one.doc}
        if one.source is not None:
            link = f"{exchange.base}/inventory/managedObjects/{one.source}"
            made["source"] = {"self": link, "id": one.source}
        return made

    def _read(self, body: Mapping[str, Any]) -> Subscription:
        context = body.get("context")
        if not isinstance(context, str) or context not in {"mo", "tenant"}:
            raise invalid("context is mo or tenant")
        source = self._source(body, needed=context == "mo")
        topic = (_name(body, "subscription"), _flag(body, "nonPersistent"))
        given = body.get("subscriptionFilter", {})
        if not isinstance(given, Mapping):
            raise invalid("subscriptionFilter is an object")
        apis = _texts(given, "apis")
        if not set(apis) <= (_OBJECT if context == "mo" else _TENANT) or ("*" in apis and len(apis) > 1):
            raise invalid("subscriptionFilter.apis has what cannot be subscribed to in this context")
        types, fragments = _types(given.get("typeFilter")), _texts(body, "fragmentsToCopy")
        doc: dict[str, Any] = {"context": context, "subscription": topic[0], "nonPersistent": topic[1]}
        doc |= {"source": {"id": source}} if source is not None else {}
        doc |= {"subscriptionFilter": dict(given)} if given else {}
        doc |= {"fragmentsToCopy": fragments} if fragments else {}
        self._made += 1
        return Subscription(
            f"{self._made}", context, source, topic, frozenset(apis or ["*"]), types,
            frozenset(fragments), doc, self._broker.now() + self._broker.settings.delay,
        )  # fmt: skip

    def _source(self, body: Mapping[str, Any], *, needed: bool) -> str | None:
        source = body.get("source")
        id = source.get("id") if isinstance(source, Mapping) else None
        if not needed:
            if source is not None:
                raise invalid("the context tenant has no source")
            return None
        if not isinstance(id, str | int) or isinstance(id, bool):
            raise invalid("the context mo needs source.id")
        if str(id) not in self._store.devices:
            raise missing("managedObject", str(id))
        return str(id)


def _values(one: Subscription) -> dict[str, Any]:
    return {
        "context": one.context,
        "source": one.source,
        "subscription": one.topic[0],
        "typeFilter": one.doc.get("subscriptionFilter", {}).get("typeFilter"),
    }


def _types(text: object) -> frozenset[str] | None:
    """One type, or several in quotes with `or` between."""
    if text is None:
        return None
    if not isinstance(text, str) or not text:
        raise invalid("typeFilter is a text")
    if _TYPES.fullmatch(text):
        return frozenset(re.findall(r"'([^']+)'", text))
    if "'" in text or re.search(r"\s", text):
        raise invalid("typeFilter is a type, or types in quotes with `or` between")
    return frozenset({text})


def _name(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > 1000:
        raise invalid(f"{key} is made of letters and digits")
    return value


def _flag(body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise invalid(f"{key} is true or false")
    return value


def _texts(body: Mapping[str, Any], key: str) -> list[str]:
    values = body.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise invalid(f"{key} is a list of texts")
    return values
