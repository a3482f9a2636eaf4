"""GUIDs as XProtect writes them: alone or behind a kind, in either case, and one that means none.

No I/O.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["EMPTY", "guid", "is_guid", "path_of", "same"]

EMPTY: Final = "00000000-0000-0000-0000-000000000000"
"""The GUID that stands for nothing."""

_GUID: Final = re.compile(r"\{?([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\}?")


def is_guid(text: object) -> bool:
    """Whether a text is a GUID and nothing else."""
    return isinstance(text, str) and _GUID.fullmatch(text.strip()) is not None


def guid(path: object) -> str | None:
    """The id in ``cameras/<guid>`` or ``<guid>``; None if there is none, or the empty one.

    A GUID is given in lower case. An id of another kind is kept as it came.

    Args:
        path: What the platform, or a user, wrote.
    """
    if not isinstance(path, str):
        return None
    last = path.strip().rstrip("/").rpartition("/")[2].strip()
    found = _GUID.fullmatch(last)
    identity = last if found is None else found[1].lower()
    return None if identity in ("", EMPTY) else identity


def path_of(path: str, kind: str = "cameras") -> str:
    """A path with its kind, ``cameras/<guid>``: what has none is of `kind`.

    Args:
        path: What the platform, or a user, wrote.
        kind: The name of the collection.
    """
    before = path.strip().rstrip("/").rpartition("/")[0].rpartition("/")[2]
    return f"{before or kind}/{guid(path) or EMPTY}"


def same(one: object, other: object) -> bool:
    """Whether two ids, bare or with their kind, name the same thing; nothing is not the same as nothing."""
    identity = guid(one)
    return identity is not None and identity == guid(other)
