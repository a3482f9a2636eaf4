"""The pages about XProtect: their blocks run in order, each page against a site of its own."""

from __future__ import annotations

import pytest

from docs.guide import run
from tocsin.emulator import XProtectEmulator, serve

SAID = {
    "xprotect": [
        "Gate 3 ACTIVE New", "1 Gate forced Ada", "demo a cat", "404",
        "north Gate forced ACTIVE", "['Panic']", "happened: ",
    ],
    "from_xprotect_samples": [
        "Retrieved my first alarm message New", "Updated ACKNOWLEDGED MINOR", "Retrieved all 1",
        "Triggered True", "Camera 1 Motion",
    ],
}  # fmt: skip


@pytest.mark.limit(25)
@pytest.mark.parametrize("page", SAID)
async def test_the_blocks_of_the_page_run_in_order(page, capsys):
    async with serve(XProtectEmulator()) as server:
        await run(page, server.url)
    out = capsys.readouterr().out
    assert [words for words in SAID[page] if words not in out] == [], out
