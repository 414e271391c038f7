"""From raw values to probabilities: how likely a photograph is of a grade or worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.checks import Floats, columns
from prebake.metrics.judged import Judged, cross_folds

__all__ = ["Calibration", "cross_fitted_probabilities", "fit_calibration"]

STEPS = 100
CLOSE = 1e-10


@dataclass(frozen=True)
class Calibration:
    """One logistic curve for each boundary k = 1 ... K: P(grade >= k) = 1 / (1 + exp(-(slope raw + offset))).

    Parameters
    ----------
    slopes, offsets
        (K,) numbers; NaN for a boundary that could not be fitted.
    """

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.slopes or len(self.slopes) != len(self.offsets):
            raise OptionError(
                "the calibration cannot be used",
                expected="a slope and an offset for each boundary",
                got=f"{len(self.slopes)} slopes, {len(self.offsets)} offsets",
            )

    def probabilities(self, raw: npt.ArrayLike) -> Floats:
        """Return P(grade >= k) for k = 1 ... K, (N, K); it does not rise with k, and is NaN where not fitted.

        Curves of different slopes cross somewhere; there the probability of a boundary is that of the one before it.
        """
        values = np.asarray(raw, dtype=np.float64)
        curves = _logistic(values[:, None] * np.array(self.slopes) + np.array(self.offsets))
        return np.asarray(np.where(np.isnan(curves), np.nan, np.fmin.accumulate(curves, axis=1)), dtype=np.float64)


def fit_calibration(y: npt.ArrayLike, raw: npt.ArrayLike, boundaries: int = 4) -> Calibration:
    """Fit P(grade >= k | raw) for k = 1 ... ``boundaries`` by Platt's method.

    A logistic curve in the raw value for each boundary, by maximum likelihood (Newton steps, halved where they would
    not improve), with Platt's targets: (P + 1) / (P + 2) for P positives and 1 / (M + 2) for M negatives, which keep
    the curve finite where the raw value separates the two entirely (Platt, 1999; Lin, Lin and Weng, 2007).

    Parameters
    ----------
    y, raw
        (N,) labels and raw values.
    boundaries
        The highest grade.

    Returns
    -------
    The curves; NaN for a boundary that all photographs are above, or all below. Raw values that are all equal give a
    flat curve.

    Examples
    --------
    >>> curves = fit_calibration([0, 0, 1, 1, 2, 2], [0.1, 0.4, 0.8, 1.3, 1.2, 2.2], 2)
    >>> curves.probabilities([0.0, 1.0, 2.0]).round(1).tolist()
    [[0.3, 0.1], [0.7, 0.3], [0.9, 0.7]]
    """
    labels, values = columns(y, raw)
    curves = [_fit(labels >= boundary, values) for boundary in range(1, boundaries + 1)]
    return Calibration(tuple(slope for slope, _ in curves), tuple(offset for _, offset in curves))


def cross_fitted_probabilities(judged: Judged, boundaries: int = 4) -> Floats:
    """Return P(grade >= k) for every photograph, fitted without its fold.

    Without folds the groups are dealt into five parts.

    Returns
    -------
    (N, boundaries) float64; NaN for the photographs of a fold where the others do not have both sides of a boundary.
    """
    parts = cross_folds(judged)
    found = np.full((len(judged), boundaries), np.nan)
    for part in np.unique(parts):
        own = parts == part
        if not own.all():
            curves = fit_calibration(judged.labels[~own], judged.raw[~own], boundaries)
            found[own] = curves.probabilities(judged.raw[own])
    return found


def _logistic(z: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)), dtype=np.float64)


def _fit(positive: npt.NDArray[np.bool_], raw: Floats) -> tuple[float, float]:
    """Return slope and offset of one curve."""
    count = int(positive.sum())
    if count in (0, len(raw)):
        return float("nan"), float("nan")
    target = np.where(positive, (count + 1) / (count + 2), 1 / (len(raw) - count + 2))
    centre, spread = raw.mean(), raw.std()
    if spread <= CLOSE * (1 + abs(centre)):
        mean = target.mean()
        return 0.0, float(np.log(mean / (1 - mean)))
    design = np.stack([(raw - centre) / spread, np.ones(len(raw))], axis=1)
    slope, offset = _newton(design, target)
    return float(slope / spread), float(offset - slope * centre / spread)


def _newton(design: Floats, target: Floats) -> Floats:
    """Maximise the likelihood of a logistic curve with targets between 0 and 1: (N, 2) design -> (2,)."""
    curve = np.zeros(2)
    loss = _loss(design, target, curve)
    for _ in range(STEPS):
        chance = _logistic(design @ curve)
        slope = design.T @ (chance - target)
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while size > CLOSE and not _loss(design, target, curve - size * step) <= loss - 1e-4 * size * slope @ step:
            size /= 2
        if size <= CLOSE or slope @ step < CLOSE * CLOSE * len(design):
            break
        curve = curve - size * step
        loss = _loss(design, target, curve)
    return curve


def _loss(design: Floats, target: Floats, curve: Floats) -> float:
    z = design @ curve
    return float((np.logaddexp(0, z) - target * z).sum())
