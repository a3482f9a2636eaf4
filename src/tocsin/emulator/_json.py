"""JSON as it crosses the wire: UTF-8, nothing that others cannot read, no deeper than we can write again."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

DEPTH: Final = 200


def load(text: bytes) -> Any:
    """Read JSON that a client sent.

    Raises:
        ValueError: It is none, has a number that JSON has not, or is nested too deeply.
    """
    try:
        made = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count(b"{") + text.count(b"[") > DEPTH and _depth(made) > DEPTH:
        raise ValueError("nested too deeply")
    return made


def dump(made: Any) -> bytes:
    """Write JSON, compact; a lone surrogate becomes a question mark, as from Java."""
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"no JSON number: {text}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"too large a number: {text:.40}")
    return number


def _depth(made: Any) -> int:
    deepest, waiting = 0, [(made, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            waiting.extend(
                (child, level + 1) for child in (item.values() if isinstance(item, dict) else item)
            )
    return deepest
