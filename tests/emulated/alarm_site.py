"""A client of an emulator in process, and what it asked for."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from tocsin import RetryPolicy
from tocsin.cumulocity import BasicAuth, Cumulocity
from tocsin.emulator import Emulator
from tocsin.testing import in_process

DEVICE = "4711"


class Wall:
    """The server's clock."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead


class Site:
    """An emulator, a client, and what was asked of the one by the other."""

    def __init__(self, emulator, server, client, wall):
        self.wall = wall
        self.emulator = emulator
        self.server = server
        self.client = client
        self.alarms = client.alarms
        self.asked = []
        self.before = {}

    async def watch(self, request, call_next):
        """A middleware: something may happen before the n-th request for a page."""
        if request.path == "/alarm/alarms" and request.method == "GET":
            self.asked.append(dict(request.query))
            happen = self.before.get(len(self.asked))
            if happen is not None:
                happen()
        return await call_next(request)

    def fill(self, count, **fields):
        return [self.add(number, **fields) for number in range(count)]

    def add(self, number, **fields):
        alarm = {"type": f"acme_{number}", "source": DEVICE, "text": f"alarm {number}", **fields}
        return self.emulator.store.create(alarm)["id"]

    def later(self, seconds):
        """Let time pass on the server."""
        self.wall.ahead += timedelta(seconds=seconds)

    def clear(self, *ids):
        for one in ids:
            self.emulator.store.update(one, {"status": "CLEARED"})


@asynccontextmanager
async def site(*, user="demo", **options):
    wall = Wall()
    emulator = Emulator(**{"clock": wall, **options})
    async with in_process(emulator) as server:
        held = []

        async def watch(request, call_next):
            return await held[0].watch(request, call_next)

        client = Cumulocity(
            server.url,
            BasicAuth(user, "demo", tenant="t1"),
            transport_factory=server.transport_factory,
            retry=RetryPolicy.none(),
            middleware=[watch],
        )
        held.append(Site(emulator, server, client, wall))
        async with client:
            yield held[0]


async def ids(listing):
    return [alarm.id async for alarm in listing]


async def fill(given, listing):
    """Take what comes, and keep it whatever comes then."""
    async for alarm in listing:
        given.append(alarm.id)
