"""The Cumulocity side: the routes of the alarm API, and the small ones by which credentials are tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from tocsin.emulator._access import ALARM_READ, Access
from tocsin.emulator._bulk import BulkApi
from tocsin.emulator._errors import RefusedError, forbidden
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._query import Paging, Query, flag, paging, parse, totals
from tocsin.emulator._restricted import restricted_page
from tocsin.emulator._rights import Rights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.emulator._alarms import Alarm
    from tocsin.emulator._clock import Clock
    from tocsin.emulator._settings import Settings
    from tocsin.emulator._store import Store, Submitted

_ALARMS: Final = "/alarm/alarms"
_COUNTED: Final = 100
"""How far is counted for users with inventory roles alone."""
_NOT_STORED: Final = frozenset({"TRANSIENT", "CEP"})
_TEMPLATES: Final = {
    "alarmsForStatus": "status={status}",
    "alarmsForSource": "source={source}",
    "alarmsForSourceAndStatus": "source={source}&status={status}",
    "alarmsForTime": "dateFrom={dateFrom}&dateTo={dateTo}",
    "alarmsForStatusAndTime": "status={status}&dateFrom={dateFrom}&dateTo={dateTo}",
    "alarmsForSourceAndTime": "source={source}&dateFrom={dateFrom}&dateTo={dateTo}",
    "alarmsForSourceAndStatusAndTime": "source={source}&status={status}&dateFrom={dateFrom}&dateTo={dateTo}",
}


class AlarmApi:
    """Answers `/alarm…`. Every method is called with the store's lock held."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._bulk = BulkApi(store, settings)

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("/alarm", GET=self.resource)
        bulk = self._bulk
        routes.add(_ALARMS, GET=self.list, POST=self.create, PUT=bulk.update, DELETE=bulk.delete)
        routes.add(_ALARMS + "/count", GET=self.count)
        if self._settings.behaviour.upsert != 405:  # else the path is that of an alarm, which takes no POST
            routes.add(_ALARMS + "/upsert", POST=self.upsert)
        routes.add(_ALARMS + "/{id}", GET=self.get, PUT=self.update)

    def resource(self, exchange: Exchange) -> Reply:
        """URIs and templates of the API."""
        exchange.user.need(ALARM_READ)
        url = f"{exchange.base}{_ALARMS}"
        body: dict[str, Any] = {"self": f"{exchange.base}/alarm", "alarms": {"self": url}}
        body.update((key, f"{url}?{template}") for key, template in _TEMPLATES.items())
        return Reply(200, dump(body), "alarmApi")

    def list(self, exchange: Exchange) -> Reply:
        """A page, newest first by the alarm's time. A user without the role sees fewer, not an error."""
        query, page = self._query(exchange, "list"), paging(exchange.params)
        found = self._found(exchange, query)
        rights = self._rights(exchange)
        shown: Sequence[Alarm]
        statistics: dict[str, Any] = {"currentPage": page.page, "pageSize": page.size}
        if not rights.reads_all:
            cut = restricted_page(found, page, rights.reads, self._settings.behaviour.restricted_pages)
            shown, following = cut.rows, cut.following
            statistics |= {"currentPage": cut.place, "totalPages": None, "totalElements": None}
        else:
            start = (page.page - 1) * page.size
            shown = found[start : start + page.size]
            statistics |= totals(page, len(found))
            more = start + page.size < len(found)
            if self._settings.behaviour.next_after_full_page:
                more = len(shown) == page.size
            following = page.page + 1 if more else None
        links = page_links(exchange, page, following)
        rows = b",".join([alarm.raw or self._store.raw(alarm) for alarm in shown])
        body = b'{"alarms":[%s],"statistics":%s,%s' % (rows, dump(statistics), dump(links)[1:])
        return Reply(200, body, "alarmCollection")

    def count(self, exchange: Exchange) -> Reply:
        """A bare number. Users with inventory roles only are never told more than 100."""
        found = self._found(exchange, self._query(exchange, "count"))
        number, rights = len(found), self._rights(exchange)
        if not rights.reads_all:
            number = min(_COUNTED, sum(rights.reads(alarm.source) for alarm in found))
        return Reply(200, b"%d" % number, "text")

    def get(self, exchange: Exchange, id: str) -> Reply:
        """One alarm."""
        rights = self._rights(exchange)
        if not rights.reads_any:
            raise forbidden()
        if exchange.lag is None:
            alarm = self._store.find(id)
        else:
            alarm = self._store.find_as_of(id, self._clock.now_ms() - round(exchange.lag * 1000))
        rights.need_read(alarm.source)
        return Reply(200, self._store.raw(alarm), "alarm")

    def create(self, exchange: Exchange) -> Reply:
        """Create, count a repeat, or suppress: always 201."""
        self._need_source(exchange)
        submitted = self._store.submit(
            exchange.object,
            silent=exchange.mode == "QUIESCENT",
            stored=exchange.mode not in _NOT_STORED,
            by=exchange.author,
        )
        return self._submitted(submitted)

    def upsert(self, exchange: Exchange) -> Reply:
        """Create, or let the open alarm of that source and type take what is sent."""
        if self._settings.behaviour.upsert == 404:
            raise RefusedError(404, "general/notFound", "No such resource: /alarm/alarms/upsert")
        self._need_source(exchange)
        submitted = self._store.upsert(
            exchange.object,
            count=bool(flag(exchange.params, "incrementCount")),
            silent=exchange.mode == "QUIESCENT",
            stored=exchange.mode not in _NOT_STORED,
            by=exchange.author,
        )
        before = submitted.before
        body = {
            "alarm": self._store.submitted_view(submitted),
            "previousState": None if before is None else self._store.view(before),
        }
        return Reply(201 if before is None else 200, dump(body), "alarmUpsertResponse")

    def update(self, exchange: Exchange, id: str) -> Reply:
        """Change one."""
        rights = self._rights(exchange)
        if not rights.writes_any:
            raise forbidden()
        rights.need_write(self._store.find(id).source)
        silent = exchange.mode in {"QUIESCENT", "CEP"}
        alarm = self._store.change(id, exchange.object, silent=silent, by=exchange.author)
        return Reply(200, self._store.raw(alarm), "alarm")

    def _rights(self, exchange: Exchange) -> Rights:
        return Rights(exchange.user, self._store.devices)

    def _need_source(self, exchange: Exchange) -> None:
        """Refuse with 403 who may not write alarms of the source that the body names."""
        rights = self._rights(exchange)
        if not rights.writes_any:
            raise forbidden()
        source = exchange.object.get("source")
        id = source.get("id") if isinstance(source, Mapping) else None
        if id is not None:  # what has none is refused for that
            rights.need_write(str(id))

    def _query(self, exchange: Exchange, use: Any) -> Query:
        return parse(exchange.params, use, last_updated=self._settings.behaviour.last_updated)

    def _found(self, exchange: Exchange, query: Query) -> Sequence[Alarm]:
        if exchange.lag is None:
            return self._store.select(query)
        return self._store.select_as_of(query, self._clock.now_ms() - round(exchange.lag * 1000))

    def _submitted(self, submitted: Submitted) -> Reply:
        if submitted.alarm is None:
            view = self._store.submitted_view(submitted)
            return Reply(201, dump(view), "alarm", (("Location", view["self"]),))
        raw = self._store.raw(submitted.alarm)
        return Reply(201, raw, "alarm", (("Location", self._store.link(submitted.alarm.id)),))


