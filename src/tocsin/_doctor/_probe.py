"""What a probe is, what it may conclude, and what a failure to look means. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tocsin.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RequestTimeoutError,
    StatusError,
    TocsinError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin._doctor._visit import Visit

__all__ = ["Finding", "Judgement", "Probe", "Verdict", "assumed", "differs", "explain", "untold"]

O = TypeVar("O")  # noqa: E741 - an observation

LIMIT: Final = 20.0


class Verdict(StrEnum):
    """What came out."""

    ASSUMED = "as assumed"
    DIFFERS = "differs"
    UNTOLD = "could not be told"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what it rests on, in a few words."""

    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Probe(Generic[O]):
    """One question to a tenant.

    Attributes:
        name: Of a few words with hyphens; part of the report's format.
        question: What it asks.
        assumes: What our client takes for granted.
        look: Observes; may fail with any error.
        judge: Makes a judgement of what was observed. Pure.
        needs: The role without which it cannot be told.
        writes: Whether it changes anything on the tenant.
        limit: Seconds that looking may take, the length of the held poll not counted.
    """

    name: str
    question: str
    assumes: str
    look: Callable[[Visit], Awaitable[O]]
    judge: Callable[[O], Judgement]
    needs: str | None = None
    writes: bool = False
    limit: float = LIMIT


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe came to; safe to be shown to anybody.

    Attributes:
        probe: The question.
        verdict: The answer.
        detail: What it rests on, on one line, without secrets.
        seconds: How long it took.
    """

    probe: Probe[Any]
    verdict: Verdict
    detail: str
    seconds: float


def assumed(detail: str) -> Judgement:
    """It is as our client takes it to be."""
    return Judgement(Verdict.ASSUMED, detail)


def differs(detail: str) -> Judgement:
    """It is not."""
    return Judgement(Verdict.DIFFERS, detail)


def untold(why: str) -> Judgement:
    """It could not be told."""
    return Judgement(Verdict.UNTOLD, why)


def explain(error: Exception | None, needs: str | None = None) -> Judgement:
    """What it means that an observation failed.

    Args:
        error: How; None: it was never begun.
        needs: The role that looking takes.
    """
    if error is None:
        return untold("it did not come to that")
    if isinstance(error, PermissionDeniedError):
        return untold(f"not allowed (HTTP 403){f': it needs {needs}' if needs else ''}")
    if isinstance(error, AuthenticationError):
        return untold("the credentials were refused (HTTP 401)")
    if isinstance(error, NotFoundError):
        return untold("there is nothing at that address (HTTP 404)")
    if isinstance(error, StatusError | RequestTimeoutError):
        return untold(error.reason)
    if isinstance(error, TocsinError):
        return untold(str(error))
    return untold(f"the answer was of an unknown form ({type(error).__name__})")
