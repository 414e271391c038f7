"""What a layout is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prebake.sources.tables import Row, Table

__all__ = ["Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tables of one published data set are told from others, and read.

    Which photographs a table speaks of follows from names, the same way for all layouts: see
    :mod:`prebake.sources.matching`.

    Parameters
    ----------
    name
        As in ``--layout``.
    needs
        The table that it needs, for messages.
    fits
        Tells whether a table is one of this layout.
    rows
        Reads a table that fits.
    pairs
        Reads a table that tells which photographs are of one patient: file name (lower case, no extension) to group.
        Returns ``None`` for every other table; ``None`` itself for a layout that has no such tables.
    """

    name: str
    needs: str
    fits: Callable[[Table], bool]
    rows: Callable[[Table], Iterable[Row]]
    pairs: Callable[[Table], Mapping[str, str] | None] | None = None
