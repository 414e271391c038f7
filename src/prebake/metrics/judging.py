"""All numbers of one set of predictions, with intervals, and why some are undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from prebake.metrics.calibration import cross_fitted_probabilities
from prebake.metrics.checks import LARGEST_SPAN, Floats
from prebake.metrics.draws import Bootstrap
from prebake.metrics.grades import DEFAULT_THRESHOLDS, grade
from prebake.metrics.parts import Part, error_part, grade_part, joined, undefined_part
from prebake.metrics.ranking import BOUNDARIES, ranking_names, ranking_part
from prebake.metrics.reliability import calibration_names, calibration_part

if TYPE_CHECKING:
    from prebake.metrics.judged import Judged

__all__ = ["Number", "all_numbers", "interval", "judge", "lower_is_better"]


class Number(TypedDict):
    """One number: what is undefined is ``None``, and ``reason`` says why (empty otherwise)."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str


def judge(
    judged: Judged, thresholds: Sequence[float] = DEFAULT_THRESHOLDS, bootstrap: Bootstrap | None = None
) -> dict[str, Number]:
    """Return every number of the predictions with its interval, ready for JSON.

    ``kappa``, ``accuracy``, ``mae``, ``mse``; ``recall_G`` and ``precision_G`` of every grade; for ``referable`` (2 or
    worse) and ``sight_threatening`` (3 or worse): ``..._auc``, ``..._specificity_at_sensitivity_85``,
    ``..._sensitivity_at_specificity_82.5``, ``..._sensitivity`` and ``..._specificity`` of the grades,
    ``..._brier`` and ``..._ece`` of the cross-fitted probabilities. docs/metrics.md defines them.

    Parameters
    ----------
    judged
        The predictions with labels.
    thresholds
        From raw values to grades.
    bootstrap
        How intervals are drawn; 95 %, 2,000 draws by default.

    Returns
    -------
    name -> value, low, high, n (photographs that the number is about), reason. A value may be defined and its interval
    not: ``reason`` then speaks of the interval.

    Examples
    --------
    >>> from prebake.metrics import Judged
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 5, 200)
    >>> numbers = judge(Judged(tuple(map(str, range(200))), labels, labels + rng.normal(0, 0.6, 200)))
    >>> numbers["kappa"]["low"] < numbers["kappa"]["value"] < numbers["kappa"]["high"]
    True
    """
    bootstrap = bootstrap or Bootstrap()
    part = all_numbers(judged, thresholds)
    if not len(judged):
        return {name: _number(np.nan, (np.nan, np.nan), 0, part.reasons[name]) for name in part.counts}
    once = np.ones(judged.group_count, dtype=np.int64)
    values = part.score(once[None].astype(np.float64))
    drawn = bootstrap.values(part.score, once, part.width)
    found: dict[str, Number] = {}
    for name, count in part.counts.items():
        ends, reason = (float("nan"), float("nan")), part.reasons.get(name, "")
        if not reason:
            ends, reason = interval(bootstrap, drawn[name], judged.group_count)
        found[name] = _number(float(values[name][0]), ends, count, reason)
    return found


def all_numbers(judged: Judged, thresholds: Sequence[float]) -> Part:
    """Return the numbers of some predictions as functions of the weights of groups, in the order of :func:`judge`."""
    grades = grade(judged.raw, thresholds)
    reason = why_no_grades(judged.labels)
    if reason:
        names = ["kappa", "accuracy"]
        for name in BOUNDARIES:
            names += [*ranking_names(name), *calibration_names(name)]
        errors = error_part(judged) if len(judged) else undefined_part(["mae", "mse"], 0, reason)
        return joined([undefined_part(names, len(judged), reason), errors])
    classes = max(len(thresholds), int(judged.labels.max())) + 1
    top = max(BOUNDARIES.values())
    chance = cross_fitted_probabilities(judged, top)
    found = [grade_part(judged, grades, classes), error_part(judged)]
    for name, boundary in BOUNDARIES.items():
        cut = thresholds[boundary - 1] if boundary <= len(thresholds) else float("inf")
        found.append(ranking_part(judged, name, boundary, cut))
        found.append(calibration_part(judged, name, boundary, chance[:, boundary - 1]))
    return joined(found)


def why_no_grades(labels: Floats) -> str:
    """Say why labels are no grades; empty when they are."""
    if not labels.size:
        return "no photograph has a label"
    if (labels != np.floor(labels)).any():
        return "the labels are not whole numbers"
    if labels.min() < 0 or labels.max() > LARGEST_SPAN:
        return f"the labels are no grades: they are not all in 0..{LARGEST_SPAN}"
    return ""


def interval(bootstrap: Bootstrap, values: Floats, groups: int) -> tuple[tuple[float, float], str]:
    """Return the ends of an interval, and why there is none."""
    if groups < 2:
        return (float("nan"), float("nan")), "no interval: all photographs are of one group"
    ends = bootstrap.ends(values)
    if np.isnan(ends[0]):
        return ends, "no interval: undefined in more than half of the draws"
    return ends, ""


def lower_is_better(name: str) -> bool:
    """Whether a number of :func:`judge` is an error."""
    return name in ("mae", "mse") or name.endswith(("_brier", "_ece"))


def _number(value: float, ends: tuple[float, float], count: int, reason: str) -> Number:
    known = [None if np.isnan(number) else float(number) for number in (value, *ends)]
    return Number(value=known[0], low=known[1], high=known[2], n=count, reason=reason)
