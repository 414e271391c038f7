"""How far kappa would move with other photographs, from labels and grades alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prebake.metrics.agreement import kappa_of_confusion
from prebake.metrics.checks import Floats, Ints, columns, require_whole, why_no_kappa
from prebake.metrics.draws import Bootstrap, members

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

    The interval of :func:`prebake.metrics.judge`, up to the noise of the draws, in a fraction of the time: groups with
    the same contents are interchangeable, so a draw is one multinomial over the distinct contents, whatever the number
    of rows.

    Parameters
    ----------
    y, p
        (N,) labels and predicted grades, whole numbers from 0.
    groups
        (N,) names (the patient); ``""`` is a group of its own, as is every row without ``groups``.
    level, samples, seed
        As of :class:`prebake.metrics.Bootstrap`.

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
    bootstrap = Bootstrap(level, samples, seed)
    labels, grades = columns(y, p)
    require_whole(grades)
    if why_no_kappa(labels, grades):
        return float("nan"), float("nan")
    contents, times = _group_contents(labels, grades, groups)
    if times.sum() < 2:
        return float("nan"), float("nan")
    side = round(contents.shape[1] ** 0.5)

    def score(weights: Floats) -> dict[str, Floats]:
        return {"kappa": kappa_of_confusion((weights @ contents).reshape(-1, side, side))}

    return bootstrap.ends(bootstrap.values(score, times, side * side)["kappa"])


def _group_contents(labels: Floats, grades: Floats, groups: Sequence[str] | None) -> tuple[Floats, Ints]:
    """Return the distinct contents of groups, (D, C * C) confusion counts, and how many groups have each, (D,)."""
    both = np.concatenate([labels, grades])
    low = both.min()
    side = int(both.max() - low) + 1
    cells = ((labels - low) * side + (grades - low)).astype(np.int64)
    if groups is None or not any(groups):
        present, times = np.unique(cells, return_counts=True)
        contents = np.zeros((len(present), side * side))
        contents[np.arange(len(present)), present] = 1
        return contents, times.astype(np.int64)
    group = members(groups, len(cells))
    counts = np.zeros((int(group.max()) + 1, side * side))
    np.add.at(counts, (group, cells), 1)
    contents, times = np.unique(counts, axis=0, return_counts=True)
    return contents, times.astype(np.int64)
