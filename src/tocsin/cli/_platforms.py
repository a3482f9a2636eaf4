"""The platforms that the command line knows: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping, Sequence
    from datetime import datetime

    from tocsin._doctor._examine import Examination
    from tocsin._doctor._visit import VisitOptions
    from tocsin.cli._jsonl import RawAlarm
    from tocsin.cli._options import Connection, Scope
    from tocsin.models import Level, Phase

__all__ = ["ACKNOWLEDGE", "PLATFORMS", "Deed", "Dialect", "Many", "Raised", "dialect_of"]

ACKNOWLEDGE: Final = "acknowledge"
"""The verb of `ack`; that of `clear` is ``clear``."""

PLATFORMS: Final[Mapping[str, str]] = {
    "cumulocity": "tocsin.cli._cumulocity",
    "xprotect": "tocsin.cli._xprotect",
}
"""Where each platform's `DIALECT` is."""


class Raised(Protocol):
    """What a platform made of an alarm that was raised."""

    id: str | None
    alarm: RawAlarm | None
    outcome: str
    ignored: Sequence[str]


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did to an alarm.

    Attributes:
        time: When.
        who: Who.
        what: In words fit for a terminal.
        id: The platform's id of the record; None where it has none.
        raw: The platform's own JSON.
    """

    time: datetime | None
    who: str | None
    what: str
    id: str | None
    raw: bytes


class Many(Protocol):
    """All alarms that match, to be changed in one go.

    Attributes:
        changed: How many were changed so far; None where the platform changes them behind its answer.
    """

    changed: int | None

    async def count(self, client: Any) -> int:
        """Count them."""

    async def change(self, client: Any) -> None:
        """Change them, and wait until that can be read."""


class Dialect(Protocol):
    """What differs between the platforms, in the command line's own words.

    Attributes:
        example: A base URL.
        variables: The environment variable of each connection option that has one.
        ask: Which credentials to give.
        id_size: Characters that its ids have.
    """

    example: str
    variables: Mapping[str, str]
    ask: str
    id_size: int

    def make_client(
        self, options: Connection, environ: Mapping[str, str], *, anonymous: bool, **settings: Any
    ) -> Any:
        """Make a client, not yet open; `settings` are those that all platforms' clients have."""

    def changes(self, scope: Scope, *, transport: str, subscriber: str | None) -> dict[str, Any]:
        """Give what `changes()` takes for a scope."""

    def lists(
        self, client: Any, scope: Scope, status: Sequence[Phase] | None
    ) -> list[AsyncIterable[RawAlarm]]:
        """Give the lists whose union matches; one alarm may be in several."""

    async def count(self, client: Any, scope: Scope, status: Sequence[Phase] | None) -> int:
        """Count what matches."""

    async def raise_alarm(
        self, client: Any, *, source: str, kind: str, text: str, level: Level | None
    ) -> Raised:
        """Raise an alarm."""

    async def change(self, client: Any, alarm_id: str, verb: str) -> RawAlarm:
        """Acknowledge or clear one alarm; give it as it then stands."""

    def many(self, scope: Scope, verb: str) -> Many:
        """Give the open alarms of a scope, to be acknowledged or cleared.

        Raises:
            ConfigurationError: The platform cannot tell them from others.
        """

    def history(self, client: Any, alarm_id: str) -> AsyncIterable[Deed]:
        """Give what was done to an alarm, newest first."""

    def examination(self, client: Any, options: VisitOptions) -> Examination:
        """Prepare what `doctor` asks.

        Raises:
            ConfigurationError: The options make no sense.
        """


def dialect_of(platform: str) -> Dialect:
    """Give a platform's dialect; it is loaded now."""
    dialect: Dialect = import_module(PLATFORMS[platform]).DIALECT
    return dialect
