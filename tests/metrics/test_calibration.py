"""Probabilities are those of scikit-learn's logistic regression, honest, and judged as scikit-learn judges them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from metrics_helpers import FEW, judged, some_predictions
from prebake import metrics
from prebake.errors import OptionError

COLUMNS = st.lists(st.tuples(st.integers(0, 4), st.floats(-3, 8)), min_size=1, max_size=40)


def platt(positive, raw):
    """Scikit-learn without a penalty; a target of t is a row of 1 with weight t and a row of 0 with weight 1 - t."""
    count = positive.sum()
    target = np.where(positive, (count + 1) / (count + 2), 1 / (len(raw) - count + 2))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    outcome = np.repeat([1, 0], len(raw))
    model.fit(np.tile(raw, 2)[:, None], outcome, sample_weight=np.concatenate([target, 1 - target]))
    return model.coef_[0, 0], model.intercept_[0]


def test_the_curves_are_those_of_scikit_learn():
    some = some_predictions(digits=9)
    curves = metrics.fit_calibration(some.labels, some.raw)
    for boundary in (1, 2, 3, 4):
        slope, offset = platt(some.labels >= boundary, some.raw)
        assert curves.slopes[boundary - 1] == pytest.approx(slope, rel=1e-3)
        assert curves.offsets[boundary - 1] == pytest.approx(offset, rel=1e-3)


@settings(max_examples=150, deadline=None)
@given(COLUMNS)
def test_probabilities_never_rise_with_the_grade_and_are_finite_where_fitted(pairs):
    y, raw = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = metrics.fit_calibration(y, raw).probabilities(np.linspace(-5, 10, 31))
    for boundary in (1, 2, 3, 4):
        fitted = 0 < (y >= boundary).sum() < len(y)
        assert np.isfinite(found[:, boundary - 1]).all() == fitted
    known = found[:, np.isfinite(found[0])]
    assert ((known >= 0) & (known <= 1)).all()
    assert (np.diff(known, axis=1) <= 0).all()


@settings(max_examples=100, deadline=None)
@given(COLUMNS)
def test_the_mean_probability_is_the_mean_target(pairs):
    y, raw = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    curves = metrics.fit_calibration(y, raw, 1)
    count = (y >= 1).sum()
    if 0 < count < len(y):
        target = np.where(y >= 1, (count + 1) / (count + 2), 1 / (len(y) - count + 2))
        assert curves.probabilities(raw).mean() == pytest.approx(target.mean(), abs=1e-4)


def test_separated_and_equal_raw_values_have_a_curve():
    apart = metrics.fit_calibration([0, 0, 1, 1], [0, 0.1, 5, 5.1], 1).probabilities([0, 5])
    assert apart[:, 0] == pytest.approx([0.25, 0.75], abs=0.01)
    flat = metrics.fit_calibration([0, 0, 0, 1], [2, 2, 2, 2], 1)
    assert flat.slopes == (0.0,)


def test_a_calibration_without_curves_is_refused():
    with pytest.raises(OptionError, match="calibration"):
        metrics.Calibration((), ())


def test_the_probability_of_a_photograph_does_not_know_its_own_fold():
    some = some_predictions()
    found = metrics.cross_fitted_probabilities(some)
    own = some.folds == 2
    expected = metrics.fit_calibration(some.labels[~own], some.raw[~own]).probabilities(some.raw[own])
    np.testing.assert_array_equal(found[own], expected)
    changed = metrics.Judged(some.ids, np.where(own, 4 - some.labels, some.labels), some.raw, some.groups, some.folds)
    np.testing.assert_array_equal(metrics.cross_fitted_probabilities(changed)[own], expected)


def test_one_fold_has_no_probabilities():
    assert np.isnan(metrics.cross_fitted_probabilities(judged([0, 1.0], [0, 1.0], folds=np.zeros(2)))).all()


OUTCOMES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda v: v / 20)), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None)
@given(OUTCOMES)
def test_brier_equals_scikit_learn(pairs):
    happened, chance = zip(*pairs, strict=True)
    expected = sk.brier_score_loss(happened, chance, pos_label=1, labels=[0, 1])
    assert metrics.brier(happened, chance) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(OUTCOMES, st.integers(1, 12))
def test_the_calibration_error_equals_bins_in_loops(pairs, bins):
    ordered = sorted(chance for _, chance in pairs)
    places = {}
    for happened, chance in pairs:
        places.setdefault(ordered.index(chance) * bins // len(pairs), []).append((happened, chance))
    expected = 0.0
    for rows in places.values():
        outcome, promise = (np.mean(column) for column in zip(*rows, strict=True))
        expected += len(rows) / len(pairs) * abs(outcome - promise)
    happened, chance = zip(*pairs, strict=True)
    assert metrics.calibration_error(happened, chance, bins) == pytest.approx(expected, abs=1e-12)
    assert len(places) <= bins


def test_without_photographs_both_are_nan():
    assert np.isnan([metrics.brier([], []), metrics.calibration_error([], [])]).all()


@pytest.mark.parametrize("wrong", [([2], [0.5]), ([1], [1.5])])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(OptionError, match="probabilities"):
        metrics.brier(*wrong)


def test_the_reliability_table_has_bins_of_equal_mass():
    some = some_predictions(400, digits=9)
    table = metrics.reliability(some, 2, FEW)
    assert table.counts.tolist() == [40] * 10
    chance = metrics.cross_fitted_probabilities(some)[:, 1]
    order = np.argsort(chance)[:40]
    assert table.promised[0] == pytest.approx(chance[order].mean())
    assert table.happened[0] == pytest.approx((some.labels[order] >= 2).mean())
    assert (np.diff(table.promised) > 0).all()
    assert ((table.low <= table.happened) & (table.happened <= table.high)).all()
    error = (table.counts / 400 * np.abs(table.promised - table.happened)).sum()
    assert error == pytest.approx(metrics.calibration_error(some.labels >= 2, chance))


def test_a_boundary_that_a_fold_cannot_learn_has_no_table_and_a_reason():
    labels = np.array([0, 0, 0, 0, 3, 3.0])
    table = metrics.reliability(judged(labels, labels, folds=np.array([0, 0, 1, 1, 1, 1])), 2, FEW)
    assert not table.happened.size
    assert "label 2 or more" in table.reason
    assert "no photograph" in metrics.reliability(judged([], []), 2, FEW).reason
