"""What the HTTP control reads out of a request's body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST: Final = 3600.0


def text(body: Mapping[str, Any], name: str) -> str:
    """A string that must be there."""
    value = body.get(name)
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    return value


def texts(body: Mapping[str, Any], name: str) -> frozenset[str]:
    """A list of strings, empty if absent."""
    values = body.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise invalid(f"{name} must be a list of strings")
    return frozenset(values)


def flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """True or false."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false")
    return value


def number(body: Mapping[str, Any], name: str) -> float:
    """Seconds, 0 if absent."""
    value = body.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST:
        raise invalid(f"{name} must be a number of seconds, at most {_LONGEST:.0f}")
    return float(value)
