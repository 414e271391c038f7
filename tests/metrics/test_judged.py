"""Predictions with labels check themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metrics_helpers import judged
from prebake.errors import OptionError
from prebake.metrics import Judged
from prebake.metrics.judged import cross_folds


def table(**columns):
    return pd.DataFrame({"id_code": ["007", "0e1", "c"], "label": [0, 2, np.nan], "raw": [0.1, 1.8, 3.0]} | columns)


def test_a_table_gives_its_labelled_rows():
    found = Judged.from_frame(table(group=["p", None, "q"], fold=[0, 1, np.nan], pack=["x"] * 3))
    assert found.ids == ("007", "0e1")
    assert (found.labels.tolist(), found.raw.tolist()) == ([0, 2], [0.1, 1.8])
    assert (found.groups, found.folds.tolist()) == (("p", ""), [0, 1])
    plain = Judged.from_frame(table())
    assert (plain.groups, len(plain.folds), plain.group_count) == ((), 0, 2)


def test_ids_that_repeat_are_told_apart_by_their_pack():
    assert Judged.from_frame(table(id_code=["a", "a", "b"], pack=["x", "y", "x"])).ids == ("x/a", "y/a")
    with pytest.raises(OptionError, match="more than once"):
        Judged.from_frame(table(id_code=["a", "a", "b"]))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"raw": [0.1, np.nan, 1]}, "no prediction"),
        ({"raw": [0.1, np.inf, 1]}, "infinite"),
        ({"fold": [0, np.nan, 1]}, "no fold"),
        ({"fold": [0, 0.5, 1]}, "whole"),
        ({"fold": [0, 1, 1], "group": ["p", "p", "p"]}, "group p is in more than one fold"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(columns, words):
    with pytest.raises(OptionError, match=words):
        Judged.from_frame(table(**columns))


def test_a_missing_column_is_named():
    with pytest.raises(OptionError, match="add raw"):
        Judged.from_frame(table().drop(columns="raw"))


@pytest.mark.parametrize("wrong", [{"groups": ("p",)}, {"folds": np.array([0])}])
def test_columns_of_other_lengths_are_refused(wrong):
    with pytest.raises(OptionError, match="do not fit"):
        Judged(("a", "b"), np.zeros(2), np.zeros(2), **wrong)


def test_rows_are_taken_whole():
    some = judged([0, 1, 2.0], [0.5, 1.5, 2.5], "xyz", np.array([0, 1, 2]))
    taken = some.take(np.array([2, 0]))
    assert (taken.ids, taken.raw.tolist(), taken.groups) == (("eye 2", "eye 0"), [2.5, 0.5], ("z", "x"))
    assert taken.folds.tolist() == [2, 0]
    assert judged([0, 1.0], [0, 1.0]).take(np.array([1])).folds == ()


def test_without_folds_groups_are_dealt_whole_and_by_label():
    labels = np.repeat(np.arange(5.0), 20)
    parts = cross_folds(judged(labels, labels, [f"p{row // 2}" for row in range(100)]))
    assert (parts[::2] == parts[1::2]).all()
    for part in range(5):
        assert np.bincount(labels[parts == part].astype(int)).tolist() == [4] * 5
    assert cross_folds(judged([0, 1.0], [0, 1.0], folds=np.array([7, 9]))).tolist() == [7, 9]
