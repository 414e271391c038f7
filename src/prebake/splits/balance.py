"""Folds that are balanced in size and in every label, as well as whole groups allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from prebake.errors import SplitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Integers = NDArray[np.int64]

__all__ = ["stratified_folds"]

MAX_LABELS = 1000
ROUNDS = 30  # of exchanging groups; most often a few are enough


def stratified_folds(
    labels: ArrayLike, groups: Sequence[str], ids: Sequence[str], *, folds: int = 5, seed: int = 0
) -> Integers:
    """Put whole groups into folds.

    The largest first, each group goes where it fits best; then groups are moved and exchanged as long as that brings
    the folds nearer to each other: the sum of squared numbers of rows falls, of each label and, with half the weight,
    of all labels together.

    Parameters
    ----------
    labels
        (N,) numbers, none missing; equal numbers are one class.
    groups
        (N,) names of what must stay together.
    ids
        (N,) names of the rows, all different.
    folds
        How many, at least 2.
    seed
        Any integer from 0.

    Returns
    -------
    numpy.ndarray
        (N,) int64, 0 to ``folds - 1``. It depends on the seed, and for each row on its id, label and companions;
        not on the order of rows, nor on what groups are called. It is the same on every machine.

    Raises
    ------
    SplitError
        A label is missing, there are fewer groups than folds, or labels that are no classes.

    Examples
    --------
    >>> stratified_folds([0, 0, 1, 1], ["a", "b", "c", "d"], ["1", "2", "3", "4"], folds=2).tolist()
    [0, 1, 0, 1]
    """
    values = np.asarray(labels, dtype=np.float64)
    if np.isnan(values).any():
        raise SplitError("every row of a fold needs a label", got=f"{int(np.isnan(values).sum())} rows without one")
    if folds < 2:
        raise SplitError("the number of folds cannot be used", expected="at least 2", got=folds)
    names, group = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    classes, label = np.unique(values, return_inverse=True)
    if len(names) < folds:
        raise SplitError(
            f"there are not enough photographs for {folds} folds",
            expected=f"at least {folds} labelled photographs that need not stay together",
            got=f"{len(names)} (of {len(values)} labelled photographs)",
            do="ask for fewer folds",
        )
    if len(classes) > MAX_LABELS:
        raise SplitError(
            "the labels are measurements, not classes: nothing can be balanced",
            expected=f"at most {MAX_LABELS} different labels",
            got=len(classes),
        )
    members = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(members, (group, label), 1)
    order = _random_order(group, ids, seed)
    return _assigned(members[order], folds)[np.argsort(order)][group]


def _random_order(group: NDArray[np.intp], ids: Sequence[str], seed: int) -> NDArray[np.intp]:
    """Return the groups in the order of a digest of the seed and their smallest id."""
    smallest: dict[int, str] = {}
    for number, name in zip(group.tolist(), ids, strict=True):
        smallest[number] = min(name, smallest.get(number, name))
    keys = [(xxhash.xxh3_64_intdigest(f"{seed}:{name}".encode()), name) for _, name in sorted(smallest.items())]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)


def _assigned(members: Integers, folds: int) -> Integers:
    """Return the fold of each group, given the rows of each label in each group, (G, L), in random order."""
    counted = np.concatenate([members, members.sum(axis=1, keepdims=True)], axis=1)
    weight = np.full(counted.shape[1], 2, dtype=np.int64)
    weight[-1] = 1
    fold = np.empty(len(counted), dtype=np.int64)
    filled = np.zeros((folds, counted.shape[1]), dtype=np.int64)
    for number in np.argsort(-counted[:, -1], kind="stable").tolist():
        rows = counted[number]
        fold[number] = np.argmin(filled @ (weight * rows))
        filled[fold[number]] += rows
    _exchange(counted, fold, filled, weight)
    return fold


def _exchange(counted: Integers, fold: Integers, filled: Integers, weight: Integers) -> None:
    """Move a group into another fold, or exchange it with one there, as long as the sum of squares falls.

    Groups of the same numbers are as good as each other: of each kind, one in each fold is tried.
    """
    folds = len(filled)
    _, kind = np.unique(counted, axis=0, return_inverse=True)
    nothing = np.zeros((folds, counted.shape[1]), dtype=np.int64)
    for _ in range(ROUNDS):
        _, tried = np.unique(kind * folds + fold, return_index=True)
        there = np.concatenate([counted[tried], nothing])  # to exchange a group with nothing is to move it
        changed = False
        for number in tried.tolist():
            home = int(fold[number])
            place = np.concatenate([fold[tried], np.arange(folds)])
            change = counted[number] - there
            gain = ((filled[place] - filled[home] + change) * change) @ weight
            gain[place == home] = 0
            best = int(np.argmin(gain))
            if gain[best] < 0:
                away = int(place[best])
                filled[away] += change[best]
                filled[home] -= change[best]
                fold[number] = away
                if best < len(tried):
                    fold[tried[best]] = home
                changed = True
        if not changed:
            return
