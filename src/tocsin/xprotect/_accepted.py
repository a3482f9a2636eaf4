"""Writes that the platform has accepted and stores behind its answer.

Source: reference `xprotect.md` 2.3 and 2.5: a trigger and an update are answered with 202, and a read right
after that may know nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin._http._accepted import Accepted
from tocsin.errors import NotFoundError
from tocsin.xprotect._guids import same
from tocsin.xprotect._write import ASSIGNEE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tocsin.xprotect.models import Alarm

__all__ = ["AcceptedAlarm"]

_ACCEPTED: Final = 202


class AcceptedAlarm(Accepted):
    """A triggered or changed alarm that the platform has accepted: `wait` until it can be seen.

    Attributes:
        id: The alarm's id.
        alarm: The alarm as it was last told or read; None if only its id was told.
        status: The HTTP status that it was accepted with.
        done: Whether it is known to be stored. False after a 202 until `check` or `wait` has seen it.

    Args:
        what: The write, for errors: ``the new alarm``.
        status: The HTTP status.
        identity: The alarm's id.
        alarm: What the answer told of it.
        read: Reads the alarm.
        asked: The ids and texts that it must have, by wire name; empty: it must be there.
        new: Whether it may not be there yet.
    """

    __slots__ = ("_asked", "_new", "_read", "alarm", "id")

    def __init__(
        self,
        what: str,
        status: int,
        identity: str,
        alarm: Alarm | None,
        read: Callable[[], Awaitable[Alarm]],
        *,
        asked: Mapping[str, str | None],
        new: bool = False,
    ) -> None:
        super().__init__(what, status, self._look_again if status == _ACCEPTED else None)
        self._read = read
        self._asked = asked
        self._new = new
        self.id = identity
        self.alarm = alarm

    async def _look_again(self) -> int:
        try:
            self.alarm = await self._read()
        except NotFoundError:
            if self._new:
                return 1
            raise
        return 0 if not self._missing() else 1

    def _missing(self) -> list[str]:
        """What was asked for and is not there yet, by wire name."""
        return [name for name, value in self._asked.items() if not self._has(name, value)]

    def _has(self, name: str, value: str | None) -> bool:
        if self.alarm is None:
            return False
        if name == ASSIGNEE:
            return self.alarm.assigned_to == (value or None)
        rank = getattr(self.alarm, name)
        return rank is not None and same(rank.id, value)

    def _rest(self) -> str:
        if self.left is None:
            return "it could not be read in that time"
        if self._new:
            return "it cannot be read yet; the event server may be slow, or may have dropped it"
        return f"its {' and '.join(self._missing())} is not what was asked for, not yet or not any more"
