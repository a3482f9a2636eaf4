"""What is sent to raise or change an alarm, and what the platform's answer to a raised one means.

Source: Cumulocity OpenAPI "core", "Alarms"; the community article on de-duplication; reference 2.6 and 2.7.
No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import pydantic_core

from tocsin._wire import parse_object, write_time
from tocsin.cumulocity._query import word
from tocsin.cumulocity.models import Alarm, Created, Outcome, Severity, Source, Status
from tocsin.errors import ConfigurationError, ProtocolError
from tocsin.models import Unset

if TYPE_CHECKING:
    from tocsin._http._request import Response

__all__ = ["addressed", "alteration", "answer", "creation", "judge", "to_body"]

_NAME: Final = re.compile(r"[^\s.,*\[\]()@$/']+")
_ADDRESS: Final = re.compile(r"/alarm/alarms/([^/?#]+)/?(?:[?#]|$)")
_CREATED: Final = 201
_STANDARD: Final = frozenset({
    "id", "self", "type", "time", "creationTime", "lastUpdated", "text", "source", "status", "severity",
    "count", "firstOccurrenceTime", "firstOccurenceTime", "history", "severityOrdinal", "statusOrdinal",
})  # fmt: skip


def creation(
    *,
    type: str,  # noqa: A002 - the platform's word
    text: str | Unset,
    severity: Severity | str | Unset,
    source: str | int | Source,
    time: datetime | None,
    status: Status | str | Unset,
    fragments: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The object to post. An upsert may leave out text, severity and time.

    Raises:
        ConfigurationError: Something in it could not be stored.
    """
    if not _is_text(type) or not type.strip():
        raise ConfigurationError("an alarm needs a type that is not empty")
    if time is not None and not _is_aware(time):
        raise ConfigurationError("time is an aware datetime; the platform would assume UTC")
    wire = {**_fragments(fragments), "type": type, "source": {"id": _source_id(source)}}
    if time is not None:
        wire["time"] = write_time(time)
    if not isinstance(text, Unset):
        wire["text"] = _text(text)
    if not isinstance(severity, Unset):
        wire["severity"] = word(Severity, severity, "severity").value
    if not isinstance(status, Unset):
        wire["status"] = word(Status, status, "status").value
    return wire


def alteration(
    *,
    status: Status | str | Unset,
    severity: Severity | str | Unset,
    text: str | Unset,
    fragments: Mapping[str, Any] | None,
    remove: Iterable[str],
) -> dict[str, Any]:
    """The object to put: only what is named. `None` removes a fragment.

    Raises:
        ConfigurationError: Nothing is named, or something could not be stored.
    """
    wire = _fragments(fragments)
    for name in (remove,) if isinstance(remove, str) else remove:
        _check_name(name)
        if name in wire:
            raise ConfigurationError(f"the fragment {name!r} is both set and removed")
        wire[name] = None
    if not isinstance(status, Unset):
        wire["status"] = word(Status, status, "status").value
    if not isinstance(severity, Unset):
        wire["severity"] = word(Severity, severity, "severity").value
    if not isinstance(text, Unset):
        wire["text"] = _text(text)
    if not wire:
        raise ConfigurationError(
            "an update has nothing to change: give status, severity, text, fragments or remove"
        )
    return wire


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"an alarm's text is a text, not {text!r:.80}")
    return text


def _source_id(source: object) -> str:
    identity = source.id if isinstance(source, Source) else source
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if not isinstance(identity, str) or not identity.strip():
        raise ConfigurationError(f"source is the id of a device or asset, not {source!r:.80}")
    return identity


def _fragments(given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError("fragments is a mapping from names to values")
    for name in given:
        _check_name(name)
    try:
        found = pydantic_core.to_jsonable_python(dict(given), inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"a fragment cannot be written as JSON: {error}") from None
    return dict(found)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"a fragment's name has no blanks and none of .,*[]()@$/' in it: {name!r:.80}"
        )
    if name in _STANDARD:
        raise ConfigurationError(f"{name!r} is a field of the alarm itself, not a fragment")


def to_body(wire: Mapping[str, Any]) -> bytes:
    """JSON text.

    Raises:
        ConfigurationError: NaN, infinity or a lone surrogate is in it: JSON has no word for them.
    """
    try:
        return json.dumps(wire, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise ConfigurationError(f"the alarm cannot be written as JSON: {error}") from None


def answer(asked: Mapping[str, Any], response: Response) -> Created:
    """What the answer to a raised alarm means.

    A suppressed one is a success whose address ends in ``/null``; a repeated one is the old alarm, counted
    up.

    Returns:
        What became of it. `Created.alarm` is None with an `id` if only its address was told.

    Raises:
        ProtocolError: It cannot be said. The alarm may have been raised.
    """
    told = addressed(response.headers.get("location"))
    if response.body.strip():
        return response.parsed(lambda body: _answer(asked, body, told))
    if told == "null":
        return Created(Outcome.SUPPRESSED, None)
    if told is None and response.status != _CREATED:  # not the platform's: nothing says that it was raised
        response.json()
    return Created(Outcome.CREATED, None, told)


def _answer(asked: Mapping[str, Any], body: bytes, told: str | None) -> Created:
    wire = parse_object(body, what="answer to the raised alarm")
    if wire.get("id") not in (None, "", "null"):
        return judge(asked, Alarm.from_raw(body))
    if "null" in (told, addressed(wire.get("self"))) or (told is None and "type" in wire):
        return Created(Outcome.SUPPRESSED, None)
    if told is None:
        raise ProtocolError("the answer to the raised alarm is no alarm; it may have been raised anyway")
    return Created(Outcome.CREATED, None, told)


def judge(asked: Mapping[str, Any], alarm: Alarm) -> Created:
    """Compare what was asked for with the alarm that is there now."""
    if (alarm.count or 1) == 1:
        return Created(Outcome.CREATED, alarm, alarm.id)
    standard = [name for name in ("severity", "status", "text") if name in asked and name in alarm]
    ignored = [name for name in standard if _folded(name, asked[name]) != _folded(name, alarm[name])]
    own = [name for name in asked if name not in _STANDARD]
    ignored += [name for name in own if name not in alarm or asked[name] != alarm[name]]
    return Created(Outcome.REPEATED, alarm, alarm.id, tuple(ignored))


def _folded(name: str, value: object) -> object:
    """A value as it is compared: the platform's words are written in any case, texts are not."""
    return value.upper() if name != "text" and isinstance(value, str) else value


def addressed(url: object) -> str | None:
    """The id in the URL of an alarm; None if it is not one, such as that of a log-in page."""
    found = _ADDRESS.search(url) if isinstance(url, str) else None
    return None if found is None else unquote(found[1])
