"""States, priorities and the like that are not written as they should be. No I/O."""

from __future__ import annotations

from typing import Any

__all__ = ["mended_rank"]


def mended_rank(value: Any) -> dict[str, Any] | None:
    """A state or the like that is not written as it should be: an id alone, or some of it missing."""
    if isinstance(value, str) and value:
        return {"id": value}
    if not isinstance(value, dict):
        return None
    identity, level, name = value.get("id"), value.get("level"), value.get("name")
    if isinstance(level, str) and level.strip().isascii() and level.strip().isdecimal() and len(level) < 10:
        level = int(level)
    return {
        "id": identity if isinstance(identity, str) else "",
        "level": level if isinstance(level, int) and not isinstance(level, bool) else None,
        "name": name if isinstance(name, str) else None,
    }
