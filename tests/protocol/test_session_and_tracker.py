"""Session and tracker together, in any order of events that hypothesis can think of."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.stand import Stand
from tocsin.bayeux._state import State
from tocsin.errors import ConnectError, RateLimitError, ServerError, TransportError

PICK = st.integers(0, 7)
THOROUGH = os.environ.get("TOCSIN_HYPOTHESIS") == "thorough"
KINDS = ["create", "change", "repeat", "clear", "delete"]
BODIES = [b"", b"[", b"<html>", b"[]", b"[1]", b'"x"', b"\xff\xfe", b'[{"channel":7}]', b"[[[[]]]]"]
FORGED = [
    b'[{"channel":"/meta/connect","id":"999999","successful":true}]',
    b'[{"channel":"/meta/handshake","id":"999999","successful":true,"clientId":"evil"}]',
    b'[{"channel":"/meta/subscribe","id":"999999","successful":false,"error":"403::no"}]',
]


class SessionAndTracker(RuleBasedStateMachine):
    """What may happen, one thing after another."""

    stand: Stand

    @initialize(duplex=st.booleans(), seed=st.integers(0, 1000), begun=st.booleans())
    def begin(self, duplex: bool, seed: int, begun: bool) -> None:
        self.stand = Stand(duplex=duplex, seed=seed)
        if begun:
            for _ in range(8):
                self.stand.serve_well()
                self.stand.wait(0.2)
                self.stand.consume()

    # The server's users.

    @rule(
        pick=PICK,
        kind=st.sampled_from(["create", "change", "repeat", "clear", "delete"]),
        copies=st.sampled_from([1, 1, 2, 0]),
    )
    def write(self, pick: int, kind: str, copies: int) -> None:
        """Somebody writes; the server tells it once, twice, or (as on a lost queue) never."""
        stand, model = self.stand, self.stand.model
        stand.wait(0.001)
        living = model.living()
        if kind == "create" or not living:
            version = model.create(stand.now)
        else:
            alarm = living[pick % len(living)]
            if kind in {"repeat", "clear"} and not alarm.last.open:
                kind = "change"
            version = getattr(model, kind)(stand.now, alarm)
        if copies:
            stand.publish(version, copies=copies)
        else:
            stand.forget()

    # The network and the server.

    @precondition(lambda self: self.stand.flying)
    @rule(pick=PICK, events_first=st.booleans(), swallowed=st.sampled_from([False, False, False, True]))
    def answer(self, pick: int, events_first: bool, swallowed: bool) -> None:
        send = self.any_send(pick)
        self.stand.reply(send, events_first=events_first, swallowed=swallowed)

    @precondition(lambda self: self.stand.flying)
    @rule(pick=PICK, error=st.sampled_from(["cut", "refused", "502", "429"]))
    def fail(self, pick: int, error: str) -> None:
        errors: dict[str, Any] = {
            "cut": TransportError("cut", maybe_applied=True),
            "refused": ConnectError("refused"),
            "502": ServerError("bad gateway", status=502),
            "429": RateLimitError("slow down", status=429, retry_after=2.0),
        }
        self.stand.fail(self.any_send(pick), errors[error])

    @precondition(lambda self: self.stand.flying)
    @rule(pick=PICK, body=st.sampled_from(BODIES + FORGED))
    def garbage(self, pick: int, body: bytes) -> None:
        self.stand.garble(self.any_send(pick), body)

    @precondition(lambda self: self.stand.duplex)
    @rule()
    def push(self) -> None:
        self.stand.push()

    @rule()
    def forget(self) -> None:
        self.stand.forget()

    @rule()
    def doubt(self) -> None:
        self.stand.session.renew(self.stand.now, "a doubt", 0.5)
        self.stand.pump()

    # Reads.

    @precondition(lambda self: self.stand.asked)
    @rule(pick=PICK)
    def evaluate(self, pick: int) -> None:
        self.stand.evaluate(pick % len(self.stand.asked))

    @precondition(lambda self: self.stand.under_way)
    @rule(pick=PICK)
    def arrive(self, pick: int) -> None:
        self.stand.arrive(pick % len(self.stand.under_way))

    @precondition(lambda self: self.stand.asked)
    @rule(pick=PICK)
    def refuse(self, pick: int) -> None:
        self.stand.refuse(pick % len(self.stand.asked))

    # The consumer, and time.

    @rule()
    def consume(self) -> None:
        self.stand.consume()

    @rule()
    def overflow(self) -> None:
        self.stand.overflow()
        self.stand.pump()

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.stand.wait(seconds)

    @rule(seconds=st.sampled_from([1.0, 4.0, 15.0]))
    def go_well(self, seconds: float) -> None:
        """A while in which all goes well, or nothing would ever get anywhere."""
        for _ in range(int(seconds / 0.5)):
            self.stand.serve_well()
            self.stand.wait(0.5)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "stand"):
            self.stand.check()
            assert self.stand.session.state is not State.CLOSED

    def teardown(self) -> None:
        if hasattr(self, "stand"):
            self.stand.quiet()

    def any_send(self, pick: int) -> Any:
        sends = list(self.stand.flying)
        return sends[pick % len(sends)]


TestSessionAndTracker = SessionAndTracker.TestCase
TestSessionAndTracker.pytestmark = [pytest.mark.timeout(1800)]
TestSessionAndTracker.settings = settings(
    max_examples=1000 if THOROUGH else 40, stateful_step_count=50, deadline=None
)
