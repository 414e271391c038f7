"""Numbers are compared with scikit-learn, with formulas written out in loops, and with plain resampling."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from prebake import metrics
from prebake.errors import MissingExtra, OptionError


def kappa_in_loops(y, p):
    """Cohen's weighted kappa, straight from its definition: observed over expected squared distance."""
    seen = sum((a - b) ** 2 for a, b in zip(y, p, strict=True)) / len(y)
    by_chance = sum((a - b) ** 2 for a in y for b in p) / len(y) ** 2
    return 1 - seen / by_chance


def some_grades(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, n)
    return y, np.clip(y + rng.integers(-1, 2, n), 0, 4)


def test_kappa_equals_scikit_learn_when_every_grade_occurs():
    y, p = some_grades()
    expected = sk.cohen_kappa_score(y, p, weights="quadratic")
    assert metrics.quadratic_weighted_kappa(y, p) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_kappa_equals_its_definition_for_any_grades(pairs):
    y, p = zip(*pairs, strict=True)
    if len(set(y) | set(p)) == 1:
        assert np.isnan(metrics.quadratic_weighted_kappa(y, p))
        return
    expected = kappa_in_loops(y, p)
    assert metrics.quadratic_weighted_kappa(y, p) == pytest.approx(expected, abs=1e-12)
    assert float(metrics.kappa_of_confusion(metrics.confusion(y, p, 5))) == pytest.approx(expected, abs=1e-12)


def test_a_grade_that_occurs_nowhere_still_counts_as_distance():
    y, p = [0, 0, 1, 4, 4], [0, 1, 1, 4, 1]
    assert metrics.quadratic_weighted_kappa(y, p) == pytest.approx(kappa_in_loops(y, p), abs=1e-12)
    assert metrics.quadratic_weighted_kappa(y, p) != pytest.approx(sk.cohen_kappa_score(y, p, weights="quadratic"))


def test_undefined_is_nan_with_a_reason():
    assert np.isnan(metrics.quadratic_weighted_kappa([2, 2], [2, 2]))
    assert np.isnan(metrics.quadratic_weighted_kappa([], []))
    assert np.isnan(metrics.quadratic_weighted_kappa([0.5, 1.0], [0, 1]))
    assert all(np.isnan(f([], [])) for f in (metrics.mae, metrics.mse, metrics.accuracy))
    assert metrics.undefined([0.5, 1.0], [0, 1]) == {"kappa": "the labels are not whole numbers"}
    assert set(metrics.undefined([np.nan], [1.0])) == {"kappa", "mae", "mse", "accuracy"}
    assert metrics.undefined([0, 1], [0, 1]) == {}
    assert np.isnan(metrics.quadratic_weighted_kappa([0, 10**7], [0, 4]))
    assert "100 grades" in metrics.undefined([0, 10**7], [0, 4])["kappa"]


def test_a_constant_answer_has_kappa_zero():
    assert metrics.quadratic_weighted_kappa([0, 1, 2, 3], [2, 2, 2, 2]) == pytest.approx(0.0, abs=1e-12)


def test_kappa_of_raw_values_is_refused():
    with pytest.raises(OptionError, match="whole numbers"):
        metrics.quadratic_weighted_kappa([0, 1], [0.2, 0.9])


@pytest.mark.parametrize("wrong", [([0, 1], [0]), ([0, np.nan], [0, 1]), ([[0]], [[0]])])
def test_columns_that_do_not_fit_are_refused(wrong):
    with pytest.raises(OptionError):
        metrics.quadratic_weighted_kappa(*wrong)


def test_errors_and_accuracy_equal_scikit_learn():
    y, p = some_grades()
    raw = p + np.random.default_rng(1).normal(0, 0.2, len(p))
    assert metrics.mae(y, raw) == pytest.approx(np.abs(y - raw).mean())
    assert metrics.mse(y, raw) == pytest.approx(((y - raw) ** 2).mean())
    assert metrics.accuracy(y, p) == pytest.approx(sk.accuracy_score(y, p))


def test_confusion_equals_scikit_learn():
    y, p = some_grades()
    np.testing.assert_array_equal(metrics.confusion(y, p, 6), sk.confusion_matrix(y, p, labels=range(6)))


@pytest.mark.parametrize(("y", "p"), [([5], [0]), ([0], [-1]), ([0.5], [0])])
def test_confusion_refuses_what_is_no_class(y, p):
    with pytest.raises(OptionError, match=r"0\.\.4"):
        metrics.confusion(y, p, 5)


