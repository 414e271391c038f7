"""Thresholds fitted to predictions, and what they gain on photographs they were not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.checks import Floats, Ints, columns
from prebake.metrics.draws import Bootstrap
from prebake.metrics.grades import DEFAULT_THRESHOLDS, grade
from prebake.metrics.judged import Judged, cross_folds
from prebake.metrics.judging import interval, why_no_grades
from prebake.metrics.parts import grade_part

__all__ = ["ThresholdGain", "fit_thresholds", "judge_thresholds"]

ROUNDS = 100
"""Of the search; four or five are usual."""


@dataclass(frozen=True)
class ThresholdGain:
    """Fitted thresholds, and their honest gain.

    Attributes
    ----------
    thresholds
        Fitted to all photographs: those to use, if any.
    default
        The thresholds they are compared with.
    by_fold
        fold -> thresholds fitted without it.
    kappa_default, kappa_fitted
        Quadratic weighted kappa of all photographs with ``default``, and with each photograph graded by the thresholds
        of ``by_fold``, which have not seen it.
    gain, low, high
        ``kappa_fitted - kappa_default`` and its paired interval (the thresholds of the folds held fixed).
    better
        Share of draws with a gain above 0; a gain of 0 counts half.
    reason
        Why the gain (or its interval) is undefined; empty otherwise.
    """

    thresholds: tuple[float, ...]
    default: tuple[float, ...]
    by_fold: dict[int, tuple[float, ...]]
    kappa_default: float
    kappa_fitted: float
    gain: float
    low: float
    high: float
    better: float
    reason: str = ""

    @property
    def worthwhile(self) -> bool:
        """Whether the whole interval of the gain is above 0."""
        return self.low > 0

    @property
    def sentence(self) -> str:
        """What to do, in words."""
        if np.isnan(self.gain):
            return f"the gain of fitted thresholds is undefined ({self.reason}): keep the default"
        if np.isnan(self.low):
            return f"the gain of {self.gain:.3f} has no interval ({self.reason}): keep the default"
        ends = f"({self.low:.3f} ... {self.high:.3f})"
        if self.worthwhile:
            return f"the gain of {self.gain:.3f} is outside the noise {ends}: the fitted thresholds are better"
        if self.high < 0:
            return f"the fitted thresholds lose {-self.gain:.3f} of kappa {ends}: keep the default"
        return f"the gain of {self.gain:.3f} is inside the noise {ends}: keep the default"


def fit_thresholds(y: npt.ArrayLike, raw: npt.ArrayLike, grades: int = 5) -> tuple[float, ...]:
    """Return the thresholds with the highest quadratic weighted kappa on these photographs.

    It is the global optimum over all thresholds, not a local one. Kappa is 1 - N / D, where N (squared misses) and D
    (what chance would miss) are both sums over photographs of something that depends on the grade given alone; a ratio
    of sums is minimised by minimising N - r D for the best ratio r so far until nothing improves (Dinkelbach, 1967),
    and each of these problems is solved exactly by dynamic programming over the sorted raw values. A threshold lies in
    the middle between two raw values. Photographs with the same raw value get the same grade.

    Fitted and judged on the same photographs, thresholds always seem to help: see :func:`judge_thresholds`.

    Parameters
    ----------
    y, raw
        (N,) labels, whole numbers from 0, and raw values.
    grades
        The number of grades, at least that of the labels.

    Returns
    -------
    ``grades - 1`` increasing numbers.

    Raises
    ------
    OptionError
        When there are no photographs, all have the same label, or a label is no grade.

    Examples
    --------
    >>> fit_thresholds([0, 0, 1, 1, 2], [0.1, 0.9, 1.1, 1.3, 1.5], 3)
    (1.0, 1.4)
    """
    labels, values = columns(y, raw)
    reason = _why_no_fit(labels, grades)
    if reason:
        raise OptionError("no thresholds can be fitted", got=reason)
    first, last, place = _distinct(values)
    steps = np.arange(grades, dtype=np.float64)
    misses = (labels[:, None] - steps) ** 2
    chance = np.broadcast_to(misses.mean(axis=0), misses.shape)
    sums = [np.zeros((len(first) + 1, grades)) for _ in range(2)]
    for total, cost in zip(sums, (misses, chance), strict=True):
        per_value = np.zeros((len(first), grades))
        np.add.at(per_value, place, cost)
        np.cumsum(per_value, axis=0, out=total[1:])
    cuts = np.searchsorted(first, steps[1:] - 0.5)
    ratio = _ratio(sums, cuts)
    for _ in range(ROUNDS):
        better = _cheapest(sums[0] - ratio * sums[1])
        found = _ratio(sums, better)
        if found >= ratio - 1e-12:
            break
        cuts, ratio = better, found
    return _between(first, last, cuts)


def judge_thresholds(
    judged: Judged, default: Sequence[float] = DEFAULT_THRESHOLDS, bootstrap: Bootstrap | None = None
) -> ThresholdGain:
    """Fit thresholds, and judge by cross-fitting what they gain over the default.

    Every photograph is graded by thresholds that were fitted without its fold (without folds the groups are dealt into
    five parts), and compared with the default grade of the same photograph.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 5, 300)
    >>> judged = Judged(tuple(map(str, range(300))), labels, 0.5 * labels + 1 + rng.normal(0, 0.3, 300))
    >>> judge_thresholds(judged).worthwhile
    True
    """
    bootstrap = bootstrap or Bootstrap()
    nan = float("nan")
    grades = len(default) + 1
    parts = cross_folds(judged)
    every = [int(part) for part in np.unique(parts)]
    reason = _why_no_fit(judged.labels, grades) or _why_no_parts(judged.labels, parts)
    if reason:
        return ThresholdGain(tuple(default), tuple(default), {}, nan, nan, nan, nan, nan, nan, reason)
    by_fold = {part: fit_thresholds(judged.labels[parts != part], judged.raw[parts != part], grades) for part in every}
    before, after = grade(judged.raw, default), np.empty(len(judged), dtype=np.int64)
    for part, cuts in by_fold.items():
        after[parts == part] = grade(judged.raw[parts == part], cuts)
    sides = [grade_part(judged, given, grades) for given in (before, after)]

    def score(weights: Floats) -> dict[str, Floats]:
        old, new = (side.score(weights)["kappa"] for side in sides)
        return {"old": old, "new": new, "gain": new - old}

    once = np.ones(judged.group_count, dtype=np.int64)
    now = {name: float(value[0]) for name, value in score(once[None].astype(np.float64)).items()}
    drawn = bootstrap.values(score, once, grades * grades)["gain"]
    ends, reason = interval(bootstrap, drawn, judged.group_count)
    known = drawn[np.isfinite(drawn)]
    better = float((known > 0).mean() + (known == 0).mean() / 2) if known.size else nan
    fitted = fit_thresholds(judged.labels, judged.raw, grades)
    return ThresholdGain(fitted, tuple(default), by_fold, now["old"], now["new"], now["gain"], *ends, better, reason)


def _why_no_fit(labels: Floats, grades: int) -> str:
    reason = why_no_grades(labels)
    if reason:
        return reason
    if labels.max() >= grades:
        return f"a label is {labels.max():g}, but there are {grades} grades from 0"
    return f"every label is {labels[0]:g}" if (labels == labels[0]).all() else ""


def _why_no_parts(labels: Floats, parts: Ints) -> str:
    names = np.unique(parts)
    if len(names) < 2:
        return "cross-fitting needs two folds"
    for part in names:
        rest = labels[parts != part]
        if (rest == rest[0]).all():
            return f"without fold {part} every label is {rest[0]:g}"
    return ""


def _distinct(values: Floats) -> tuple[Floats, Floats, Ints]:
    """Return the distinct values and which of them each is; of values too close to cut between, the first and last."""
    ordered = np.unique(values)
    apart = np.append(True, np.diff(ordered) > 1e-9 * (1 + np.abs(ordered[1:])))
    last = ordered[np.append(apart[1:], True)]
    return ordered[apart], last, np.cumsum(apart)[np.searchsorted(ordered, values)] - 1


def _ratio(sums: list[Floats], cuts: Ints) -> float:
    """Squared misses over what chance would miss, with grade k from ``cuts[k - 1]`` on."""
    ends = np.concatenate([[0], cuts, [len(sums[0]) - 1]])
    steps = np.arange(len(ends) - 1)
    seen, chance = (float((total[ends[1:], steps] - total[ends[:-1], steps]).sum()) for total in sums)
    return seen / chance


def _cheapest(sums: Floats) -> Ints:
    """Return the cuts with the lowest cost, from the (V + 1, C) costs of the first v values at each grade."""
    best = sums[:, 0]
    origins = []
    for step in range(1, sums.shape[1]):
        before = best - sums[:, step]
        lowest = np.minimum.accumulate(before)
        fresh = np.append(True, before[1:] < lowest[:-1])
        origins.append(np.maximum.accumulate(np.where(fresh, np.arange(len(before)), 0)))
        best = lowest + sums[:, step]
    cuts = np.empty(len(origins), dtype=np.int64)
    end = len(sums) - 1
    for step in range(len(origins) - 1, -1, -1):
        end = cuts[step] = origins[step][end]
    return cuts


def _between(first: Floats, last: Floats, cuts: Ints) -> tuple[float, ...]:
    """Return thresholds that begin grade k at value ``cuts[k - 1]``; several between two values are spread evenly."""
    below, above = np.append(first[0] - 1, last), np.append(first, last[-1] + 1)
    found: list[float] = []
    for cut, count in zip(*np.unique(cuts, return_counts=True), strict=True):
        found += np.linspace(below[cut], above[cut], count + 2)[1:-1].tolist()
    return tuple(found)
