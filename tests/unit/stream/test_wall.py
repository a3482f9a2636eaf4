from datetime import timedelta

from tocsin._stream._wall import Past, SteadyWall
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


def test_the_time_of_an_instant_before_the_machine_slept_is_not_told_too_late():
    past = Past()
    past.note(100.0, wall())
    asleep = timedelta(hours=1)  # the monotonic clock stands still meanwhile
    past.note(110.0, wall() + timedelta(seconds=10) + asleep)
    assert past.at(105.0) == wall() + timedelta(seconds=5)
    assert past.at(111.0) == wall() + timedelta(seconds=11) + asleep
    assert past.at(99.0) == wall() - timedelta(seconds=1)


def test_the_past_takes_little_room_and_reaches_back_a_minute():
    past = Past()
    for tick in range(100_000):
        past.note(tick / 100, wall() + timedelta(seconds=tick / 100))
    assert len(past._notes) < 100
    assert past.at(940.0) == wall() + timedelta(seconds=940)
