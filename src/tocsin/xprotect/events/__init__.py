"""Events and states of an XProtect site: by REST, and told live over its WebSocket."""

from tocsin.xprotect.events._filters import EventFilter
from tocsin.xprotect.events._names import EventNames, Names
from tocsin.xprotect.events._service import Events
from tocsin.xprotect.events.stream import EventItem, EventStream, StateEvent

__all__ = ["EventFilter", "EventItem", "EventNames", "EventStream", "Events", "Names", "StateEvent"]
