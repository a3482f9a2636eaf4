"""What an event of a VMS is, at the REST API and on the WebSocket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        id: Its id.
        local_id: A number.
        type: The event type's id.
        source: Such as `cameras/<id>`.
        time: With seven digits.
        state_group: The group whose state it sets; None: it is about no state.
        data: More about it.
        stored: Whether the REST API shows it.
    """

    id: str
    local_id: int
    type: str
    source: str
    time: str
    state_group: str | None
    data: Mapping[str, Any] | None
    stored: bool

    def rest(self, *, data: bool) -> dict[str, Any]:
        """Its JSON at the REST API."""
        made: dict[str, Any] = {
            "id": self.id, "localId": self.local_id, "type": self.type, "source": self.source,
            "time": self.time, "specversion": "1.0", "datatype": "",
        }  # fmt: skip
        return {**made, "data": self.data or {}} if data else made

    def live(self) -> dict[str, Any]:
        """Its JSON on the WebSocket, where keys are all lower case."""
        made: dict[str, Any] = {
            "specversion": "1.0", "id": self.id, "source": self.source, "type": self.type, "time": self.time
        }  # fmt: skip
        if self.state_group is not None:
            made["stategroupid"] = self.state_group
        if self.data is not None:
            made |= {"datatype": "json", "data": self.data}
        return made
