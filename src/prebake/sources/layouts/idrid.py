"""IDRiD, part B (disease grading): ``1. Original Images`` and, for each set, a CSV in ``2. Groundtruths``.

The ids of the testing set repeat those of the training set, so with both
the ids are ``train/IDRiD_001`` and ``test/IDRiD_001``. Patients are not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table

__all__ = ["LAYOUT"]


def _fits(table: Table) -> bool:
    return {"image_name", "retinopathy_grade"} <= set(table.columns)


def _rows(table: Table) -> Iterator[Row]:
    name, label = table.columns.index("image_name"), table.columns.index("retinopathy_grade")
    for line, cells in table.lines:
        yield Row(table, line, cells[name], label=cells[label])


LAYOUT = Layout("idrid", "a CSV with the columns Image name, Retinopathy grade (in 2. Groundtruths)", _fits, _rows)
