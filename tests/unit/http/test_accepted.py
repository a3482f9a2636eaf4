"""Waiting for what a platform does in the background."""

import itertools

import anyio
import pytest

from tocsin import Accepted, NotFoundError, RequestTimeoutError

pytestmark = pytest.mark.virtual_time


def counting_down(*lefts):
    """Looks that find so many left, the last of them for ever; and when they were made."""
    moments = []

    async def look():
        await anyio.lowlevel.checkpoint()
        moments.append(anyio.current_time())
        return lefts[min(len(moments), len(lefts)) - 1]

    return look, moments


async def test_it_looks_ever_more_rarely():
    look, moments = counting_down(*[5] * 9, 0)
    accepted = Accepted("the work", 202, look)
    await accepted.wait(None)
    gaps = [round(b - a, 3) for a, b in itertools.pairwise(moments)]
    assert gaps == [0.5, 1, 2, 4, 8, 10, 10, 10, 10]
    assert (accepted.done, accepted.left) == (True, 0)
    await accepted.wait(0)
    assert await accepted.check()
    assert len(moments) == 10  # what is done is not looked at again


async def test_what_stalls_is_told_apart_from_what_is_slow():
    slow = Accepted("the work", 202, counting_down(*range(100, 0, -1))[0])
    with pytest.raises(RequestTimeoutError) as caught:
        await slow.wait(45)
    assert "dropped" not in str(caught.value)
    stalled = Accepted("the work", 202, counting_down(9, 7, 7)[0])
    with pytest.raises(RequestTimeoutError, match="7 alarms are left, as many as 44 s ago"):
        await stalled.wait(45)
    with pytest.raises(RequestTimeoutError, match="could not be read in that time"):
        await Accepted("the work", 202, anyio.sleep_forever).wait(1)


async def test_a_wait_that_was_cancelled_or_failed_can_be_gone_on_with():
    look, _ = counting_down(3, 3, 3, 0)
    accepted = Accepted("the work", 202, look)
    with anyio.move_on_after(1) as scope:
        await accepted.wait(60)
    assert scope.cancelled_caught
    assert not accepted.done

    fails = [NotFoundError("gone", status=404)]

    async def failing():
        if fails:
            raise fails.pop()
        return await look()

    again = Accepted("the work", 202, failing)
    with pytest.raises(NotFoundError, match=r"accepted with 202 and may well go on, .* not be read: gone"):
        await again.wait()
    await again.wait()
    assert again.done


async def test_what_cannot_be_counted_is_not_told_as_a_number():
    some = Accepted("the work", 202, counting_down(None, None)[0])
    with pytest.raises(RequestTimeoutError, match=r"not done after 45 s: some alarms are left$"):
        await some.wait(45)
    assert (some.left, some.done) == (None, False)
    ending = Accepted("the work", 202, counting_down(None, 3, None, 0)[0])
    await ending.wait()
    assert ending.done
