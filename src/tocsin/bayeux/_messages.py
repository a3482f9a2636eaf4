"""Wire shapes: bytes to messages and messages to bytes. Bayeux 1.0, sections Messages and Delivery. No I/O.

The payload of an event is never parsed here: it leaves as the server wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin._http._html import looks_like_html
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Answer", "Batch", "Event", "add_ext", "clean", "encode", "error_code", "parse"]

META = "/meta/"
_EXCERPT = 200
_CODE = re.compile(r"(\d{3}):[^:]*:", re.DOTALL)
# What ends or begins something outside of strings. Possessive, so that no input takes more than linear time.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)
_BAD_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Wire(msgspec.Struct):
    """One element of the array. `Any`, because an odd field of a reply must not cost the reply."""

    channel: str
    id: Any = None
    successful: Any = None
    error: Any = None
    advice: Any = None
    client_id: Any = msgspec.field(default=None, name="clientId")
    subscription: Any = None
    connection_types: Any = msgspec.field(default=None, name="supportedConnectionTypes")
    version: Any = None
    ext: Any = None
    data: msgspec.Raw = msgspec.Raw(b"")


_array = msgspec.json.Decoder(list[msgspec.Raw])
_element = msgspec.json.Decoder(_Wire)
_any = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody published on a channel.

    Attributes:
        channel: The concrete channel, also where the subscription was a pattern.
        data: The payload: raw JSON, as the server wrote it.
        id: The publisher's id of the message, if it gave one. It is not unique.
    """

    channel: str
    data: bytes
    id: str | None = None

    def json(self) -> Any:
        """Return the payload, parsed.

        Raises:
            ProtocolError: It is no valid JSON after all (text that is not UTF-8, nesting without end).
        """
        try:
            return _any.decode(self.data)
        except _BAD_JSON as exc:
            raise ProtocolError(
                f"the payload of a message on {self.channel} cannot be read", detail=excerpt(self.data)
            ) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server says on a meta channel: nearly always the reply to a request.

    Attributes:
        channel: The meta channel.
        successful: What the reply says. An unsolicited message counts as successful.
        id: The id of the request; None where the server left it out.
        error: The server's words, cleaned; None where there are none.
        advice: The raw advice, or None.
        client_id: The session's id, or None.
        subscription: The channel that a reply to subscribe or unsubscribe is about, or None.
        connection_types: What the server can speak; None where it does not say.
        version: The server's protocol version, or None.
        ext: Extensions; empty where there are none.
    """

    channel: str
    successful: bool
    id: str | None = None
    error: str | None = None
    advice: Mapping[str, Any] | None = None
    client_id: str | None = None
    subscription: str | None = None
    connection_types: tuple[str, ...] | None = None
    version: str | None = None
    ext: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """One response, sorted. The order inside each list is the wire's.

    Attributes:
        events: What was published.
        answers: What the server says about our requests and the session.
        unreadable: Elements that are neither, raw.
        advice: Advice that came on events.
    """

    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    advice: list[Mapping[str, Any]] = field(default_factory=list)


def encode(messages: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the JSON array that carries the messages."""
    return msgspec.json.encode(list(messages))


def add_ext(body: bytes, ext: Mapping[str, Any]) -> bytes:
    """Add to the `ext` of each of our own messages."""
    messages = _any.decode(body)
    return encode([{**message, "ext": {**message.get("ext", {}), **ext}} for message in messages])


def parse(body: bytes) -> Batch:
    """Sort one response: an array of messages, or one bare message, after any number of blanks (heartbeats).

    An element that cannot be read is set aside and costs none of its neighbours.

    Raises:
        ProtocolError: The body is empty, cut short, or no JSON array or object.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    if not text:
        raise ProtocolError(
            "the server sent an empty answer where Bayeux messages were expected",
            reason="the answer was empty",
        )
    batch = Batch()
    for raw in _elements(text):
        _sort(raw, batch)
    return batch


def error_code(error: str | None) -> int | None:
    """Return the three digits of ``code:args:message``, or None for plain text."""
    found = _CODE.match(error) if error else None
    return int(found[1]) if found else None


def clean(text: object) -> str | None:
    """Return a server's words on one line, without control characters, cut; None where there are none."""
    if not isinstance(text, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in text[: 2 * _EXCERPT])
    return " ".join(printable.split())[:_EXCERPT] or None


