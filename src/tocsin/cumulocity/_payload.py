"""The `data` of a notification: one change or several, in all the shapes that were seen on the wire.

The reference prints an array of ``{"realtimeAction": …, "data": …}``, live traffic has the object alone; a
deletion brings a string, a number or an object with the id (Cumulocity reference 3.4, traps 2 and 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tocsin._wire import parse_object
from tocsin.cumulocity._observe import alarm_id
from tocsin.errors import ProtocolError
from tocsin.models import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Told", "read_payload", "tell"]


class Told(NamedTuple):
    """One change that a notification tells.

    Attributes:
        action: What happened; None if the message cannot be read.
        id: The id of a deleted or unreadable alarm as far as it is known; None otherwise.
        raw: The alarm; empty on DELETE and if unreadable.
    """

    action: Action | None
    id: str | None = None
    raw: bytes = b""


class _Envelope(msgspec.Struct):
    action: str | None = msgspec.field(default=None, name="realtimeAction")
    data: msgspec.Raw = msgspec.Raw(b"")


_envelopes: Final = msgspec.json.Decoder(_Envelope | list[_Envelope])
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
_any: Final = msgspec.json.Decoder(Any)
_ACTIONS: Final = {action.value: action for action in Action}


def read_payload(data: bytes) -> Sequence[Told]:
    """Take one notification apart.

    Args:
        data: The raw JSON of the Bayeux message's `data`.

    Returns:
        Each change it tells, in order. Nothing is raised: what cannot be read says so.
    """
    try:
        found = _envelopes.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return list(_read_slowly(data))
    if isinstance(found, _Envelope):
        return (_tell(found, data),)
    return [_tell(envelope, b"") for envelope in found]


def _read_slowly(data: bytes) -> Iterator[Told]:
    """One by one, so that a broken element does not cost its neighbours."""
    try:
        parts = [bytes(part) for part in _list.decode(data)] if data.lstrip()[:1] == b"[" else [data]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        parts = [data]
    for part in parts:
        try:
            yield _tell(msgspec.json.decode(part, type=_Envelope), part)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            yield _rescue(part)


def _rescue(part: bytes) -> Told:
    """Read what a strict parser refuses, such as a lone surrogate in an alarm's text."""
    try:
        wire = parse_object(part, what="notification")
    except ProtocolError:
        return Told(None)
    inner = wire.get("data")
    action = _ACTIONS.get(str(wire.get("realtimeAction")).upper(), Action.UPDATE)
    if action is Action.DELETE and (gone := alarm_id(inner)) is not None:
        return Told(action, gone)
    if isinstance(inner, dict) and alarm_id(inner) is not None:
        return Told(action, raw=msgspec.json.encode(inner))
    return Told(None, alarm_id(inner))


def _tell(envelope: _Envelope, whole: bytes) -> Told:
    raw = bytes(envelope.data)
    if not raw:  # not wrapped at all: a lone alarm
        return Told(Action.UPDATE, raw=whole) if alarm_id(_peek(whole)) is not None else Told(None)
    return tell(envelope.action or "", raw)


def tell(word: str, raw: bytes) -> Told:
    """One change, of its action and its object; on ``DELETE`` that may be an id alone.

    Args:
        word: The wire's word. An unknown one counts as ``UPDATE``.
        raw: JSON.
    """
    action = _ACTIONS.get(word.upper(), Action.UPDATE)
    if action is Action.DELETE:
        gone = alarm_id(_peek(raw))
        return Told(None) if gone is None else Told(action, gone)
    if raw.lstrip()[:1] != b"{":
        return Told(None, alarm_id(_peek(raw)))
    return Told(action, raw=raw)


def _peek(raw: bytes) -> Any:
    try:
        return _any.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
