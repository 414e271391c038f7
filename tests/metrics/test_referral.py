"""The referral curve is what is left after the least certain photographs are taken out."""

from __future__ import annotations

import numpy as np
import pytest

from metrics_helpers import FEW, judged, some_predictions
from prebake import metrics
from prebake.errors import OptionError


def test_each_point_is_the_kappa_of_the_photographs_left():
    some = some_predictions()
    doubt = np.random.default_rng(0).normal(size=len(some))
    curve = metrics.referral_curve(some, doubt, bootstrap=FEW)
    order = np.argsort(-doubt)
    assert curve.left.tolist() == [240 - round(0.05 * step * 240) for step in range(11)]
    for index, left in enumerate(curve.left):
        kept = order[len(some) - left :]
        y, p = some.labels[kept], metrics.grade(some.raw[kept])
        assert curve.kappa[index] == pytest.approx(metrics.quadratic_weighted_kappa(y, p))
        assert curve.accuracy[index] == pytest.approx((y == p).mean())
    for name in ("kappa", "accuracy"):
        value, low, high = (getattr(curve, name + end) for end in ("", "_low", "_high"))
        assert ((low < value) & (value < high)).all()


def test_nothing_referred_is_the_judgement_itself():
    some = some_predictions()
    curve = metrics.referral_curve(some, np.zeros(240), shares=[0], bootstrap=FEW)
    kappa = metrics.judge(some, bootstrap=FEW)["kappa"]
    assert (curve.kappa[0], curve.kappa_low[0], curve.kappa_high[0]) == pytest.approx(
        (kappa["value"], kappa["low"], kappa["high"])
    )
    chance = [curve.random_kappa[0], curve.random_low[0], curve.random_high[0]]
    assert chance == pytest.approx([curve.kappa[0]] * 3)


def test_random_referral_equals_taking_out_at_random():
    some = some_predictions(100)
    curve = metrics.referral_curve(some, np.arange(100.0), shares=[0.4], bootstrap=metrics.Bootstrap(samples=3000))
    rng = np.random.default_rng(1)
    grades = metrics.grade(some.raw)
    plain = [
        float(metrics.kappa_of_confusion(metrics.confusion(some.labels[rows], grades[rows], 5)))
        for rows in (rng.permutation(100)[:60] for _ in range(3000))
    ]
    assert curve.random_kappa[0] == pytest.approx(np.mean(plain), abs=0.004)
    assert (curve.random_low[0], curve.random_high[0]) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.015)


def test_knowing_ones_errors_beats_chance_and_equal_doubt_does_not():
    some = some_predictions(400, noise=0.8)
    errors = np.abs(some.raw - some.labels)
    knowing = metrics.referral_curve(some, errors, bootstrap=FEW)
    assert (np.diff(knowing.kappa) > 0).all()
    assert (knowing.kappa[1:] > knowing.random_high[1:]).all()
    by_label = some.take(np.argsort(some.labels, kind="stable"))
    equal = metrics.referral_curve(by_label, np.zeros(400), bootstrap=FEW)
    assert (equal.kappa > equal.random_low - 0.03).all()


def test_what_cannot_be_had_says_why():
    assert "whole" in metrics.referral_curve(judged([0.5], [1.0]), [0.0]).reason
    same = metrics.referral_curve(judged([2.0, 2], [2.0, 2]), [0.0, 1], shares=[0.5], bootstrap=FEW)
    assert np.isnan([same.kappa[0], same.kappa_low[0], same.random_kappa[0]]).all()
    assert same.accuracy.tolist() == [1.0]


@pytest.mark.parametrize(
    ("doubt", "shares", "words"), [([1.0], [0], "2 finite"), ([0, np.nan], [0], "finite"), ([0, 1], [1.0], "share")]
)
def test_what_does_not_fit_is_refused(doubt, shares, words):
    with pytest.raises(OptionError, match=words):
        metrics.referral_curve(judged([0, 1.0], [0, 1.0]), doubt, shares=shares)


def test_doubt_is_the_distance_to_the_nearest_threshold_with_the_sign_turned():
    raw = np.array([-1.0, 0.5, 0.9, 2.25, 9.0])
    assert metrics.doubt(raw).tolist() == pytest.approx([-1.5, 0.0, -0.4, -0.25, -5.5])
    assert metrics.doubt(raw, [2.0]).tolist() == pytest.approx([-3.0, -1.5, -1.1, -0.25, -7.0])
