"""EyePACS 2015: ``trainLabels.csv`` (``image,level``) for ``train/<patient>_left.jpeg``.

The grades of ``test/`` came later, as ``retinopathy_solution.csv`` (``image,level,Usage``). Two eyes of a patient are
one group: their grades agree so well that a split between them leaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table

__all__ = ["LAYOUT"]

_EYE = re.compile(r"(?:.*/)?([0-9]+)_(?:left|right)(?:\.\w+)?", re.IGNORECASE)


def _fits(table: Table) -> bool:
    if not {"image", "level"} <= set(table.columns) or not table.lines:
        return False
    return _EYE.fullmatch(table.lines[0][1][table.columns.index("image")]) is not None


def _rows(table: Table) -> Iterator[Row]:
    name, label = table.columns.index("image"), table.columns.index("level")
    split = "test" if "solution" in PurePosixPath(table.name).stem.casefold() else ""
    for line, cells in table.lines:
        eye = _EYE.fullmatch(cells[name])
        yield Row(table, line, cells[name], label=cells[label], group=eye[1] if eye else None, split=split)


LAYOUT = Layout("eyepacs", "trainLabels.csv with the columns image (such as 10_left), level", _fits, _rows)
