"""The way of a VMS's events from its store to the sessions of the Events and State WebSocket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._clock import ticks_text
from tocsin.emulator._json import dump
from tocsin.emulator._xprotect_event_sessions import Feed, Sessions
from tocsin.emulator._xprotect_events import Event
from tocsin.emulator._xprotect_filters import LiveEvent

if TYPE_CHECKING:
    from tocsin.emulator._xprotect_event_sessions import SessionRules
    from tocsin.emulator._xprotect_store import XProtectStore

_AT_REST: Final = (
    "dd3e6464-7dc0-405a-a92f-6150587563e8",  # communication started
    "6f55a7a7-d21c-4629-ac18-af1975e395a2",  # motion stopped
    "79a94f89-92de-4fca-8a43-5561d407423d",  # recording stopped
)


class LiveEvents:
    """Tells sessions of events, and of the state of cameras to which nothing has happened yet.

    Args:
        store: Where events happen.
        rules: How sessions behave.

    Attributes:
        sessions: Who is told.
    """

    def __init__(self, store: XProtectStore, rules: SessionRules) -> None:
        self._store = store
        self._met: set[str] = set()
        self.sessions = Sessions(Feed(rules.kept), rules, store.site.guid)
        store.listen(lambda event: self.sessions.publish(_live(event)))

    def meet_cameras(self) -> None:
        """Take in the cameras that came since the last time, and those that went; with the lock held."""
        cameras = self._store.site.items["cameras"]
        if cameras.keys() == self._met:
            return
        for gone in self._met - cameras.keys():
            self.sessions.feed.drop_source(f"cameras/{gone}")
        for camera in [camera for camera in cameras if camera not in self._met]:
            self._begin(f"cameras/{camera}")
        self._met = set(cameras)

    def states(self) -> list[dict[str, Any]]:
        """How everything stands, as `getState` tells whoever may see it; with the lock held."""
        self.meet_cameras()
        return [json.loads(event.body) for event in self.sessions.feed.states.values()]

    def _begin(self, source: str) -> None:
        site, feed = self._store.site, self.sessions.feed
        for id in _AT_REST:
            group = site.find("eventTypes", id)["stateGroupId"]
            if (source.lower(), group.lower()) not in feed.states:
                time = ticks_text(self._store.ticks())
                feed.set_state(_live(Event(site.guid(), 0, id, source, time, group, None, stored=False)))


def _live(event: Event) -> LiveEvent:
    return LiveEvent(event.id, event.source, event.type, event.state_group or "", dump(event.live()))
