"""What an import costs a fresh process: CPU time of a whole interpreter, its start included."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.runner import Candidate, interleave, options, run, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
STATEMENTS = (
    "pass",
    "import tocsin",
    "import anyio, httpx, pydantic; pydantic.BaseModel",
    "from tocsin import Cumulocity",
)


def children() -> float:
    """CPU seconds of all processes that have ended so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _candidate(statement: str, size: int, cache: str) -> Candidate:
    # Compiled once, as in an installation, and elsewhere so as not to litter the sources.
    command = [sys.executable, "-X", f"pycache_prefix={cache}", "-c", statement]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def work() -> int:
        for _ in range(size):
            subprocess.run(command, check=True, cwd=ROOT, env=environ)
        return size

    return Candidate(f"python -c {statement.partition(';')[0]!r}", work)


async def _main(statements: Sequence[str], asked: argparse.Namespace) -> None:
    with TemporaryDirectory() as cache:
        candidates = [_candidate(statement, asked.size, cache) for statement in statements]
        results = await interleave(candidates, asked.rounds, clock=children)
    print(table("imports: a fresh process", results, "process"))


def main(argv: Sequence[str] | None = None, statements: Sequence[str] = STATEMENTS) -> None:
    """Run it."""
    run(partial(_main, statements), options(__doc__, 1, 7, argv))


if __name__ == "__main__":
    main()