def excerpt(raw: bytes) -> str | None:
    """Return the beginning of what came, readable."""
    return clean(raw[:_EXCERPT].decode("utf-8", "replace"))


def _elements(text: bytes) -> Sequence[bytes | msgspec.Raw]:
    """Cut the array; a bare object is an array of one."""
    if text[:1] == b"{":
        return [text]
    if text[:1] == b"[":
        try:
            return _array.decode(text)
        except _BAD_JSON:
            # Half a surrogate pair in one alarm's text spoils the whole array for a strict parser.
            pieces = _cut(text)
            if pieces is not None:
                return pieces
    if looks_like_html(text, ""):
        raise ProtocolError(
            "a web page answered where Bayeux messages were expected: is it a proxy or a log-in page?",
            detail=excerpt(text),
            reason="a web page answered",
        )
    raise ProtocolError(
        "the server's answer is no array of Bayeux messages",
        detail=excerpt(text),
        reason="the answer was cut off" if text[:1] == b"[" else "the answer was no Bayeux message",
    )


def _cut(text: bytes) -> list[bytes] | None:
    """Cut an array at its commas without reading the elements; None if its brackets do not close."""
    pieces: list[bytes] = []
    depth, begin = 0, 1
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        if (mark == b"," and depth == 1) or (mark == b"]" and depth == 0):
            pieces.append(text[begin : token.start()].strip())
            begin = token.end()
        if depth == 0:
            return pieces if token.end() == len(text) and mark == b"]" else None
    return None


def _sort(raw: bytes | msgspec.Raw, batch: Batch) -> None:
    """Put one element where it belongs.

    An event is a message outside /meta/ that has data, whatever `successful` says: Cumulocity sets it on
    events too, and sends ``data: null`` on replies.
    """
    try:
        wire = _element.decode(raw)
    except _BAD_JSON:
        batch.unreadable.append(bytes(raw))
        return
    data = bytes(wire.data)  # a copy: the slice itself would keep the whole body alive
    if wire.channel.startswith(META):
        # Salesforce's own end of a session has no `successful`.
        if isinstance(wire.successful, bool) or wire.channel == "/meta/disconnect":
            batch.answers.append(_answer(wire))
        else:
            batch.unreadable.append(bytes(raw))
    elif data and data != b"null" and wire.channel.startswith("/"):
        batch.events.append(Event(wire.channel, data, _text(wire.id)))
        if isinstance(wire.advice, dict):
            batch.advice.append(wire.advice)
    elif not isinstance(wire.successful, bool) or not wire.channel.startswith("/"):
        batch.unreadable.append(bytes(raw))
    # What is left answers a publish. We publish nothing.


def _answer(wire: _Wire) -> Answer:
    types = wire.connection_types
    return Answer(
        channel=wire.channel,
        successful=wire.successful is not False,
        id=_text(wire.id),
        error=clean(wire.error),
        advice=wire.advice if isinstance(wire.advice, dict) else None,
        client_id=wire.client_id if isinstance(wire.client_id, str) and wire.client_id else None,
        subscription=wire.subscription if isinstance(wire.subscription, str) else None,
        connection_types=tuple(t for t in types if isinstance(t, str)) if isinstance(types, list) else None,
        version=_text(wire.version),
        ext=wire.ext if isinstance(wire.ext, dict) else {},
    )


def _text(value: object) -> str | None:
    """An id may come back as a number."""
    if isinstance(value, str):
        return value
    return None if value is None or isinstance(value, bool | list | dict) else str(value)
