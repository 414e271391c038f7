"""Which tables of a source to read, and as what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from prebake.errors import SourceError
from prebake.sources.layouts import FOLDER, PUBLISHED, Layout
from prebake.sources.layouts.folder import find_label
from prebake.sources.reading import read_member
from prebake.sources.tables import Table, parse_table, split_in

if TYPE_CHECKING:
    from prebake.sources.containers import Listing

__all__ = ["BY_NAME", "choose", "layout_of", "pairs_in", "read_tables"]

BY_NAME = {layout.name: layout for layout in (*PUBLISHED, FOLDER)}

_MOST_TABLES = 100
_ORDER = ("train", "val", "test", "")


def read_tables(listing: Listing) -> list[Table]:
    """Read what may be a table of labels, in the order train, val, test, others.

    That is every CSV, and text files whose names tell a split (DDR's); but not what a model said.
    """
    files = [file for file in listing.tables if _may_be_labels(file.member)]
    if len(files) > _MOST_TABLES:
        raise SourceError(
            f"{listing.root} holds {len(files)} tables", do="name the one with the labels: --labels FILE.csv"
        )
    tables = []
    for file in files:
        data = read_member(listing.root, file.member, file.size, file.stamp, f"{listing.root}/{file.member}")
        tables.append(parse_table(file.member, data, folder=file.member.split("/")[:-1]))
    return sorted(tables, key=lambda table: _ORDER.index(table.split))


def _may_be_labels(member: str) -> bool:
    path = PurePosixPath(member)
    said_by_model = "submission" in path.stem.casefold() or "prediction" in path.stem.casefold()
    return not said_by_model and (path.suffix.casefold() != ".txt" or bool(split_in(path.stem)))


def layout_of(table: Table) -> Layout | None:
    """Return the first layout that a table fits."""
    return next((layout for layout in (*PUBLISHED, FOLDER) if layout.fits(table)), None)


def pairs_in(tables: Iterable[Table], layout: Layout | None = None) -> dict[str, str]:
    """Return the groups by file name that tables of pairs tell, for one layout or for any."""
    readers = [one.pairs for one in (PUBLISHED if layout is None else (layout,)) if one.pairs is not None]
    return {name: group for table in tables for read in readers for name, group in (read(table) or {}).items()}


def choose(listing: Listing, tables: Sequence[Table], layout: str) -> tuple[Layout, list[Table]]:
    """Return the layout and those of its tables to read: none for a folder without labels.

    Raises
    ------
    SourceError
        No table fits the layout asked for, tables of several layouts are there, or two for the same photographs.
    """
    chosen, mine = (
        _recognise(listing, tables) if layout == "auto" else (BY_NAME[layout], _fitting(tables, BY_NAME[layout]))
    )
    if not mine and chosen is not FOLDER:
        columns = [f"{table.name} ({', '.join(filter(None, table.header))})" for table in tables]
        raise SourceError(
            f"{listing.root} is not of the layout {layout}",
            expected=chosen.needs,
            got="; ".join(columns[:5]) or "no table",
            do="leave --layout out, or name the table with --labels",
        )
    claims: dict[tuple[str, tuple[str, ...] | None], Table] = {}
    for table in mine:
        if (twin := claims.setdefault((table.split, table.folder), table)) is not table:
            raise SourceError(
                f"{listing.root} holds two tables for the same photographs: {twin.name} and {table.name}",
                do="name the one to use with --labels",
            )
    return chosen, mine


def _fitting(tables: Sequence[Table], layout: Layout) -> list[Table]:
    """Return the tables of a layout; of a plain folder, those without labels only where none has labels."""
    mine = [table for table in tables if layout.fits(table)]
    if layout is not FOLDER:
        return mine
    return [table for table in mine if table.split or find_label(table) is not None] or mine


def _recognise(listing: Listing, tables: Sequence[Table]) -> tuple[Layout, list[Table]]:
    found = {layout: [table for table in tables if layout_of(table) is layout] for layout in PUBLISHED}
    found = {layout: mine for layout, mine in found.items() if mine}
    plain = _fitting([table for table in tables if layout_of(table) is FOLDER], FOLDER)
    if not found or any(find_label(table) is not None for table in plain):
        found |= {FOLDER: plain}
    if len(found) > 1:
        raise SourceError(
            f"{listing.root} holds tables of several layouts",
            got="; ".join(f"{mine[0].name} ({layout.name})" for layout, mine in found.items()),
            do="choose with --layout or --labels, or name each data set as a source of its own",
        )
    return next(iter(found.items()))
