"""What a platform gives a follower, and what a follower gives a platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin._stream._answers import Answer, Observed, Read
    from tocsin._stream._receipts import Receipt
    from tocsin.errors import TocsinError
    from tocsin.models import Action

__all__ = ["Attachment", "Inlet", "Platform"]

R = TypeVar("R")
A_co = TypeVar("A_co", covariant=True)


class Inlet(Protocol[R]):
    """Where a platform's live channel puts what it brings.

    Everything but `room` is synchronous, raises nothing and is worked off at once: nothing piles up.
    """

    def connected(self, *, session: int, date: int | None) -> None:
        """Every channel stands, and the live channel has worked since.

        Args:
            session: Grows with each new session.
            date: The server's clock in ms, if it is known.
        """

    def alive(self, proved: float | None) -> None:
        """The live channel has just proved that it works.

        Args:
            proved: All messages of what was written until then have come (monotonic seconds). None: that is
                not known, as with a channel that keeps messages for any time.
        """

    def disconnected(self, cause: str) -> None:
        """The live channel broke: of what was written after the last proof, messages may be missing."""

    def live(
        self,
        messages: Sequence[tuple[Action, str, Observed[R] | None]],
        *,
        session: int,
        ordered: bool,
    ) -> None:
        """Messages came, in this order.

        Args:
            messages: For each its action, the alarm's id, and its state; None on DELETE.
            session: The session that brought them.
            ordered: Whether the channel keeps the order in which the alarms were written.
        """

    def when_handled(self, id: str | None, receipt: Receipt) -> None:  # noqa: A002 - as below
        """Have a message acknowledged once all that came of it was handled. Called right after `live`.

        Args:
            id: The alarm's id; None where it is not known.
            receipt: Told once what became of it, or never if the stream ends before.
        """

    async def room(self) -> None:
        """Wait until the consumer can be given more: only for a channel that keeps what it cannot bring."""

    def unreadable(self, id: str | None) -> None:  # noqa: A002 - the same name everywhere
        """A message came that nobody could read; `id` if at least that could be found."""

    def missed(self, cause: str, *, within: float) -> None:
        """In the last so many seconds the live channel may not have sent what it should have sent."""

    def hint(self) -> None:
        """Something may have happened: read soon. Only where reads are the channel."""

    def failed(self, error: TocsinError) -> None:
        """The live channel is over for good."""


class Attachment(Protocol):
    """A live channel that is switched on."""

    def renew(self, reason: str) -> None:
        """Ask for a new session."""

    async def remove(self) -> None:
        """Switch it off. Takes a bounded time."""


class Platform(Protocol[R, A_co]):
    """One scope of alarms on one site: how to read it, and how to listen to it.

    `R` is an alarm as it lies in memory until it is given, `A_co` what the consumer gets.
    """

    @property
    def platform(self) -> str:
        """Such as ``cumulocity``."""
        ...

    @property
    def site(self) -> str:
        """The client's name."""
        ...

    def attach(self, inlet: Inlet[R]) -> Attachment | None:
        """Switch the live channel on; None where there is none and reads are all there is.

        Where reads are the channel, what is attached may still give hints.
        """

    async def read(self, read: Read) -> Answer[R]:
        """Answer one read.

        Raises:
            AuthenticationError: The credentials were refused.
            PermissionDeniedError: A role is missing.
        """
        ...

    async def has_api(self) -> bool:
        """Look once more whether there is something to read from, after it seemed that there is not."""
        ...

    def present(self, alarm: R) -> A_co:
        """Make of an alarm what the consumer gets. Must not fail on what was observed."""
        ...
