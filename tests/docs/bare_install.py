"""Run by `nox -s build` where tocsin is installed without extras: what must work, and how the rest fails."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata, resources


def main() -> None:
    import tocsin

    for name in tocsin.__all__:
        getattr(tocsin, name)
    assert resources.files("tocsin").joinpath("py.typed").is_file()
    assert metadata.version("tocsin")
    for command in ("list", "demo", "emulator"):
        ran = subprocess.run(
            [sys.executable, "-m", "tocsin", command], capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 2, ran
        assert ran.stdout == "", ran
        assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
        assert "tocsin[" in ran.stderr, ran.stderr


main()
