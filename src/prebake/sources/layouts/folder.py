"""Any folder of photographs with a CSV that names them.

One column names the photographs (the first of ``IDS`` that is there), one holds the labels (one of ``LABELS``).
Optional are a column for what stays together in a split (the first of ``GROUPS`` that is there), and ``split``.
"""

from __future__ import annotations

from collections.abc import Iterator

from prebake.errors import SourceError
from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table

__all__ = ["LABELS", "LAYOUT", "find_label"]

IDS = (
    *("id_code", "image_id", "image_name", "image", "filename", "file_name", "file"),
    *("path", "filepath", "image_path", "img", "name", "id"),
)
LABELS = ("diagnosis", "level", "label", "grade", "dr_grade", "retinopathy_grade", "class", "target")
GROUPS = ("group", "patient_id", "patientid", "patient", "subject_id", "subject")


def find_label(table: Table) -> int | None:
    """Return the index of the label column; two that could be it are refused."""
    found = [name for name in LABELS if name in table.columns]
    if len(found) > 1:
        raise SourceError(
            f"{table.name} has {len(found)} columns that could hold the labels: {', '.join(found)}",
            do="keep one of them, or rename the others, in a copy of the table, and name that with --labels",
        )
    return table.find(*found)


def _fits(table: Table) -> bool:
    return not set(IDS).isdisjoint(table.columns)


def _rows(table: Table) -> Iterator[Row]:
    name, label, group, split = table.find(*IDS), find_label(table), table.find(*GROUPS), table.find("split")
    for line, cells in table.lines:
        yield Row(
            table,
            line,
            cells[name or 0],
            label="" if label is None else cells[label],
            group=None if group is None else cells[group] or None,
            split="" if split is None else cells[split],
        )


LAYOUT = Layout(
    "folder", f"a CSV with an id column ({', '.join(IDS)}) and a label column ({', '.join(LABELS)})", _fits, _rows
)
