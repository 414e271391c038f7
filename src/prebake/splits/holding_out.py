"""One hold-out: which rows train and which validate, every label in proportion, a group never on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import SplitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["holdout"]


def holdout(
    labels: ArrayLike, groups: Sequence[str | None] | None = None, *, fraction: float = 0.1, seed: int = 0
) -> NDArray[np.bool_]:
    """Choose validation rows, with every label in proportion and every group on one side.

    Groups are visited in a random order that ``seed`` decides, and one is taken when that brings the number of rows
    of each label nearer (in squares) to its share. Where every row is a group of its own the shares are met exactly,
    by largest remainder.

    Parameters
    ----------
    labels
        (N,) numbers, none missing; equal numbers are one class.
    groups
        (N,) names of what must stay together; ``None`` or ``""`` is a group of its own.
    fraction
        Share of rows wanted for validation, between 0 and 1; at least one row on either side.
    seed
        Any integer from 0; the same seed gives the same split on every machine.

    Returns
    -------
    numpy.ndarray
        (N,) bool, ``True`` for validation.

    Raises
    ------
    SplitError
        A label is missing, lengths differ, or there are fewer than two groups.

    Examples
    --------
    >>> holdout([0, 0, 0, 0, 1, 1, 1, 1], fraction=0.25).sum()
    np.int64(2)
    """
    values = np.asarray(labels, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise SplitError("every row of a split needs a label", got=f"{int(np.isnan(values).sum())} rows without one")
    if not 0 < fraction < 1:
        raise SplitError(
            "the share of validation rows cannot be used", expected="more than 0, less than 1", got=fraction
        )
    group = _group_numbers(groups, len(values))
    count = int(group.max()) + 1 if len(group) else 0
    if count < 2:
        raise SplitError(
            "there is nothing to split",
            expected="at least two photographs of different groups",
            got=f"{count} group(s)",
        )
    _, label = np.unique(values, return_inverse=True)
    members = np.zeros((count, int(label.max()) + 1), dtype=np.int64)
    np.add.at(members, (group, label), 1)
    order = _random_keys(seed, count + members.shape[1])
    need = _targets(members.sum(axis=0), fraction, order[count:])
    taken = _take(members, need, np.argsort(order[:count], kind="stable"))
    return taken[group]


def _group_numbers(groups: Sequence[str | None] | None, rows: int) -> NDArray[np.int64]:
    """Give groups numbers from 0 in order of appearance; a row without a group gets one of its own."""
    if groups is None:
        return np.arange(rows, dtype=np.int64)
    if len(groups) != rows:
        raise SplitError("groups and labels do not belong together", expected=f"{rows} groups", got=len(groups))
    numbers: dict[str | int, int] = {}
    keys = (name or row for row, name in enumerate(groups))
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), dtype=np.int64, count=rows)


def _random_keys(seed: int, count: int) -> NDArray[np.uint64]:
    """Raw output of PCG64, which numpy promises never to change (unlike what Generator makes of it)."""
    return np.asarray(np.random.PCG64(seed).random_raw(count), dtype=np.uint64)


def _targets(totals: NDArray[np.int64], fraction: float, ties: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows of each label wanted for validation, by largest remainder; equal remainders by lot."""
    wanted = totals * fraction
    target: NDArray[np.int64] = np.floor(wanted).astype(np.int64)
    total = min(max(round(int(totals.sum()) * fraction), 1), int(totals.sum()) - 1)
    remainder = np.round(wanted - target, 9)
    for label in np.lexsort((ties, -remainder))[: total - int(target.sum())]:
        target[label] += 1
    return target


def _take(members: NDArray[np.int64], need: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Take groups in ``order`` while they bring the taken rows nearer to ``need``."""
    taken = np.zeros(len(members), dtype=np.bool_)
    left = need.copy()
    for group in order:
        if 2 * int(left @ members[group]) > int(members[group] @ members[group]):
            taken[group] = True
            left -= members[group]
    if not taken.any():
        taken[order[np.argmin(((need - members[order]) ** 2).sum(axis=1))]] = True
    elif taken.all():
        taken[order[np.argmin(members[order].sum(axis=1))]] = False
    return taken
