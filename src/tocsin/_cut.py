"""JSON as platforms send it, however odd: pages cut into the bytes of their rows, objects read as dicts.

No platform is known here, and no I/O is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
import pydantic_core

from tocsin.errors import ProtocolError

__all__ = ["CutPage", "cut_object", "cut_page", "excerpt", "parse_object"]

_EXCERPT: Final = 120


def excerpt(body: bytes) -> str:
    """The beginning of what came, fit for an error message: one line, no control characters."""
    text = body[: _EXCERPT * 4].decode("utf-8", "replace")
    clean = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return clean if len(clean) <= _EXCERPT else clean[:_EXCERPT] + "…"


def parse_object(raw: bytes, *, what: str = "object") -> dict[str, Any]:
    """Parse a JSON object, forgiving what a strict parser refuses (lone surrogates, NaN, stray bytes).

    An integer of thousands of digits, which Python refuses to read, is read as a float.

    Raises:
        ProtocolError: It is not a JSON object, or nested too deep.
    """
    try:
        value = pydantic_core.from_json(raw)
    except ValueError:
        try:
            value = json.loads(raw.decode("utf-8-sig", "replace"), parse_int=_number)
            text = json.dumps(value, ensure_ascii=False)
            value = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        except (ValueError, RecursionError):
            raise ProtocolError(f"the {what} is not JSON", detail=excerpt(raw)) from None
    if not isinstance(value, dict):
        raise ProtocolError(f"the {what} is not a JSON object", detail=excerpt(raw))
    return value


def _number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        return float(digits)


@dataclass(frozen=True, slots=True)
class CutPage:
    """One page of a collection, cut but not yet validated.

    Attributes:
        items: The raw JSON of each row in the server's order. Each is a copy: nothing pins the whole page.
        rest: Its ``next`` and ``statistics``, parsed, if it has them; one that cannot be read is left out.
    """

    items: list[bytes]
    rest: dict[str, Any]


_BESIDE: Final = ("next", "statistics")


@lru_cache(maxsize=32)
def _page_decoder(key: str) -> msgspec.json.Decoder[Any]:
    beside = [(name, msgspec.Raw, None) for name in _BESIDE]
    rows = ("rows", list[msgspec.Raw], msgspec.field(name=key))
    return msgspec.json.Decoder(msgspec.defstruct("_Page", [rows, *beside]))


def cut_page(body: bytes, key: str) -> CutPage:
    """Cut a page into its rows without looking into them.

    Args:
        body: The whole response body.
        key: The name of the list in it, such as ``alarms``.

    Raises:
        ProtocolError: It is not a JSON object with a list of that name, or nested too deep.
    """
    try:
        page = _page_decoder(key).decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return _cut_slowly(body, key)
    except RecursionError:
        raise ProtocolError("the page is nested too deep", detail=excerpt(body)) from None
    rest: dict[str, Any] = {}
    for name in _BESIDE:
        raw = getattr(page, name)
        if raw is not None:
            try:
                rest[name] = pydantic_core.from_json(bytes(raw))
            except ValueError:
                continue  # nobody asked for it yet; whoever does will see that it is missing
    return CutPage(list(map(bytes, page.rows)), rest)


def _cut_slowly(body: bytes, key: str) -> CutPage:
    """Cut what msgspec refuses: one alarm with a lone surrogate or NaN in it must not cost the other rows."""
    page = parse_object(body, what="page")
    items = page.get(key)
    if not isinstance(items, list):
        raise ProtocolError(f"the page has no list named {key!r}", detail=excerpt(body))
    rest: dict[str, Any] = {name: page[name] for name in _BESIDE if name in page}
    return CutPage([json.dumps(item).encode() for item in items], rest)


class _Envelope(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")


_envelopes: Final = msgspec.json.Decoder(_Envelope)


def cut_object(body: bytes) -> bytes:
    """Take one object out of its envelope, ``{"data": {…}}`` or ``{"result": {…}}``, without looking into it.

    What has an id of its own is the object itself, whatever is named `data` in it.

    Args:
        body: The whole response body.

    Raises:
        ProtocolError: It is not a JSON object, or nested too deep.
    """
    try:
        found = _envelopes.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        whole = parse_object(body)
        inner = next((whole[name] for name in ("data", "result") if isinstance(whole.get(name), dict)), None)
        return body if "id" in whole or inner is None else json.dumps(inner).encode()
    inner = bytes(found.data) or bytes(found.result)
    return inner if inner and not bytes(found.id) else body
