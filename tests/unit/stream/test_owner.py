from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from anyio import AsyncContextManagerMixin

from tocsin._stream._owner import TaskOwner
from tocsin.errors import ConfigurationError


class Client(AsyncContextManagerMixin):
    def __init__(self):
        self.owner = TaskOwner("test client")
        self.ended = 0

    @asynccontextmanager
    async def __asynccontextmanager__(self):
        async with self.owner.open():
            yield self

    async def sleeper(self):
        try:
            await anyio.sleep_forever()
        finally:
            self.ended += 1


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), StopAsyncIteration(), KeyboardInterrupt(), Odd(), ExceptionGroup("own", [ValueError(1)])],
    ids=lambda e: type(e).__name__,
)
async def test_a_body_error_leaves_as_itself_and_ends_the_tasks(error):
    client = Client()
    caught = None
    try:
        async with client:
            client.owner.start(client.sleeper, "sleeper")
            await anyio.lowlevel.checkpoint()
            raise error
    except BaseException as exc:  # noqa: BLE001 - that is the test
        caught = exc
    assert caught is error
    assert caught.__context__ is None
    assert caught.__cause__ is None
    assert client.ended == 1


async def test_a_body_error_keeps_the_context_the_user_gave_it():
    with pytest.raises(KeyError) as caught:  # noqa: PT012
        async with Client():
            try:
                raise ValueError("first")
            except ValueError:
                raise KeyError("second")  # noqa: B904 - the implicit context is the point
    assert isinstance(caught.value.__context__, ValueError)


async def test_limits_around_a_client_are_clean():
    client = Client()
    with anyio.move_on_after(0.01) as scope:
        async with client:
            client.owner.start(client.sleeper, "sleeper")
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert client.ended == 1
    with pytest.raises(TimeoutError):  # noqa: PT012
        with anyio.fail_after(0.01):
            async with Client():
                await anyio.sleep_forever()


async def test_the_users_own_group_in_the_body_may_fail_while_it_is_cancelled():
    async def spoil():
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("while cancelled")

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        with anyio.move_on_after(0.01):
            async with Client(), anyio.create_task_group() as tasks:
                tasks.start_soon(spoil)
    assert caught.group_contains(ValueError)


async def test_misuse_says_what_to_do():
    owner = TaskOwner("test client")

    async def nothing():
        raise AssertionError("never started")

    with pytest.raises(ConfigurationError, match="not open: use `async with`"):
        owner.start(nothing, "x")
    async with owner.open():
        with pytest.raises(ConfigurationError, match="open already"):
            async with owner.open():
                pass
    with pytest.raises(ConfigurationError, match="is closed"):
        owner.start(nothing, "x")


async def test_it_can_be_opened_again_and_works_in_an_exit_stack():
    client = Client()
    for _ in range(2):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            client.owner.start(client.sleeper, "sleeper")
            await anyio.lowlevel.checkpoint()
    assert client.ended == 2


async def test_clean_up_of_a_task_may_take_its_time():
    done = anyio.Event()

    async def slow_leaver():
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.move_on_after(1, shield=True):
                await anyio.sleep(0.01)
                done.set()

    async with Client() as client:
        client.owner.start(slow_leaver, "slow")
        await anyio.lowlevel.checkpoint()
    assert done.is_set()
