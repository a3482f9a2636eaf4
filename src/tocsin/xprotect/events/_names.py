"""The names of what events are about: read when somebody asks for one, and remembered."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyio import Event as Flag
from anyio import create_task_group, current_time

from tocsin._http._request import Request
from tocsin.errors import AuthenticationError, ProtocolError, RateLimitError, StatusError, TocsinError

if TYPE_CHECKING:
    from tocsin.xprotect._gateway import Gateway
    from tocsin.xprotect.models import Event

__all__ = ["EventNames", "Names"]

log = logging.getLogger("tocsin.xprotect")

# What a server wrote becomes the path of a request with our credentials: nothing but this.
_PATH: Final = re.compile(r"[A-Za-z]{1,64}/[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NAMELESS: Final = frozenset({"services", "mipkinds"})
"""Kinds of sources that REST does not know."""
_REMEMBERED: Final = 10_000
_GOOD_FOR: Final = 3600.0
"""Seconds; people rename cameras."""
_AGAIN: Final = 30.0
"""Seconds after which a name is asked for again that could not be read."""


@dataclass(frozen=True, slots=True)
class EventNames:
    """What an event is about, in the site's own words. Each may be None: not known, or not to be seen.

    Attributes:
        source: The camera or whatever else it came from.
        type: What happened.
        state_group: Of which states it is one, such as ``Recording``.
        state: How things stand after it, such as ``Started``.
    """

    source: str | None
    type: str | None
    state_group: str | None
    state: str | None


class Names:
    """Resolves ids to names over REST. Made by the client.

    It never holds up a stream: events come without names, and a name is read when it is asked for, once for
    all who ask for it at the same time. At most 10 000 are remembered, for an hour.

    Args:
        gateway: Sends the requests.
    """

    __slots__ = ("_asked", "_gateway", "_known")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known: OrderedDict[str, tuple[float, dict[str, str]]] = OrderedDict()
        self._asked: dict[str, Flag] = {}

    async def of(self, event: Event) -> EventNames:
        """The names that an event refers to by ids. Cancelling it is safe.

        What cannot be read is None: a name is not worth an error.

        Args:
            event: An event or a state.
        """
        group = event.state_group_id
        wanted = [event.source or "", f"eventTypes/{event.type}", f"stateGroups/{group}" if group else ""]
        found: dict[str, dict[str, str]] = {}

        async def look(path: str) -> None:
            found[path] = await self._look_up(path)

        async with create_task_group() as tasks:
            for path in dict.fromkeys(wanted):
                tasks.start_soon(look, path)
        source, kind, states = (found[path] for path in wanted)
        return EventNames(_title(source), _title(kind), _title(states), kind.get("state"))

    def known(self, event: Event) -> EventNames:
        """The names as far as they are known already, at once and without a request.

        Args:
            event: An event or a state.
        """
        group = event.state_group_id
        source, kind, states = (
            self._remembered(path) or {}
            for path in (event.source or "", f"eventTypes/{event.type}", f"stateGroups/{group}")
        )
        return EventNames(_title(source), _title(kind), _title(states), kind.get("state"))

    async def source(self, path: str) -> str | None:
        """The name of a source.

        Args:
            path: As events have it, ``cameras/<id>``.
        """
        return _title(await self._look_up(path))

    async def event_type(self, event_type: str) -> str | None:
        """The name of an event type.

        Args:
            event_type: Its id.
        """
        return _title(await self._look_up(f"eventTypes/{event_type}"))

    async def state_group(self, group: str) -> str | None:
        """The name of a group of states.

        Args:
            group: Its id.
        """
        return _title(await self._look_up(f"stateGroups/{group}"))

    def forget(self) -> None:
        """Read all names anew when they are asked for."""
        self._known.clear()

    async def _look_up(self, path: str) -> dict[str, str]:
        if not _PATH.fullmatch(path) or path.partition("/")[0].lower() in _NAMELESS:
            return {}
        while (known := self._remembered(path)) is None:
            if (asked := self._asked.get(path.lower())) is not None:
                await asked.wait()  # whoever asks may be cancelled: then this one asks
                continue
            asked = self._asked[path.lower()] = Flag()
            try:
                await self._read(path)
            finally:
                del self._asked[path.lower()]
                asked.set()
        return known

    def _remembered(self, path: str) -> dict[str, str] | None:
        until, names = self._known.get(path.lower(), (0.0, None))
        if names is None or current_time() >= until:
            return None
        self._known.move_to_end(path.lower())
        return names

    async def _read(self, path: str) -> None:
        names: dict[str, str] = {}
        lasts = _GOOD_FOR
        try:
            names = _names_in((await self._gateway.send(Request("GET", f"/{path}"))).json())
        except TocsinError as error:
            said_no = isinstance(error, StatusError) and 400 <= error.status < 500
            if not said_no or isinstance(error, AuthenticationError | RateLimitError):
                lasts = _AGAIN
            log.debug("no name of %s: %s", path, error.reason)
        self._known[path.lower()] = (current_time() + lasts, names)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _names_in(answer: Any) -> dict[str, str]:
    """The names in ``{"data": {…}}``."""
    data = answer.get("data", answer) if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        raise ProtocolError("a resource is no object", reason="no object")
    return {
        name: value
        for name in ("displayName", "name", "state")
        if isinstance(value := data.get(name), str) and value
    }


def _title(names: dict[str, str]) -> str | None:
    return names.get("displayName") or names.get("name")
