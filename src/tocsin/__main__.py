"""The program `tocsin`, and `python -m tocsin`."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]

_LIBRARIES = {"click", "rich", "typer"}


def main() -> None:
    """Run the command line and exit with its code: 0 done or interrupted, 1 failed for good, 2 wrong use."""
    # Until a command listens itself, a request to end is an ordinary end, also while modules are loading.
    signal.signal(signal.SIGTERM, _end)
    try:
        code = _call()
        sys.stdout.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        code = 0
        _drop_stdout()
    raise SystemExit(code)


def _call() -> int:
    try:
        from tocsin.cli._app import call
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        extra = "all" if sys.argv[1:2] in (["demo"], ["emulator"]) else "cli"
        sys.stderr.write(f"tocsin: the command line needs {error.name}: pip install 'tocsin[{extra}]'\n")
        return 2
    try:
        return call(sys.argv[1:])
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        if os.environ.get("TOCSIN_TRACEBACK"):
            raise
        name = type(error).__name__
        sys.stderr.write(f"tocsin: a fault of its own ({name}); TOCSIN_TRACEBACK=1 shows where\n")
        return 1


def _end(number: int, frame: object) -> None:  # noqa: ARG001 - what signal handlers are given
    raise SystemExit(0)


def _drop_stdout() -> None:
    """Keep Python from complaining about a pipe that nobody reads when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
