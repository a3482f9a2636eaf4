"""Run by `nox -s site`: each link of the site leads somewhere, and the reference has all that is public.

Usage: python site_links.py FOLDER
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from urllib.parse import unquote, urlsplit

import tocsin


class Page(HTMLParser):
    """What a page can be entered at, and where it leads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.anchors, self.links = path, set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value)
            elif name in {"href", "src"} and value:
                self.links.add(value)


def dead(pages: dict[Path, Page]) -> list[str]:
    """The links that lead nowhere."""
    found = []
    for page in pages.values():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            known = (
                not parts.fragment or there not in pages or unquote(parts.fragment) in pages[there].anchors
            )
            if not there.is_file() or not known:
                found.append(f"{page.path.name}: {link}")
    return found


def missing(pages: dict[Path, Page]) -> list[str]:
    """The public classes and functions that the reference does not have."""
    anchors = {anchor for page in pages.values() for anchor in page.anchors}
    packages = ["", *(f".{found.name}" for found in iter_modules(tocsin.__path__) if found.ispkg)]
    homes = {}
    for package in packages:
        if "_" in package or package == ".cli":
            continue
        module = import_module(f"tocsin{package}")
        for name in module.__all__:
            if callable(value := getattr(module, name)):
                homes.setdefault(value, []).append(f"{module.__name__}.{name}")
    return [names[0] for names in homes.values() if anchors.isdisjoint(names)]


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in folder.rglob("*.html")}
    links = sum(len(page.links) for page in pages.values())
    wrong = [f"leads nowhere: {one}" for one in dead(pages)]
    wrong += [f"not in the reference: {one}" for one in missing(pages)]
    if wrong or len(pages) < 20 or links < 1000:
        sys.exit("\n".join([*wrong, f"{len(pages)} pages, {links} links"]))
    print(f"{len(pages)} pages, {links} links: {folder / 'index.html'}")


main()
