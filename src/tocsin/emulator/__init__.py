"""An in-memory server of the alarm platforms, for tests, demos and the command line.

It speaks plain JSON and shares no code with the client, so that one mistake cannot cancel another. It needs
the extra `tocsin[emulator]`.
"""

from tocsin.emulator._access import Access, User
from tocsin.emulator._emulator import Emulator
from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Requests
from tocsin.emulator._ledger import Difference, Entry, Ledger, essence
from tocsin.emulator._settings import (
    BayeuxSettings,
    Behaviour,
    Limits,
    LoginSettings,
    Notification2Settings,
    ThrottleSettings,
)
from tocsin.emulator._store import Store
from tocsin.emulator._xprotect_settings import XProtectSettings
from tocsin.emulator.faults import Fault, Faults, Ordered
from tocsin.emulator.serve import Served, serve, serve_forever
from tocsin.emulator.xprotect import XProtectEmulator

__all__ = [
    "Access",
    "BayeuxSettings",
    "Behaviour",
    "Difference",
    "Emulator",
    "Entry",
    "Fault",
    "Faults",
    "Ledger",
    "Limits",
    "LoginSettings",
    "Notification2Settings",
    "Ordered",
    "RefusedError",
    "Requests",
    "Served",
    "Store",
    "ThrottleSettings",
    "User",
    "XProtectEmulator",
    "XProtectSettings",
    "essence",
    "serve",
    "serve_forever",
]
