"""For the tests of whoever uses tocsin: servers without sockets, clocks that jump, a network that fails.

The servers themselves are in `tocsin.emulator`; pytest is not needed, though it fits.
"""

from tocsin.testing._in_process import InProcessServer, in_process
from tocsin.testing._memory_checkpoint import MemoryCheckpoint
from tocsin.testing.clock import VirtualWallClock, virtual_backend, virtual_backends
from tocsin.testing.proxy import ChaosProxy

__all__ = [
    "ChaosProxy",
    "InProcessServer",
    "MemoryCheckpoint",
    "VirtualWallClock",
    "in_process",
    "virtual_backend",
    "virtual_backends",
]
