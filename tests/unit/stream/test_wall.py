from datetime import timedelta

from tocsin._stream._wall import SteadyWall
from unit.stream.stream_fakes import wall


class Settable:
    def __init__(self):
        self.now = wall()

    def __call__(self):
        return self.now

    def move(self, seconds):
        self.now += timedelta(seconds=seconds)


def test_it_never_falls_and_spans_keep_their_length():
    clock = Settable()
    steady = SteadyWall(clock)
    first = steady()
    clock.move(10)
    before = steady()
    assert before - first == timedelta(seconds=10)
    clock.move(-3600)
    assert steady() == before
    clock.move(5)
    after = steady()
    assert after - first == timedelta(seconds=15)
    assert steady.shown(after) == clock.now
    assert steady.shown(after) - steady.shown(first) == timedelta(seconds=15)


def test_a_step_forward_is_believed():
    clock = Settable()
    steady = SteadyWall(clock)
    first = steady()
    clock.move(8 * 3600)
    assert steady() - first == timedelta(hours=8)
    assert steady.shown(steady()) == clock.now
