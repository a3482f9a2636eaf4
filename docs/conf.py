"""The site: `nox -s site` builds it from these pages and from the docstrings, without the network."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from tocsin import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "tocsin"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"tocsin {release}"
html_show_copyright = False
html_show_sourcelink = False

myst_heading_anchors = 4

# What stands in single backticks in a docstring is a link where it names something public.
default_role = "py:obj"
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseModel,BaseException,Exception,TimeoutError,StrEnum,str,tuple,object",
}
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True

NAVIGATION = {
    "Use": ["first_steps", "streams", "errors", "daemons", "testing", "cli"],
    "Cumulocity": ["alarms", "login", "notification2"],
    "Coming from": ["from_pyc8y", "from_c8y_api"],
    "Inside": ["reliability", "performance", "adding"],
    "Reference": ["api/tocsin", "api/cumulocity", "api/bayeux", "api/emulator", "api/testing"],
}


def add_navigation(_app: Sphinx, page: str, source: list[str]) -> None:
    """Ends the start page with what the site's sidebar shows; on GitHub its table is enough."""
    if page == "index":
        for caption, pages in NAVIGATION.items():
            tree = ("\n```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```\n")
            source[0] += "\n".join(tree)


def show_values(_app: Sphinx, _what: str, _name: str, member: object, *_: object) -> bool | None:
    """Shows the values of enumerations, which need no docstring of their own."""
    return False if isinstance(member, Enum) else None


def setup(app: Sphinx) -> None:
    """Sphinx asks for it."""
    app.connect("autodoc-skip-member", show_values)
    app.connect("source-read", add_navigation)
