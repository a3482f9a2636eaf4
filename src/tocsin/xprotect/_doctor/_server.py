"""The server: where its services are, its clock, its tokens, what it has to choose from, its WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, untold
from tocsin._doctor._reach import ClockSample, judge_address, judge_clocks, look_at_address, sample_clock
from tocsin._doctor._visit import Visit, field, texts
from tocsin._http._request import Request
from tocsin._stream._channel_terms import ChannelSettings
from tocsin.errors import NotFoundError, ProtocolError, StatusError
from tocsin.xprotect._discovery import read_uris
from tocsin.xprotect._login import TokenAuth
from tocsin.xprotect.events._frames import encode_command, read_frame

if TYPE_CHECKING:
    from tocsin._doctor._visit import VisitOptions
    from tocsin._http._request import Response
    from tocsin.xprotect._gateway import Gateway
    from tocsin.xprotect.events._frames import Reply

__all__ = ["SERVER", "SiteVisit", "as_judged", "gateway_of", "read_rows"]

_KEYS: Final = ("ProductVersion", "IdentityProvider", "ApiGateways")
_ONE: Final = (("page", "0"), ("size", "1"))
_NOBODY: Final = "99999999-9999-4999-8999-999999999999"


class SiteVisit(Visit):
    """A visit whose requests go below the REST base of a site."""

    def __init__(self, gateway: Gateway, options: VisitOptions, **settings: Any) -> None:
        super().__init__(gateway.core, options, **settings)
        self.gateway = gateway

    async def send(self, request: Request) -> Response:
        """Send a request; see `Visit.send`."""
        return self.heed(await self.gateway.send(request))


def gateway_of(visit: Visit) -> Gateway:
    """What sends the requests of a visit to a site."""
    assert isinstance(visit, SiteVisit)  # noqa: S101 - for the type checker
    return visit.gateway


def as_judged(seen: Judgement) -> Judgement:
    """For probes that judge while they look."""
    return seen


async def read_rows(visit: Visit, path: str, *query: tuple[str, str]) -> list[dict[str, Any]]:
    """The objects of a list."""
    found = field((await visit.get(path, query)).json(), "array")
    if not isinstance(found, list):
        raise ProtocolError("the answer has no array")
    return [row for row in found if isinstance(row, dict)]


async def _discovery(visit: Visit) -> Judgement:
    try:
        response = await visit.core.send(Request("GET", "/api/.well-known/uris"), auth=None)
    except NotFoundError:
        return differs("nothing is there (HTTP 404): the usual paths are used")
    body = visit.heed(response).json()
    if missing := [name for name in _KEYS if not field(body, name)]:
        return differs(f"without {texts(missing)}")
    found = read_uris(body, visit.core.base_url)
    visit.name(*found.strangers)
    if found.strangers:
        return differs(f"it names {texts(found.strangers)}, which is not asked: the paths here are used")
    version = field(body, "ProductVersion")
    new = found.paths.version is not None and found.paths.version >= (23, 3)
    return assumed(f"version {version}") if new else differs(f"version {version}: it may have no WebSocket")


async def _clocks(visit: Visit) -> list[ClockSample]:
    return [await sample_clock(visit, "/alarms", _ONE) for _ in range(3)]


async def _token(visit: Visit) -> Judgement:
    auth = visit.core._shared.route.auth
    if not isinstance(auth, TokenAuth) or auth.lifetime is None:
        return untold("it does not say, or the token was given to us")
    told = f"{auth.lifetime:.0f} s"
    return assumed(told) if auth.lifetime >= 120 else differs(f"{told}: log-ins will be frequent")


async def _ranks(visit: Visit) -> Judgement:
    odd = []
    for path, wanted in (("/alarmStates", (1, 4, 9, 11)), ("/alarmPriorities", (1, 2, 3))):
        levels = [
            row.get("level") for row in await read_rows(visit, path) if row.get("id") and row.get("name")
        ]
        odd += [
            f"{path} has {levels.count(level)} of level {level}"
            for level in wanted
            if levels.count(level) != 1
        ]
    return differs(texts(odd)) if odd else assumed("one each, with id and name")


async def _reasons(visit: Visit) -> Judgement:
    try:
        rows = await read_rows(visit, "/closeReasons")
    except NotFoundError:
        return differs("there is no such list (HTTP 404): clear(reason=) cannot be used")
    good = all(isinstance(row.get(name), str) for row in rows for name in ("id", "name"))
    return assumed(f"{len(rows)} of them") if good else differs("some have no id or no name")


async def _sessions(visit: Visit) -> Judgement:
    status = 200
    try:
        await visit.get("/alarmSessions")  # only a POST is known, and that would make one
    except StatusError as error:
        if (status := error.status) not in {400, 404, 405}:
            raise
    if status == 404:
        return assumed("nothing is there (HTTP 404)")
    return differs(f"something is there (HTTP {status}): changes(sessions=True) can be tried")


async def _start(visit: Visit, session_id: str) -> Reply:
    """Begin or resume a session of events on a socket of its own."""
    from tocsin._stream._channel import open_channel

    path = (await gateway_of(visit).paths()).socket
    async with visit.core.session() as http:
        channel = await open_channel(http, Request("GET", path), ChannelSettings())
        try:
            await channel.send(encode_command("startSession", 1, sessionId=session_id, eventId=""))
            while True:
                for body in await channel.receive():
                    if (reply := read_frame(body).reply) is not None:
                        visit.hide([reply.session] if reply.session else [])
                        return reply
        finally:
            await channel.aclose()


async def _socket(visit: Visit) -> Judgement:
    try:
        reply = await _start(visit, "")
    except StatusError as error:
        return differs(f"the upgrade is refused (HTTP {error.status}): nothing wakes a stream then")
    if reply.status != 201 or not reply.session:
        return differs(f"HTTP 101, but a new session is answered with {reply.status}")
    resumed, unknown = await _start(visit, reply.session), await _start(visit, _NOBODY)
    told = f"HTTP 101, then {reply.status}; resumed {resumed.status}, unknown {unknown.status}"
    return assumed(told) if (resumed.status, unknown.status) == (200, 201) else differs(told)


SERVER: Final[tuple[Probe[Any], ...]] = (
    Probe("reach", "Is it reached safely?", "over TLS, but on this machine", look_at_address, judge_address),
    Probe("discovery", "Does it say where its services are?", "yes, here", _discovery, as_judged),
    Probe("clock", "Does its clock agree with ours?", "within 5 s", _clocks, judge_clocks),
    Probe("token", "For how long is a token good?", "two minutes or longer", _token, as_judged),
    Probe("levels", "Which states and priorities are there?", "one of each level", _ranks, as_judged),
    Probe("close-reasons", "Are there reasons for closing?", "with id and name", _reasons, as_judged),
    Probe("sessions", "Are there sessions of alarms?", "no; only used if asked for", _sessions, as_judged),
    Probe("websocket", "Does the Events WebSocket resume?", "101; 201, 200, 201", _socket, as_judged),
)
