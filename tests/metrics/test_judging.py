"""All numbers at once are those of scikit-learn and of the single functions, with the intervals of plain resampling."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from metrics_helpers import FEW, judged, picks, some_predictions
from prebake import metrics


def by_scikit_learn(some):
    y, p = some.labels.astype(int), metrics.grade(some.raw)
    found = {
        "kappa": sk.cohen_kappa_score(y, p, weights="quadratic", labels=range(5)),
        "accuracy": sk.accuracy_score(y, p),
        "mae": sk.mean_absolute_error(y, some.raw),
        "mse": sk.mean_squared_error(y, some.raw),
    }
    recall = sk.recall_score(y, p, labels=range(5), average=None, zero_division=np.nan)
    precision = sk.precision_score(y, p, labels=range(5), average=None, zero_division=np.nan)
    found |= {f"recall_{grade}": recall[grade] for grade in range(5)}
    found |= {f"precision_{grade}": precision[grade] for grade in range(5)}
    for name, boundary in (("referable", 2), ("sight_threatening", 3)):
        sick, chance = y >= boundary, metrics.cross_fitted_probabilities(some)[:, boundary - 1]
        hold = metrics.operating_point(y, some.raw, boundary, hold="sensitivity", at=0.85)
        held = metrics.operating_point(y, some.raw, boundary, hold="specificity", at=0.825)
        found |= {
            f"{name}_auc": sk.roc_auc_score(sick, some.raw),
            f"{name}_specificity_at_sensitivity_85": hold.specificity,
            f"{name}_sensitivity_at_specificity_82.5": held.sensitivity,
            f"{name}_sensitivity": sk.recall_score(sick, p >= boundary),
            f"{name}_specificity": sk.recall_score(~sick, p < boundary),
            f"{name}_brier": sk.brier_score_loss(sick, chance),
            f"{name}_ece": metrics.calibration_error(sick, chance),
        }
    return found


def test_every_number_equals_scikit_learn():
    some = some_predictions()
    found = metrics.judge(some, bootstrap=FEW)
    expected = by_scikit_learn(some)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-12), name
        assert found[name]["reason"] == ""


def test_counts_are_of_the_photographs_a_number_is_about():
    some = some_predictions()
    found = metrics.judge(some, bootstrap=FEW)
    assert found["kappa"]["n"] == found["referable_auc"]["n"] == found["mae"]["n"] == 240
    assert found["recall_3"]["n"] == (some.labels == 3).sum()
    assert found["precision_3"]["n"] == (metrics.grade(some.raw) == 3).sum()
    assert found["referable_sensitivity"]["n"] == (some.labels >= 2).sum()
    assert found["referable_specificity_at_sensitivity_85"]["n"] == (some.labels < 2).sum()


def test_every_interval_equals_plain_resampling_of_groups():
    some = some_predictions(160)
    found = metrics.judge(some, bootstrap=metrics.Bootstrap(samples=2000))
    y, raw, p = some.labels, some.raw, metrics.grade(some.raw)
    chance = metrics.cross_fitted_probabilities(some)[:, 1]
    plain = {name: [] for name in ("mse", "recall_2", "precision_1", "accuracy", "referable_auc", "referable_brier")}
    points = {"referable_specificity_at_sensitivity_85": [], "referable_sensitivity_at_specificity_82.5": []}
    for rows in picks(np.array(some.groups), 2000, 1):
        plain["mse"].append(((y - raw)[rows] ** 2).mean())
        plain["accuracy"].append((y == p)[rows].mean())
        plain["recall_2"].append((p[rows] == 2)[y[rows] == 2].mean())
        plain["precision_1"].append((y[rows] == 1)[p[rows] == 1].mean())
        plain["referable_auc"].append(metrics.auc(y[rows], raw[rows], 2))
        plain["referable_brier"].append(metrics.brier(y[rows] >= 2, chance[rows]))
        ends = [("sensitivity", 0.85, "specificity"), ("specificity", 0.825, "sensitivity")]
        for drawn, (hold, at, other) in zip(points.values(), ends, strict=True):
            drawn.append(getattr(metrics.operating_point(y[rows], raw[rows], 2, hold=hold, at=at), other))
    for name, drawn in (plain | points).items():
        expected = np.quantile(drawn, [0.025, 0.975])
        width = expected[1] - expected[0]
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(expected, abs=0.12 * width), name


def test_the_fast_interval_of_kappa_agrees():
    some = some_predictions()
    found = metrics.judge(some, bootstrap=metrics.Bootstrap(samples=4000))["kappa"]
    fast = metrics.kappa_interval(some.labels, metrics.grade(some.raw), some.groups, samples=4000)
    assert (found["low"], found["high"]) == pytest.approx(fast, abs=0.006)


def test_thresholds_decide_grades_and_their_sensitivity():
    some = some_predictions()
    cuts = (0.4, 1.0, 1.2, 3.0)
    found = metrics.judge(some, cuts, FEW)
    assert found["accuracy"]["value"] == pytest.approx((metrics.grade(some.raw, cuts) == some.labels).mean())
    point = metrics.at_threshold(some.labels, some.raw, 2, 1.0)
    assert found["referable_sensitivity"]["value"] == pytest.approx(point.sensitivity)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(-4, 16).map(lambda v: v / 4), st.sampled_from(["", "p", "q", "r"])),
        max_size=25,
    )
)
def test_whatever_the_predictions_a_number_is_there_or_its_reason(rows):
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    labels, raw, groups = (list(column) for column in columns)
    found = metrics.judge(judged(labels, raw, groups), bootstrap=metrics.Bootstrap(samples=20))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name, number in found.items():
        assert (number["value"] is None) <= bool(number["reason"]), name
        assert (number["low"] is None) == (number["high"] is None) == bool(number["reason"]), name
        if number["low"] is not None:
            assert number["low"] <= number["high"]


@pytest.mark.parametrize(
    ("labels", "raw", "name", "words"),
    [
        ([], [], "kappa", "no photograph has a label"),
        ([], [], "mae", "no photograph has a label"),
        ([0.5, 1], [0, 1], "kappa", "whole numbers"),
        ([-1, 1], [0, 1], "referable_auc", "no grades"),
        ([0, 1], [0, 1], "referable_auc", "label 2 or more"),
        ([0, 1], [0, 1], "referable_sensitivity", "label 2 or more"),
        ([3, 4], [3, 4], "referable_specificity", "label below 2"),
        ([0, 1], [0, 1], "recall_4", "label 4"),
        ([0, 1], [0, 1], "precision_4", "grade 4"),
        ([2, 2], [2, 2], "kappa", "every label and every prediction is grade 2"),
        ([0, 1], [0, 1], "referable_brier", "no probability"),
    ],
)
def test_what_is_undefined_says_why(labels, raw, name, words):
    number = metrics.judge(judged(labels, raw), bootstrap=FEW)[name]
    assert (number["value"], number["low"], number["high"]) == (None, None, None)
    assert words in number["reason"]


def test_labels_that_are_measurements_still_have_errors():
    found = metrics.judge(judged([0.5, 1.5, 2.5], [1.0, 2.0, 3.0]), bootstrap=FEW)
    assert (found["mae"]["value"], found["mse"]["value"]) == (0.5, 0.25)
    assert found["kappa"]["value"] is None


def test_one_group_has_numbers_and_no_intervals():
    found = metrics.judge(judged([0, 1, 2.0], [0, 1, 1.0], "ppp"), bootstrap=FEW)["accuracy"]
    assert found["value"] == pytest.approx(2 / 3)
    assert found["low"] is None
    assert "one group" in found["reason"]


def test_errors_are_better_when_they_are_low():
    found = metrics.judge(some_predictions(), bootstrap=FEW)
    low = {name for name in found if metrics.lower_is_better(name)}
    assert low == {"mae", "mse"} | {f"{who}_{what}" for who in metrics.BOUNDARIES for what in ("brier", "ece")}


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = metrics.judge(some_predictions(40_000, digits=9), bootstrap=metrics.Bootstrap(samples=1))
    held = []
    for seed in range(1, 61):
        found = metrics.judge(some_predictions(200, digits=9, seed=seed), bootstrap=FEW)
        held.append([found[name]["low"] <= truth[name]["value"] <= found[name]["high"] for name in ("kappa", "mae")])
    assert (np.mean(held, axis=0) > 0.85).all()
