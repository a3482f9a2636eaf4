"""Who makes a write."""

from __future__ import annotations

from typing import NamedTuple


class Author(NamedTuple):
    """Who makes a write, as the audit tells it."""

    user: str = "service_emulator"
    application: str = ""


NOBODY = Author()
"""Whoever writes through the store itself."""
