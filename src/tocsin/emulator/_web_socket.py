"""The server's side of a WebSocket after its handshake: bytes here, ASGI messages there, no I/O."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServerFrames", "accept_header"]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_ABNORMAL: Final = 1006
_NO_TEXT: Final = 1007
_MOST: Final = 64 * 2**20

# The library logs each frame at DEBUG, and a frame may carry credentials.
_SILENT: Final = logging.getLogger("tocsin.emulator.frames")
_SILENT.setLevel(logging.CRITICAL + 1)


def accept_header(key: bytes) -> bytes:
    """What the server answers to ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


class ServerFrames:
    """Turns a client's bytes into what an ASGI application receives, and what it sends into bytes."""

    def __init__(self) -> None:
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=_MOST, logger=_SILENT)
        self._parts: list[bytes] = []
        self._text = True
        self.ended = False
        """Nothing follows what `to_send` gave."""

    def received(self, data: bytes) -> list[dict[str, Any]]:
        """Take in bytes; none at the end of the connection. ASGI messages come out."""
        if self.ended:
            return []
        if not data:
            self.ended = True
            return [{"type": "websocket.disconnect", "code": _ABNORMAL}]
        self._protocol.receive_data(data)
        messages: list[dict[str, Any]] = []
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):
                self._take(frame, messages)
        if self._protocol.parser_exc is not None and not self.ended:
            self.ended = True
            messages.append({"type": "websocket.disconnect", "code": _ABNORMAL})
        return messages

    def send(self, message: Mapping[str, Any]) -> None:
        """Put what the application sends in line."""
        if self.ended:
            return
        if message["type"] == "websocket.send":
            text, data = message.get("text"), message.get("bytes")
            if text is not None:
                self._protocol.send_text(text.encode())
            else:
                self._protocol.send_binary(data or b"")
        elif message["type"] == "websocket.close":
            self._protocol.send_close(message.get("code", 1000), message.get("reason") or "")
            self.ended = True

    def to_send(self) -> bytes:
        """The bytes in line; empties."""
        return b"".join(self._protocol.data_to_send())

    def _take(self, frame: Frame, messages: list[dict[str, Any]]) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                if frame.opcode is not Opcode.CONT:
                    self._text = frame.opcode is Opcode.TEXT
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    whole, self._parts = b"".join(self._parts), []
                    self._tell(whole, messages)
            case Opcode.CLOSE:
                said = self._protocol.close_rcvd
                self.ended = True
                code = 1005 if said is None else int(said.code)
                messages.append({"type": "websocket.disconnect", "code": code})

    def _tell(self, whole: bytes, messages: list[dict[str, Any]]) -> None:
        try:
            kept = {"text": whole.decode()} if self._text else {"bytes": whole}
        except UnicodeDecodeError:
            self._protocol.fail(_NO_TEXT, "not UTF-8")
            self.ended = True
            messages.append({"type": "websocket.disconnect", "code": _NO_TEXT})
        else:
            messages.append({"type": "websocket.receive", **kept})
