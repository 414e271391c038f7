"""AUC, ROC and operating points are those of scikit-learn, and of trying every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from metrics_helpers import FEW, judged, picks, some_predictions
from prebake import metrics
from prebake.errors import OptionError

COLUMNS = st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 8).map(lambda v: v / 2)), min_size=2, max_size=40)


def by_trying(y, raw, boundary, hold, at):
    """(sensitivity, specificity) by the rule: every threshold there is, the best that holds what is asked."""
    positive = np.array(y) >= boundary
    tried = []
    for cut in [*np.unique(raw), np.inf]:
        called = np.array(raw) >= cut
        tried.append(((called & positive).sum() / positive.sum(), (~called & ~positive).sum() / (~positive).sum()))
    if hold == "sensitivity":
        return max((point for point in tried if point[0] >= at - 1e-12), key=lambda point: point[1])
    return max((point for point in tried if point[1] >= at - 1e-12), key=lambda point: point[0])


def both_sides(y, boundary):
    return 0 < sum(label >= boundary for label in y) < len(y)


@settings(max_examples=150, deadline=None)
@given(COLUMNS, st.integers(1, 4))
def test_auc_equals_scikit_learn_with_any_ties(pairs, boundary):
    y, raw = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = metrics.auc(y, raw, boundary)
    if not both_sides(y, boundary):
        assert np.isnan(found)
    else:
        assert found == pytest.approx(sk.roc_auc_score(y >= boundary, raw), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    COLUMNS, st.integers(1, 4), st.sampled_from(["sensitivity", "specificity"]), st.sampled_from([0.5, 0.825, 0.85, 1])
)
def test_operating_points_equal_trying_every_threshold(pairs, boundary, hold, at):
    y, raw = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    point = metrics.operating_point(y, raw, boundary, hold=hold, at=at)
    if not both_sides(y, boundary):
        assert np.isnan([point.threshold, point.sensitivity, point.specificity]).all()
        return
    sensitivity, specificity = by_trying(y, raw, boundary, hold, at)
    assert point.specificity == pytest.approx(specificity, abs=1e-12) or hold == "specificity"
    assert point.sensitivity == pytest.approx(sensitivity, abs=1e-12) or hold == "sensitivity"
    assert getattr(point, hold) >= at - 1e-9
    assert metrics.at_threshold(y, raw, boundary, point.threshold) == point


def test_85_percent_of_twenty_are_seventeen():
    y, raw = [0.0] * 20 + [3.0] * 20, [*np.arange(20) / 10, *(1 + np.arange(20) / 10)]
    assert metrics.operating_point(y, raw, 2, hold="sensitivity", at=0.85).sensitivity == 0.85
    assert metrics.operating_point(y, raw, 2, hold="specificity", at=0.55).specificity == 0.55


def test_sensitivity_and_specificity_are_recalls():
    some = some_predictions()
    point = metrics.at_threshold(some.labels, some.raw, 2, 1.5)
    assert point.sensitivity == pytest.approx(sk.recall_score(some.labels >= 2, some.raw >= 1.5))
    assert point.specificity == pytest.approx(sk.recall_score(some.labels < 2, some.raw < 1.5))
    alone = metrics.at_threshold([3, 3], [1, 2], 2, 1.5)
    assert alone.sensitivity == 0.5
    assert np.isnan(alone.specificity)


@pytest.mark.parametrize("at", [0, 1.1, 85])
def test_an_operating_point_is_a_share(at):
    with pytest.raises(OptionError, match="operating point"):
        metrics.operating_point([0, 3], [0, 3], 2, hold="sensitivity", at=at)


@settings(max_examples=60, deadline=None)
@given(COLUMNS, st.integers(1, 4))
def test_the_curve_is_that_of_scikit_learn(pairs, boundary):
    y, raw = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    curve = metrics.roc(judged(y, raw), boundary, metrics.Bootstrap(samples=5))
    if not both_sides(y, boundary):
        assert "label" in curve.reason
        assert not curve.sensitivity.size
        return
    false, found, thresholds = sk.roc_curve(y >= boundary, raw)
    assert sk.auc(curve.false_positive_rate, curve.sensitivity) == pytest.approx(metrics.auc(y, raw, boundary))
    for rate, share, cut in zip(curve.false_positive_rate, curve.sensitivity, curve.thresholds, strict=True):
        hit = np.flatnonzero(thresholds == cut)
        if hit.size:
            assert (rate, share) == pytest.approx((false[hit[0]], found[hit[0]]))
        assert (np.mean(raw[y < boundary] >= cut), np.mean(raw[y >= boundary] >= cut)) == pytest.approx((rate, share))


def test_the_band_holds_the_curve_and_equals_plain_resampling():
    some = some_predictions()
    curve = metrics.roc(some, 2, metrics.Bootstrap(samples=1500))
    columns = []
    for rows in picks(np.array(some.groups), 1500, 1):
        y, raw = some.labels[rows], some.raw[rows]
        columns.append([by_trying(y, raw, 2, "specificity", 1 - rate)[0] for rate in (0.1, 0.3)])
    low, high = np.quantile(np.array(columns), [0.025, 0.975], axis=0)
    np.testing.assert_allclose(curve.low[[10, 30]], low, atol=0.03)
    np.testing.assert_allclose(curve.high[[10, 30]], high, atol=0.03)
    assert (curve.low <= curve.high).all()


def test_one_group_has_a_curve_and_no_band():
    curve = metrics.roc(judged([0, 3.0], [0, 3.0], "pp"), 2, FEW)
    assert curve.sensitivity.tolist() == [0, 1, 1]
    assert np.isnan(curve.low).all()
