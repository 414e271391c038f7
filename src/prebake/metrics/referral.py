"""What a model reaches when its least certain photographs go to a human."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.agreement import confusion, kappa_of_confusion
from prebake.metrics.checks import Floats, Ints, nothing
from prebake.metrics.draws import Bootstrap
from prebake.metrics.grades import DEFAULT_THRESHOLDS, grade
from prebake.metrics.judging import why_no_grades
from prebake.metrics.parts import grade_part

if TYPE_CHECKING:
    from prebake.metrics.judged import Judged

__all__ = ["SHARES", "ReferralCurve", "doubt", "referral_curve"]

SHARES = tuple(round(0.05 * step, 2) for step in range(11))
"""Shares of photographs referred: 0, 0.05 ... 0.5."""


@dataclass(frozen=True)
class ReferralCurve:
    """Kappa and accuracy of the photographs that are left, for each share that is referred.

    Attributes
    ----------
    shares
        (S,) shares referred, 0 ... 1.
    left
        (S,) photographs left.
    kappa, kappa_low, kappa_high, accuracy, accuracy_low, accuracy_high
        (S,) of those left, with intervals; which photographs are referred is held fixed.
    random_kappa, random_low, random_high
        (S,) mean and interval of kappa when the same number of photographs is referred at random.
    reason
        Why there is no curve; then everything is empty.
    """

    shares: Floats = field(default_factory=nothing)
    left: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    kappa: Floats = field(default_factory=nothing)
    kappa_low: Floats = field(default_factory=nothing)
    kappa_high: Floats = field(default_factory=nothing)
    accuracy: Floats = field(default_factory=nothing)
    accuracy_low: Floats = field(default_factory=nothing)
    accuracy_high: Floats = field(default_factory=nothing)
    random_kappa: Floats = field(default_factory=nothing)
    random_low: Floats = field(default_factory=nothing)
    random_high: Floats = field(default_factory=nothing)
    reason: str = ""


def doubt(raw: npt.ArrayLike, thresholds: Sequence[float] = DEFAULT_THRESHOLDS) -> Floats:
    """Return how uncertain the grades of raw values are: the distance to the nearest threshold, with the sign turned.

    Parameters
    ----------
    raw
        (N,) raw values.
    thresholds
        From raw values to grades.

    Returns
    -------
    (N,) 0 at a threshold, the lower the farther from it: an uncertainty as :func:`referral_curve` takes it.

    Examples
    --------
    >>> doubt([0.0, 1.25, 3.5]).tolist()
    [-0.5, -0.25, -0.0]
    """
    distance = np.abs(np.asarray(raw, dtype=np.float64)[:, None] - np.asarray(thresholds, dtype=np.float64))
    return np.asarray(-distance.min(axis=1), dtype=np.float64)


def referral_curve(
    judged: Judged,
    uncertainty: npt.ArrayLike,
    thresholds: Sequence[float] = DEFAULT_THRESHOLDS,
    shares: Sequence[float] = SHARES,
    bootstrap: Bootstrap | None = None,
) -> ReferralCurve:
    """Refer the least certain photographs, and judge what is left.

    A random referral leaves the expected kappa nearly where it was: only what is above that is the merit of the
    uncertainty.

    Parameters
    ----------
    judged
        The predictions with labels.
    uncertainty
        (N,) finite numbers, larger is less certain (the spread between models, or the distance to the nearest
        threshold with the sign turned). Photographs that are equally uncertain are referred in an order drawn by the
        seed.
    thresholds
        From raw values to grades.
    shares
        Shares to refer, each 0 ... 1 (1 not included), rounded down to whole photographs.
    bootstrap
        How intervals are drawn.

    Raises
    ------
    OptionError
        When the uncertainty does not fit the predictions or is not finite, or a share is no share.

    Examples
    --------
    >>> from prebake.metrics import Judged
    >>> rng = np.random.default_rng(0)
    >>> labels, spread = rng.integers(0, 5, 400), rng.uniform(0.1, 1.5, 400)
    >>> judged = Judged(tuple(map(str, range(400))), labels, labels + spread * rng.normal(size=400))
    >>> curve = referral_curve(judged, spread)
    >>> bool(curve.kappa[-1] > curve.random_high[-1])
    True
    """
    bootstrap = bootstrap or Bootstrap()
    doubt, wanted = np.asarray(uncertainty, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if doubt.shape != judged.raw.shape or not np.isfinite(doubt).all():
        raise OptionError(
            "the uncertainty does not fit the predictions",
            expected=f"{len(judged)} finite numbers",
            got=f"shape {doubt.shape}, {int((~np.isfinite(doubt)).sum())} not finite",
        )
    if not wanted.size or not ((wanted >= 0) & (wanted < 1)).all():
        raise OptionError("no such share to refer", expected="0 ... 1, 1 not included", got=list(shares))
    reason = why_no_grades(judged.labels)
    if reason:
        return ReferralCurve(reason=reason)
    grades = grade(judged.raw, thresholds)
    classes = max(len(thresholds), int(judged.labels.max())) + 1
    rng = np.random.default_rng(bootstrap.seed)
    mixed = rng.permutation(len(judged))
    order = mixed[np.argsort(-doubt[mixed], kind="stable")]
    gone = np.floor(wanted * len(judged) + 1e-9).astype(np.int64)
    found = [
        _left(judged.take(np.sort(order[count:])), grades[np.sort(order[count:])], classes, bootstrap) for count in gone
    ]
    left = len(judged) - gone
    matrix = confusion(judged.labels, grades, classes)
    chance = [_at_random(matrix, int(count), rng, bootstrap) for count in left]
    return ReferralCurve(wanted, left, *np.array(found).T, *np.array(chance).T)


def _at_random(matrix: Ints, left: int, rng: np.random.Generator, bootstrap: Bootstrap) -> tuple[float, float, float]:
    """Return the mean kappa, and both ends, of so many photographs left at random."""
    drawn = rng.multivariate_hypergeometric(matrix.ravel(), left, size=bootstrap.samples, method="marginals")
    kappas = kappa_of_confusion(drawn.reshape(-1, *matrix.shape))
    low, high = bootstrap.ends(kappas)
    return float("nan") if np.isnan(low) else float(np.nanmean(kappas)), low, high


def _left(judged: Judged, grades: Ints, classes: int, bootstrap: Bootstrap) -> list[float]:
    """Return kappa with both ends, and accuracy with both ends, of the photographs that are left."""
    part = grade_part(judged, grades, classes)
    once = np.ones(judged.group_count, dtype=np.int64)
    now, drawn = part.score(once[None].astype(np.float64)), bootstrap.values(part.score, once, part.width)
    row: list[float] = []
    for name in ("kappa", "accuracy"):
        ends = bootstrap.ends(drawn[name]) if judged.group_count > 1 else (float("nan"), float("nan"))
        row += [float(now[name][0]), *ends]
    return row