def test_grade_puts_a_value_on_a_threshold_above_it():
    raw = [-3, 0.499, 0.5, 1.5, 2.4999, 2.5, 3.5, 99]
    by_hand = [0 if r < 0.5 else 1 if r < 1.5 else 2 if r < 2.5 else 3 if r < 3.5 else 4 for r in raw]
    assert metrics.grade(raw).tolist() == by_hand
    assert metrics.grade([0.3, 0.2], (0.25,)).tolist() == [1, 0]


@pytest.mark.parametrize("raw", [[np.nan], [np.inf, 1.0]])
def test_a_raw_value_that_is_not_finite_has_no_grade(raw):
    with pytest.raises(OptionError, match="diverged"):
        metrics.grade(raw)


@pytest.mark.parametrize("cuts", [(), (1.0, 1.0), (2.0, 1.0), (np.nan,)])
def test_thresholds_must_increase(cuts):
    with pytest.raises(OptionError, match="thresholds"):
        metrics.grade([1.0], cuts)


def test_summary_leaves_out_rows_without_a_label():
    y, p = some_grades()
    raw = p + 0.1
    found = metrics.summary([*y, np.nan], [*raw, 3.0])
    assert found["n"] == len(y)
    assert found["kappa"] == pytest.approx(sk.cohen_kappa_score(y, p, weights="quadratic"))
    assert found["mae"] == pytest.approx(np.abs(y - raw).mean())


def plain_bootstrap(y, p, groups, samples, seed):
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    rows = {name: np.flatnonzero(groups == name) for name in names}
    found = []
    for _ in range(samples):
        picked = np.concatenate([rows[name] for name in rng.choice(names, len(names))])
        found.append(float(metrics.kappa_of_confusion(metrics.confusion(y[picked], p[picked], 5))))
    return np.quantile(found, [0.025, 0.975])


def test_the_interval_equals_plain_resampling_of_groups():
    y, p = some_grades(240)
    groups = np.array([f"p{i // 4}" for i in range(240)])
    y, p = np.sort(y), p[np.argsort(y, kind="stable")]
    low, high = metrics.kappa_interval(y, p, list(groups), samples=4000)
    assert (low, high) == pytest.approx(plain_bootstrap(y, p, groups, 4000, 1), abs=0.006)


def test_the_interval_of_single_rows_equals_plain_resampling():
    y, p = some_grades(150, seed=3)
    alone = metrics.kappa_interval(y, p, samples=4000)
    assert alone == pytest.approx(plain_bootstrap(y, p, np.arange(150).astype(str), 4000, 2), abs=0.006)
    assert metrics.kappa_interval(y, p, [str(i) for i in range(150)], samples=4000) == pytest.approx(alone, abs=0.006)
    assert metrics.kappa_interval(y, p, [""] * 150, samples=4000) == alone


def test_doubled_rows_of_one_patient_do_not_narrow_the_interval():
    y, p = some_grades(100)
    twice = [f"{i}" for i in range(100)] * 2
    single = metrics.kappa_interval(y, p, [f"{i}" for i in range(100)])
    grouped = metrics.kappa_interval(np.tile(y, 2), np.tile(p, 2), twice)
    naive = metrics.kappa_interval(np.tile(y, 2), np.tile(p, 2))
    assert grouped == pytest.approx(single, abs=1e-12)
    assert naive[1] - naive[0] < 0.85 * (grouped[1] - grouped[0])


def test_an_interval_that_cannot_be_had_is_nan():
    assert np.isnan(metrics.kappa_interval([0, 1], [0, 1], ["a", "a"])).all()
    assert np.isnan(metrics.kappa_interval([2, 2], [2, 2])).all()
    with pytest.raises(OptionError):
        metrics.kappa_interval([0, 1], [0, 1], level=95)
    with pytest.raises(OptionError, match="groups"):
        metrics.kappa_interval([0, 1], [0, 1], ["a"])


EXAMPLES = [module.name for module in pkgutil.iter_modules(metrics.__path__) if module.name not in ("checks", "parts")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_in_the_docstrings_run(name):
    found = doctest.testmod(importlib.import_module(f"prebake.metrics.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_scikit_learn_is_loaded_late_and_torch_never():
    code = "import sys, prebake.metrics; print(any(m in sys.modules for m in ('sklearn', 'torch')))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"}
    )
    assert found.stdout.strip() == "False"


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"prebake\[train\]"):
        metrics.mae([0], [1])