class TenantApi:
    """Answers the calls by which clients try their credentials."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("/tenant/currentTenant", GET=self.tenant)
        routes.add("/user/currentUser", GET=self.user)

    def tenant(self, exchange: Exchange) -> Reply:
        """The tenant."""
        host = exchange.base.partition("://")[2]
        body = {
            "name": self._access.tenant,
            "domainName": host,
            "allowCreateTenants": False,
            "customProperties": {},
            "applications": {"references": []},
        }
        return Reply(200, dump(body), "currentTenant")

    def user(self, exchange: Exchange) -> Reply:
        """The user, with the effective roles."""
        user = exchange.user
        body = {
            "id": user.name,
            "userName": user.name,
            "self": f"{exchange.base}/user/currentUser",
            "effectiveRoles": [{"id": role, "name": role} for role in sorted(user.roles)],
        }
        return Reply(200, dump(body), "currentUser")


def page_links(exchange: Exchange, page: Paging, following: int | None) -> dict[str, str]:
    """The links of a page to itself and its neighbours."""
    asked = [
        pair
        for pair in parse_qsl(exchange.query, keep_blank_values=True)
        if pair[0] not in {"pageSize", "currentPage"}
    ]

    def url(number: int) -> str:
        query = urlencode([*asked, ("pageSize", page.size), ("currentPage", number)])
        return f"{exchange.base}{exchange.path}?{query}"

    links = {"self": url(page.page)}
    if page.page > 1:
        links["prev"] = url(page.page - 1)
    if following is not None:
        links["next"] = url(following)
    return links
