"""The emulator of Milestone XProtect as a whole."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tocsin.emulator._base import BaseEmulator
from tocsin.emulator._clock import Clock, utc_now
from tocsin.emulator._http import Routes
from tocsin.emulator._settings import Limits, ThrottleSettings
from tocsin.emulator._xprotect_access import XProtectAccess
from tocsin.emulator._xprotect_app import XProtectApp
from tocsin.emulator._xprotect_config import ConfigRest
from tocsin.emulator._xprotect_control import vms_actions, vms_state
from tocsin.emulator._xprotect_event_sessions import SessionRules
from tocsin.emulator._xprotect_events_rest import EventsRest
from tocsin.emulator._xprotect_identity import Identity
from tocsin.emulator._xprotect_list_sessions import ListSessions
from tocsin.emulator._xprotect_live import LiveEvents
from tocsin.emulator._xprotect_ntlm import NtlmGate
from tocsin.emulator._xprotect_rest import AlarmsRest
from tocsin.emulator._xprotect_settings import XProtectSettings
from tocsin.emulator._xprotect_sockets import EVENTS, EventSockets
from tocsin.emulator._xprotect_store import XProtectStore

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tocsin.emulator._ledger import Ledger

__all__ = ["XProtectEmulator"]


class XProtectEmulator(BaseEmulator):
    r"""An in-memory XProtect with an API Gateway.

    Serve `app` with `tocsin.emulator.serve` on a loopback socket, or with `tocsin.testing.in_process`. Write
    as operators and devices would through `store`, order faults through `faults`, and hold what a consumer
    saw against `ledger`.

    Args:
        user: A basic user in the role Administrators; `access.add_user` adds others.
        password: Its password.
        windows_user: A Windows user with the same password, as `DOMAIN\user`.
        client_id: A service's id.
        client_secret: Its secret.
        cameras: How many cameras there are at first.
        clock: The server's wall clock, aware UTC; the real one by default. Stamps never go back whatever it
            does.
        rng: Where ids and chances come from.
        version: The product's version.
        settings: How the VMS behaves.
        throttle: A limit on requests, though none is known of; `throttle.settings` can be replaced at any
            time.
        base_url: Scheme and host of every URI in replies; None: the address that the client asked at.

    Attributes:
        access: Accounts and tokens.
        store: Alarms, events and configuration.
    """

    def __init__(
        self,
        *,
        user: str = "demo",
        password: str = "demo",  # noqa: S107 - the documented default
        windows_user: str = "DOMAIN\\demo",
        client_id: str = "service",
        client_secret: str = "secret",  # noqa: S107 - the documented default
        cameras: int = 3,
        clock: Callable[[], datetime] | None = None,
        rng: Random | None = None,
        version: str = "25.1.1.1",
        settings: XProtectSettings | None = None,
        throttle: ThrottleSettings | None = None,
        base_url: str | None = None,
    ) -> None:
        rng = rng or Random()  # noqa: S311 - ids of a test server
        super().__init__(Clock(clock or utc_now), rng, throttle or ThrottleSettings(), base_url)
        self.settings = settings = settings or XProtectSettings()
        self.version = version
        self.access = XProtectAccess(self.clock, rng, settings)
        self.access.add_user(user, password)
        self.access.add_user(windows_user, password, login="windows")
        self.access.add_user(client_id, client_secret, login="service")
        self.store = XProtectStore(settings, self.clock, rng)
        for _ in range(cameras):
            self.store.add_camera()
        button = self.store.add_user_event("Panic button")
        self.store.add_definition("Panic", button["id"])
        self._gate = NtlmGate(self.access) if settings.windows else None
        self._sessions: list[ListSessions] = []
        self._live = LiveEvents(
            self.store,
            SessionRules(
                window=settings.resume_window, kept=settings.limits.queue, sessions=settings.limits.sessions,
                eager=settings.eager_resume,
            ),
        )  # fmt: skip
        self.app: XProtectApp = XProtectApp(self, self._routes())
        if settings.gateway:
            self.app.sockets.talks[EVENTS] = EventSockets(
                self, self._live, self.access.check, settings.state_latency
            )

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
        """Every write to an alarm since the start."""
        return self.store.ledger

    @property
    def event_sessions(self) -> int:
        """Sessions of the Events and State WebSocket that are alive, or may be resumed."""
        return len(self._live.sessions)

    def states(self) -> list[dict[str, Any]]:
        """How all cameras stand: what `getState` of the WebSocket tells whoever sees all of them."""
        with self.lock:
            return self._live.states()

    def forget_sessions(self, *, tell: bool = True) -> int:
        """Forget all sessions of the Events and State WebSocket.

        Args:
            tell: End their connections; else those stay open, and nothing comes any more.

        Returns:
            How many there were.
        """
        with self.lock:
            return self._live.sessions.forget_all(tell=tell)

    def forget(self) -> None:
        """Forget sessions, and the handshakes that are under way."""
        for sessions in self._sessions:
            sessions.forget()
        self._live.sessions.forget_all()
        if self._gate is not None:
            self._gate.forget()

    def control_state(self) -> Mapping[str, Any]:
        """What the HTTP control tells of the VMS."""
        return vms_state(self)

    def control_actions(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """What the HTTP control can have happen in the VMS."""
        return vms_actions(self)

    def _routes(self) -> Routes:
        routes = Routes()
        Identity(self.access, self._gate, self.settings, self.version).register(routes)
        if self.settings.gateway:
            alarms, events = AlarmsRest(self.store, self.settings), EventsRest(self.store, self.settings)
            alarms.register(routes)
            events.register(routes)
            more = (self.store.site.guid, self.clock, self.settings.session_lifetime)
            self._sessions.append(ListSessions("event", events.rows, *more))
            if self.settings.sessions:
                self._sessions.append(ListSessions("alarm", alarms.rows, *more))
            for sessions in self._sessions:
                sessions.register(routes)
            ConfigRest(self.store, self.settings).register(routes)
        return routes
