"""Sessions in which XProtect tells what has changed since they were last asked.

Those of events are known by their paths and by what is added and deleted. That there are some of alarms is
known from lists of the API only; their shape is made after those of events and the older SOAP service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from tocsin.emulator._errors import too_many
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._xprotect_errors import absent
from tocsin.emulator._xprotect_rest import BASE, data_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tocsin.emulator._clock import Clock
    from tocsin.emulator._xprotect_access import Account

_SESSIONS: Final = 100


@dataclass(slots=True)
class _Session:
    account: Account
    asked: int
    told: dict[str, dict[str, Any]] = field(default_factory=dict)


class ListSessions:
    """`/alarmSessions` or `/eventSessions`: POST one, GET what changed, DELETE it.

    Args:
        kind: What is in the list.
        rows: What of it an account sees, oldest first; refuses by raising `RefusedError`.
        new_id: Makes GUIDs.
        clock: The VMS's clock.
        lifetime: Seconds after which a session that nobody asks is forgotten.
    """

    def __init__(
        self,
        kind: Literal["alarm", "event"],
        rows: Callable[[Account], Iterable[dict[str, Any]]],
        new_id: Callable[[], str],
        clock: Clock,
        lifetime: float,
    ) -> None:
        self._kind = kind
        self._rows = rows
        self._new_id = new_id
        self._clock = clock
        self._lifetime = lifetime
        self._sessions: dict[str, _Session] = {}

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        path = f"{BASE}/{self._kind}sessions"
        routes.add(path, POST=self.begin)
        routes.add(path + "/{id}", DELETE=self.end)
        routes.add(f"{path}/{{id}}/{self._kind}s", GET=self.changes)

    def forget(self) -> None:
        """Forget all sessions."""
        self._sessions.clear()

    def begin(self, _exchange: Exchange, account: Account) -> Reply:
        """A session, to which what there is was told already."""
        told = self._now(account)
        self._forget_idle()
        if len(self._sessions) >= _SESSIONS:
            raise too_many("sessions")
        id = self._new_id()
        self._sessions[id] = _Session(account, self._clock.now_ms(), told)
        return data_reply({"id": id}, 201)

    def changes(self, _exchange: Exchange, account: Account, id: str) -> Reply:
        """What was added, updated and deleted since the last time."""
        session = self._find(id, account)
        session.asked = self._clock.now_ms()
        before, session.told = session.told, self._now(account)
        now = session.told
        made: dict[str, Any] = {
            "addedToSession": [doc for key, doc in now.items() if key not in before],
            "deletedFromSession": [key for key in before if key not in now],
        }
        if self._kind == "alarm":  # events never change
            changed = [doc for key, doc in now.items() if key in before and before[key] != doc]
            made["updatedInSession"] = changed
        return data_reply(made)

    def end(self, _exchange: Exchange, account: Account, id: str) -> Reply:
        """One session less."""
        self._find(id, account)
        del self._sessions[id]
        return Reply(204)

    def _now(self, account: Account) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self._rows(account)}

    def _find(self, id: str, account: Account) -> _Session:
        self._forget_idle()
        session = self._sessions.get(id)
        if session is None or session.account != account:
            raise absent(f"{self._kind}Sessions/{id}")
        return session

    def _forget_idle(self) -> None:
        oldest = self._clock.now_ms() - round(self._lifetime * 1000)
        for id in [id for id, session in self._sessions.items() if session.asked < oldest]:
            del self._sessions[id]
