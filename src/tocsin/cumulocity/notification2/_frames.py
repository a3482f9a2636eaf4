"""One message of a consumer's WebSocket, taken apart. No I/O.

Source: Cumulocity OpenAPI "core", "Notification 2.0"; reference `cumulocity.md` 4.3:

    <ack id>
    /<tenant>/<api>/<source>
    <ACTION>
    …perhaps more header lines…

    <body>

All of it is bytes, and the first empty line ends the header. To cut a text into lines would also cut at
U+2028 and U+0085, which may stand in JSON as they are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tocsin._http._redact import NOTHING_SECRET
from tocsin.errors import ProtocolError

__all__ = ["FrameError", "Notification", "parse_frame"]

_EXCERPT: Final = 120
_LONGEST_ACK: Final = 4096
_HEADER: Final = 65_536
"""Bytes in which the header must end."""


class Notification(NamedTuple):
    """One message.

    Attributes:
        ack: What acknowledges it, to be sent back as it is. It may come again on another connection.
        tenant: The tenant's id.
        api: Such as ``alarms``.
        source: The id of the device; not of the alarm.
        action: ``CREATE``, ``UPDATE``, ``DELETE``, or what else may come.
        body: The object as the REST API gives it; perhaps only an id on ``DELETE``.
    """

    ack: bytes
    tenant: str
    api: str
    source: str
    action: str
    body: bytes


class FrameError(ProtocolError):
    """What came is no notification.

    Attributes:
        ack: What would acknowledge it, if at least that can be read.
    """

    def __init__(self, problem: str, frame: bytes, ack: bytes | None = None) -> None:
        text = frame[: 4 * _EXCERPT].decode("utf-8", "replace")
        detail = NOTHING_SECRET.clean(text, limit=_EXCERPT)
        super().__init__(f"no notification: {problem}", detail=detail, reason="a message could not be read")
        self.ack = ack


def parse_frame(frame: bytes) -> Notification:
    """Take one message apart.

    Args:
        frame: The message, whole.

    Raises:
        FrameError: It is none.
    """
    end = frame.find(b"\n\n", 0, _HEADER)
    if end < 0:
        first, newline, _ = frame[:_HEADER].partition(b"\n")
        raise FrameError("no empty line ends its header", frame, _ack(first) if newline else None)
    lines = frame[:end].split(b"\n")
    ack = _ack(lines[0])
    if ack is None:
        raise FrameError("it cannot be acknowledged", frame)
    if len(lines) < 3:
        raise FrameError("its header is too short", frame, ack)
    try:
        path = lines[1].decode("utf-8").split("/", 3)
        action = lines[2].decode("utf-8")
    except UnicodeDecodeError:
        raise FrameError("its header is not UTF-8", frame, ack) from None
    if len(path) != 4 or path[0] or not all(path[1:3]) or not action:
        raise FrameError("its header does not say what it is about", frame, ack)
    return Notification(ack, path[1], path[2], path[3], action, frame[end + 2 :])


def _ack(line: bytes) -> bytes | None:
    """The ack id, if it can be one: it is sent back as text."""
    if not 0 < len(line) <= _LONGEST_ACK or not line.isascii() or not line.strip():
        return None
    return line
