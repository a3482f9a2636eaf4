"""Which processor core a process runs on."""

from __future__ import annotations

import os

__all__ = ["CORE", "pin"]

CORE = "BENCHMARK_CORE"
"""The environment variable by which a parent chooses."""


def pin() -> None:
    """Stay on the chosen core, where the system can do that: server and client on different ones."""
    wanted = os.environ.get(CORE)
    if wanted and hasattr(os, "sched_setaffinity") and int(wanted) in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {int(wanted)})
