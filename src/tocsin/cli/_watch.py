"""`tocsin watch`: one stream, shown until interrupted."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel

from tocsin._stream._keeping import NOT_RUNNING
from tocsin._stream._store_file import FileCheckpoint
from tocsin.cli._connect import completed, make_client, make_cumulocity
from tocsin.cli._options import Transport
from tocsin.cli._platforms import dialect_of
from tocsin.cli._run import DONE, FAILED, complain
from tocsin.cli._views import choose_view
from tocsin.errors import ConfigurationError, ConnectError
from tocsin.models import StreamState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tocsin._stream._states import StateChange
    from tocsin._stream._stream import ChangeStream
    from tocsin._watch import Watch
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._output import Output
    from tocsin.cli._views import View

__all__ = ["Following", "is_trouble", "unsubscribe", "watch"]

_LAST_WORD: Final = 1.0
"""Seconds that telling of the end may take."""


async def watch(
    connection: Connection,
    scope: Scope,
    output: Output,
    *,
    transport: Transport,
    subscriber: str | None,
    snapshot: bool,
    wait: bool,
    checkpoint: Path | None = None,
    jsonl: bool,
) -> int:
    """Follow and show until interrupted, or until going on makes no sense.

    Raises:
        TocsinError: Going on makes no sense; with `wait` off also: the first connection failed.
    """
    if (transport is Transport.NOTIFICATION2) != (subscriber is not None):
        raise ConfigurationError("--transport notification2 and --subscriber NAME go together")
    connection = completed(connection)
    dialect = dialect_of(connection.platform.value)
    scoped = dialect.changes(scope, transport=transport.value, subscriber=subscriber)
    async with make_client(connection, open_timeout=None, anonymous=True) as client:
        stream = client.alarms.changes(
            **scoped,
            snapshot=snapshot,
            checkpoint=None if checkpoint is None else FileCheckpoint(checkpoint),
        )
        view = choose_view(output, f"{connection.url}  {connection.tenant or ''}", jsonl=jsonl)
        await Following(stream, view, where=connection.url, patient=wait).run()
    return DONE


async def unsubscribe(connection: Connection, scope: Scope, output: Output, subscriber: str) -> int:
    """End a durable consumer for good, and say whether there was one."""
    async with make_cumulocity(connection, "unsubscribe") as client:
        source = tuple(scope.source) if scope.source else "*"
        topic = client.notification2.topic(source, children=scope.children, type=scope.type or None)
        if not await client.notification2.unsubscribe(subscriber, topic):
            complain(f"there is no consumer {subscriber} of {topic}")
            return FAILED
        await output.write(f"unsubscribed {subscriber} of {topic}\n".encode())
    return DONE


class Following:
    """Shows all that a stream gives and does, to its end.

    A table is drawn from the moment the stream is attached; trouble before that is told on stderr.

    Args:
        stream: Not yet entered; it is closed at the end.
        view: Where it is shown.
        where: The platform's address, for who reads of trouble.
        patient: Whether a first connection that fails is tried again; a watch always does.
        beside: Runs beside it, and is cancelled when the stream ends.
    """

    def __init__(
        self,
        stream: ChangeStream[Any] | Watch,
        view: View,
        *,
        where: str | None = None,
        patient: bool,
        beside: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
    ) -> None:
        self._stream = stream
        self._view = view
        self._where = where
        self._patient = patient
        self._beside = beside
        self._tasks = anyio.create_task_group()
        self._opening = anyio.CancelScope()
        self._attached = False
        self._shown: dict[str, StateChange] = {}
        self._trouble: dict[str, str] = {}
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Follow to the end. Cancelling it closes the stream.

        Raises:
            TocsinError: The stream's own error, or `ConnectError` where nobody is patient.
            OSError: The view cannot write.
        """
        try:
            async with self._tasks:
                self._tasks.start_soon(self._part, self._show_states)
                self._tasks.start_soon(self._part, self._beside)
                await self._part(self._show_items)
                self._tasks.cancel_scope.cancel()
        finally:
            await self._say_closed()
        if self._failure is not None:
            raise self._failure

    async def _part(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part. Its error ends all of them and leaves `run` as itself, in no group."""
        try:
            await part()
        except Exception as error:  # noqa: BLE001 - raised again by run
            self._failure = self._failure or error
            self._tasks.cancel_scope.cancel()

    async def _show_items(self) -> None:
        async with AsyncExitStack() as stack:
            if self._patient:  # a watch owns tasks: no scope ends before it
                await stack.enter_async_context(self._stream)
            else:
                await self._enter_soon(stack)
            self._attached = True
            self._tasks.start_soon(self._part, self._view.run)
            item: Any  # a watch promises `AlarmLike` only
            async for item in self._stream:
                await self._view.show(item)

    async def _enter_soon(self, stack: AsyncExitStack) -> None:
        with self._opening:
            await stack.enter_async_context(self._stream)
        if self._opening.cancelled_caught:
            site, cause = next(reversed(self._trouble.items()))
            raise ConnectError(f"no connection to {self._where or site}: {cause}")

    async def _show_states(self) -> None:
        async for change in self._stream.states():
            await self._show_state(change)
            if not self._attached and is_trouble(change):
                self._say_trouble(change.site, change.cause)

    async def _show_state(self, change: StateChange) -> None:
        if change is not self._shown.get(change.site):
            self._shown[change.site] = change
            await self._view.show_state(change)

    def _say_trouble(self, site: str, cause: str | None) -> None:
        if cause is None or cause == self._trouble.get(site):
            return
        self._trouble[site] = cause
        if self._patient:
            complain(f"no connection to {self._where or site} yet, trying again: {cause}")
        else:
            self._opening.cancel()

    async def _say_closed(self) -> None:
        if isinstance(self._failure, OSError):
            return
        with anyio.move_on_after(_LAST_WORD, shield=True):
            await self._stream.aclose()
            async for change in self._stream.states():
                if change.state is StreamState.CLOSED:
                    await self._show_state(change if self._failure else _ended(change))


def _ended(change: StateChange) -> StateChange:
    """The end of what did not fail: an interruption takes the client and its streams down in any order."""
    return replace(change, cause=None)


def is_trouble(change: StateChange) -> bool:
    """Whether it says that a first connection fails; going on from a checkpoint is no failure."""
    return change.state is not StreamState.CLOSED and change.cause not in (None, NOT_RUNNING)
