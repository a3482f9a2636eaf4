"""The transports that real sockets are tested with."""

import pytest


@pytest.fixture(params=["direct", "httpx"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which transport clients use that are given none."""
    monkeypatch.setenv("TOCSIN_TRANSPORT", request.param)
    return request.param
