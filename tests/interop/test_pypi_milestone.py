"""`milestonexprotectrestPython` from PyPI, unmodified, against `tocsin emulator --platform xprotect`."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from interop.public_clients import HERE, PYTHON, SECONDS, EmulatorProcess, missing_python, python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(90),
    pytest.mark.skipif(missing_python() is not None, reason=str(missing_python())),
]
SCRIPT = "milestone_client.py"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--platform", "xprotect") as emulator:
        yield emulator


@pytest.fixture
def seen(emulator: EmulatorProcess, request: pytest.FixtureRequest) -> Any:
    """What the client saw in the scenario of the test's name."""
    return python(SCRIPT, emulator.url, request.function.__name__.removeprefix("test_"))


def test_log_in(seen: Any) -> None:
    for user, count, scope, (kind, text) in ((user, *told) for user, told in seen.items()):
        assert (count, scope, kind) == (3, "managementserver", "XPRRestServiceException"), user
        assert ("InvalidCredential" if user == "demo" else "401 - Unauthorized") in text


def test_cameras(seen: Any) -> None:
    assert seen == {
        "equals": ["Camera 1"],
        "notEquals": ["Camera 2", "Camera 3"],
        "startsWith": ["Camera 1", "Camera 2", "Camera 3"],
        "contains": ["Camera 2"],
    }


def test_names(seen: Any) -> None:
    assert seen["events"][-1] == "Panic button"
    assert {"Communication", "Motion", "Recording"} <= set(seen["groups"])


def test_a_token_that_expired_is_told_as_such(emulator: EmulatorProcess) -> None:
    command = [os.environ[PYTHON], str(HERE / "pypi" / SCRIPT), emulator.url, "expiry"]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "READY\n"
        emulator.control("expire_tokens")
        told, _ = client.communicate("\n", timeout=SECONDS)
    kind, _text = json.loads(told.strip().removeprefix("RESULT "))
    assert kind == "XPRLoginTokenExpiredException"
