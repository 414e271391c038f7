"""Two sets of predictions are compared on the same photographs, in the same draws."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from metrics_helpers import FEW, judged, picks, some_predictions
from prebake import metrics
from prebake.errors import OptionError


def two(n=240):
    blunt = some_predictions(n, noise=0.9)
    rng = np.random.default_rng(5)
    return replace(blunt, raw=blunt.labels + rng.normal(0, 0.3, n)), blunt


def test_every_difference_is_that_of_the_judgements():
    sharp, blunt = two()
    found = metrics.compare(sharp, blunt, bootstrap=FEW)
    one, other = metrics.judge(sharp, bootstrap=FEW), metrics.judge(blunt, bootstrap=FEW)
    assert found.differences.keys() == one.keys()
    assert (found.n, found.groups, found.only_a, found.only_b) == (240, 120, 0, 0)
    for name, difference in found.differences.items():
        assert difference.a == pytest.approx(one[name]["value"])
        assert difference.b == pytest.approx(other[name]["value"])
        assert difference.difference == pytest.approx(difference.a - difference.b)
        assert difference.low <= difference.high


def test_the_interval_equals_plain_resampling_in_pairs():
    sharp, blunt = two()
    found = metrics.compare(sharp, blunt, bootstrap=metrics.Bootstrap(samples=3000)).differences
    plain = {"mae": [], "kappa": [], "referable_auc": []}
    for rows in picks(np.array(sharp.groups), 3000, 1):
        y = sharp.labels[rows]
        sides = [side.raw[rows] for side in (sharp, blunt)]
        plain["mae"].append(np.subtract(*[metrics.mae(y, raw) for raw in sides]))
        plain["referable_auc"].append(np.subtract(*[metrics.auc(y, raw, 2) for raw in sides]))
        matrices = [metrics.confusion(y, metrics.grade(raw), 5) for raw in sides]
        plain["kappa"].append(np.subtract(*metrics.kappa_of_confusion(matrices)))
    for name, drawn in plain.items():
        expected = np.quantile(drawn, [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))
        share = np.mean(np.array(drawn) < 0) if name == "mae" else np.mean(np.array(drawn) > 0)
        assert found[name].a_better == pytest.approx(share, abs=0.02)


def test_pairs_are_narrower_than_strangers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300).astype(float)
    raw = labels + rng.normal(0, 1, 300)
    one, other = judged(labels, raw), judged(labels, raw + rng.normal(0, 0.05, 300))
    kappa = metrics.compare(one, other, bootstrap=FEW).differences["kappa"]
    alone = metrics.judge(one, bootstrap=FEW)["kappa"]
    assert kappa.high - kappa.low < 0.5 * (alone["high"] - alone["low"])


def test_exchanging_the_two_turns_the_sign():
    sharp, blunt = two()
    there, back = (
        metrics.compare(*pair, bootstrap=FEW).differences["mae"] for pair in ((sharp, blunt), (blunt, sharp))
    )
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert there.a_better == pytest.approx(1 - back.a_better)
    assert "sharp is better" in there.sentence("sharp", "blunt")
    assert "sharp is better" in back.sentence("blunt", "sharp")


def test_predictions_are_their_own_equal():
    some = some_predictions()
    kappa = metrics.compare(some, some, bootstrap=FEW).differences["kappa"]
    assert (kappa.difference, kappa.low, kappa.high, kappa.a_better) == (0, 0, 0, 0.5)
    assert not kappa.clear
    assert "inside the noise" in kappa.sentence()


def test_photographs_are_paired_by_id():
    some = some_predictions()
    order = np.random.default_rng(0).permutation(len(some))
    found = metrics.compare(some, some.take(order[:100]), bootstrap=FEW)
    assert (found.n, found.only_a, found.only_b) == (100, 140, 0)
    assert found.differences["mse"].difference == 0


def test_groups_of_one_hold_for_both():
    sharp, blunt = two()
    grouped = metrics.compare(sharp, blunt, bootstrap=FEW)
    assert metrics.compare(replace(sharp, groups=()), blunt, bootstrap=FEW) == grouped
    renamed = tuple(f"other {name}" for name in blunt.groups)
    assert metrics.compare(sharp, replace(blunt, groups=renamed), bootstrap=FEW) == grouped


def test_what_does_not_fit_is_refused():
    some = some_predictions()
    with pytest.raises(OptionError, match="no photograph"):
        metrics.compare(some, replace(some, ids=tuple(f"x{name}" for name in some.ids)))
    with pytest.raises(OptionError, match="different labels"):
        metrics.compare(some, replace(some, labels=4 - some.labels))
    with pytest.raises(OptionError, match="groups of the two differ"):
        metrics.compare(some, replace(some, groups=(*some.groups[1:], ""), folds=()))


def test_what_is_undefined_on_one_side_has_a_reason():
    some = judged([0, 1, 0, 1.0], [0, 1, 1, 1.0])
    found = metrics.compare(some, some, bootstrap=FEW).differences
    assert np.isnan([found["referable_auc"].difference, found["referable_auc"].a_better]).all()
    assert found["referable_auc"].reason == "no photograph has label 2 or more"
    assert "cannot be compared" in found["referable_auc"].sentence()
    one_group = judged([0, 1.0], [0, 0.0], "pp")
    kappa = metrics.compare(one_group, one_group, bootstrap=FEW).differences["kappa"]
    assert "one group" in kappa.sentence()
    assert json.loads(json.dumps(metrics.for_json(kappa), allow_nan=False))["low"] is None
