"""The task group that a client owns, and how errors leave it.

A client is an `async with` block; what runs in the background runs in its task group. An error in the user's
block must leave as itself: not in an `ExceptionGroup`, not with a foreign context. So it is kept aside, the
group ends empty, and the error is raised after it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import create_task_group, get_cancelled_exc_class

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from anyio.abc import TaskGroup

__all__ = ["TaskOwner"]


class TaskOwner:
    """Holds the task group of one client while the client is open.

    What is started here must never raise: each background task catches its errors and hands them to whom they
    concern. Leaving the block cancels all tasks and waits for their (bounded) clean-up.

    Args:
        name: What the owner is called in messages, such as ``Cumulocity client``.
    """

    __slots__ = ("_name", "_tasks", "_used")

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: TaskGroup | None = None
        self._used = False

    @property
    def is_open(self) -> bool:
        """Whether tasks can be started."""
        return self._tasks is not None

    def check_open(self) -> None:
        """Raise unless the owner is open.

        Raises:
            ConfigurationError: It was never entered, or it has been left.
        """
        if self._tasks is None:
            why = "is closed" if self._used else "is not open: use `async with`"
            raise ConfigurationError(f"the {self._name} {why}")

    def start(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Start a background task.

        Args:
            run: The task. It must not raise anything but a cancellation.
            name: Its name, for debuggers.

        Raises:
            ConfigurationError: The owner is not open.
        """
        self.check_open()
        assert self._tasks is not None  # noqa: S101 - check_open has just said so
        self._tasks.start_soon(run, name=name)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Own tasks for the length of the block; enter and leave it in one task.

        Raises:
            ConfigurationError: It is open already.
        """
        if self._tasks is not None:
            raise ConfigurationError(f"the {self._name} is open already")
        failure: BaseException | None = None
        async with create_task_group() as tasks:
            self._tasks, self._used = tasks, True
            try:
                yield
            except get_cancelled_exc_class():
                raise  # the group must see a cancellation
            except BaseException as error:  # noqa: BLE001 - it leaves below, outside of the group
                failure = error
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or the traceback keeps this frame, and this frame the traceback
