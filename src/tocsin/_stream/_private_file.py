"""Files that only their owner reads and only one process writes. Everything here blocks."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tocsin.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["ClaimedPath", "check_private", "explained", "named_file", "open_private", "sync_folder"]

_OURS: Final = 0o600
_NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def named_file(path: str | os.PathLike[str]) -> Path:
    """A path that can be a file's.

    Raises:
        ConfigurationError: It is empty, or names a folder by itself.
    """
    if Path(path).name in ("", ".."):
        raise ConfigurationError(f"a checkpoint needs the path of a file, not {os.fspath(path)!r}")
    return Path(path)


def open_private(path: Path, flags: int) -> int:
    """Open a file of mode 0600, through no symbolic link; gives the descriptor.

    Raises:
        CheckpointError: It is no plain file.
        OSError: It cannot be opened.
    """
    if path.is_symlink():  # O_NOFOLLOW says so in words that nobody understands
        raise CheckpointError(f"{path} is a symbolic link: name the file itself")
    file = os.open(path, flags | _NOFOLLOW, _OURS)
    try:
        check_private(file, path)
    except BaseException:
        os.close(file)
        raise
    return file


def check_private(file: int, path: Path) -> None:
    """Refuse what is no plain file, and take the others' rights off one that is."""
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{path} is not a plain file")
    if sys.platform != "win32" and stat.S_IMODE(mode) != _OURS:
        os.fchmod(file, _OURS)


def sync_folder(path: Path) -> None:
    """Make the names in the folder of a file outlive a power cut."""
    if sys.platform == "win32":
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class ClaimedPath:
    """A path that this process alone may write: a lock on a file beside it, which ends with the process.

    Args:
        path: What is claimed; the lock is on the same name with ``.lock`` behind it.

    Raises:
        CheckpointError: Another process, or another stream of this one, has it.
        OSError: The lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = open_private(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT)
        try:
            _lock(self._file)
        except OSError as error:
            self.release()
            raise CheckpointError(
                f"{path} is in use by another process or stream: give each a checkpoint of its own"
            ) from error

    def release(self) -> None:
        """Let others have it. The lock file stays: who removed it could take it from under another's lock."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Say in one sentence what the system refused.

    Raises:
        CheckpointError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path} cannot be {what}: {_reason(error, path)}") from error


def _reason(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    reason = error.strerror or str(error)
    other = error.filename not in (None, os.fspath(path), path)  # the lock beside it, its folder
    return f"{error.filename}: {reason}" if other else reason
