"""What is true of a session is true on held polls and on a two-way connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.bayeux.bayeux_player import Player

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["polls", "duplex"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """How the player's messages come: both in turn, or those that a test names."""
    Player.duplex = request.param == "duplex"
    yield request.param
    Player.duplex = False
