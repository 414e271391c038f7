"""Folds: whole groups, balanced, the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from prebake.errors import SplitError
from prebake.splits import stratified_folds

rows = st.integers(5, 80).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n), st.lists(st.integers(0, 40), min_size=n, max_size=n)
    )
)


def names(count: int) -> list[str]:
    return [f"photograph {number}" for number in range(count)]


def spread(labels: np.ndarray, fold: np.ndarray, folds: int = 5) -> list[int]:
    """The difference between the fullest and the emptiest fold, for each label and for all."""
    counts = np.stack([np.bincount(labels[fold == number], minlength=5) for number in range(folds)])
    return [*np.ptp(counts, axis=0).tolist(), int(np.ptp(counts.sum(axis=1)))]


@given(rows, st.integers(2, 5), st.integers(0, 2**32))
def test_no_group_is_split_no_fold_is_empty_and_order_and_names_do_not_matter(
    rows: tuple[list[int], list[int]], folds: int, seed: int
) -> None:
    labels, groups = np.array(rows[0]), np.array(rows[1])
    ids = np.array(names(len(labels)))
    if len(set(rows[1])) < folds:
        with pytest.raises(SplitError, match="not enough photographs"):
            stratified_folds(labels, groups.astype(str), ids, folds=folds, seed=seed)
        return
    fold = stratified_folds(labels, groups.astype(str), ids, folds=folds, seed=seed)
    assert set(fold.tolist()) == set(range(folds))
    assert all(len(set(fold[groups == group])) == 1 for group in set(rows[1]))
    other = np.random.default_rng(seed).permutation(len(labels))
    renamed = [f"patient {99 - group}" for group in groups[other]]
    assert (stratified_folds(labels[other], renamed, ids[other], folds=folds, seed=seed) == fold[other]).all()


@given(st.lists(st.integers(0, 4), min_size=5, max_size=200), st.integers(2, 5), st.integers(0, 1000))
def test_without_groups_every_label_and_every_fold_is_balanced_within_one_row(
    labels: list[int], folds: int, seed: int
) -> None:
    ids = names(len(labels))
    assert max(spread(np.array(labels), stratified_folds(labels, ids, ids, folds=folds, seed=seed), folds)) <= 1


def theirs(labels: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    fold = np.empty(len(labels), np.int64)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for number, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        fold[held] = number
    return fold


def test_pairs_of_eyes_are_balanced_at_least_as_well_as_by_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    draw = lambda: rng.choice(5, 1500, p=[0.73, 0.07, 0.15, 0.03, 0.02])  # noqa: E731 - EyePACS 2015
    left = draw()
    labels = np.stack([left, np.where(rng.random(1500) < 0.8, left, draw())], axis=1).ravel()
    groups = [str(row // 2) for row in range(3000)]
    ours = spread(labels, stratified_folds(labels, groups, names(3000)))
    assert max(ours) <= 1
    assert all(a <= b for a, b in zip(ours, spread(labels, theirs(labels, groups)), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_very_different_size_are_balanced_like_by_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = (rng.zipf(1.5, 1500) % 300).astype(str)
    labels = rng.choice(5, 1500, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    ours = spread(labels, stratified_folds(labels, groups, names(1500), seed=seed))
    assert sum(ours) <= 1.02 * sum(spread(labels, theirs(labels, groups)))


def test_the_seed_decides_and_folds_never_change() -> None:
    labels, ids = [0, 0, 1, 2] * 3, names(12)
    assert stratified_folds(labels, ids, ids, folds=3, seed=7).tolist() == PINNED, "published folds could not be made"
    assert stratified_folds(labels, ids, ids, folds=3, seed=8).tolist() != PINNED


PINNED = [0, 2, 2, 1, 2, 1, 1, 2, 0, 1, 0, 0]


def test_what_cannot_be_folded_is_refused() -> None:
    with pytest.raises(SplitError, match="1 rows without one"):
        stratified_folds([0, float("nan")], ["a", "b"], ["a", "b"], folds=2)
    with pytest.raises(SplitError, match="number of folds"):
        stratified_folds([0, 1], ["a", "b"], ["a", "b"], folds=1)
    with pytest.raises(SplitError, match="not enough photographs for 5 folds"):
        stratified_folds([0, 1], ["a", "b"], ["a", "b"])
    with pytest.raises(SplitError, match="measurements, not classes"):
        stratified_folds(np.arange(1001), names(1001), names(1001))
