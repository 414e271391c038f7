"""Messidor-2 with the adjudicated grades of Krause et al. 2018 (doi:10.1016/j.ophtha.2018.01.034).

``messidor_data.csv`` (``image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable``) names files whose
extension and case differ from those on disk. The 4 photographs that the graders called ungradable have no label.
``messidor-2.csv`` (``left;right``), where it is there, tells which two photographs are of one patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table, bare_name

__all__ = ["LAYOUT"]


def _fits(table: Table) -> bool:
    columns = set(table.columns)
    return bool(columns & {"image_id", "id_code"}) and bool(columns & {"adjudicated_dr_grade", "adjudicated_gradable"})


def _rows(table: Table) -> Iterator[Row]:
    name = table.find("image_id", "id_code")
    label = table.find("adjudicated_dr_grade", "diagnosis")
    gradable = table.find("adjudicated_gradable")
    for line, cells in table.lines:
        ungradable = gradable is not None and cells[gradable] in ("0", "0.0")
        yield Row(table, line, cells[name or 0], label="" if label is None or ungradable else cells[label])


def _pairs(table: Table) -> Mapping[str, str] | None:
    left, right = table.find("left", "left_eye"), table.find("right", "right_eye")
    if left is None or right is None:
        return None
    groups: dict[str, str] = {}
    for _, cells in table.lines:
        group = bare_name(cells[left] or cells[right])
        groups |= {bare_name(cells[eye]).casefold(): group for eye in (left, right) if cells[eye]}
    return groups


LAYOUT = Layout("messidor2", "messidor_data.csv with the columns image_id, adjudicated_dr_grade", _fits, _rows, _pairs)
