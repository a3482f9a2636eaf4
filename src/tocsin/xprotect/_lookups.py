"""What a site calls its states, priorities, categories and reasons for closing.

Their ids and names differ from site to site and can be changed at any time; levels mean the same everywhere.
So they are asked for when they are needed, and forgotten after a while.

Source: reference `xprotect.md` 2.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from anyio import current_time

from tocsin._http._request import Request
from tocsin._wire import parse_object
from tocsin.errors import ConfigurationError, NotFoundError, ProtocolError
from tocsin.models import Level, Phase
from tocsin.xprotect._guids import is_guid, same
from tocsin.xprotect._once import Once
from tocsin.xprotect._ranks import mended_rank
from tocsin.xprotect.models import (
    LEVELS,
    PHASES,
    AlarmCategory,
    AlarmPriority,
    AlarmState,
    CloseReason,
    Rank,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.xprotect._window import Sender

__all__ = ["Lookups", "Table"]

T = TypeVar("T")
R = TypeVar("R", bound=Rank)

_AGE: Final = 300.0
"""Seconds after which a list is asked for again."""
_YOUNG: Final = 5.0
"""Seconds in which a list is not asked for again, although something is not in it."""


class _Kept(Generic[T]):
    """One list of a site, asked for by one caller at a time."""

    def __init__(self, gateway: Sender, path: str, read: Callable[[bytes], T]) -> None:
        self._gateway = gateway
        self._path = path
        self._read = read
        self._once: Once[T] = Once()
        self._found: tuple[T, float] | None = None

    async def all(self, *, age: float = _AGE) -> T:
        """The list.

        Args:
            age: Seconds after which what is known is asked for again.
        """

        def known() -> T | None:
            young = self._found is not None and current_time() - self._found[1] <= age
            return self._found[0] if self._found is not None and young else None

        return await self._once.get(known, self._ask)

    async def _ask(self) -> T:
        response = await self._gateway.send(Request("GET", self._path))
        found = response.parsed(self._read)
        self._found = found, current_time()
        return found


class Table(Generic[R]):
    """One list of states or the like.

    Args:
        gateway: Sends the request.
        path: Where it is.
        kind: What its entries are.
        noun: What they are called, for errors.
        words: The words of all platforms for some levels.
    """

    def __init__(
        self,
        gateway: Sender,
        path: str,
        kind: type[R],
        noun: tuple[str, str],
        words: dict[int, Any] | None = None,
    ) -> None:
        self._kind = kind
        self._noun, self._nouns = noun
        self._words = words or {}
        self._kept = _Kept(gateway, path, self._entries)

    async def all(self) -> tuple[R, ...]:
        """All that the site has, in its order. Cancelling it is safe."""
        return await self._kept.all()

    async def find(self, wanted: object) -> tuple[R, ...]:
        """What a name, a level, an id, an entry, or a word of all platforms stands for; one at least.

        Raises:
            ConfigurationError: This site has nothing like that; the error lists what it has.
        """
        if wanted is None or isinstance(wanted, bool) or not isinstance(wanted, (str, int, self._kind)):
            raise ConfigurationError(
                f"a {self._noun} is a name, a level, an id or what a look-up gave, not {wanted!r:.80}"
            )
        try:
            found = self._matching(await self.all(), wanted) or self._matching(
                await self._kept.all(age=_YOUNG), wanted
            )
        except NotFoundError as error:
            raise ConfigurationError(
                f"this server has no list of {self._nouns}, so {_shown(wanted)} is not known to it ({error})"
            ) from None
        if not found:
            has = ", ".join(f"{entry.name!r} (level {entry.level})" for entry in await self.all())
            raise ConfigurationError(
                f"this site has no {self._noun} {_shown(wanted)}; it has {has or 'none'}"
            )
        return found

    async def one(self, wanted: object) -> R:
        """The one entry that is meant, to be written; of several the one with the lowest level.

        Raises:
            ConfigurationError: As `find`; or several bear that name, or it has no id.
        """
        found = await self.find(wanted)
        if len(found) > 1 and not isinstance(wanted, Phase | Level):
            ids = " and ".join(entry.id for entry in found)
            raise ConfigurationError(f"several {self._nouns} are called {_shown(wanted)}: give the id, {ids}")
        entry = min(found, key=lambda entry: entry.level or 0)
        if not entry.id:
            raise ConfigurationError(f"the server does not tell the id of the {self._noun} {entry.name!r}")
        return entry

    def _matching(self, entries: tuple[R, ...], wanted: object) -> tuple[R, ...]:
        if isinstance(wanted, Rank):
            return tuple(e for e in entries if same(e.id, wanted.id)) or tuple(
                e for e in entries if not wanted.id and wanted.level is not None and e.level == wanted.level
            )
        if isinstance(wanted, Phase | Level):
            return tuple(e for e in entries if e.level and self._words.get(e.level) is wanted)
        if isinstance(wanted, int):
            return tuple(e for e in entries if e.level == wanted)
        text = cast("str", wanted)
        if is_guid(text):
            return tuple(e for e in entries if same(e.id, text))
        named = [e for e in entries if e.name == text]
        folded = text.strip().casefold()
        return tuple(named or [e for e in entries if e.name is not None and e.name.casefold() == folded])

    def _entries(self, body: bytes) -> tuple[R, ...]:
        entries: list[R] = []
        for row in _rows(body, self._nouns):
            mended = mended_rank(row)
            if mended is None:
                raise ProtocolError(f"one of the {self._nouns} is {row!r:.80}")
            entries.append(self._kind(**mended))
        return tuple(entries)


class Lookups:
    """What a site has to choose from. All views of a client share one.

    Args:
        gateway: Sends the requests.
    """

    def __init__(self, gateway: Sender) -> None:
        self.states = Table(gateway, "/alarmStates", AlarmState, ("state", "states"), PHASES)
        self.priorities = Table(
            gateway, "/alarmPriorities", AlarmPriority, ("priority", "priorities"), LEVELS
        )
        self.categories = Table(gateway, "/alarmCategories", AlarmCategory, ("category", "categories"))
        self.close_reasons = Table(
            gateway, "/closeReasons", CloseReason, ("reason for closing", "reasons for closing")
        )
        self._messages = _Kept(gateway, "/alarmMessages", _texts)

    async def messages(self) -> tuple[str, ...]:
        """The texts that alarms of this site may have. Cancelling it is safe."""
        return await self._messages.all()


def _shown(wanted: object) -> str:
    """What was asked for, as its writer wrote it."""
    word = wanted.value if isinstance(wanted, Phase | Level) else wanted
    return f"{word!r:.80}"


def _rows(body: bytes, noun: str) -> list[Any]:
    wire = parse_object(body, what=f"list of {noun}")
    rows = wire.get("array", wire.get("data"))
    if not isinstance(rows, list):
        raise ProtocolError(f"the answer is no list of {noun}")
    return rows


def _texts(body: bytes) -> tuple[str, ...]:
    if body.lstrip()[:1] == b"[":
        body = b'{"array":' + body + b"}"
    found: list[str] = []
    for row in _rows(body, "messages"):
        text = row.get("message", row.get("name")) if isinstance(row, dict) else row
        if isinstance(text, str):
            found.append(text)
    return tuple(found)
