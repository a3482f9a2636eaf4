"""The platforms that the command line knows: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin.cumulocity import Cumulocity

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLIENTS"]

CLIENTS: Final[Mapping[str, type[Cumulocity]]] = {"cumulocity": Cumulocity}
