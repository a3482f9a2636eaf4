"""The emulator stands alone: it imports nothing of tocsin but itself, and only one file knows uvicorn."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tocsin.emulator

FILES = sorted(Path(tocsin.emulator.__file__).parent.glob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports(path):
    names = imported(path)
    ours = {name for name in names if name.split(".")[0] == "tocsin"}
    assert all(name.startswith("tocsin.emulator") for name in ours)
    roots = {name.split(".")[0] for name in names} - {"tocsin"} - sys.stdlib_module_names
    allowed = {"anyio", "starlette"} | ({"uvicorn"} if path.name == "serve.py" else set())
    if path.name in {"_socket.py", "_web_socket.py"}:
        allowed |= {"websockets"}
    if path.name == "_xprotect_ntlm.py":
        allowed |= {"spnego"}
    assert roots <= allowed
    if path.name != "serve.py":
        assert "asyncio" not in names


def test_importing_it_brings_no_client_along():
    names = "sorted(m for m in sys.modules if m.startswith(('tocsin.', 'httpx')))"
    code = f"import sys, tocsin.emulator; print({names})"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    loaded = ast.literal_eval(out)
    assert [name for name in loaded if not name.startswith(("tocsin.emulator", "tocsin._version"))] == []


def test_every_public_name_exists():
    for name in tocsin.emulator.__all__:
        assert getattr(tocsin.emulator, name) is not None
