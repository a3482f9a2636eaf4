"""What is sent to trigger or change an alarm.

Source: reference `xprotect.md` 2.3 and 2.5. No I/O.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tocsin._wire import write_time
from tocsin.errors import ConfigurationError
from tocsin.models import Unset
from tocsin.xprotect._guids import guid
from tocsin.xprotect._query import source_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.xprotect.models import Alarm, Camera

__all__ = ["ASSIGNEE", "KEYS", "completed", "creation", "text", "to_body"]

ASSIGNEE: Final = "assignedTo.displayName"
"""One flat key with a dot in it, not an object."""
KEYS: Final = ("state", "priority", "comment", ASSIGNEE, "reasonForClosing")
"""What the vendor's sample always sends, all five of them."""


def creation(
    *,
    name: str,
    message: str | Unset,
    source: Camera | str | Unset,
    fields: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The object to post. A camera's id is sent without its kind, as the vendor's sample has it.

    Raises:
        ConfigurationError: Something in it could not be stored.
    """
    if not text("name", name).strip():
        raise ConfigurationError("an alarm needs a name that is not empty")
    wire: dict[str, Any] = {}
    for key, value in _checked(fields).items():
        if key in ("name", "message", "source"):
            raise ConfigurationError(f"{key!r} is an argument of its own")
        wire[key] = _time(key, value) if isinstance(value, datetime) else value
    wire["name"] = name
    if not isinstance(message, Unset):
        wire["message"] = text("message", message)
    if not isinstance(source, Unset):
        path = source_path(source)
        wire["source"] = guid(path) if path.startswith("cameras/") else path
    return wire


def _checked(fields: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if fields is None:
        return {}
    try:
        return {str(key): value for key, value in fields.items()}
    except AttributeError:
        raise ConfigurationError("fields is a mapping from names to values") from None


def _time(key: str, moment: datetime) -> str:
    if moment.utcoffset() is None:
        raise ConfigurationError(f"{key} is an aware datetime: without a zone the platform would assume UTC")
    return write_time(moment)


def text(name: str, value: object) -> str:
    """A text as it is sent.

    Args:
        name: The argument's, for errors.
        value: The text.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(value, str):
        return value
    raise ConfigurationError(f"{name} is a text, not {value!r:.80}")


def completed(wire: Mapping[str, Any], alarm: Alarm) -> dict[str, Any]:
    """A change with all five keys: those that nobody named have what the alarm has.

    Args:
        wire: What was asked for.
        alarm: The alarm as it stands.
    """
    there: dict[str, Any] = {
        "state": (alarm.state.id or None) if alarm.state is not None else None,
        "priority": (alarm.priority.id or None) if alarm.priority is not None else None,
        "comment": None,
        ASSIGNEE: alarm.assigned_to,
        "reasonForClosing": None,
    }
    return {**there, **wire}


def to_body(wire: Mapping[str, Any]) -> bytes:
    """JSON text.

    Raises:
        ConfigurationError: Something in it cannot be written as JSON.
    """
    try:
        return json.dumps(wire, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the alarm cannot be written as JSON: {error}") from None
