"""`c8y_api` and `pyc8y` from PyPI, unmodified, against `tocsin emulator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interop.public_clients import EmulatorProcess, missing_python, python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(90),
    pytest.mark.skipif(missing_python() is not None, reason=str(missing_python())),
]
TYPES = [f"py_{number}" for number in range(12)]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as emulator:
        yield emulator


@pytest.fixture(params=["c8y_api", "pyc8y"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def seen(emulator: EmulatorProcess, client: str, request: pytest.FixtureRequest) -> Any:
    """What the client saw in the scenario of the test's name."""
    scenario = request.function.__name__.removeprefix("test_")
    return python(f"{client}_client.py", emulator.url, scenario)


def test_credentials(seen: Any) -> None:
    assert seen["user"] == "demo"
    assert seen["wrong"].startswith("UnauthorizedError")


def test_oauth(seen: Any) -> None:
    assert (seen["user"], seen["xsrf"]) == ("demo", True)
    assert seen["wrong"].startswith("UnauthorizedError")


def test_audit(seen: Any) -> None:
    assert seen == {"activities": ["Alarm updated", "Alarm created"]}


def test_create(seen: Any) -> None:
    assert (seen["count"], seen["status"], seen["floor"]) == (1, "ACTIVE", 3)
    assert seen["again"] == [seen["id"], 2, "MAJOR"]


def test_update(seen: Any, client: str) -> None:
    if client == "c8y_api":
        assert seen["changed"] == ["ACKNOWLEDGED", "Smoke in room 3"]
        assert seen["read"] == ["ACKNOWLEDGED", "Smoke in room 3", "WARNING"]
    else:
        assert (seen["changed"], seen["read"]) == ("ACKNOWLEDGED", ["ACKNOWLEDGED", "WARNING"])


def test_paging(seen: Any) -> None:
    assert seen["all"] == TYPES
    assert seen.get("workers", sorted(TYPES)) == sorted(TYPES)
    assert seen["limit"] == TYPES[:7]
    assert seen["page"] == TYPES[10:]


def test_filters(seen: Any) -> None:
    assert seen["severity"] == TYPES[1:10:2]
    assert (seen["before"], seen["young"]) == (TYPES[5:10], TYPES[:5])
    assert (seen["several"], seen["created"], seen["updated"], seen["resolved"]) == (10, 0, 10, 0)
    assert seen.get("type", ["py_3"]) == ["py_3"]
    assert seen.get("children", 10) == 10


def test_count(seen: Any) -> None:
    assert seen == {"all": 7, "minor": 3}


def test_bulk(seen: Any, emulator: EmulatorProcess) -> None:
    assert emulator.statuses(seen["source"]) == {"CRITICAL": ["CLEARED"] * 3, "MINOR": ["ACTIVE"] * 3}
    assert emulator.statuses(seen["other"]) == {"CRITICAL": ["ACTIVE"], "MINOR": ["ACTIVE"]}


def test_delete(seen: Any, emulator: EmulatorProcess) -> None:
    left = {alarm["type"] for alarm in emulator.alarms(seen["source"])}
    assert left == {"py_0", "py_3", "py_4", "py_5"}


def test_errors(seen: Any) -> None:
    assert seen["missing"].startswith("KeyError")
    assert "422" in seen["incomplete"]
    assert "mandatory fields" in seen["incomplete"]


def test_inventory(seen: Any) -> None:
    assert (seen["named"], seen["count"], seen["left"]) == ([seen["source"]], 1, 0)
    assert seen.get("fragment", 0) == 0
    assert seen.get("renamed", "renamed") == "renamed"
