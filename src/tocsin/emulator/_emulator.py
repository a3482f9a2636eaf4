"""The emulator as a whole: its parts put together, and the accidents that befall all of it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from tocsin.emulator._access import Access
from tocsin.emulator._app import App
from tocsin.emulator._audit import AuditApi
from tocsin.emulator._bayeux import Hub
from tocsin.emulator._broker import Broker
from tocsin.emulator._broker_tokens import BrokerTokens
from tocsin.emulator._clock import Clock, utc_now
from tocsin.emulator._consumer_sockets import ConsumerSockets
from tocsin.emulator._http import Requests, Routes
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
from tocsin.emulator._throttle import Throttle
from tocsin.emulator.cumulocity import AlarmApi, TenantApi
from tocsin.emulator.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from tocsin.emulator._ledger import Ledger
    from tocsin.emulator._session import Connection

IN_CLUSTER = "http://cumulocity:8111"


class Listener(Protocol):
    """A server that listens for this emulator and takes part in its accidents."""

    @property
    def refusing(self) -> bool:
        """Whether connections are refused."""
        ...

    @refusing.setter
    def refusing(self, refusing: bool) -> None: ...

    def cut(self) -> None:
        """End every connection."""
        ...


class Emulator:
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
        self.base_url = base_url
        self.served_at: str | None = None
        self.clock = Clock(clock or utc_now)
        self.access = Access(tenant, self.clock, rng, login)
        self.access.add_user(user, password)
        self.faults = Faults(rng)
        self.throttle = Throttle(throttle or ThrottleSettings())
        self.requests = Requests()
        self.store = Store(self.settings, self.clock, self._base)
        self.servers: list[Listener] = []
        self._hub = Hub(self.settings.bayeux, self.settings.limits, self.faults, rng)
        self._polling = LongPolling(self.store, self._hub, self.clock, self.access)
        self.broker = Broker(
            self.settings.notification2, tenant, self.store, self.faults, lambda: self.clock.now_ms() / 1000
        )
        self._broker_tokens = BrokerTokens(tenant, self.clock, rng)
        self._down = False
        self.app = App(self, self._routes())
        self._talk()
        self.store.listeners += [self._publish, self.broker.publish]

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.settings.tenant

    @property
    def ledger(self) -> Ledger:
        """Every write since the start."""
        return self.store.ledger

    @property
    def sessions(self) -> int:
        """Bayeux sessions that are alive, or have not been found dead yet."""
        return len(self._hub.sessions)

    @property
    def sockets(self) -> int:
        """WebSockets that are open now."""
        return len(self.app.sockets.live)

    @property
    def held_polls(self) -> int:
        """Connects that are held now, on WebSockets too."""
        return len(self._hub.polls)

    @property
    def subscriptions(self) -> list[list[str]]:
        """The channels of each session."""
        with self.store.lock:
            return [list(session.channels) for session in self._hub.sessions]

    @property
    def down(self) -> bool:
        """Whether the server is down: see `go_down`."""
        return self._down

    # Accidents. All may be called from any thread, if the emulator is served on a socket.

    def drop_polls(self, *, lose: bool = False) -> int:
        """Break the connections of all held polls.

        Args:
            lose: Not at once, but with the next reply, so that the events in it are lost: what happens when
                the network died and the server does not know yet.

        Returns:
            How many there were.
        """
        return _drop([poll.tap for poll in list(self._hub.polls)], lose=lose)

    def silence_polls(self) -> int:
        """Let nothing more come through any held poll: no heartbeat, no event, no end.

        Returns:
            How many there were.
        """
        return _hush([poll.tap for poll in list(self._hub.polls)])

    def drop_sockets(self, *, lose: bool = False, reset: bool = False) -> int:
        """Break all WebSockets.

        Args:
            lose: Not at once, but with what is sent next, which is lost.
            reset: With a reset instead of a plain end.

        Returns:
            How many there were.
        """
        return _drop(list(self.app.sockets.live), lose=lose, reset=reset)

    def silence_sockets(self) -> int:
        """Let nothing more come through any WebSocket: no message, no answer to a ping, no end.

        Returns:
            How many there were.
        """
        return _hush(list(self.app.sockets.live))

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

    def restart(self) -> None:
        """Restart the server: all connections end, all sessions are gone, alarms stay."""
        _drop([*self.app.live, *self.app.sockets.live])
        for server in self.servers:  # not with the lock held: a server on another thread may wait for it
            server.cut()
        with self.store.lock:
            self._hub.forget_all()

    def go_down(self) -> None:
        """Restart, but refuse connections until `come_up`."""
        self._down = True
        for server in self.servers:
            server.refusing = True
        self.restart()

    def come_up(self) -> None:
        """Accept connections again."""
        self._down = False
        for server in self.servers:
            server.refusing = False

    def enable_control(self, token: str | None = None, *, hosts: Iterable[str] = ()) -> str:
        """Open the HTTP control under `/__emulator__/`.

        Args:
            token: What requests must bring as `Authorization: Bearer …`; None makes a random one.
            hosts: Names by which the server is reached, besides the loopback ones.

        Returns:
            The token.
        """
        from tocsin.emulator.control import Control

        token = token or secrets.token_urlsafe(24)
        self.app.control = Control(self, token, frozenset(host.lower() for host in hosts))
        return token

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until something has come about, looking every 5 ms.

        Args:
            condition: Whether it has.
            timeout: Seconds.

        Raises:
            TimeoutError: It has not.
        """
        with anyio.fail_after(timeout):
            while not condition():  # noqa: ASYNC110 - the condition may come about on another thread
                await anyio.sleep(0.005)

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


def _drop(connections: Sequence[Connection], *, lose: bool = False, reset: bool = False) -> int:
    for connection in connections:
        if lose:
            connection.cut = 0
        else:
            connection.abort(reset=reset)
    return len(connections)


def _hush(connections: Sequence[Connection]) -> int:
    for connection in connections:
        connection.hush()
    return len(connections)
