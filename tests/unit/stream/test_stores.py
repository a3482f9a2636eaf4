"""The checkpoint stores: what was saved is there after any end, for one process, for nobody else."""

import json
import os
import resource
import sqlite3
import stat
import sys
from zlib import crc32

import anyio
import pytest

from tocsin import CheckpointError, ConfigurationError, FileCheckpoint, SqliteCheckpoint
from tocsin._stream._private_file import explained

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and limits of POSIX")

STORES = pytest.mark.parametrize("kind", [FileCheckpoint, SqliteCheckpoint])
ODD = "alarm/\ud800\u2028é\n"


async def keep(kind, path, *batches):
    store = kind(path)
    await store.load()
    for batch in batches:
        await store.save(batch)
    await store.aclose()


async def kept(kind, path):
    store = kind(path)
    try:
        return dict(await store.load())
    finally:
        await store.aclose()


@STORES
async def test_what_was_saved_is_there_and_what_was_removed_is_not(kind, tmp_path):
    path = tmp_path / "c"
    assert await kept(kind, path) == {}
    await keep(kind, path, {"a": "1", ODD: "2", "gone": "3"}, {"a": "4", "gone": None, "never": None})
    await keep(kind, path, {"b": "5"})
    assert await kept(kind, path) == {"a": "4", ODD: "2", "b": "5"}


@STORES
async def test_only_the_owner_may_read_it(kind, tmp_path):
    path = tmp_path / "c"
    old = os.umask(0)
    try:
        await keep(kind, path, {"a": "1"})
        path.chmod(0o644)
        await keep(kind, path, {"a": "2"})
    finally:
        os.umask(old)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


@STORES
async def test_a_second_writer_is_refused_and_the_first_goes_on(kind, tmp_path):
    path = tmp_path / "c"
    first, second = kind(path), kind(path)
    await first.load()
    await first.save({"a": "1"})
    with pytest.raises(CheckpointError, match="in use") as caught:
        await second.load()
    assert not caught.value.mismatch
    await second.aclose()
    await first.save({"a": "2"})
    await first.aclose()
    assert await kept(kind, path) == {"a": "2"}


@STORES
async def test_one_that_is_closed_while_cancelled_is_free(kind, tmp_path):
    store = kind(tmp_path / "c")
    await store.load()
    await store.save({"a": "1"})
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.aclose()
    assert await kept(kind, tmp_path / "c") == {"a": "1"}


@STORES
async def test_links_and_what_is_no_file_are_refused(kind, tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(CheckpointError):
            await kept(kind, tmp_path / name)
    assert (tmp_path / "target").read_text() == "mine"


async def test_what_lies_where_the_new_image_is_made_is_not_followed(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "c.tmp").symlink_to(tmp_path / "target")
    await keep(FileCheckpoint, tmp_path / "c", {"a": "1"})
    assert (tmp_path / "target").read_text() == "mine"
    assert await kept(FileCheckpoint, tmp_path / "c") == {"a": "1"}


@STORES
async def test_a_missing_folder_is_a_typed_error(kind, tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder") as caught:
        await keep(kind, tmp_path / "none" / "c", {"a": "1"})
    assert not caught.value.mismatch


@STORES
@pytest.mark.parametrize("path", ["", ".", "/", "a/.."])
def test_a_path_that_can_be_no_file_is_wrong_use(kind, path):
    with pytest.raises(ConfigurationError, match="path of a file"):
        kind(path)


def test_what_is_refused_beside_the_file_is_named(tmp_path):
    beside = r"c cannot be read: /x/c\.lock: denied"
    with pytest.raises(CheckpointError, match=beside), explained(tmp_path / "c", "read"):
        raise PermissionError(13, "denied", "/x/c.lock")


@STORES
@pytest.mark.parametrize("content", [b"", b"{}", b"SQLite format 3\0" + b"\xff" * 5000, b"x" * 5000])
async def test_what_is_no_checkpoint_is_refused_and_put_aside_when_asked(kind, tmp_path, content):
    path = tmp_path / "c"
    path.write_bytes(content)
    if kind is SqliteCheckpoint and not content:
        pytest.skip("an empty file is an empty database")
    store = kind(path)
    with pytest.raises(CheckpointError) as caught:
        await store.load()
    assert caught.value.mismatch
    await store.reset()
    await store.save({"a": "1"})
    await store.aclose()
    assert await kept(kind, path) == {"a": "1"}
    assert (tmp_path / "c.old").read_bytes() == content


async def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "c"
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE theirs (x)")
    base.close()
    with pytest.raises(CheckpointError, match="another program") as caught:
        await kept(SqliteCheckpoint, path)
    assert not caught.value.mismatch


async def test_a_file_cut_anywhere_gives_an_earlier_state_or_is_refused(tmp_path):
    path = tmp_path / "c"
    states, batches = [], [{"a": "1", "b": "1"}, {"a": "2"}, {"b": None, "c": "3"}]
    for number in range(len(batches)):
        await keep(FileCheckpoint, path, batches[number])
        states.append(await kept(FileCheckpoint, path))
    whole = path.read_bytes()
    image = len(b"".join(whole.splitlines(keepends=True)[:2]))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length < image:
            with pytest.raises(CheckpointError) as caught:
                await kept(FileCheckpoint, path)
            assert caught.value.mismatch
        else:
            state = await kept(FileCheckpoint, path)
            assert state in states[:2]
            await keep(FileCheckpoint, path, {"d": "4"})  # what was cut off must not stay in the way
            assert await kept(FileCheckpoint, path) == {**state, "d": "4"}


async def test_any_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "c"
    await keep(FileCheckpoint, path, {"a": "1"}, {"a": "2"}, {"b": "3"})
    whole = path.read_bytes()
    for place in range(len(whole) - 1):  # the last line break is what makes the last write whole
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError) as caught:
            await kept(FileCheckpoint, path)
        assert caught.value.mismatch


async def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "c"
    body = json.dumps({"tocsin": "checkpoint", "format": 2, "lines": 0}).encode()
    path.write_bytes(b'{"crc":"%08x","body":%s}\n' % (crc32(body), body))
    with pytest.raises(CheckpointError, match="format 2"):
        await kept(FileCheckpoint, path)


async def test_the_file_does_not_grow_for_ever(tmp_path):
    path = tmp_path / "c"
    batch = {f"alarm/{number}": "x" * 1000 for number in range(200)}
    store = FileCheckpoint(path)
    await store.load()
    for number in range(12):
        await store.save({**batch, "mark": str(number)})
        assert path.stat().st_size < 1_900_000
    await store.aclose()
    assert await kept(FileCheckpoint, path) == {**batch, "mark": "11"}


@STORES
async def test_a_full_disk_is_a_typed_error_and_what_was_saved_stays(kind, tmp_path):
    path = tmp_path / "c"
    store = kind(path)
    await store.load()
    await store.save({"a": "1"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="written") as caught:
            await store.save({"a": "2" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not caught.value.mismatch
    await store.aclose()
    assert await kept(kind, path) == {"a": "1"}


@pytest.mark.parametrize("options", [{"every": -1}, {"every": 1e9}, {"on_mismatch": "ignore"}], ids=str)
@STORES
def test_options_that_make_no_sense_are_refused(kind, options, tmp_path):
    with pytest.raises(ConfigurationError):
        kind(tmp_path / "c", **options)
