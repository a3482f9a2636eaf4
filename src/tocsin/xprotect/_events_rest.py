"""Events by REST: trigger one, read one, list those that are kept.

Source: Milestone's Events REST API; reference `xprotect.md` 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin._http._pages import Pages
from tocsin._http._request import Request
from tocsin.errors import ConfigurationError, NotFoundError
from tocsin.xprotect._guids import EMPTY, guid, is_guid
from tocsin.xprotect._listing import PAGE_SIZE, RowWalk, check_size
from tocsin.xprotect._query import source_path
from tocsin.xprotect._selection import Selection
from tocsin.xprotect._service import needing, retold
from tocsin.xprotect._window import DATA, checked, item_path
from tocsin.xprotect._write import to_body
from tocsin.xprotect.models import Camera, Event, EventType

if TYPE_CHECKING:
    from tocsin._http._pages import Start
    from tocsin.xprotect._window import Sender

__all__ = ["EventsRest"]

_EVENTS: Final = "/events"
_RIGHT: Final = "a role that may trigger events of that type: users may those of External and MIPDevice"


class EventsRest:
    """The stored events of one site.

    Args:
        gateway: Sends the requests.
        start: Starts a task in the client's task group, for pages that are read ahead; None: none is.
    """

    __slots__ = ("_gateway", "_start")

    def __init__(self, gateway: Sender, start: Start | None = None) -> None:
        self._gateway = gateway
        self._start = start

    async def trigger(self, type: EventType | str, source: Camera | str | None = None) -> Event:  # noqa: A002
        """Trigger an event (``POST /events``). If an alarm definition asks for it, that makes an alarm.

        It is not sent again where it may have been triggered, for that would trigger two. It can be read
        later only if events of its type are kept.

        Args:
            type: The GUID of its type, or one of `event_types`.
            source: What it comes from: the id of a camera, a path such as ``cameras/<id>``, or a `Camera`.

        Returns:
            The event as the platform accepted it.

        Raises:
            ConfigurationError: The type or the source is no id.
            PermissionDeniedError: Users may not trigger events of that type.
            ProtocolError: The answer is no event. It may have been triggered.
        """
        identity = type.id if isinstance(type, EventType) else type
        if not is_guid(identity) or guid(identity) is None:
            raise ConfigurationError(
                f"a type of events is a GUID or an EventType, not {type!r:.80}; "
                "client.event_types() lists them"
            )
        wire = {"type": guid(identity) or EMPTY}
        if source is not None:
            wire["source"] = source_path(source)
        with needing(_RIGHT):
            response = await self._gateway.send(Request("POST", _EVENTS, body=to_body(wire)))
        return response.parsed(lambda body: Event.from_raw(checked(body, noun="event")))

    async def get(self, event_id: str, *, include_data: bool = True) -> Event:
        """Read one event (``GET /events/{id}``).

        Args:
            event_id: Its id.
            include_data: What it carries too.

        Raises:
            ConfigurationError: It cannot be an id.
            NotFoundError: There is no such event, or events of its type are not kept.
            ProtocolError: The answer is no event, or another one.
        """
        path = item_path(_EVENTS, event_id, "event")
        try:
            response = await self._gateway.send(Request("GET", path, (DATA,) if include_data else ()))
        except NotFoundError as error:
            retold(error, "; the platform keeps events only if their type has a retention above 0 days")
            raise
        return response.parsed(lambda body: Event.from_raw(checked(body, event_id, noun="event")))

    def list(self, *, include_data: bool = False, page_size: int = PAGE_SIZE) -> Pages[Event]:
        """List the events that are kept (``GET /events``): those whose type has a retention above 0 days.

        Await the result for its first page, iterate over it for all.

        Args:
            include_data: What they carry too.
            page_size: Events of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        check_size(page_size)

        async def selection() -> Selection:
            return Selection(query=(DATA,) if include_data else ())

        return Pages(
            lambda: RowWalk(self._gateway, _EVENTS, Event, "events", page_size=page_size, select=selection),
            self._start,
        )
