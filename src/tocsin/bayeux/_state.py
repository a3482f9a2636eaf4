"""The states of a session and the one table that moves between them.

All that decides which state follows which is here; this file knows nothing of messages, time or transports.

The specification has three states (Bayeux 1.0, Client State Table). Ours are finer, because what may be sent
differs: while HANDSHAKING nothing but the handshake, while SUBSCRIBING everything but a connect, while
CONNECTING and RETRYING the connect alone, so that a server that is in trouble is asked one thing at a time. A
successful connect reply, not the handshake, makes a session connected.

A session that ended (CLOSED) can be opened again: a later subscription after a fatal error is the user's own
new try.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["CONNECTING", "LIVE", "OPEN", "TRANSITIONS", "State", "Trigger", "after"]


class State(Enum):
    """Where a session stands."""

    NEW = auto()
    """Nothing was sent yet."""
    HANDSHAKING = auto()
    """A handshake is outstanding, or waits for its time."""
    SUBSCRIBING = auto()
    """The server gave a client id; every wanted channel is being subscribed."""
    CONNECTING = auto()
    """The first connect of the session, which the server answers at once."""
    CONNECTED = auto()
    """The last connect succeeded; the next one is held or waits for its interval."""
    RETRYING = auto()
    """The last connect failed; the next one, with the same client id, waits for its time."""
    DISCONNECTING = auto()
    """We are leaving; whatever the held connect says is of no interest."""
    CLOSED = auto()
    """Over: left, or refused for good."""


CONNECTING = (State.CONNECTING, State.CONNECTED, State.RETRYING)
"""Where a connect may be out."""
LIVE = (State.SUBSCRIBING, *CONNECTING)
"""Where the server has given a client id that still counts."""
OPEN = (State.HANDSHAKING, *LIVE)
"""Where somebody wants something."""


class Trigger(Enum):
    """What moves a session."""

    OPEN = auto()
    """Somebody wants a channel."""
    HANDSHAKEN = auto()
    """The handshake succeeded."""
    SUBSCRIBED = auto()
    """Every wanted channel has its answer."""
    GOOD = auto()
    """A connect succeeded."""
    FAILED = auto()
    """A connect failed and the session may still be there."""
    LOST = auto()
    """The session is gone, or the handshake failed: a handshake is next."""
    STOP = auto()
    """The server or the settings rule out any further try."""
    LEAVE = auto()
    """Nobody wants a channel any more."""
    GONE = auto()
    """The disconnect is done, or its time is up."""


_ENDS = {
    Trigger.LOST: State.HANDSHAKING,
    Trigger.STOP: State.CLOSED,
    Trigger.LEAVE: State.DISCONNECTING,
}

TRANSITIONS: dict[State, dict[Trigger, State]] = {
    State.NEW: {Trigger.OPEN: State.HANDSHAKING},
    State.HANDSHAKING: {Trigger.HANDSHAKEN: State.SUBSCRIBING, **_ENDS},
    State.SUBSCRIBING: {Trigger.SUBSCRIBED: State.CONNECTING, **_ENDS},
    State.CONNECTING: {Trigger.GOOD: State.CONNECTED, Trigger.FAILED: State.RETRYING, **_ENDS},
    State.CONNECTED: {Trigger.GOOD: State.CONNECTED, Trigger.FAILED: State.RETRYING, **_ENDS},
    State.RETRYING: {Trigger.GOOD: State.CONNECTED, Trigger.FAILED: State.RETRYING, **_ENDS},
    # The handshake may be answered while we are leaving: then there is a session to end.
    State.DISCONNECTING: {Trigger.HANDSHAKEN: State.DISCONNECTING, Trigger.GONE: State.CLOSED},
    State.CLOSED: {Trigger.OPEN: State.HANDSHAKING},
}


def after(state: State, trigger: Trigger) -> State:
    """Return the state that follows.

    Raises:
        AssertionError: The table has no such move: a mistake of ours, never of the server's.
    """
    try:
        return TRANSITIONS[state][trigger]
    except KeyError:
        raise AssertionError(f"a session that is {state.name} cannot take {trigger.name}") from None
