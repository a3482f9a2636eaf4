"""What is public: `__all__` is the truth, every public name is documented, the root is cheap to import."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import tocsin
from structure.source import files, label, module_of, tree

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"typer", "rich", "websockets", "tenacity", "starlette", "uvicorn", "httpx"}


def has_all(path: Path) -> bool:
    return any(isinstance(node, ast.Assign) and is_all(node.targets) for node in tree(path).body)


def is_all(targets: list[ast.expr]) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def public_modules() -> list[str]:
    names = [module_of(path) for path in files()]
    return [
        name for name in names if "cli" not in name and not any(p.startswith("_") for p in name.split("."))
    ]


@pytest.mark.parametrize("path", [path for path in files() if has_all(path)], ids=label)
def test_all_is_what_is_there(path: Path) -> None:
    module = importlib.import_module(module_of(path))
    names = module.__all__
    assert len(names) == len(set(names))
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing, f"{module.__name__}.__all__ promises {missing}"
    hidden = [name for name in names if name.startswith("_") and name != "__version__"]
    assert not hidden
    if module_of(path) in public_modules() and path.name != "__init__.py":
        kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        defined = {node.name for node in tree(path).body if isinstance(node, kinds)}
        defined = {name for name in defined if not name.startswith("_")}
        assert defined <= set(names), f"public but not in __all__: {sorted(defined - set(names))}"


def test_the_root_lists_its_names_sorted_and_loads_each() -> None:
    assert list(tocsin.__all__) == sorted(tocsin.__all__, key=by_kind)
    for name in tocsin.__all__:
        assert getattr(tocsin, name) is not None
    assert set(tocsin.__all__) <= set(dir(tocsin))
    with pytest.raises(AttributeError, match="nothing_like_that"):
        _ = tocsin.nothing_like_that


def by_kind(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("name", public_modules())
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    bare = [
        f"{name}.{public}{member}"
        for public in getattr(module, "__all__", ())
        for member in undocumented(getattr(module, public))
    ]
    assert not bare, f"no docstring: {bare}"


def undocumented(thing: object) -> list[str]:
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return []
    bare = [] if (thing.__doc__ or "").strip() else [""]
    if inspect.isclass(thing) and thing.__module__.startswith("tocsin"):
        bare += [
            f".{name}"
            for name, member in vars(thing).items()
            if not name.startswith("_")
            and (inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod))
            and not (getattr(member, "__doc__", None) or "").strip()
        ]
    return bare


def modules_loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return set(json.loads(done.stdout))


def loaded_by(statement: str) -> set[str]:
    return {name.split(".")[0] for name in modules_loaded_by(statement)}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import tocsin", set()),
        ("from tocsin import Action, Change, Gap, Origin, TocsinError", set()),
        (
            "from tocsin import Cumulocity",
            {"httpx", "rich"},
        ),  # httpx itself may load rich where it is installed
        ("import tocsin.bayeux", {"httpx", "rich"}),
    ],
)
def test_heavy_libraries_load_only_when_used(statement: str, allowed: set[str]) -> None:
    assert not (loaded_by(statement) & HEAVY) - allowed


def test_streams_load_when_the_first_one_is_made() -> None:
    streams = {"tocsin._stream._tracker", "tocsin._stream._follower", "tocsin.bayeux._session"}
    client = "import tocsin; c8y = tocsin.Cumulocity('http://127.0.0.1', None)"
    assert not modules_loaded_by(client) & streams
    assert modules_loaded_by("from tocsin.bayeux import BayeuxClient") >= {"tocsin.bayeux._session"}
