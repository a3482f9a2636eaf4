"""Every error keeps what it carries when it is pickled, copied, or raised in another process."""

import copy
import pickle
import warnings
from datetime import UTC, datetime

import pytest

from tocsin import errors
from tocsin.errors import (
    ConfigurationError,
    ConnectError,
    GapError,
    InsecureTransportWarning,
    ProtocolError,
    RequestTimeoutError,
    StatusError,
    SubscriptionRefusedError,
    TocsinError,
    TransportError,
)
from tocsin.models import Gap

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)
TRANSPORT = {"method": "PUT", "url": "https://h/x", "maybe_applied": True, "permanent": True, "attempts": 3}
STATUS = {
    "status": 409,
    "error": "alarm/Conflict",
    "message": "no",
    "info": "https://docs",
    "method": "GET",
    "url": "https://h/x",
    "retry_after": 2.5,
    "attempts": 2,
}


def subclasses(cls):
    return [cls, *(found for child in cls.__subclasses__() for found in subclasses(child))]


def sample(cls):
    if issubclass(cls, StatusError):
        return cls("it failed", **STATUS)
    if issubclass(cls, TransportError):
        return cls("it broke", **TRANSPORT)
    if cls is ProtocolError:
        return cls("odd", detail="<p>")
    if cls is SubscriptionRefusedError:
        return cls("refused", channel="/alarms/1", error="403::no")
    if cls is GapError:
        return cls(Gap(MOMENT, MOMENT, "session lost", None, "cumulocity", "t1"))
    return cls("wrong")


ALL = [cls for cls in subclasses(TocsinError) if cls.__module__ == "tocsin.errors"]


def test_the_module_lists_every_error():
    assert {cls.__name__ for cls in ALL} | {"InsecureTransportWarning"} == set(errors.__all__)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "through",
    [copy.copy, copy.deepcopy, *[lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(2, 6)]],
)
def test_errors_survive_pickling_and_copying(cls, through):
    error = sample(cls)
    error.add_note("seen by the operator")
    again = through(error)
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
    assert vars(again) is not vars(error)


def test_a_time_out_is_a_builtin_one_too_and_keeps_its_text():
    error = RequestTimeoutError("no answer", method="GET")
    with pytest.raises(TimeoutError, match="no answer"):
        raise error
    assert error.errno is None
    assert issubclass(ConnectError, TransportError)


def test_the_insecure_transport_warning_can_be_filtered():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("ignore", InsecureTransportWarning)
        warnings.warn("x", InsecureTransportWarning, stacklevel=1)
    assert not seen
    assert not issubclass(InsecureTransportWarning, ConfigurationError)
