"""What one alarm of a VMS is, and how a request makes or changes one. No store, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._clock import ticks_text, to_ticks
from tocsin.emulator._xprotect_errors import bad
from tocsin.emulator._xprotect_site import EMPTY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.emulator._xprotect_site import Item, Site

OWNER: Final = "assignedTo.displayName"
DOCUMENTED: Final = frozenset({"state", "priority", "comment", OWNER, "reasonForClosing"})
_LEVELS: Final = ("state", "priority", "category")


@dataclass(slots=True)
class Alarm:
    """One state of an alarm; a write makes another one.

    Attributes:
        doc: Its JSON as lists show it.
        data: What `include=data` adds.
        at: When it was written, in milliseconds.
        visible: From when on it is to be seen, in milliseconds.
        before: The state before.
    """

    doc: dict[str, Any]
    data: Mapping[str, Any]
    at: int
    visible: int
    before: Alarm | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The alarm's id."""
        id: str = self.doc["id"]
        return id

    @property
    def closed(self) -> bool:
        """Whether its state is the one of level 11."""
        return is_closed(self.doc)

    def view(self, *, data: bool) -> dict[str, Any]:
        """The JSON, with `data` or without."""
        return {**self.doc, "data": self.data} if data else self.doc

    def as_of(self, moment: int) -> Alarm | None:
        """The state that is to be seen at a moment, in milliseconds; None: none yet."""
        state: Alarm | None = self
        while state is not None and state.visible > moment:
            state = state.before
        return state


def is_closed(doc: Mapping[str, Any]) -> bool:
    """Whether an alarm's JSON says that it is closed."""
    state = doc.get("state")
    return isinstance(state, Mapping) and state.get("level") == 11


def draft(body: Mapping[str, Any], site: Site, now: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new alarm's JSON without its ids, and its data.

    Args:
        body: What was sent.
        site: Its cameras, states and so on.
        now: Ticks.

    Raises:
        ApiError: 400.
    """
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise bad("The name of the alarm is missing", "name")
    path, camera = _source(body.get("source"), site)
    time = ticks_text(now)
    if body.get("time") is not None:
        try:
            time = ticks_text(to_ticks(body["time"]))
        except (ValueError, OverflowError):
            raise bad("The time is not a valid date and time", "time") from None
    doc = {
        "name": name,
        "message": _text(body, "message") or "",
        "source": path,
        "cameraId": camera,
        "time": time,
        "lastUpdatedTime": ticks_text(now),
        "state": site.state(1),
        "priority": _level(body, "priority", site.priorities) or site.priorities[-1],
        "category": _level(body, "category", site.categories),
        "assignedTo": None,
        "tag": _text(body, "tag") or "",
        "legacyType": "",
    }
    data = body.get("data")
    if data is not None and not isinstance(data, Mapping):
        raise bad("The data of the alarm is not an object", "data")
    description = _text(body, "description")
    return doc, {
        "description": description or "", "location": "", "count": 1, "rules": [], "objects": [],
        "references": [], **(data or {}),
    }  # fmt: skip


def changes_of(body: Mapping[str, Any], site: Site, *, null_clears: bool) -> dict[str, Any]:
    """What a PATCH changes in an alarm's JSON.

    Raises:
        ApiError: 400.
    """
    known = DOCUMENTED | {"category"}
    for key in body:
        if key not in known:
            raise bad(f"The property cannot be changed: {key:.60}", key[:60])
    made: dict[str, Any] = {}
    for key in _LEVELS:
        choices = {"state": site.states, "priority": site.priorities, "category": site.categories}[key]
        chosen = _level(body, key, choices)
        if chosen is not None:
            made[key] = chosen
    if null_clears and "category" in body and body["category"] is None:
        made["category"] = None
    owner = _text(body, OWNER)
    if owner is not None or (null_clears and OWNER in body):
        made["assignedTo"] = {"displayName": owner} if owner else None
    return made


def remark_of(body: Mapping[str, Any], site: Site) -> tuple[str | None, Item | None]:
    """The comment and the reason for closing in a PATCH.

    Raises:
        ApiError: 400.
    """
    return _text(body, "comment"), _level(body, "reasonForClosing", site.reasons)


def with_ids(changes: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """What a PATCH would send for changes that name states, priorities and so on by level.

    Raises:
        ApiError: 400.
    """
    made = dict(changes)
    lists = {
        "state": site.states,
        "priority": site.priorities,
        "category": site.categories,
        "reasonForClosing": site.reasons,
    }
    for key, choices in lists.items():
        if isinstance(level := made.get(key), int):
            ids = [choice["id"] for choice in choices if choice["level"] == level]
            if not ids:
                raise bad(f"No {key} has this level", key)
            made[key] = ids[0]
    return made


def _source(given: object, site: Site) -> tuple[str, str]:
    if given is None or given == "":
        return "", EMPTY
    found = site.source(given) if isinstance(given, str) else None
    if found is None:
        raise bad("The source is not known", "source")
    return found


def _text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise bad(f"{key} is not a string", key)
    return value


def _level(body: Mapping[str, Any], key: str, choices: Sequence[Item]) -> Item | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        for choice in choices:
            if choice["id"] == value.lower():
                return choice
    raise bad(f"No {key} has this id", key)
