"""Sessions in which XProtect tells what has changed since they were last asked.

That there are some is known of lists of the API only; their shape is made after that of its events and of the
older SOAP service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._errors import too_many
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._xprotect_errors import absent, no_right
from tocsin.emulator._xprotect_rest import BASE, data_reply

if TYPE_CHECKING:
    from tocsin.emulator._clock import Clock
    from tocsin.emulator._xprotect_access import Account
    from tocsin.emulator._xprotect_settings import XProtectSettings
    from tocsin.emulator._xprotect_store import XProtectStore

_SESSIONS: Final = 100


@dataclass(slots=True)
class _Session:
    account: Account
    asked: int
    told: dict[str, dict[str, Any]] = field(default_factory=dict)


class AlarmSessions:
    """`/alarmSessions`: POST one, GET what changed, DELETE it.

    Args:
        store: The VMS's data.
        clock: Its clock.
        settings: Its behaviour.
    """

    def __init__(self, store: XProtectStore, clock: Clock, settings: XProtectSettings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._sessions: dict[str, _Session] = {}

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add(f"{BASE}/alarmsessions", POST=self.begin)
        routes.add(BASE + "/alarmsessions/{id}", DELETE=self.end)
        routes.add(BASE + "/alarmsessions/{id}/alarms", GET=self.changes)

    def forget(self) -> None:
        """Forget all sessions."""
        self._sessions.clear()

    def begin(self, _exchange: Exchange, account: Account) -> Reply:
        """A session, to which the alarms that there are were told already."""
        if "view" not in account.rights:
            raise no_right("view alarms")
        self._forget_idle()
        if len(self._sessions) >= _SESSIONS:
            raise too_many("sessions")
        id = self._store.site.guid()
        self._sessions[id] = _Session(account, self._clock.now_ms(), self._now(account))
        return data_reply({"id": id}, 201)

    def changes(self, _exchange: Exchange, account: Account, id: str) -> Reply:
        """What was added, updated and deleted since the last time."""
        session = self._find(id, account)
        session.asked = self._clock.now_ms()
        before, session.told = session.told, self._now(account)
        now = session.told
        return data_reply({
            "addedToSession": [doc for key, doc in now.items() if key not in before],
            "updatedInSession": [doc for key, doc in now.items() if key in before and before[key] != doc],
            "deletedFromSession": [key for key in before if key not in now],
        })  # fmt: skip

    def end(self, _exchange: Exchange, account: Account, id: str) -> Reply:
        """One session less."""
        self._find(id, account)
        del self._sessions[id]
        return Reply(204)

    def _now(self, account: Account) -> dict[str, dict[str, Any]]:
        return {
            alarm.id: alarm.doc
            for alarm in reversed(self._store.visible())
            if account.sees(alarm.doc["cameraId"])
        }

    def _find(self, id: str, account: Account) -> _Session:
        self._forget_idle()
        session = self._sessions.get(id)
        if session is None or session.account.name != account.name:
            raise absent(f"alarmSessions/{id}")
        return session

    def _forget_idle(self) -> None:
        oldest = self._clock.now_ms() - round(self._settings.session_lifetime * 1000)
        for id in [id for id, session in self._sessions.items() if session.asked < oldest]:
            del self._sessions[id]
