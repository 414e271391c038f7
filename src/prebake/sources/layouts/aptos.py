"""APTOS 2019: ``train.csv`` (``id_code,diagnosis``) for ``train_images/<id>.png``, ``test.csv`` for ``test_images``.

``test.csv`` (``id_code``) has no grades. ``sample_submission.csv`` holds a constant and is never read. Patients are
not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table

__all__ = ["LAYOUT"]


def _fits(table: Table) -> bool:
    return {name for name in table.columns if name} in ({"id_code", "diagnosis"}, {"id_code"})


def _rows(table: Table) -> Iterator[Row]:
    name, label = table.columns.index("id_code"), table.find("diagnosis")
    for line, cells in table.lines:
        yield Row(table, line, cells[name], label="" if label is None else cells[label])


LAYOUT = Layout("aptos", "train.csv with the columns id_code, diagnosis", _fits, _rows)
