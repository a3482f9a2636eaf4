"""What a site has configured, as far as alarms need it: cameras, types of events, alarm definitions.

Source: Milestone's Configuration REST API; reference `xprotect.md` 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from tocsin._http._pages import Pages
from tocsin._wire import WireModel
from tocsin.xprotect._listing import PAGE_SIZE, RowWalk, check_size
from tocsin.xprotect._selection import Selection
from tocsin.xprotect.models import AlarmDefinition, Camera, EventType

if TYPE_CHECKING:
    from tocsin._http._pages import Start
    from tocsin.xprotect._window import Sender

__all__ = ["Configuration"]

M = TypeVar("M", bound=WireModel)

_DISABLED: Final = ("disabled", "")


class Configuration:
    """Reads what a site has configured.

    Args:
        gateway: Sends the requests.
        start: Starts a task in the client's task group, for pages that are read ahead; None: none is.
    """

    __slots__ = ("_gateway", "_start")

    def __init__(self, gateway: Sender, start: Start | None = None) -> None:
        self._gateway = gateway
        self._start = start

    def cameras(self, *, include_disabled: bool = False, page_size: int = PAGE_SIZE) -> Pages[Camera]:
        """List the cameras that the user may see (``GET /cameras``).

        Await the result for its first page, iterate over it for all.

        Args:
            include_disabled: Those that are not in use too.
            page_size: Cameras of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        return self._list("/cameras", Camera, "cameras", page_size, include_disabled=include_disabled)

    def event_types(self, *, page_size: int = PAGE_SIZE) -> Pages[EventType]:
        """List the types of events (``GET /eventTypes``).

        Await the result for its first page, iterate over it for all.

        Args:
            page_size: Types of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        return self._list("/eventTypes", EventType, "event types", page_size)

    def alarm_definitions(
        self, *, include_disabled: bool = False, page_size: int = PAGE_SIZE
    ) -> Pages[AlarmDefinition]:
        """List what makes alarms of events (``GET /alarmDefinitions``).

        Await the result for its first page, iterate over it for all.

        Args:
            include_disabled: Those that are not in use too.
            page_size: Definitions of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        return self._list(
            "/alarmDefinitions",
            AlarmDefinition,
            "alarm definitions",
            page_size,
            include_disabled=include_disabled,
        )

    def _list(
        self, path: str, kind: type[M], noun: str, page_size: int, *, include_disabled: bool = False
    ) -> Pages[M]:
        check_size(page_size)

        async def selection() -> Selection:
            return Selection(query=(_DISABLED,) if include_disabled else ())

        return Pages(
            lambda: RowWalk(self._gateway, path, kind, noun, page_size=page_size, select=selection),
            self._start,
        )
