"""What users call says what each argument means."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from typing import TYPE_CHECKING

import pytest

from tocsin.bayeux._listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = ("tocsin", "tocsin.bayeux", "tocsin.cumulocity", "tocsin.testing")


def callables(module_name: str) -> Iterator[tuple[str, object, str]]:
    """What users can call: its name, itself, and the docstrings that speak of its arguments."""
    module = importlib.import_module(module_name)
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isfunction(thing):
            yield name, thing, thing.__doc__ or ""
        elif inspect.isclass(thing) and thing.__module__.startswith("tocsin"):
            if is_made_by_users(thing):
                yield name, thing, thing.__doc__ or ""
            for attribute, member in methods(thing):
                yield f"{name}.{attribute}", member, documentation(thing, attribute)


def is_made_by_users(cls: type) -> bool:
    if issubclass(cls, BaseException | enum.Enum | dict) or getattr(cls, "_is_protocol", False):
        return False
    return not hasattr(cls, "model_fields") and not re.search(r"\b[Mm]ade by\b", cls.__doc__ or "")


def methods(cls: type) -> Iterator[tuple[str, object]]:
    foreign = {
        name for base in cls.__mro__ if not base.__module__.startswith("tocsin") for name in vars(base)
    }
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        function = getattr(member, "__func__", member)
        if name.startswith("_") or name in foreign or not inspect.isfunction(function):
            continue
        if function.__module__.startswith("tocsin"):
            yield name, function


def documentation(cls: type, name: str) -> str:
    """Its docstring, and that of the protocol by which it is called."""
    seam = getattr(Listener, name, None) if cls.__name__ == "Subscription" else None
    return f"{getattr(cls, name).__doc__ or ''}\n{seam.__doc__ if seam else ''}"


def undocumented(thing: object, text: str) -> list[str]:
    names = [
        name
        for name in inspect.signature(thing).parameters  # type: ignore[arg-type]
        if name not in {"self", "cls"} and not name.startswith("_")
    ]
    return [name for name in names if not re.search(rf"^ +\*{{0,2}}{name}: \S", text, re.MULTILINE)]


@pytest.mark.parametrize("module", MODULES)
def test_every_argument_is_documented(module: str) -> None:
    found = list(callables(module))
    assert len(found) >= 5
    bare = {name: missing for name, thing, text in found if (missing := undocumented(thing, text))}
    assert bare == {}


def test_an_argument_that_is_not_documented_is_found() -> None:
    def bare(first: int, second: int, *rest: int) -> None:
        """Do nothing.

        Args:
            first: One.
            rest: The others.
        """

    assert undocumented(bare, bare.__doc__ or "") == ["second"]
