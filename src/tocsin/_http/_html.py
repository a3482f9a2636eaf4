"""HTML where JSON was expected: proxies, gateways and log-in pages answer with it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tocsin._http._redact import Redactor

__all__ = ["html_title", "looks_like_html"]


def looks_like_html(body: bytes, content_type: str) -> bool:
    """Whether a body is an HTML page, whatever its Content-Type claims."""
    start = body[:256].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html")) or (
        "html" in content_type.lower() and start.startswith(b"<")
    )


def html_title(body: bytes, redactor: Redactor) -> str | None:
    """The cleaned title (or first heading) of an HTML page, or None."""
    page = body[:65536].decode("utf-8", "replace")
    for tag in ("title", "h1"):
        found = re.search(
            rf"<{tag}\b[^>]{{0,200}}>(.{{0,1000}}?)</{tag}\s*>", page, re.IGNORECASE | re.DOTALL
        )
        if found is not None:
            title = redactor.clean(html.unescape(re.sub(r"<[^>]*>", " ", found[1])), limit=120)
            if title:
                return title
    return None
