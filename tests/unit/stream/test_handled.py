"""What a stream tells its reader of what the consumer handled."""

import pytest

from tocsin._stream._stream import ChangeStream
from tocsin.errors import CheckpointError, ConfigurationError
from unit.stream.stream_fakes import Client, ScriptReader, change, gap


class Keeping(ScriptReader):
    """Notes what leaves the buffer, what is handled, and what is committed."""

    keeps = True

    def __init__(self, **options):
        super().__init__(**options)
        self.taken = []
        self.done = []
        self.commits = []
        self.refuses = None
        self.buffer.on_taken = self.taken.extend

    def handled(self, item):
        self.done.append(item)

    async def commit(self):
        if self.refuses is not None:
            raise self.refuses
        self.commits.append(len(self.done))


def stream_of(client, reader):
    return ChangeStream(reader, client.owner, open_timeout=5.0)


ITEMS = [change(1), gap(), change(2)]


async def test_asking_for_the_next_item_says_that_the_last_one_is_handled():
    reader = Keeping()
    async with Client() as client, stream_of(client, reader) as stream:
        reader.buffer.push(ITEMS)
        for index, item in enumerate(ITEMS):
            assert await anext(stream) is item
            assert reader.done == ITEMS[:index]
        assert reader.taken == ITEMS
    assert reader.done == ITEMS  # the block was left without an error


async def test_an_error_in_the_body_leaves_the_item_in_hand_unhandled():
    reader = Keeping()
    async with Client() as client:
        with pytest.raises(KeyError):  # noqa: PT012
            async with stream_of(client, reader) as stream:
                reader.buffer.push(ITEMS)
                await anext(stream)
                await anext(stream)
                raise KeyError
    assert reader.done == ITEMS[:1]


async def test_closing_from_elsewhere_leaves_the_item_in_hand_unhandled():
    reader = Keeping()
    async with Client() as client, stream_of(client, reader) as stream:
        reader.buffer.push(ITEMS)
        await anext(stream)
        await stream.aclose()
        assert reader.done == []


async def test_commit_counts_the_item_in_hand_once():
    reader = Keeping()
    async with Client() as client, stream_of(client, reader) as stream:
        reader.buffer.push(ITEMS)
        await anext(stream)
        await stream.commit()
        assert reader.commits == [1]
        await anext(stream)
        assert reader.done == ITEMS[:1]


async def test_a_stream_that_keeps_nothing_refuses_to_commit():
    async with Client() as client, stream_of(client, ScriptReader()) as stream:
        with pytest.raises(ConfigurationError, match="checkpoint"):
            await stream.commit()


async def test_a_commit_that_fails_is_told_once_and_ends_the_stream():
    reader = Keeping()
    async with Client() as client, stream_of(client, reader) as stream:
        reader.buffer.push(ITEMS)
        await anext(stream)
        reader.refuses = reader.unkept = CheckpointError("full")
        with pytest.raises(CheckpointError):
            await stream.commit()
        reader.buffer.close(reader.unkept, discard=True)
        assert [item async for item in stream] == []


async def test_what_could_not_be_kept_at_the_end_is_told_by_closing():
    reader = Keeping()
    async with Client() as client:
        stream = stream_of(client, reader)
        await stream.__aenter__()
        reader.unkept = CheckpointError("full")
        with pytest.raises(CheckpointError):
            await stream.aclose()
        await stream.aclose()


async def test_an_error_of_the_body_is_not_hidden_by_what_could_not_be_kept():
    reader = Keeping()
    async with Client() as client:
        with pytest.raises(KeyError):  # noqa: PT012
            async with stream_of(client, reader):
                reader.unkept = CheckpointError("full")
                raise KeyError
