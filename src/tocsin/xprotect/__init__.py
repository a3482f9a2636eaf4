"""Milestone XProtect: its client, its credentials, its alarms."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin._http._auth import BearerAuth
    from tocsin.xprotect._login import BasicUser, ClientCredentials, WindowsUser
    from tocsin.xprotect.client import ClientOptions, XProtect

__all__ = [
    "BasicUser",
    "BearerAuth",
    "ClientCredentials",
    "ClientOptions",
    "WindowsUser",
    "XProtect",
]

_HOMES = {
    "tocsin._http._auth": ("BearerAuth",),
    "tocsin.xprotect._login": ("BasicUser", "ClientCredentials", "WindowsUser"),
    "tocsin.xprotect.client": ("ClientOptions", "XProtect"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
