"""The table of folds as a CSV file: ``id_code`` first, ``fold`` last; ids are text, an empty fold leaves a row out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import SplitError
from prebake.sources.tables import Table, parse_table
from prebake.spreadsheets import as_written

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.store import PackRows

__all__ = ["COLUMNS", "FoldTable", "listed", "match", "read_table"]

COLUMNS = ("id_code", "pack", "label", "group", "cluster", "fold")
SHOWN = 20


@dataclass(frozen=True)
class FoldTable:
    """A table of folds as it stands in a file.

    Parameters
    ----------
    path
        The file, for messages.
    lines
        Line numbers.
    cells
        By column, the text of each line; ``id_code`` and ``fold`` are always there.
    """

    path: Path
    lines: tuple[int, ...]
    cells: dict[str, tuple[str, ...]]


def read_table(path: Path) -> FoldTable:
    """Read a table of folds; columns other than :data:`COLUMNS` are not looked at.

    Raises
    ------
    SplitError
        It lacks a column.
    SourceError
        It is no table.
    """
    table = parse_table(str(path), path.read_bytes())
    places = {name: table.find(name) for name in COLUMNS}
    lacking = [name for name in ("id_code", "fold") if places[name] is None]
    if lacking:
        raise SplitError(
            f"{path} lacks columns",
            expected="id_code and fold at least",
            got=", ".join(table.header) or "no header",
            do="name the columns in the first line, or make the table: prebake split PACK... -o folds.csv",
        )
    cells = {name: _column(table, place) for name, place in places.items() if place is not None}
    return FoldTable(path, tuple(line for line, _ in table.lines), cells)


def _column(table: Table, place: int) -> tuple[str, ...]:
    return tuple(as_written(cells[place]) for _, cells in table.lines)


def match(table: FoldTable, rows: PackRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the row of each line, and its fold.

    A line belongs to the row with its id. Only where several rows, or several lines, have that id, the column ``pack``
    decides (so that one table serves packs of the same photographs whatever they are called).

    Returns
    -------
    row, fold : numpy.ndarray
        (lines,) int64 each; the fold is -1 where it is empty.

    Raises
    ------
    SplitError
        Lines that belong to no row or to several, rows that two lines are about, labels that are not those of the
        packs, and folds that are no whole numbers: all of them at once.
    """
    known: dict[str, list[int]] = {}
    for row, name in enumerate(rows.ids):
        known.setdefault(name, []).append(row)
    times = Counter(table.cells["id_code"])
    packs = table.cells.get("pack")
    labels = table.cells.get("label")
    problems: list[str] = []
    taken: dict[int, int] = {}
    found, folds = (np.full(len(table.lines), -1, dtype=np.int64) for _ in range(2))
    for at, (line, name, fold) in enumerate(zip(table.lines, table.cells["id_code"], table.cells["fold"], strict=True)):
        where = f"line {line}: {name!r}"
        matching = known.get(name, [])
        if packs is not None and (len(matching) > 1 or times[name] > 1):
            matching = [row for row in matching if rows.names[rows.pack_of[row]] == packs[at]]
            where += f" of pack {packs[at]!r}"
        problem = _row_problem(matching, taken) or _value_problem(
            rows.labels[matching[0]], labels[at] if labels else "", fold
        )
        if problem:
            problems.append(f"{where} {problem}")
            continue
        found[at] = matching[0]
        taken[matching[0]] = line
        folds[at] = int(float(fold)) if fold else -1
    if problems:
        raise SplitError(
            listed(f"{table.path} does not fit {', '.join(rows.names)}", problems),
            do="correct these lines, or make the table anew: prebake split PACK... -o folds.csv",
        )
    return found, folds


def _row_problem(matching: Sequence[int], taken: dict[int, int]) -> str:
    if not matching:
        return "is in none of the packs"
    if len(matching) > 1:
        return f"is in {len(matching)} packs, and no column `pack` tells which is meant"
    return f"is in line {taken[matching[0]]} already" if matching[0] in taken else ""


def _value_problem(label: np.float32, written: str, fold: str) -> str:
    if written:
        try:
            same = np.float32(written) == label
        except ValueError:
            same = False
        if not same:
            return f"has the label {'none' if np.isnan(label) else f'{label:g}'} in the pack, not {written}"
    if not fold:
        return ""
    if not re.fullmatch(r"[0-9]{1,9}(\.0*)?", fold):
        return f"has the fold {fold!r}, which is no whole number from 0"
    return "has no label, so it can be in no fold (leave the fold empty)" if np.isnan(label) else ""


def listed(what: str, problems: Sequence[str]) -> str:
    """Return a message with all problems, or the first of many."""
    lines = [f"{what}: {len(problems)} problem{'s' if len(problems) != 1 else ''}"]
    lines += [f"  - {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"  ... and {len(problems) - SHOWN} more")
    return "\n".join(lines)
