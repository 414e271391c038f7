"""What a cross-validation says before all its folds are complete: of the folds that are, the same as in the end."""

from __future__ import annotations

import json

import numpy as np
import pytest

from prebake.errors import RunError
from report_helpers import make_cv


@pytest.mark.parametrize("repeats", [1, 2])
def test_with_all_folds_it_is_what_the_whole_says(repeats, tmp_path):
    cv = make_cv(tmp_path / "cv", repeats=repeats)
    now, end = cv.summary(so_far=True), cv.summary()
    assert (now.photographs, now.groups, now.folds) == (end.photographs, end.groups, end.folds)
    assert [now.kappa, now.mae, *now.repeats] == pytest.approx([end.kappa, end.mae, *end.repeats])
    assert [now.low, now.high] == pytest.approx([end.low, end.high], abs=1e-9)
    names = ["id_code", "fold"] if repeats == 1 else ["id_code", "repeat", "fold"]
    mine, theirs = (table[names].sort_values(names) for table in (cv.oof_so_far(), cv.oof()))
    assert mine.to_numpy().tolist() == theirs.to_numpy().tolist()


def test_it_is_about_the_photographs_of_the_complete_folds_alone(tmp_path):
    cv = make_cv(tmp_path / "cv", missing=((1, 1),))
    said = [run.validation() for run in cv.begun().values()]
    assert cv.oof_so_far()["id_code"].tolist() == [name for table in said for name in table["id_code"]]
    assert [score.fold for score in cv.summary(so_far=True).folds] == [0, 2]
    with pytest.raises(RunError, match="not complete"):
        cv.summary()


def test_folds_under_way_and_folds_that_diverged_are_left_out(tmp_path):
    cv = make_cv(tmp_path / "cv", missing=((1, 2),))
    path = cv.path / "fold-0" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "training"}))
    assert set(cv.oof_so_far()["fold"]) == {1}
    rows = cv.begun()[1, 1].validation()
    rows.assign(raw=np.inf).to_csv(cv.path / "fold-1" / "validation.csv", index=False)
    assert cv.oof_so_far().empty
    assert len(cv.judged(so_far=True)) == 0
    assert np.isnan(cv.summary(so_far=True).kappa)
