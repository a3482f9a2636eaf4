"""Logs every attempt of every call with its status, size and time, through a middleware.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import anyio

from tocsin import Cumulocity, NotFoundError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin import Request, Response

log = logging.getLogger("acme.requests")


async def logged(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Sees 4xx and 5xx as responses, and as errors only what brought no response. The query may tell a
    person's name, so it is left out; credentials are added behind every middleware.
    """
    began = anyio.current_time()
    try:
        response = await call_next(request)
    except TocsinError as error:
        log.warning("%s %s: %s, %.3f s", request.method, request.path, error.reason, since(began))
        raise
    level = logging.INFO if response.status < 400 else logging.WARNING
    size = len(response.body)
    log.log(
        level,
        "%s %s: %d, %d bytes, %.3f s",
        request.method, request.path, response.status, size, since(began),
    )  # fmt: skip
    return response


def since(began: float) -> float:
    """Seconds by the event loop's clock, which nobody sets back."""
    return anyio.current_time() - began


async def main() -> None:
    """Makes a call that works and one that does not."""
    async with Cumulocity.from_env(middleware=[logged]) as c8y:
        log.info("%d alarms", await c8y.alarms.count())
        try:
            await c8y.alarms.get("0")
        except NotFoundError:
            log.info("there is no alarm 0")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs the same once more
    try:
        anyio.run(main)
    except TocsinError as error:
        sys.exit(str(error))
