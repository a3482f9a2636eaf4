"""How clients are entered and left: as anyio's mixin does it, with words for misuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

__all__ = ["EnteredClient"]


class EnteredClient(ABC):
    """An async context manager whose block is written as a generator, `__asynccontextmanager__`.

    anyio's own mixin raises `RuntimeError` for what is the user's mistake.
    """

    __entered: AbstractAsyncContextManager[Self] | None = None

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            ConfigurationError: It is open already, or cannot be opened again.
        """
        if self.__entered is not None:
            raise ConfigurationError("the client is open already: it is entered once, and shared")
        manager = self.__asynccontextmanager__()
        value = await manager.__aenter__()
        self.__entered = manager
        return value

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Close it.

        Raises:
            ConfigurationError: It is not open.
        """
        manager, self.__entered = self.__entered, None
        if manager is None:
            raise ConfigurationError("the client is not open: use it with `async with`")
        return await manager.__aexit__(kind, value, traceback)

    @abstractmethod
    def __asynccontextmanager__(self) -> AbstractAsyncContextManager[Self]:
        """What happens round the block."""
