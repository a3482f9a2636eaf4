"""What can be set on an emulated XProtect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tocsin.emulator._settings import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class XProtectSettings:
    """How the VMS behaves. All times in seconds.

    Args:
        gateway: Whether an API Gateway is installed; without, only the identity provider answers.
        discovery: What `/api/.well-known/uris` tells: the host that was asked, nothing (404), or hosts that
            only the VMS's own network knows, as behind a NAT.
        token_lifetime: For how long a token is good.
        lock_after: So many wrong passwords in a row lock an account; None: never.
        windows: Whether the identity provider logs Windows users in.
        visible_after: How long a write that was answered 202 is not to be seen yet.
        page_size: Objects on a page when the client does not say.
        page_size_max: The most that it may ask for.
        next_link: What `_links.next` of a full page is: absent, right, or without the API's prefix, as some
            servers have it.
        filter_updated: Whether alarms can be filtered and ordered by `lastUpdatedTime`.
        patch_keys: `all`: a PATCH that lacks one of the five documented keys is answered 400.
        null_clears: Whether null in a PATCH clears what it names; else it is left alone.
        sessions: Whether `/alarmSessions` is there.
        session_lifetime: A session of it, or of `/eventSessions`, that nobody asks for so long is forgotten.
        closed_retention: Closed alarms vanish after so long; None: never.
        open_retention: Other alarms do.
        event_retention: Events of External types are kept for so long; all others are not stored.
        resume_window: For so long after a WebSocket broke its session can be resumed.
        eager_resume: Whether a resumed session gets what it missed before the reply to its command.
        state_latency: How long `getState` takes.
        limits: Caps.
    """

    gateway: bool = True
    discovery: Literal["here", "absent", "internal"] = "here"
    token_lifetime: float = 3600.0
    lock_after: int | None = 5
    windows: bool = True
    visible_after: float = 0.0
    page_size: int = 100
    page_size_max: int = 2000
    next_link: Literal["absent", "right", "wrong"] = "wrong"
    filter_updated: bool = False
    patch_keys: Literal["any", "all"] = "any"
    null_clears: bool = False
    sessions: bool = False
    session_lifetime: float = 60.0
    closed_retention: float | None = None
    open_retention: float | None = None
    event_retention: float = 86_400.0
    resume_window: float = 30.0
    eager_resume: bool = False
    state_latency: float = 0.0
    limits: Limits = field(default_factory=Limits)
