"""What an object shows of itself in one line."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["brief"]

_SHOWN: Final = 60


def brief(model: object, names: Sequence[str]) -> Iterator[tuple[str, object]]:
    """The values of some attributes as a repr has them: those that are there, cut to 60 characters.

    Args:
        model: Whose.
        names: Of the attributes.
    """
    for name in names:
        value = getattr(model, name)
        if value is not None:
            text = value.isoformat() if isinstance(value, datetime) else value
            cut = isinstance(text, str) and len(text) > _SHOWN
            yield name, f"{text[:_SHOWN]}…" if cut else str(text) if isinstance(text, str) else text
