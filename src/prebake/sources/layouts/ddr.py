"""DDR, part ``DR_grading``: ``train.txt``, ``valid.txt`` and ``test.txt``, each beside a folder of its name.

Their lines are ``name.jpg grade``, without a header. Class 5 means ungradable: it is no sixth grade, so these
photographs have no label. They are kept, for a model may be asked about them; training leaves photographs without a
label out. Patients are not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table

__all__ = ["LAYOUT"]


def _fits(table: Table) -> bool:
    return not table.header


def _rows(table: Table) -> Iterator[Row]:
    for line, cells in table.lines:
        label = cells[1] if len(cells) > 1 else "(none)"
        yield Row(table, line, cells[0], label="" if label == "5" else label)


LAYOUT = Layout("ddr", "train.txt, valid.txt or test.txt with lines such as: 007-0004-000.jpg 2", _fits, _rows)
