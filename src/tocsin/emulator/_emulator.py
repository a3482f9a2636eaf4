"""The emulator of Cumulocity as a whole: its parts put together, and the accidents that befall them."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from tocsin.emulator._access import Access
from tocsin.emulator._audit import AuditApi
from tocsin.emulator._base import BaseEmulator, drop, hush
from tocsin.emulator._bayeux import Hub
from tocsin.emulator._broker import Broker
from tocsin.emulator._broker_tokens import BrokerTokens
from tocsin.emulator._clock import Clock, utc_now
from tocsin.emulator._consumer_sockets import ConsumerSockets
from tocsin.emulator._http import Routes
from tocsin.emulator._inventory import Inventory
from tocsin.emulator._json import dump
from tocsin.emulator._login import LoginApi
from tocsin.emulator._long_polling import LongPolling
from tocsin.emulator._notification2 import Notification2Api
from tocsin.emulator._realtime_sockets import RealtimeSockets
from tocsin.emulator._settings import (
    BayeuxSettings,
    Behaviour,
    Limits,
    LoginSettings,
    Notification2Settings,
    Profile,
    Settings,
    ThrottleSettings,
)
from tocsin.emulator._store import Notice, Store
from tocsin.emulator._tenant_app import TenantApp
from tocsin.emulator._tenant_control import tenant_actions, tenant_state
from tocsin.emulator.cumulocity import AlarmApi, TenantApi

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tocsin.emulator._ledger import Ledger

IN_CLUSTER = "http://cumulocity:8111"


class Emulator(BaseEmulator):
    """An in-memory Cumulocity tenant.

    Serve `app` with `tocsin.emulator.serve` on a loopback socket, or with `tocsin.testing.in_process`. Write
    as users of the platform would through `store`, order faults through `faults`, and hold what a consumer
    saw against `ledger`.

    Args:
        tenant: The tenant's id.
        user: A user with all roles; `access.add_user` adds others.
        password: Its password.
        profile: `current` behaves as today's platform, which never notifies that an alarm was deleted;
            `seed` as the seed document describes, with DELETE and the id.
        clock: The server's wall clock, aware UTC; the real one by default. Stamps never go back whatever it
            does.
        rng: Where session ids and chances come from.
        bump_last_updated_on_repeat: Whether a de-duplicated POST moves `lastUpdated`; None: as `behaviour`.
        bayeux: The realtime endpoint's settings.
        behaviour: Where releases differ.
        limits: Caps.
        login: How users log in.
        notification2: The Messaging Service's settings; its times are those of `clock`.
        throttle: The limit on requests; `throttle.settings` can be replaced at any time.
        base_url: Scheme and host of every URI in replies; None: of alarms the address that it is served at,
            of pages the address that the client asked at.
    """

    def __init__(
        self,
        *,
        tenant: str = "t1",
        user: str = "demo",
        password: str = "demo",  # noqa: S107 - the documented default
        profile: Profile = "current",
        clock: Callable[[], datetime] | None = None,
        rng: Random | None = None,
        bump_last_updated_on_repeat: bool | None = None,
        bayeux: BayeuxSettings | None = None,
        behaviour: Behaviour | None = None,
        limits: Limits | None = None,
        login: LoginSettings | None = None,
        notification2: Notification2Settings | None = None,
        throttle: ThrottleSettings | None = None,
        base_url: str | None = None,
    ) -> None:
        behaviour = behaviour or Behaviour()
        if bump_last_updated_on_repeat is not None:
            behaviour = replace(behaviour, bump_last_updated_on_repeat=bump_last_updated_on_repeat)
        rng = rng or Random()  # noqa: S311 - ids of a test server
        login = login or LoginSettings()
        self.settings = Settings(
            tenant, profile, bayeux or BayeuxSettings(), behaviour, limits or Limits(), login,
            notification2 or Notification2Settings(),
        )  # fmt: skip
        super().__init__(Clock(clock or utc_now), rng, throttle or ThrottleSettings(), base_url)
        self.access = Access(tenant, self.clock, rng, login)
        self.access.add_user(user, password)
        self.store = Store(self.settings, self.clock, self._base)
        self._hub = Hub(self.settings.bayeux, self.settings.limits, self.faults, rng)
        self._polling = LongPolling(self.store, self._hub, self.clock, self.access)
        self.broker = Broker(
            self.settings.notification2, tenant, self.store, self.faults, lambda: self.clock.now_ms() / 1000
        )
        self._broker_tokens = BrokerTokens(tenant, self.clock, rng)
        self.app: TenantApp = TenantApp(self, self._routes())
        self._talk()
        self.store.listeners += [self._publish, self.broker.publish]

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.settings.tenant

    @property
    def limits(self) -> Limits:
        """Caps."""
        return self.settings.limits

    @property
    def lock(self) -> threading.RLock:
        """Held while a request is handled."""
        return self.store.lock

    @property
    def ledger(self) -> Ledger:
        """Every write since the start."""
        return self.store.ledger

    @property
    def sessions(self) -> int:
        """Bayeux sessions that are alive, or have not been found dead yet."""
        return len(self._hub.sessions)

    @property
    def held_polls(self) -> int:
        """Connects that are held now, on WebSockets too."""
        return len(self._hub.polls)

    @property
    def subscriptions(self) -> list[list[str]]:
        """The channels of each session."""
        with self.store.lock:
            return [list(session.channels) for session in self._hub.sessions]

    # Accidents. All may be called from any thread, if the emulator is served on a socket.

    def drop_polls(self, *, lose: bool = False) -> int:
        """Break the connections of all held polls.

        Args:
            lose: Not at once, but with the next reply, so that the events in it are lost: what happens when
                the network died and the server does not know yet.

        Returns:
            How many there were.
        """
        return drop([poll.tap for poll in list(self._hub.polls)], lose=lose)

    def silence_polls(self) -> int:
        """Let nothing more come through any held poll: no heartbeat, no event, no end.

        Returns:
            How many there were.
        """
        return hush([poll.tap for poll in list(self._hub.polls)])

    def forget_sessions(self, *, advise: bool = True) -> int:
        """Forget all Bayeux sessions, as after too long a silence; held polls are answered so.

        Args:
            advise: Whether clients are advised to shake hands again, or only told `402`.

        Returns:
            How many there were.
        """
        with self.store.lock:
            return self._hub.forget_all(advise=advise)

    def expire_notification_tokens(self) -> None:
        """Let every token of Notification 2.0 expire. Open sockets stay open; the next connect is 401."""
        with self.store.lock:
            self._broker_tokens.expire_all()

    def publish(self, channel: str, data: Any) -> None:
        """Send a live message of your own making to whoever listens to the channel.

        Args:
            channel: A concrete one, such as `/alarms/4711`.
            data: Any JSON.
        """
        with self.store.lock:
            self._hub.publish(channel, dump(data))

    def forget(self) -> None:
        """Forget the Bayeux sessions."""
        self._hub.forget_all()

    def control_state(self) -> Mapping[str, Any]:
        """What the HTTP control tells of the tenant."""
        return tenant_state(self)

    def control_actions(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """What the HTTP control can have happen in the tenant."""
        return tenant_actions(self)

    def _base(self) -> str:
        return self.base_url or self.served_at or IN_CLUSTER

    def _routes(self) -> Routes:
        routes = Routes()
        AlarmApi(self.store, self.settings, self.clock).register(routes)
        AuditApi(self.store.audit).register(routes)
        TenantApi(self.access).register(routes)
        LoginApi(self.access).register(routes)
        Inventory(self.store).register(routes)
        if self.settings.notification2.there:
            Notification2Api(
                self.broker, self._broker_tokens, self.store, self.settings.limits.notification2
            ).register(routes)  # fmt: skip
        for path in self._realtime():
            routes.add(path, POST=self._polling)
            routes.add(
                path + "/{command}", POST=self._polling
            )  # CometD's clients append /handshake, /connect
        return routes

    def _realtime(self) -> list[str]:
        settings = self.settings.bayeux
        paths = {"/notification/realtime": settings.notification_path, "/cep/realtime": settings.cep_path}
        return [path for path, there in paths.items() if there]

    def _talk(self) -> None:
        if self.settings.bayeux.web_socket:
            talk = RealtimeSockets(self, self._hub)
            self.app.sockets.talks.update(dict.fromkeys(self._realtime(), talk))
        if self.settings.notification2.there:
            consumers = ConsumerSockets(self, self.broker, self._broker_tokens)
            self.app.sockets.talks["/notification2/consumer"] = consumers

    def _publish(self, notice: Notice) -> None:
        deleted = notice.action == "DELETE"
        inner = self._deleted(notice.alarm.id) if deleted else self.store.live(notice.alarm)
        data = b'{"realtimeAction":"%s","data":%s}' % (notice.action.encode(), inner)
        source = notice.alarm.source
        self._hub.publish(f"/alarms/{source}", data, source)
        for ancestor in notice.ancestors:
            self._hub.publish(f"/alarmsWithChildren/{ancestor}", data, source)

    def _deleted(self, id: str) -> bytes:
        match self.settings.bayeux.delete_shape:
            case "string":
                return b'"%s"' % id.encode()
            case "number":
                return id.encode()
            case _:
                return b'{"id":"%s"}' % id.encode()
