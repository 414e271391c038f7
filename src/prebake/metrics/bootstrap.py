"""How far a number would move with other photographs: the bootstrap, drawing whole groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.agreement import kappa_of_confusion
from prebake.metrics.checks import Floats, Ints, columns, require_whole, why_no_kappa

__all__ = ["kappa_interval"]


def kappa_interval(
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval (percentile) of quadratic weighted kappa, drawing whole groups.

    Photographs of one patient resemble each other; drawing them one by one makes the interval too narrow, so groups are
    drawn with replacement (cluster bootstrap; Field and Welsh, 2007). Groups with the same contents are
    interchangeable, so a draw is one multinomial over the distinct contents, whatever the number of rows.

    Parameters
    ----------
    y, p
        (N,) labels and predicted grades, whole numbers from 0.
    groups
        (N,) names (the patient); ``""`` is a group of its own, as is every row without ``groups``.
    level
        Share of draws between the two ends.
    samples
        Number of draws.
    seed
        Of the draws: the same rows give the same interval.

    Returns
    -------
    Lower and upper end. Draws whose kappa is undefined are left out. Both NaN where kappa itself is undefined, with
    fewer than two groups, or when more than half of the draws are undefined.

    Examples
    --------
    >>> low, high = kappa_interval([0, 1, 2, 3] * 25, [0, 1, 2, 2] * 25)
    >>> 0.75 < low < high < 0.95
    True
    """
    if not 0 < level < 1 or samples < 1:
        raise OptionError("no such interval", expected="level in 0..1, samples >= 1", got=f"{level}, {samples}")
    labels, grades = columns(y, p)
    require_whole(grades)
    nothing = (float("nan"), float("nan"))
    if why_no_kappa(labels, grades):
        return nothing
    contents, times = _group_contents(labels, grades, groups)
    if times.sum() < 2:
        return nothing
    drawn = np.random.default_rng(seed).multinomial(times.sum(), times / times.sum(), size=samples)
    side = round(contents.shape[1] ** 0.5)
    kappas = kappa_of_confusion((drawn @ contents).reshape(samples, side, side))
    kappas = kappas[np.isfinite(kappas)]
    if kappas.size * 2 < samples:
        return nothing
    low, high = np.quantile(kappas, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _group_contents(labels: Floats, grades: Floats, groups: Sequence[str] | None) -> tuple[Ints, Ints]:
    """Return the distinct contents of groups, (D, C * C) confusion counts, and how many groups have each, (D,)."""
    both = np.concatenate([labels, grades])
    low = both.min()
    side = int(both.max() - low) + 1
    cells = ((labels - low) * side + (grades - low)).astype(np.int64)
    if groups is None or not any(groups):
        present, times = np.unique(cells, return_counts=True)
        contents = np.zeros((len(present), side * side), dtype=np.int64)
        contents[np.arange(len(present)), present] = 1
        return contents, times.astype(np.int64)
    if len(groups) != len(cells):
        raise OptionError("the groups do not fit the labels", expected=f"{len(cells)} groups", got=len(groups))
    own = [("group", name) if name else ("row", index) for index, name in enumerate(groups)]
    numbers: dict[tuple[str, object], int] = {}
    members = np.array([numbers.setdefault(key, len(numbers)) for key in own])
    counts = np.zeros((len(numbers), side * side), dtype=np.int64)
    np.add.at(counts, (members, cells), 1)
    contents, times = np.unique(counts, axis=0, return_counts=True)
    return contents, times.astype(np.int64)
