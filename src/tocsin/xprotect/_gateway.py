"""The API Gateway of a site: requests below its REST base, wherever that is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from anyio import move_on_after

from tocsin._http._request import Request
from tocsin.errors import NotFoundError, RequestTimeoutError, StatusError

if TYPE_CHECKING:
    from tocsin._http._core import HttpCore
    from tocsin._http._request import Response
    from tocsin.xprotect._discovery import Paths, Site

__all__ = ["Gateway"]


class Gateway:
    """Sends requests to the REST services of one site.

    Args:
        core: Sends the requests.
        site: Knows where the services are.
    """

    __slots__ = ("core", "site")

    def __init__(self, core: HttpCore, site: Site) -> None:
        self.core = core
        self.site = site

    async def paths(self) -> Paths:
        """Where the services are; asked of the server when it is first needed.

        Raises:
            TocsinError: The server gave no answer, or is too old.
        """
        if self.site.known is not None:
            return self.site.known
        limit = self.core.timeouts.total
        with move_on_after(limit):  # also of the time in which another call asks
            return await self.site.paths(partial(self.core.send, auth=None))
        raise RequestTimeoutError(
            f"{self.site.base_url} did not say within {limit:g} s where its services are",
            method="GET",
            url=self.site.base_url,
            reason=f"no answer within {limit:g} s",
        )

    async def send(self, request: Request) -> Response:
        """Send a request to the REST services.

        Args:
            request: Its path is below the REST base, such as ``/alarms``.

        Returns:
            A 2xx answer.

        Raises:
            ConfigurationError: There is no API Gateway.
            TocsinError: Any other answer, or none.
        """
        paths = self.site.known or await self.paths()
        below = replace(request, path=paths.rest + request.path)
        if not self.site.doubtful:
            return await self.core.send(below)
        try:
            response = await self.core.send(below)
        except NotFoundError as error:
            # Some 404 tell of a thing, some of the whole service, and no word in them says which.
            if await self._answers(paths):
                raise
            absent = self.site.without_gateway(error)
        else:
            self.site.doubtful = False
            return response
        raise absent

    async def _answers(self, paths: Paths) -> bool:
        """Whether there are REST services at all."""
        try:
            await self.core.send(Request("GET", f"{paths.rest}/alarms", (("page", "0"), ("size", "1"))))
        except NotFoundError:
            return False
        except StatusError:
            pass
        self.site.doubtful = False
        return True
