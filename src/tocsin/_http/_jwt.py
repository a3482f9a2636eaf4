"""What a JSON web token says of itself. Nothing is verified: that is the server's business (RFC 7519)."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["expiry", "readable"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799  # the last second that a datetime can hold
_MOST = 65_536  # characters of a token that are looked at


def expiry(token: str) -> datetime | None:
    """When a token expires by its own word (claim ``exp``); None if it does not say or is no such token."""
    seconds = _claims(token).get("exp")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit() and len(seconds) < 20:
        seconds = int(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LATEST:
        return None
    return _EPOCH + timedelta(seconds=seconds)


def readable(moment: datetime) -> str:
    """A moment as messages have it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MOST:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
