"""Files up to 400 lines, function bodies up to 40, and nothing that the house rules forbid."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from structure.source import ROOT, files, label, tree

if TYPE_CHECKING:
    from pathlib import Path

FILE_LINES = 400
BODY_LINES = 40
FORBIDDEN_CALLS = {
    "time.time": "wall time is no delay; use anyio.current_time()",
    "time.monotonic": "it does not follow a virtual clock; use anyio.current_time()",
    "time.perf_counter": "it does not follow a virtual clock; use anyio.current_time()",
    "time.sleep": "it blocks the loop",
    "asyncio.sleep": "anyio.sleep runs on trio too",
    "asyncio.create_task": "tasks live in task groups",
    "asyncio.ensure_future": "tasks live in task groups",
    "random.random": "randomness is injected",
    "random.uniform": "randomness is injected",
    "random.choice": "randomness is injected",
    "random.randint": "randomness is injected",
    "datetime.utcnow": "it is naive",
    "eval": "no",
    "exec": "no",
    "os.system": "no",
    "pickle.loads": "no",
    "uuid.uuid4": "randomness is injected",
}
PROCESS_TIME = {"tocsin/emulator/serve.py"}
"""A real server in a real thread: its waits are real."""
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
DUMPS = {"utils", "helpers", "common", "misc", "_utils", "_helpers", "_common"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_files_are_short() -> None:
    lines = {label(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert not {name: number for name, number in lines.items() if number > FILE_LINES}


def test_function_bodies_are_short() -> None:
    lines = {f"{label(path)}:{f.name}": body_lines(f) for path in files() for f in functions(path)}
    assert not {name: number for name, number in lines.items() if number > BODY_LINES}


def test_no_forbidden_calls() -> None:
    for path, node in ((place, node) for place in files() for node in ast.walk(tree(place))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            short = ".".join(name.split(".")[-2:])
            reason = FORBIDDEN_CALLS.get(short)
            if reason and not (short.startswith(("time.", "asyncio.")) and label(path) in PROCESS_TIME):
                pytest.fail(f"{label(path)}:{node.lineno} calls {name}: {reason}")
            if short in {"datetime.now", "datetime.fromtimestamp"} and not (node.args or node.keywords):
                pytest.fail(f"{label(path)}:{node.lineno} makes a naive time")
        if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
            pytest.fail(f"{label(path)}:{node.lineno} is a stub")
        if isinstance(node, ast.FunctionDef) and node.name == "__del__":
            pytest.fail(f"{label(path)}:{node.lineno} defines __del__")
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            pytest.fail(f"{label(path)}:{node.lineno} is a star import")


def test_nothing_is_left_for_later() -> None:
    for path in files():
        assert not MARKERS.search(path.read_text(encoding="utf-8")), label(path)
        assert path.stem not in DUMPS, f"{label(path)}: a function goes where its noun lives"


def test_bare_print_is_for_the_command_line_only() -> None:
    for path in files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                assert label(path).startswith("tocsin/cli/"), f"{label(path)}:{node.lineno} prints"


def test_tests_do_not_patch_and_do_not_sleep_on_the_wall_clock() -> None:
    patching = re.compile(r"setattr\(\s*[\"']?(httpx|httpcore|anyio)\b|unittest\.mock|unittest import mock")
    sleeping = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\(\s*[1-9]")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.name == "test_shape.py":
            continue
        text = path.read_text(encoding="utf-8")
        assert not patching.search(text), f"{path} patches a library"
        assert not sleeping.search(text), f"{path} sleeps"
