"""A checkpoint in one file of JSON lines: an image of all records, and behind it what changed since.

Each line is {"crc":"…","body":…} with the CRC-32 of the body's text. The first body tells how many lines of
records the image has; each line behind the image is one `save`. A last line that is not whole is a write
that never ended, so nobody counted on it, and is cut off. Anything else that is not as it was written is
damage.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from zlib import crc32

from anyio.to_thread import run_sync

from tocsin._stream._private_file import ClaimedPath, explained, named_file, open_private, sync_folder
from tocsin._stream._store import CheckpointStore, Mismatch
from tocsin.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["FileCheckpoint"]

_FORMAT: Final = 1
_HEAD: Final = b'{"crc":"00000000","body":'
_LINE: Final = 1000
"""Records in a line of the image."""

_SLACK: Final = 1 << 20
"""Bytes of changes that are always allowed before the image is written anew."""


class FileCheckpoint(CheckpointStore):
    """Keeps a checkpoint in a file: JSON lines, mode 0600, one process at a time.

    What changed is appended and synced (fsync) at each write. Once the changes are longer than the image, and
    than a megabyte, all of it is written anew into a file beside it, which is synced and then takes its name.
    So a crash, or a power cut, at any moment leaves all that `save` returned for. ``PATH.lock`` stays beside
    it, and ``PATH.old`` is what `on_mismatch="fresh"` put aside. Not for network file systems without locks.

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
        self._journal = _Journal(self.path)

    def __repr__(self) -> str:
        return f"FileCheckpoint({str(self.path)!r})"

    async def load(self) -> Mapping[str, str]:
        """Take the lock and read the file."""
        return await run_sync(self._journal.load)

    async def save(self, records: Mapping[str, str | None]) -> None:
        """Append these records, and sync. Cancelling it waits until that is done.

        Args:
            records: See `CheckpointStore`.
        """
        await run_sync(self._journal.append, records)

    async def reset(self) -> None:
        """Rename the file to ``PATH.old``."""
        await run_sync(self._journal.put_aside)

    async def aclose(self) -> None:
        """Close the file and give the lock up."""
        self._journal.close()


class _Journal:
    """The file itself. Everything but `close` blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claim: ClaimedPath | None = None
        self._file: int | None = None
        self._size = 0
        self._image = 0

    def load(self) -> dict[str, str]:
        with explained(self._path, "read"):
            if self._claim is None:
                self._claim = ClaimedPath(self._path)
            try:
                file = open_private(self._path, os.O_RDWR)
            except FileNotFoundError:
                return {}
            self._file = file
            with open(file, "rb", closefd=False) as lines:
                records, image, good = _read(lines, self._path)
            os.ftruncate(file, good)
            os.lseek(file, good, os.SEEK_SET)
            self._image, self._size = image, good
            return records

    def append(self, records: Mapping[str, str | None]) -> None:
        with explained(self._path, "written"):
            if self._file is None:
                self._rewrite({key: text for key, text in records.items() if text is not None})
                return
            line = _line(records)
            try:
                _write(self._file, line)
                os.fsync(self._file)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, self._size)  # half a line must not stay before a whole one
                raise
            self._size += len(line)
            if self._size > 2 * self._image + _SLACK:
                self._compact()

    def _compact(self) -> None:
        with open(open_private(self._path, os.O_RDONLY), "rb") as lines:
            records, _, _ = _read(lines, self._path)
        self._rewrite(records)

    def _rewrite(self, records: dict[str, str]) -> None:
        """Write an image of everything, which takes the file's place once it is whole on the disk."""
        unfinished = self._path.with_name(self._path.name + ".tmp")
        unfinished.unlink(missing_ok=True)  # what a crash left; a link that somebody laid there goes too
        file = open_private(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            size = sum(_write(file, line) for line in _image(records))
            os.fsync(file)
            unfinished.replace(self._path)
            sync_folder(self._path)
        except BaseException:
            os.close(file)
            unfinished.unlink(missing_ok=True)
            raise
        self._drop_file()
        self._file, self._image, self._size = file, size, size

    def put_aside(self) -> None:
        with explained(self._path, "put aside"):
            self._drop_file()
            self._path.replace(self._path.with_name(self._path.name + ".old"))
            sync_folder(self._path)

    def close(self) -> None:
        self._drop_file()
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def _drop_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _line(body: Any) -> bytes:
    text = json.dumps(body, separators=(",", ":")).encode()
    return b'{"crc":"%08x","body":%s}\n' % (crc32(text), text)


def _image(records: dict[str, str]) -> Iterator[bytes]:
    keys = list(records)
    parts = range(0, len(keys), _LINE)
    yield _line({"tocsin": "checkpoint", "format": _FORMAT, "lines": len(parts)})
    for start in parts:
        yield _line({key: records[key] for key in keys[start : start + _LINE]})


def _write(file: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    return len(data)


def _read(lines: BinaryIO, path: Path) -> tuple[dict[str, str], int, int]:
    """All records, the length of the image, and the length of what is whole."""
    header = _body(lines.readline(), path)
    if header.get("tocsin") != "checkpoint":
        raise CheckpointError(f"{path} is not a checkpoint of tocsin", mismatch=True)
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} has format {header.get('format')!r}, this version of tocsin reads {_FORMAT}",
            mismatch=True,
        )
    records: dict[str, str] = {}
    for _ in range(header["lines"]):
        records.update(_body(lines.readline(), path))
    image = good = lines.tell()
    for line in lines:
        if not line.endswith(b"\n"):
            break
        _apply(records, _body(line, path))
        good += len(line)
    return records, image, good


def _apply(records: dict[str, str], changes: dict[str, Any]) -> None:
    for key, text in changes.items():
        if text is None:
            records.pop(key, None)
        else:
            records[key] = text


def _body(line: bytes, path: Path) -> dict[str, Any]:
    text = line[len(_HEAD) : -2]
    if line == _HEAD[:8] + b"%08x" % crc32(text) + _HEAD[16:] + text + b"}\n":
        with suppress(ValueError, TypeError, RecursionError):
            return dict(json.loads(text))
    raise CheckpointError(f"{path} is damaged, or not a checkpoint of tocsin", mismatch=True)
