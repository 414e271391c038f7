"""How far probabilities can be believed: Brier score, expected calibration error, the reliability table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.calibration import cross_fitted_probabilities
from prebake.metrics.checks import Floats, Ints, columns, nothing
from prebake.metrics.draws import Bootstrap
from prebake.metrics.parts import Part, grouped, share, undefined_part

if TYPE_CHECKING:
    from prebake.metrics.judged import Judged

__all__ = ["Reliability", "brier", "calibration_error", "calibration_names", "calibration_part", "reliability"]

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """What happened, against what was promised, in bins of equally many photographs.

    Attributes
    ----------
    promised, happened, low, high
        (B,) mean probability, share of positive photographs and its interval.
    counts
        (B,) photographs.
    reason
        Why there is no table; then everything is empty.
    """

    promised: Floats = field(default_factory=nothing)
    happened: Floats = field(default_factory=nothing)
    low: Floats = field(default_factory=nothing)
    high: Floats = field(default_factory=nothing)
    counts: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    reason: str = ""


def brier(happened: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Mean squared difference of probability and outcome (Brier, 1950): 0 is best; scikit-learn's ``brier_score_loss``.

    Parameters
    ----------
    happened, probability
        (N,) 0 or 1, and 0 ... 1.

    Returns
    -------
    0 ... 1; NaN without photographs.

    Examples
    --------
    >>> brier([1, 0], [0.5, 0.5])
    0.25
    """
    outcome, chance = _checked(happened, probability)
    return float(((chance - outcome) ** 2).mean()) if len(outcome) else float("nan")


def calibration_error(happened: npt.ArrayLike, probability: npt.ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean distance of promise and outcome over bins of equal mass.

    sum over bins of n_b / N * abs(mean probability - share positive) (Naeini et al., 2015; bins of equally many
    photographs: Nguyen and O'Connor, 2015). Equal probabilities are never put into different bins. Even perfect
    probabilities have an error above 0 on few photographs.

    Returns
    -------
    0 ... 1; NaN without photographs.

    Examples
    --------
    >>> round(calibration_error([1, 0, 1, 1], [0.5, 0.5, 0.9, 0.9], 2), 6)
    0.05
    """
    outcome, chance = _checked(happened, probability)
    if not len(outcome):
        return float("nan")
    gap = np.bincount(_bins(chance, bins), weights=chance - outcome)
    return float(np.abs(gap).sum() / len(outcome))


def reliability(judged: Judged, boundary: int, bootstrap: Bootstrap | None = None, bins: int = BINS) -> Reliability:
    """Return the reliability table of P(grade >= boundary), fitted without the photograph's own fold."""
    bootstrap = bootstrap or Bootstrap()
    chance = cross_fitted_probabilities(judged, boundary)[:, boundary - 1]
    reason = why_no_probabilities(judged, chance, boundary)
    if reason:
        return Reliability(reason=reason)
    place = _bins(chance, bins)
    held = int(place.max()) + 1
    inside = (place[:, None] == np.arange(held)).astype(np.float64)
    positive = (judged.labels >= boundary)[:, None]
    contents = grouped(judged, np.concatenate([inside, inside * positive], axis=1))

    def score(weights: Floats) -> dict[str, Floats]:
        both = weights @ contents
        return {"happened": share(both[:, held:], both[:, :held])}

    drawn = bootstrap.values(score, np.ones(judged.group_count, dtype=np.int64), 2 * held)["happened"]
    alone = judged.group_count < 2
    ends = np.array([(np.nan, np.nan) if alone else bootstrap.ends(column) for column in drawn.T])
    counts = inside.sum(axis=0)
    promised, happened = (inside.T @ chance) / counts, (inside * positive).sum(axis=0) / counts
    return Reliability(promised, happened, ends[:, 0], ends[:, 1], counts.astype(np.int64))


def calibration_names(name: str) -> list[str]:
    """Return the names of the numbers of :func:`calibration_part`."""
    return [f"{name}_brier", f"{name}_ece"]


def calibration_part(judged: Judged, name: str, boundary: int, chance: Floats) -> Part:
    """Brier score and calibration error of (N,) probabilities; bins are those of the photographs as they are."""
    names = calibration_names(name)
    reason = why_no_probabilities(judged, chance, boundary)
    if reason:
        return undefined_part(names, len(judged), reason)
    gap = chance - (judged.labels >= boundary)
    place = _bins(chance, BINS)
    cells = np.zeros((len(judged), int(place.max()) + 1))
    cells[np.arange(len(judged)), place] = gap
    contents = grouped(judged, np.concatenate([np.ones((len(judged), 1)), gap[:, None] ** 2, cells], axis=1))

    def score(weights: Floats) -> dict[str, Floats]:
        sums = weights @ contents
        return {
            names[0]: share(sums[:, 1], sums[:, 0]),
            names[1]: share(np.abs(sums[:, 2:]).sum(axis=1), sums[:, 0]),
        }

    return Part(score, dict.fromkeys(names, len(judged)), {})


def why_no_probabilities(judged: Judged, chance: Floats, boundary: int) -> str:
    """Say why photographs have no probability of a boundary; empty when all have one."""
    if not len(judged):
        return "no photograph has a label"
    absent = int(np.isnan(chance).sum())
    if not absent:
        return ""
    return (
        f"{absent} of {len(judged)} photographs have no probability: "
        f"without their fold, no photograph, or every one, has label {boundary} or more"
    )


def _checked(happened: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Floats, Floats]:
    outcome, chance = columns(happened, probability)
    if ((outcome != 0) & (outcome != 1)).any() or ((chance < 0) | (chance > 1)).any():
        raise OptionError("no outcomes and probabilities", expected="0 or 1, and 0 ... 1")
    return outcome, chance


def _bins(chance: Floats, bins: int) -> Ints:
    """Return the bin of each photograph, from 0 without gaps: by rank, equal probabilities by the first of them."""
    ordered = np.sort(chance)
    first = np.searchsorted(ordered, chance, side="left")
    return np.asarray(np.unique(first * bins // len(chance), return_inverse=True)[1], dtype=np.int64)
