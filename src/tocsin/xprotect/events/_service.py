"""The events of a site: by REST, and live over its WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.errors import ConfigurationError
from tocsin.xprotect._events_rest import EventsRest
from tocsin.xprotect.events._filters import EventFilter, wire_filters
from tocsin.xprotect.events._hints import Hints
from tocsin.xprotect.events._line import LineSettings
from tocsin.xprotect.events._names import Names
from tocsin.xprotect.events._reader import EventReader
from tocsin.xprotect.events.stream import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tocsin.xprotect._following import Following

__all__ = ["Events"]


class Events(EventsRest):
    """The events of a site: those that it keeps, and what it tells live. Made by `XProtect.events`.

    Args:
        following: What the client lends.
    """

    __slots__ = ("_following", "_names")

    def __init__(self, following: Following) -> None:
        super().__init__(following.gateway, following.owner.start)
        self._following = following
        self._names = Names(following.gateway)

    @property
    def names(self) -> Names:
        """The names of what events are about."""
        return self._names

    def live(
        self,
        *,
        resource_types: str | Iterable[str] = "*",
        sources: str | Iterable[str] = "*",
        event_types: str | Iterable[str] = "*",
        filters: Iterable[EventFilter] | None = None,
        state: bool = True,
        buffer: int = 10_000,
    ) -> EventStream:
        """Follow what happens, and how things stand.

        Nothing is sent before the stream is entered or iterated.

        Args:
            resource_types: Kinds of sources, such as ``cameras``; see `EventFilter`.
            sources: Ids of sources, bare or as ``cameras/<id>``.
            event_types: Ids of event types.
            filters: Instead of these three, several filters, some of which may exclude.
            state: Whether to be told how all of these stand, at the beginning and after each loss. On a site
                of thousands of devices that takes the server a minute or two; events come meanwhile.
            buffer: Events that may wait for the consumer. Above it the oldest are dropped, which is told.

        Returns:
            An async context manager and async iterator of `Event`, `StateEvent` and `Gap`.

        Raises:
            ConfigurationError: An argument makes no sense.
        """
        one = EventFilter(resource_types=resource_types, sources=sources, event_types=event_types)
        if filters is not None and one != EventFilter():
            raise ConfigurationError("give filters, or resource_types, sources and event_types, not both")
        if buffer < 1:
            raise ConfigurationError("buffer must be 1 or more")
        following = self._following
        wire = wire_filters((one,) if filters is None else filters)
        reader = EventReader(following, wire, state=state, buffer=buffer, settings=LineSettings())
        return EventStream(reader, following.owner, open_timeout=following.open_timeout, names=self._names)

    def hints(
        self,
        told: Callable[[], None],
        *,
        lost: Callable[[str], None] | None = None,
        event_types: Iterable[str] | None = None,
    ) -> Hints:
        """Be told, without a word, that there may be a new alarm; see `Hints`.

        Args:
            told: Called on events that may have made an alarm, and on each new connection. It must neither
                block nor raise.
            lost: Called with the cause when there will be no hints for a while.
            event_types: Those that make alarms; None: those of the site's alarm definitions, or all.
        """
        return Hints(self._following, told, lost=lost, event_types=event_types, settings=LineSettings())
