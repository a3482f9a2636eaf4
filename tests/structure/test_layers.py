"""Imports go one way: errors, models ← _http ← _stream ← bayeux ← platforms ← the rest.

The emulator stands alone, and each foreign library stays behind the one file or folder that hides it.
"""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING

import pytest

from structure.source import PACKAGE, files, imports, label, module_of

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = {
    "errors": 0,
    "models": 0,
    "_brief": 0,
    "_cut": 0,
    "_rows": 0,
    "_times": 0,
    "_wire": 0,
    "_version": 0,
    "_http": 1,
    "_stream": 2,
    "_doctor": 3,
    "bayeux": 3,
    "cumulocity": 4,
    "xprotect": 4,
    "_watch": 5,
    "sinks": 6,
    "testing": 6,
    "emulator": 6,
    "cli": 7,
    "__main__": 8,
}
PLATFORMS = {"cumulocity", "xprotect"}
STARTS_THE_EMULATOR = {"testing", "cli", "__main__"}
FOREIGN = {
    "asyncio": ("tocsin/emulator/serve.py", "tocsin/testing/clock.py"),
    "httptools": ("tocsin/_http/_h1/_parser.py",),
    "httpx": ("tocsin/_http/", "tocsin/testing/"),
    "tenacity": ("tocsin/_http/", "tocsin/testing/"),
    "websockets": ("tocsin/_stream/_channel.py", "tocsin/emulator/"),
    "msgspec": (
        "tocsin/_cut.py",
        "tocsin/_rows.py",
        "tocsin/bayeux/_messages.py",
        "tocsin/cumulocity/_observe.py",
        "tocsin/cumulocity/_payload.py",
        "tocsin/xprotect/events/_frames.py",
        "tocsin/xprotect/_observe.py",
    ),
    "spnego": ("tocsin/xprotect/_ntlm.py", "tocsin/emulator/_xprotect_ntlm.py"),
    "starlette": ("tocsin/emulator/",),
    "uvicorn": ("tocsin/emulator/serve.py",),
    "typer": ("tocsin/cli/",),
    "rich": ("tocsin/cli/",),
    "trio": ("tocsin/testing/clock.py",),
    "pytest": ("tocsin/testing/",),
    "requests": (),
    "sniffio": (),
    "threading": ("tocsin/emulator/", "tocsin/_stream/"),
}


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "tocsin" and len(parts) > 1 else None


def inner() -> list[Path]:
    return [path for path in files() if path != PACKAGE / "__init__.py"]


def test_imports_go_one_way() -> None:
    for path in inner():
        check_imports_of(path)


def check_imports_of(path: Path) -> None:
    mine = layer_of(module_of(path))
    assert mine in LAYERS, f"{label(path)} is in no layer; add it to LAYERS or move it"
    for found in imports(path):
        theirs = layer_of(found.name)
        where = f"{label(path)}:{found.line} imports {found.name}"
        if found.name == "tocsin":
            pytest.fail(f"{where}: the root is for users; import from the module itself")
        if theirs is None or theirs == mine:
            continue
        assert theirs in LAYERS, where
        if mine == "emulator":
            pytest.fail(f"{where}: the emulator stands alone")
        if theirs == "emulator":
            assert mine in STARTS_THE_EMULATOR, f"{where}: only testing and cli start the emulator"
            continue
        assert {mine, theirs} != PLATFORMS, f"{where}: platforms never import each other"
        assert LAYERS[theirs] < LAYERS[mine] or LAYERS[mine] == LAYERS[theirs] == 0, f"{where}: upwards"


def test_foreign_libraries_stay_in_their_places() -> None:
    for path, found in ((place, found) for place in files() for found in imports(place)):
        top = found.name.split(".")[0]
        if top in FOREIGN and not found.typing:  # a type in a signature loads nothing
            assert label(path).startswith(FOREIGN[top]), f"{label(path)}:{found.line} imports {top}"


def test_no_import_cycles_at_run_time() -> None:
    known = {module_of(path) for path in files()}
    graph = {
        module_of(path): {
            found.name
            for found in imports(path)
            if found.eager and not found.typing and found.name in known and found.name != module_of(path)
        }
        for path in files()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_check_sees_something() -> None:
    seen = {found.name for path in files() for found in imports(path)}
    assert {"anyio", "httpx", "tocsin.models"} <= seen
