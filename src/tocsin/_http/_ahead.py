"""Pages that are read before they are due, in the hope that the list goes on as it began.

A walk says what it will ask for if nothing surprising comes. What it no longer says after a page came was a
wrong guess: it is cancelled, and nobody looks at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from anyio import CancelScope, Event
from anyio.lowlevel import EventLoopToken, current_token

from tocsin.errors import ConfigurationError, ProtocolError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tocsin._http._pages import Batch, Start, Walk

__all__ = ["AHEAD", "Ahead"]

AHEAD: Final = 4
"""Pages under way or waiting beside the one at hand. More brings nothing (reference `performance.md` 3)."""

A = TypeVar("A")


class _Early:
    """One request that runs while the pages before it are consumed."""

    __slots__ = ("_ask", "_scope", "_walk", "batch", "done", "error", "guessed")

    def __init__(self, walk: Walk[Any], ask: Hashable, *, guessed: bool) -> None:
        self._walk = walk
        self._ask = ask
        self._scope = CancelScope()
        self.guessed = guessed
        self.done = Event()
        self.batch: Batch | None = None
        self.error: BaseException | None = None

    @property
    def ends(self) -> bool:
        """Whether nothing behind it is worth asking for."""
        return self.error is not None or (self.batch is not None and self.batch.last)

    async def run(self) -> None:
        try:
            with self._scope:
                self.batch = await self._walk.read(self._ask, early=self.guessed)
        except* Exception as group:  # noqa: BLE001 - it belongs to whoever waits for the page
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            self.error = error
        finally:
            self.done.set()

    def cancel(self) -> None:
        self._scope.cancel()


class Ahead(Generic[A]):
    """Reads the batches of one walk, some of them early.

    Args:
        walk: What is read.
        start: Starts the tasks; None: nothing is read early.
    """

    def __init__(self, walk: Walk[A], start: Start | None) -> None:
        self._walk = walk
        self._start = start
        self._early: dict[Hashable, _Early] = {}
        self._ending: list[_Early] = []  # cancelled, perhaps not gone yet
        self._token: EventLoopToken | None = None

    def plan(self) -> bool:
        """Ask for what the walk expects to need, drop what it does not; whether anything was asked for."""
        if self._start is None or not self._walk.more:
            self.drop()
            return False
        try:
            asks = self._walk.asks(AHEAD)
        except TocsinError:
            self.drop()
            return False  # it is raised again, by whoever goes there
        for ask in [ask for ask in self._early if ask not in asks]:
            self._drop(ask)
        started = False
        for place, ask in enumerate(asks):
            early = self._early.get(ask)
            if early is None:
                early = _Early(self._walk, ask, guessed=place > 0)
                try:
                    self._start(early.run, "tocsin page ahead")
                except ConfigurationError:
                    break  # the client is being closed; the next turn says so
                self._early[ask] = early
                self._token = self._token or current_token()
                started = True
            elif early.ends:
                for behind in asks[place + 1 :]:
                    self._drop(behind)
                break
        return started

    async def read(self) -> tuple[Batch, bool]:
        """The batch that is due, and whether it was asked for before the one in front of it had come.

        Cancelling it loses nothing. After an error nothing is under way any more.
        """
        ask = self._walk.asks(1)[0]
        early = self._early.get(ask)
        if early is not None:
            await early.done.wait()
            del self._early[ask]
            if early.batch is not None:
                return early.batch, early.guessed
            self.drop()
            # What was guessed may have been held to closer limits. Without an error the client was closed
            # under it, as the next line will say.
            if early.error is not None and not (early.guessed and isinstance(early.error, ProtocolError)):
                raise early.error
        return await self._walk.read(ask, early=False), False

    def drop(self) -> None:
        """Cancel whatever is under way."""
        for ask in list(self._early):
            self._drop(ask)

    def _drop(self, ask: Hashable) -> None:
        early = self._early.pop(ask, None)
        if early is not None and not early.done.is_set():
            early.cancel()
            self._ending = [one for one in self._ending if not one.done.is_set()]
            self._ending.append(early)

    def abandon(self) -> None:
        """Cancel whatever is under way, because nobody wants it. Any thread may call it, at any moment."""
        if all(early.done.is_set() for early in list(self._early.values())):
            return
        try:
            here = current_token() == self._token
        except Exception:  # noqa: BLE001 - no loop runs in this thread; what says so depends on the backend
            return  # the requests end by their own time limit, and nobody looks at them
        if here:
            self.drop()

    async def aclose(self) -> None:
        """Cancel whatever is under way and wait until it has gone."""
        self.drop()
        with CancelScope(shield=True):  # short: all have been cancelled
            for early in self._ending:
                await early.done.wait()
        self._ending = []
