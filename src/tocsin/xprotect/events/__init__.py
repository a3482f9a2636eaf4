"""Events and states of an XProtect site: told live over its WebSocket."""

from tocsin.xprotect.events._filters import EventFilter
from tocsin.xprotect.events._live import LiveEvents
from tocsin.xprotect.events._names import EventNames, Names
from tocsin.xprotect.events.stream import EventItem, EventStream, StateEvent

__all__ = ["EventFilter", "EventItem", "EventNames", "EventStream", "LiveEvents", "Names", "StateEvent"]
