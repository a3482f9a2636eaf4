"""A request's head as bytes. No I/O."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["request_head"]

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")


def request_head(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], length: int) -> bytes:
    """Write a head.

    Args:
        method: The method.
        target: Path and query.
        headers: Names and values.
        length: The length of the body that will follow.

    Raises:
        httpx.LocalProtocolError: It would not be one head, or not frame that body.
    """
    lines = [method + b" " + target + b" HTTP/1.1"]
    framed = False
    for name, value in headers:
        if not _is_token(name):
            raise httpx.LocalProtocolError("a header's name is malformed")
        lowered = name.lower()
        if lowered == b"content-length":
            if framed or value != b"%d" % length:
                raise httpx.LocalProtocolError("Content-Length is not the length of the body")
            framed = True
        elif lowered == b"transfer-encoding":
            continue  # the body is known whole
        lines.append(name + b": " + value)
    if length and not framed:
        lines.append(b"Content-Length: %d" % length)
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    # One look at all of it: a line break within would make two headers, or two requests, of one.
    breaks = len(lines) + 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise httpx.LocalProtocolError("a header's value holds a line break or NUL")
    if not _is_token(method) or _TARGET.fullmatch(target) is None:
        raise httpx.LocalProtocolError("the method or the target is malformed")
    return head


@lru_cache(maxsize=256)
def _is_token(text: bytes) -> bool:
    return _TOKEN.fullmatch(text) is not None
