"""Runs the Python of a page as its reader would paste it."""

from __future__ import annotations

import ast
import inspect

from doc_pages import ROOT, blocks

PRINTED_URL = "http://127.0.0.1:8111"


async def run(page, url, name="guide"):
    """Runs the Python of a page from its first line to its last, in one namespace."""
    path = ROOT / "docs" / f"{page}.md"
    namespace = {"__name__": name}
    for block in blocks(path, "python"):
        source = "\n" * (block.line - 1) + block.source.replace(PRINTED_URL, url)
        code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if inspect.iscoroutine(result := eval(code, namespace)):
            await result
    return namespace
