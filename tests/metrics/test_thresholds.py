"""Fitted thresholds are the best there are, and are judged on photographs they have not seen."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from metrics_helpers import FEW, judged, some_predictions
from prebake import metrics
from prebake.errors import OptionError


def kappa(y, p):
    return sk.cohen_kappa_score(np.array(y, dtype=int), p, labels=range(5), weights="quadratic")


def best_of_all(y, raw, grades):
    """The highest kappa of every way to cut the sorted raw values into grades, empty grades included."""
    values = np.unique(raw)
    found = []
    for cuts in combinations_with_replacement(range(len(values) + 1), grades - 1):
        given_grade = np.searchsorted(cuts, np.searchsorted(values, raw), side="right")
        found.append(kappa(y, given_grade))
    return max(found)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 5).map(lambda v: v / 2)), min_size=2, max_size=14))
def test_no_thresholds_are_better(pairs):
    y, raw = zip(*pairs, strict=True)
    if len(set(y)) == 1:
        with pytest.raises(OptionError, match="every label"):
            metrics.fit_thresholds(y, raw, 4)
        return
    cuts = metrics.fit_thresholds(y, raw, 4)
    assert kappa(y, metrics.grade(raw, cuts)) == pytest.approx(best_of_all(y, raw, 4), abs=1e-12)


def test_five_grades_of_many_values_equal_every_way_to_cut():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 22)
    raw = y + rng.normal(0, 1, 22)
    cuts = metrics.fit_thresholds(y, raw)
    assert kappa(y, metrics.grade(raw, cuts)) == pytest.approx(best_of_all(y, raw, 5), abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(-(10**7), 10**7).map(lambda v: v / 1000)), min_size=2, max_size=30
    )
)
def test_fitted_thresholds_can_be_used_and_are_no_worse_than_any_at_hand(pairs):
    y, raw = zip(*pairs, strict=True)
    if len(set(y)) > 1:
        cuts = metrics.fit_thresholds(y, raw)
        fitted = kappa(y, metrics.grade(raw, cuts))
        for others in ((0.5, 1.5, 2.5, 3.5), (0, 1, 2, 3), tuple(np.quantile(raw, [0.2, 0.4, 0.6, 0.8]))):
            if (np.diff(others) > 1e-3).all():
                assert fitted >= kappa(y, metrics.grade(raw, others)) - 1e-9


def test_values_one_rounding_apart_are_not_cut():
    close = [1.0, np.nextafter(1.0, 2), 1 + 1e-12]
    cuts = metrics.fit_thresholds([0, 4, 0, 4], [*close, 3.0])
    assert len(set(metrics.grade(close, cuts).tolist())) == 1
    assert (np.diff(cuts) > 0).all()


@pytest.mark.parametrize(
    ("labels", "words"), [([], "no photograph"), ([0.5, 1], "whole"), ([0, 5], "5 grades"), ([-1, 2], "no grades")]
)
def test_labels_that_are_no_grades_have_no_thresholds(labels, words):
    with pytest.raises(OptionError, match=words):
        metrics.fit_thresholds(labels, [0.0] * len(labels))


def test_the_gain_is_that_of_thresholds_fitted_without_the_fold():
    some = some_predictions()
    gain = metrics.judge_thresholds(some, bootstrap=FEW)
    fitted = np.empty(len(some), dtype=int)
    for fold in range(5):
        own = some.folds == fold
        cuts = metrics.fit_thresholds(some.labels[~own], some.raw[~own])
        assert gain.by_fold[fold] == cuts
        fitted[own] = metrics.grade(some.raw[own], cuts)
    assert gain.thresholds == metrics.fit_thresholds(some.labels, some.raw)
    assert gain.kappa_default == pytest.approx(kappa(some.labels, metrics.grade(some.raw)))
    assert gain.kappa_fitted == pytest.approx(kappa(some.labels, fitted))
    assert gain.gain == pytest.approx(gain.kappa_fitted - gain.kappa_default)
    assert gain.low < gain.gain < gain.high


def test_thresholds_of_noise_are_not_worth_it():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 150).astype(float)
    gain = metrics.judge_thresholds(judged(labels, labels + rng.normal(0, 0.7, 150)), bootstrap=FEW)
    assert not gain.worthwhile
    assert gain.sentence.endswith("keep the default")


def test_thresholds_of_a_shifted_model_are_worth_it():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 300).astype(float)
    gain = metrics.judge_thresholds(judged(labels, labels + 0.7 + rng.normal(0, 0.3, 300)), bootstrap=FEW)
    assert gain.worthwhile
    assert gain.better == 1.0
    assert "outside the noise" in gain.sentence


def test_predictions_that_are_graded_the_same_gain_nothing():
    labels = np.tile(np.arange(5.0), 10)
    gain = metrics.judge_thresholds(judged(labels, labels), bootstrap=FEW)
    assert (gain.gain, gain.low, gain.high, gain.better) == (0, 0, 0, 0.5)
    assert "inside the noise" in gain.sentence


@pytest.mark.parametrize(
    ("labels", "folds", "words"),
    [
        ([0, 1, 2], [0, 0, 0], "two folds"),
        ([0, 2, 2], [0, 1, 1], "without fold 0 every label is 2"),
        ([2, 2, 2], [0, 1, 2], "every label is 2"),
        ([0.5, 1, 2], [0, 1, 2], "whole"),
    ],
)
def test_what_cannot_be_judged_says_why(labels, folds, words):
    gain = metrics.judge_thresholds(judged(labels, labels, folds=np.array(folds)), bootstrap=FEW)
    assert np.isnan([gain.gain, gain.low, gain.better]).all()
    assert words in gain.reason
    assert gain.reason in gain.sentence
    assert gain.thresholds == gain.default
