"""The held-out rows: in proportion, groups whole, the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from prebake.errors import SplitError
from prebake.splits import holdout

labels_and_groups = st.integers(2, 80).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
        st.lists(st.sampled_from(["", *"abcdefghij"]), min_size=n, max_size=n).filter(
            lambda groups: len(set(groups)) > 1 or groups[0] == ""
        ),
    )
)


@settings(max_examples=200, deadline=None)
@given(labels_and_groups, st.floats(0.02, 0.98), st.integers(0, 2**32 - 1))
def test_a_group_is_never_on_both_sides_and_no_side_is_empty(
    rows: tuple[list[int], list[str]], fraction: float, seed: int
) -> None:
    labels, groups = rows
    held = holdout(labels, groups, fraction=fraction, seed=seed)
    assert held.shape == (len(labels),)
    assert held.any()
    assert not held.all()
    for group in set(groups) - {""}:
        assert len({bool(side) for side, name in zip(held, groups, strict=True) if name == group}) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=300), st.floats(0.02, 0.98), st.integers(0, 2**32 - 1))
def test_without_groups_every_label_has_its_share_within_one_row(labels: list[int], fraction: float, seed: int) -> None:
    held = holdout(labels, fraction=fraction, seed=seed)
    assert held.sum() == min(max(round(len(labels) * fraction), 1), len(labels) - 1)
    for label in set(labels):
        mine = np.array(labels) == label
        assert abs(held[mine].sum() - fraction * mine.sum()) < 1 + 1e-6 or len(labels) * min(fraction, 1 - fraction) < 1


def test_counts_are_those_of_scikit_learn() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [1805, 370, 999, 193, 295])  # APTOS 2019
    held = holdout(labels, fraction=0.1)
    _, theirs = train_test_split(labels, test_size=366, stratify=labels, random_state=0)
    ours = np.bincount(labels[held])
    assert ours.sum() == 366
    assert np.abs(ours - np.bincount(theirs)).max() <= 1


def test_pairs_of_eyes_are_split_in_proportion_too() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.choice(5, 500, p=[0.7, 0.1, 0.1, 0.05, 0.05]), 2)
    held = holdout(labels, [f"patient {row // 2}" for row in range(1000)], fraction=0.1, seed=1)
    counts, wanted = np.bincount(labels[held], minlength=5), np.bincount(labels, minlength=5) * 0.1
    assert np.abs(counts - wanted).max() <= 2


def test_the_seed_decides_and_the_rows_chosen_never_change() -> None:
    labels = [0, 1, 2, 3, 4] * 8
    held = np.flatnonzero(holdout(labels, fraction=0.2, seed=7)).tolist()
    assert held == np.flatnonzero(holdout(labels, fraction=0.2, seed=7)).tolist()
    assert held != np.flatnonzero(holdout(labels, fraction=0.2, seed=8)).tolist()
    assert held == PINNED, "published runs could not be split the same way again"


PINNED = [6, 20, 23, 24, 32, 35, 37, 39]


def test_a_row_without_a_label_is_refused() -> None:
    with pytest.raises(SplitError, match="1 rows without one"):
        holdout([0, 1, float("nan")])


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(SplitError, match="nothing to split"):
        holdout([0, 1, 2], ["a", "a", "a"])
    with pytest.raises(SplitError, match="nothing to split"):
        holdout([])


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(SplitError, match="do not belong together"):
        holdout([0, 1, 2], ["a", "b"])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(SplitError, match="share of validation"):
        holdout([0, 1, 2], fraction=fraction)
