"""What can be set on an emulator: how faithful, how old, how big."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Profile = Literal["current", "seed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BayeuxSettings:
    """The realtime endpoint's behaviour. All times in seconds.

    Args:
        timeout: How long a connect is held when the client proposes nothing (the platform: 90 minutes).
        timeout_max: The longest hold that a client may propose.
        interval: What the advice asks the client to wait between two connects.
        max_interval: A session without a connect for this long is forgotten; the client's own
            `advice.interval` is added to it.
        heartbeat: A space byte is sent into a held poll this often; None sends none.
        early_headers: Send the response's headers when the hold begins, not with the first heartbeat.
            A poll whose headers are out can no longer end with the status 500 of a duplicate connect.
        require_cookie: Tie a session to its `BAYEUX_BROWSER` cookie, as CometD does.
        multiple_clients_interval: The advised interval for a second session in one cookie store.
        unknown_session: The error text for an unknown client; newer engines say `402::session_unknown`.
        needs_accept: Answer requests without an `Accept` header with an empty body, as the documents say;
            but Cumulocity's own JavaScript client sends none under Node.js, and is said to work there.
        null_data: Put `"data":null` into connect replies, as captured traffic shows.
        array_data: Send the payload as an array of `{realtimeAction, data}`, as the documents print it.
        live_last_updated: Whether alarms in notifications carry `lastUpdated`.
        delete_shape: What the inner `data` of a DELETE notification is.
        copy_per_subscription: Send one copy for each matching subscription of a session (as the Node.js
            server does) instead of one for the session (as the Java server does).
        notification_path: Whether `/notification/realtime` exists.
        cep_path: Whether the older `/cep/realtime` exists.
        connections: How many sessions of one user may listen to one channel; another one ends the oldest.
            None: any number.
        web_socket: Whether there are WebSockets; without, as with older servers and behind some proxies,
            they are refused and not offered.
        disconnect_reply: Whether a disconnect is answered on a WebSocket, and a held connect with it.
        ack: Confirm the extension `ack` to who asks for it, and keep each batch of events until it is
            acknowledged. That the platform does is shown by its Java SDK alone, in captured replies.
        without_role: What a user gets who lacks ROLE_ALARM_READ. `refused`: no alarm channel, as the
            documents say. `own`: the channels of devices that are open to that user, but not `*`.
            `filtered`: any channel, and on it the alarms of those devices only.
    """

    timeout: float = 5400.0
    timeout_max: float = 7200.0
    interval: float = 0.0
    max_interval: float = 10.0
    heartbeat: float | None = 15.0
    early_headers: bool = False
    require_cookie: bool = True
    multiple_clients_interval: float = 2.0
    unknown_session: str = "402::Unknown client"
    needs_accept: bool = False
    null_data: bool = True
    array_data: bool = False
    live_last_updated: bool = True
    delete_shape: Literal["string", "number", "object"] = "string"
    copy_per_subscription: bool = False
    notification_path: bool = True
    cep_path: bool = True
    connections: int | None = 10
    web_socket: bool = True
    disconnect_reply: bool = False
    ack: bool = True
    without_role: Literal["refused", "own", "filtered"] = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification2Settings:
    """The Messaging Service's behaviour. All times in seconds.

    Args:
        there: Whether there is one; without, its paths are 404.
        delay: How long a new subscription takes until it feeds its topic (the platform: some seconds).
        unacknowledged: Messages that a connection may have out; delivery stops there.
        redeliver_after: A message that is not acknowledged for so long is sent again on the same
            connection, as older documents say; None: only after the next connect.
        idle: A connection on which neither side says anything new for so long, not even a ping, is closed.
        lingering: So long after a connection broke without a goodbye an exclusive consumer still counts as
            connected, and another one is refused with 409.
        backlog: Bytes that a subscriber may have waiting. What exceeds them is not delivered, and who wrote
            it is answered 500, though it is stored.
        lifetime: What waits for longer is dropped.
        header_lines: More lines in the head of each message.
        unsubscribed: What a client that leaves for good is told.
    """

    there: bool = True
    delay: float = 0.0
    unacknowledged: int = 1000
    redeliver_after: float | None = None
    idle: float = 300.0
    lingering: float = 0.0
    backlog: int = 25 * 1024 * 1024
    lifetime: float = 36 * 3600.0
    header_lines: tuple[str, ...] = ()
    unsubscribed: Literal["DONE", "SCHEDULED"] = "DONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Where releases of the platform differ, or nobody knows for sure.

    Args:
        bump_last_updated_on_repeat: Whether a de-duplicated POST moves `lastUpdated`.
        last_updated: False is a server before 10.11: alarms lack `lastUpdated`, its filters are ignored.
        immutable_keys: What a PUT does with keys that cannot be changed.
        next_after_full_page: A full last page has a `next`, though nothing follows.
        misspelt_first_occurrence: `firstOccurenceTime`, on every alarm, as the seed document says.
        bulk_delay: Seconds between the reply to a bulk DELETE and the deletion.
        bulk_seconds: How long a bulk PUT takes; beyond 0.5 its reply is 202, and it goes on after that.
        bulk_stops_after: What goes on after the reply is dropped after so many alarms, and nobody is told.
        upsert: Whether `POST /alarm/alarms/upsert` is there, or with which status it is refused.
        restricted_pages: How pages are cut for a user who lacks ROLE_ALARM_READ. In both the reply's
            `currentPage` is the place of the next alarm that was not looked at. `offset`: a page is filled
            with what the user may see until it is full or 10 x max(pageSize, 100) alarms were looked at,
            and `currentPage` of the request, as of `next`, is the place to go on from. `page`: it is the
            number of a page, out of which everything that is not open to the user is left.
    """

    bump_last_updated_on_repeat: bool = True
    last_updated: bool = True
    immutable_keys: Literal["ignore", "reject"] = "ignore"
    next_after_full_page: bool = True
    misspelt_first_occurrence: bool = False
    bulk_delay: float = 0.0
    bulk_seconds: float = 0.0
    bulk_stops_after: int | None = None
    upsert: Literal["there", 404, 405] = "there"
    restricted_pages: Literal["offset", "page"] = "offset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps on what a client can make the emulator hold.

    Args:
        body: Bytes of a request body; more is 413.
        alarms: Alarms held; more is 507.
        devices: Devices held; more is 507.
        sessions: Bayeux sessions; more refuses the handshake.
        channels: Channels of one session; more are refused.
        held: Polls held at once; more are answered at once.
        sockets: WebSockets at once; more are refused with 503.
        notification2: Subscriptions of Notification 2.0 held; more are 507.
        frame: Bytes of a message from a client on a WebSocket; more closes it with 1009.
        queue: Events queued for one session; a session that is further behind is forgotten.
        audit: Audit records kept; older ones are dropped.
        ledger: Entries kept; older ones are dropped and counted.
        hang: Seconds after which a request that a fault lets hang is dropped.
    """

    body: int = 16 * 1024 * 1024
    alarms: int = 1_000_000
    devices: int = 200_000
    sessions: int = 1000
    channels: int = 10_000
    held: int = 1000
    sockets: int = 1000
    notification2: int = 10_000
    frame: int = 1024 * 1024
    queue: int = 100_000
    audit: int = 200_000
    ledger: int = 5_000_000
    hang: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings:
    """How users log in.

    Args:
        basic: Whether user and password may be sent with each request. Bootstrap users always may.
        internal: Whether OAI-Secure is there: `/tenant/oauth/token` and `/tenant/oauth`.
        lifetime: Seconds for which a token is good.
        sessions: Tokens that one user can have at a time; another log-in ends the oldest.
        renew_after: The tenant has sessions: a token that came as a cookie is replaced when it is used and
            older than so many seconds. None: it has none.
        grace: Seconds for which a token that was replaced is still good.
        session_lifetime: Seconds after which a session ends, however often it was prolonged.
        certificates: Whether devices can exchange certificates for tokens.
        device_lifetime: Seconds for which such a token is good.
    """

    basic: bool = True
    internal: bool = True
    lifetime: float = 172_800.0
    sessions: int = 5
    renew_after: float | None = None
    grace: float = 60.0
    session_lifetime: float = 1_209_600.0
    certificates: bool = True
    device_lifetime: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleSettings:
    """The tenant's limit on requests. It is off unless both `requests` and `queue` are set, as there.

    Args:
        requests: So many a second; the platform calls it `limit.http.requests`.
        queue: So many more wait for their turn (`limit.http.queue`); beyond that the answer is 429.
        retry_after: Seconds in the `Retry-After` of a 429. None sends none: it is not confirmed that the
            platform does.
    """

    requests: float | None = None
    queue: int | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        rate, room = self.requests, self.queue
        if (rate is not None and not 0 < rate < 1e9) or (room is not None and room < 0):
            raise ValueError("requests is above 0, queue is 0 or more")
        if self.retry_after is not None and not 0 <= self.retry_after < 1e9:
            raise ValueError("retry_after is 0 or more seconds")


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them together, as the parts of one emulator see them."""

    tenant: str
    profile: Profile
    bayeux: BayeuxSettings = field(default_factory=BayeuxSettings)
    behaviour: Behaviour = field(default_factory=Behaviour)
    limits: Limits = field(default_factory=Limits)
    login: LoginSettings = field(default_factory=LoginSettings)
    notification2: Notification2Settings = field(default_factory=Notification2Settings)
