"""No cell of a table is a formula to a spreadsheet, and every table reads back as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duplicates_helpers import row, write
from prebake.comparison import open_side
from prebake.metrics import grade
from prebake.prediction import Predictions
from prebake.runs import Run
from prebake.splits import Folds, make_folds
from prebake.spreadsheets import as_written, csv_text, harmless
from report_helpers import make_run

CELLS = [
    "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "'=1", "''-1", "\uff1d1", "plain", "'tis",
    "a=1", 'a "b", c\rd\n', "NA", "0709652336e2",
]  # fmt: skip
FIRST = set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@given(st.text() | st.text(alphabet="'=-+@\t\r\na", max_size=5))
@example("'=")
def test_a_cell_is_harmless_and_comes_back(text: str) -> None:
    assert as_written(harmless(text)) == text
    assert harmless(text)[:1] not in FIRST
    assert harmless(text) == text or text.lstrip("'")[:1] in FIRST, "nothing else is touched"


def cells_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_table_is_read_back_as_it_was() -> None:
    table = pd.DataFrame({"id_code": CELLS, "raw": np.linspace(-2, 2, len(CELLS)), "label": np.nan})
    text = csv_text(table)
    assert [as_written(cells[0]) for cells in cells_of(text)[1:]] == CELLS
    assert not any(cells[0][:1] in FIRST for cells in cells_of(text))
    found = pd.read_csv(io.StringIO(text), dtype={"id_code": str}, keep_default_na=False, na_values={"label": [""]})
    assert found["id_code"].map(as_written).tolist() == CELLS
    np.testing.assert_array_equal(found["raw"], table["raw"])
    assert found["label"].isna().all()


def test_a_table_without_such_cells_has_the_bytes_that_pandas_gives() -> None:
    table = pd.DataFrame({"id": ["a", "b,c"], "x": [-1.5, np.nan], "n": pd.array([1, pd.NA], dtype="Int64")})
    assert csv_text(table) == table.to_csv(index=False, lineterminator="\n") == 'id,x,n\na,-1.5,1\n"b,c",,\n'


def test_the_tables_of_a_run_are_read_back_as_they_were(tmp_path: Path) -> None:
    raw = np.linspace(0, 4, len(CELLS))
    table = pd.DataFrame({"id_code": CELLS, "pack": CELLS[::-1], "label": np.round(raw), "group": CELLS, "raw": raw})
    run = make_run(tmp_path / "run", table=table.assign(diagnosis=grade(raw)), pictures=2)
    found = Run(run.path).validation()
    for column in ("id_code", "pack", "group"):
        assert found[column].tolist() == table[column].tolist()
    assert not any(
        cell[:1] in FIRST for line in cells_of((run.path / "validation.csv").read_text()) for cell in line[:2]
    )


def test_folds_are_read_back_as_they_were(tmp_path: Path) -> None:
    names = [name for name in CELLS if name == name.strip()]  # blanks around a cell are nobody's in a table
    pack = write(tmp_path / "p.h5", [row(n, id=name, group=name) for n, name in enumerate(names)])
    made = make_folds(pack, folds=2)
    made.save(tmp_path / "folds.csv")
    assert not any(cell[:1] in FIRST for line in cells_of((tmp_path / "folds.csv").read_text()) for cell in line[:5])
    found = Folds.load(tmp_path / "folds.csv", pack)
    np.testing.assert_array_equal(found.fold, made.fold)
    assert found.clusters == made.clusters


@pytest.mark.parametrize("submission", [False, True])
def test_predictions_are_read_back_and_a_submission_has_its_ids(tmp_path: Path, submission: bool) -> None:
    count = len(CELLS)
    about = [(name, float(number % 5), "g" + name) for number, name in enumerate(CELLS)]
    made = Predictions.of(np.zeros((1, 1, count), np.float32), np.ones(1), (0.5, 1.5, 2.5, 3.5), about, ())
    made.to_csv(tmp_path / "p.csv", submission=submission)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.reader(file))
    if submission:
        assert cells[0] == ["id_code", "diagnosis"]
        assert [line[0] for line in cells[1:]] == CELLS
    else:
        assert not any(line[0][:1] in FIRST for line in cells)
        side = open_side(tmp_path / "p.csv").judged
        assert list(side.ids) == CELLS
