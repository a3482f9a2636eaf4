"""The source tree as the structure tests see it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "tocsin"


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes:
        name: Its dotted name; for ``from a import b`` it is ``a.b`` where that is a module.
        line: Where.
        eager: It runs when the importing module is loaded.
        typing: It stands under ``if TYPE_CHECKING``.
    """

    name: str
    line: int
    eager: bool
    typing: bool


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def label(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def module_of(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    place = SRC.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(_imports(tree(path), path, eager=True, typing=False))


def _imports(node: ast.AST, path: Path, *, eager: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import():
                for alias in child.names:
                    yield Import(alias.name, child.lineno, eager, typing)
            case ast.ImportFrom():
                for name in _imported(child, path):
                    yield Import(name, child.lineno, eager, typing)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, path, eager=False, typing=typing)
            case ast.If() if ast.unparse(child.test).endswith("TYPE_CHECKING"):
                for part in child.body:
                    yield from _imports(ast.Module([part], []), path, eager=eager, typing=True)
                for part in child.orelse:
                    yield from _imports(ast.Module([part], []), path, eager=eager, typing=typing)
            case _:
                yield from _imports(child, path, eager=eager, typing=typing)


def _imported(node: ast.ImportFrom, path: Path) -> set[str]:
    base = node.module or ""
    if node.level:
        package = module_of(path).split(".")
        if path.name != "__init__.py":
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        base = ".".join([*package, *([base] if base else [])])
    return {
        full if base.startswith("tocsin") and is_module(full := f"{base}.{alias.name}") else base
        for alias in node.names
    }
