"""A checkpoint in an SQLite database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from anyio import CancelScope
from anyio.to_thread import run_sync

from tocsin._stream._private_file import explained, named_file, open_private, sync_folder
from tocsin._stream._store import CheckpointStore, Mismatch
from tocsin.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SqliteCheckpoint"]

_OURS: Final = 0x746F6373  # "tocs", in the header of the file (PRAGMA application_id)
_FORMAT: Final = 1
_TABLE: Final = "CREATE TABLE record (key BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID"
_PUT: Final = "INSERT INTO record VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET text = excluded.text"
_BESIDE: Final = ("", "-wal", "-shm")


class SqliteCheckpoint(CheckpointStore):
    """Keeps a checkpoint in an SQLite database of its own: mode 0600, one process at a time.

    Each write is one transaction, synced (WAL, ``synchronous=FULL``) before `save` returns. Better than
    `FileCheckpoint` for hundreds of thousands of alarms: nothing is ever written anew as a whole. The
    database is locked while the stream runs; to look at it, copy it.

    Args:
        path: The file. Its folder must exist and be writable.
        every: Seconds between two writes at least; see `CheckpointStore`.
        on_mismatch: "error" or "fresh": what happens to one that cannot be used; see `CheckpointStore`.

    Raises:
        ConfigurationError: The options make no sense, or the path names no file.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, every: float = 1.0, on_mismatch: Mismatch = "error"
    ) -> None:
        super().__init__(every=every, on_mismatch=on_mismatch)
        self.path = named_file(path)
        self._base: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"SqliteCheckpoint({str(self.path)!r})"

    async def load(self) -> Mapping[str, str]:
        """Take the lock and read the records."""
        return await run_sync(self._load)

    async def save(self, records: Mapping[str, str | None]) -> None:
        """Write these records in one transaction. Cancelling it waits until that is done.

        Args:
            records: See `CheckpointStore`.
        """
        await run_sync(self._save, records)

    async def reset(self) -> None:
        """Rename the file to ``PATH.old``."""
        await run_sync(self._put_aside)

    async def aclose(self) -> None:
        """Close the database, which gives the lock up. Also when cancelled: else it would stay locked."""
        with CancelScope(shield=True):
            await run_sync(self._close)

    def _load(self) -> dict[str, str]:
        with self._explained("read"):
            base = self._open()
            rows = base.execute("SELECT key, text FROM record")
            return {bytes(key).decode("utf-8", "surrogatepass"): str(text) for key, text in rows}

    def _open(self) -> sqlite3.Connection:
        if self._base is not None:
            return self._base
        file = open_private(self.path, os.O_RDWR | os.O_CREAT)
        empty = os.fstat(file).st_size == 0
        os.close(file)
        # One thread at a time uses it: no two calls of one store overlap.
        base = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            base.execute("PRAGMA locking_mode = EXCLUSIVE")
            base.execute("PRAGMA synchronous = FULL")
            if base.execute("PRAGMA application_id").fetchone() != (_OURS,):
                self._make(base, empty=empty)
            elif base.execute("PRAGMA user_version").fetchone() != (_FORMAT,):
                raise CheckpointError(
                    f"{self.path} has a format that this version does not read", mismatch=True
                )
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("BEGIN IMMEDIATE")  # the lock is taken by the first write, and kept
            base.execute("COMMIT")
        except BaseException:
            base.close()
            raise
        self._base = base
        return base

    def _make(self, base: sqlite3.Connection, *, empty: bool) -> None:
        base.execute("BEGIN EXCLUSIVE")
        if not empty and base.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            base.execute("ROLLBACK")
            raise CheckpointError(f"{self.path} is the database of another program")
        base.execute(_TABLE)
        base.execute(f"PRAGMA application_id = {_OURS}")
        base.execute(f"PRAGMA user_version = {_FORMAT}")
        base.execute("COMMIT")
        sync_folder(self.path)

    def _save(self, records: Mapping[str, str | None]) -> None:
        with self._explained("written"):
            base = self._open()
            base.execute("BEGIN IMMEDIATE")
            try:
                base.executemany(_PUT, [(_key(k), text) for k, text in records.items() if text is not None])
                gone = [(_key(key),) for key, text in records.items() if text is None]
                base.executemany("DELETE FROM record WHERE key = ?", gone)
                base.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    base.execute("ROLLBACK")
                raise

    def _put_aside(self) -> None:
        with self._explained("put aside"):
            self._close()
            for end in _BESIDE:
                file = self.path.with_name(self.path.name + end)
                with contextlib.suppress(FileNotFoundError):
                    file.replace(self.path.with_name(self.path.name + ".old" + end))
            sync_folder(self.path)

    def _close(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            with explained(self.path, what):
                yield
        except sqlite3.Error as error:
            name = error.sqlite_errorname if hasattr(error, "sqlite_errorname") else ""
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise CheckpointError(
                    f"{self.path} is in use by another process or stream: give each a checkpoint of its own"
                ) from error
            damaged = what == "read" and name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"))
            raise CheckpointError(f"{self.path} cannot be {what}: {error}", mismatch=damaged) from error


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
