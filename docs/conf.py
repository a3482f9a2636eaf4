"""The site: `nox -s site` builds it from these pages and from the docstrings, without the network."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from sphinx.domains.python import PythonDomain

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
    "Use": ["first_steps", "streams", "watch", "errors", "daemons", "testing", "cli"],
    "Cumulocity": ["alarms", "login", "notification2"],
    "Milestone XProtect": ["xprotect", "emulator"],
    "Coming from": ["from_pyc8y", "from_c8y_api", "from_xprotect_samples"],
    "Inside": ["reliability", "performance", "adding"],
    "Reference": [
        f"api/{name}" for name in ("tocsin", "cumulocity", "xprotect", "bayeux", "emulator", "testing")
    ],
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


class Names(PythonDomain):
    """Python's names; what both platforms have, such as `Alarm`, is a link on their own pages only."""

    def find_obj(self, *arguments: Any, **options: Any) -> list[tuple[str, Any]]:
        """Finds nothing rather than one of several."""
        found = super().find_obj(*arguments, **options)
        return found if sum(not entry.aliased for _, entry in found) < 2 else []


def setup(app: Sphinx) -> None:
    """Sphinx asks for it."""
    app.add_domain(Names, override=True)
    app.connect("autodoc-skip-member", show_values)
    app.connect("source-read", add_navigation)
