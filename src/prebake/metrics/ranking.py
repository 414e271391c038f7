"""How well raw values tell photographs of a grade or worse from the others: AUC, ROC, operating points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.checks import Floats, Ints, columns, nothing
from prebake.metrics.draws import Bootstrap, members
from prebake.metrics.parts import Part, grouped, share

if TYPE_CHECKING:
    from prebake.metrics.judged import Judged

__all__ = [
    "BOUNDARIES",
    "OperatingPoint",
    "Roc",
    "at_threshold",
    "auc",
    "auc_interval",
    "operating_point",
    "ranking_names",
    "ranking_part",
    "roc",
    "why_no_ranking",
]

BOUNDARIES = {"referable": 2, "sight_threatening": 3}
"""Name -> lowest grade that counts: moderate or worse is referred, severe or worse threatens sight."""

SENSITIVITY, SPECIFICITY = 0.85, 0.825
"""Endpoints of the pivotal trial of autonomous screening (Abramoff et al., 2018, npj Digital Medicine 1:39)."""

BAND = np.linspace(0.0, 1.0, 101)
"""False positive rates at which a :class:`Roc` has a band."""

SLACK = 1e-9
"""Rounding: 0.85 of 20 photographs are 17, whatever the floats say."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold of the raw value (at or above it is positive), and what it reaches on the data at hand."""

    threshold: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class Roc:
    """The ROC curve of one boundary.

    Attributes
    ----------
    false_positive_rate, sensitivity, thresholds
        (P,) corners of the curve from (0, 0) to (1, 1); raw values at or above ``thresholds`` are positive.
    band_rate, low, high
        (101,) false positive rates 0 ... 1, and the interval of the best sensitivity within each of them.
    reason
        Why there is no curve; then everything is empty.
    """

    false_positive_rate: Floats = field(default_factory=nothing)
    sensitivity: Floats = field(default_factory=nothing)
    thresholds: Floats = field(default_factory=nothing)
    band_rate: Floats = field(default_factory=nothing)
    low: Floats = field(default_factory=nothing)
    high: Floats = field(default_factory=nothing)
    reason: str = ""


@dataclass(frozen=True)
class _Ranks:
    """Positive and negative photographs, each by falling raw value.

    (P,) and (M,) numbers of their groups, (P,) raw values of the positives; for each positive the number of negatives
    whose raw value is not below its own, (P,) ``beside``, and of those above it, ``above``.
    """

    positives: Ints
    negatives: Ints
    values: Floats
    beside: Ints
    above: Ints

    @classmethod
    def of(cls, labels: Floats, raw: Floats, boundary: int, members: Ints | None = None) -> _Ranks:
        order = np.argsort(-raw, kind="stable")
        positive = labels[order] >= boundary
        positives, negatives = order[positive], order[~positive]
        falling, values = -raw[negatives], raw[positives]
        beside = np.searchsorted(falling, -values, side="right")
        above = np.searchsorted(falling, -values, side="left")
        if members is not None:
            positives, negatives = members[positives], members[negatives]
        return cls(positives, negatives, values, beside, above)

    def sweep(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Lower the threshold over the positives, for (D, G) weights of groups.

        Returns
        -------
        (D, P) positives found and negatives called positive with the threshold at each positive; (D,) AUC.
        """
        counts = weights[:, self.positives]
        hits = np.cumsum(counts, axis=1)
        false = np.zeros((len(weights), len(self.negatives) + 1))
        np.cumsum(weights[:, self.negatives], axis=1, out=false[:, 1:])
        alarms = false[:, self.beside]
        outranked = np.einsum("dp,dp->d", counts, alarms) + np.einsum("dp,dp->d", counts, false[:, self.above])
        pairs = hits[:, -1] * false[:, -1]
        return hits, alarms, share(pairs - outranked / 2, pairs)


def auc(y: npt.ArrayLike, raw: npt.ArrayLike, boundary: int) -> float:
    """Area under the ROC curve: how often a photograph of the grade or worse has a higher raw value than another.

    Equal values count half (Mann and Whitney); scikit-learn's ``roc_auc_score``.

    Parameters
    ----------
    y, raw
        (N,) labels and raw values.
    boundary
        Labels at or above it are positive: 2 for referable, 3 for sight-threatening.

    Returns
    -------
    0 ... 1, 0.5 by chance; NaN where no photograph is positive, or all are.

    Examples
    --------
    >>> auc([0, 1, 2, 3], [0.1, 1.6, 1.4, 2.7], 2)
    0.75
    """
    labels, values = columns(y, raw)
    if why_no_ranking(labels, boundary):
        return float("nan")
    return float(_Ranks.of(labels, values, boundary).sweep(np.ones((1, len(labels))))[2][0])


def auc_interval(
    y: npt.ArrayLike,
    raw: npt.ArrayLike,
    boundary: int,
    groups: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
) -> tuple[float, float]:
    """Bootstrap interval of :func:`auc`, drawing whole groups.

    Parameters
    ----------
    y, raw, boundary
        As of :func:`auc`.
    groups
        (N,) names (the patient); ``""`` is a group of its own, as is every row without ``groups``.
    bootstrap
        How the interval is drawn; 95 %, 2,000 draws by default.

    Returns
    -------
    Lower and upper end; both NaN where the AUC is undefined, with fewer than two groups, or where more than half of
    the draws are undefined.

    Examples
    --------
    >>> low, high = auc_interval([0, 1] * 50, [0.1, 0.9] * 45 + [0.9, 0.1] * 5, 1)
    >>> 0.8 < low < 0.9 < high < 1
    True
    """
    labels, values = columns(y, raw)
    member = members(groups, len(labels))
    count = int(member.max(initial=-1)) + 1
    if why_no_ranking(labels, boundary) or count < 2:
        return float("nan"), float("nan")
    bootstrap = bootstrap or Bootstrap()
    ranks = _Ranks.of(labels, values, boundary, member)

    def score(weights: Floats) -> dict[str, Floats]:
        return {"auc": ranks.sweep(weights)[2]}

    return bootstrap.ends(bootstrap.values(score, np.ones(count, dtype=np.int64), 2 * len(labels))["auc"])


def at_threshold(y: npt.ArrayLike, raw: npt.ArrayLike, boundary: int, threshold: float) -> OperatingPoint:
    """Return sensitivity and specificity where raw values at or above the threshold are positive; NaN where undefined.

    Examples
    --------
    >>> at_threshold([0, 1, 2, 3], [0.1, 1.6, 1.4, 2.7], 2, 1.5)
    OperatingPoint(threshold=1.5, sensitivity=0.5, specificity=0.5)
    """
    labels, values = columns(y, raw)
    positive, called = labels >= boundary, values >= threshold
    found = [
        share(np.array((called == wanted)[rows].sum(), dtype=np.float64), np.array(rows.sum()))
        for rows, wanted in ((positive, True), (~positive, False))
    ]
    return OperatingPoint(float(threshold), float(found[0]), float(found[1]))


def operating_point(
    y: npt.ArrayLike, raw: npt.ArrayLike, boundary: int, *, hold: Literal["sensitivity", "specificity"], at: float
) -> OperatingPoint:
    """Choose the threshold that holds sensitivity (or specificity) and gives up least of the other.

    Thresholds are raw values of positive photographs (or, where none will do, just above all values).
    ``hold="sensitivity"``: the highest threshold whose sensitivity is at least ``at``. ``hold="specificity"``: the
    lowest threshold whose specificity is at least ``at``. Nothing is interpolated, and photographs with
    equal raw values are called the same, so both rules err to the side of less. The threshold is chosen on the very
    photographs it is judged on: on others it will do a little worse.

    Returns
    -------
    The point; all NaN where no photograph is positive, or all are.

    Examples
    --------
    >>> operating_point([0, 1, 2, 3], [0.1, 1.6, 1.4, 2.7], 2, hold="sensitivity", at=0.85)
    OperatingPoint(threshold=1.4, sensitivity=1.0, specificity=0.5)
    """
    if not 0 < at <= 1:
        raise OptionError("no such operating point", expected="a share above 0, at most 1", got=at)
    labels, values = columns(y, raw)
    if why_no_ranking(labels, boundary):
        return OperatingPoint(*[float("nan")] * 3)
    ranks = _Ranks.of(labels, values, boundary)
    hits, alarms, _ = ranks.sweep(np.ones((1, len(labels))))
    if hold == "sensitivity":
        threshold = ranks.values[_reaches(hits, at)[0]]
    else:
        last = _within(alarms, np.array([len(ranks.negatives)]), 1 - at)[0]
        threshold = ranks.values[last - 1] if last else np.nextafter(values.max(), np.inf)
    return at_threshold(labels, values, boundary, float(threshold))


def ranking_part(judged: Judged, name: str, boundary: int, threshold: float) -> Part:
    """AUC, the two operating points (chosen anew in every draw), and what the threshold of the grades reaches."""
    names = ranking_names(name)
    positives = int((judged.labels >= boundary).sum())
    negatives = len(judged) - positives
    counts = dict(zip(names, (len(judged), negatives, positives, positives, negatives), strict=True))
    reason = why_no_ranking(judged.labels, boundary)
    reasons = dict.fromkeys(names[:3], reason) if reason else {}
    reasons |= {at: reason for at, count in ((names[3], positives), (names[4], negatives)) if not count}
    ranks = _Ranks.of(judged.labels, judged.raw, boundary, judged.members)
    positive, called = judged.labels >= boundary, judged.raw >= threshold
    contents = grouped(judged, np.stack([positive, ~positive, positive & called, ~positive & ~called], axis=1))

    def score(weights: Floats) -> dict[str, Floats]:
        sick, well, found, left = (weights @ contents).T
        known = [share(found, sick), share(left, well)]
        if reason:
            return dict(zip(names, [np.full(len(weights), np.nan)] * 3 + known, strict=True))
        hits, alarms, area = ranks.sweep(weights)
        held = _reaches(hits, SENSITIVITY)
        specific = 1 - share(np.take_along_axis(alarms, held[:, None], axis=1)[:, 0], well)
        last = _within(alarms, well, 1 - SPECIFICITY)
        sensitive = share(
            np.where(last, np.take_along_axis(hits, np.maximum(last - 1, 0)[:, None], axis=1)[:, 0], 0), sick
        )
        sensitive[well == 0] = specific[sick == 0] = np.nan
        return dict(zip(names, [area, specific, sensitive, *known], strict=True))

    return Part(score, counts, reasons, 2 * len(judged))


def roc(judged: Judged, boundary: int, bootstrap: Bootstrap | None = None) -> Roc:
    """Return the ROC curve of labels at or above a boundary, with a band.

    The band is pointwise: at each false positive rate the interval of the sensitivity that the best threshold within
    that rate reaches, the threshold chosen anew in every draw.
    """
    bootstrap = bootstrap or Bootstrap()
    reason = why_no_ranking(judged.labels, boundary)
    if reason:
        return Roc(reason=reason)
    ranks = _Ranks.of(judged.labels, judged.raw, boundary, judged.members)
    corners = _corners(judged, boundary)

    def score(weights: Floats) -> dict[str, Floats]:
        hits, alarms, _ = ranks.sweep(weights)
        well = weights[:, ranks.negatives].sum(axis=1)
        found = np.full((len(weights), len(BAND)), np.nan)
        for draw in np.flatnonzero((well > 0) & (hits[:, -1] > 0)):
            last = np.searchsorted(alarms[draw], BAND * well[draw] + SLACK * well[draw], side="right")
            found[draw] = np.concatenate([[0.0], hits[draw]])[last] / hits[draw, -1]
        return {"sensitivity": found}

    once = np.ones(judged.group_count, dtype=np.int64)
    drawn = bootstrap.values(score, once, 2 * len(judged))["sensitivity"]
    alone = judged.group_count < 2
    ends = np.array([(np.nan, np.nan) if alone else bootstrap.ends(column) for column in drawn.T])
    return Roc(*corners, BAND, ends[:, 0], ends[:, 1])


def why_no_ranking(labels: Floats, boundary: int) -> str:
    """Say why nothing can be told apart at a boundary; empty when it can."""
    if not labels.size:
        return "no photograph has a label"
    if not (labels >= boundary).any():
        return f"no photograph has label {boundary} or more"
    return "" if (labels < boundary).any() else f"no photograph has a label below {boundary}"


def ranking_names(name: str) -> list[str]:
    """Return the names of the numbers of :func:`ranking_part`."""
    return [
        f"{name}_auc",
        f"{name}_specificity_at_sensitivity_{100 * SENSITIVITY:g}",
        f"{name}_sensitivity_at_specificity_{100 * SPECIFICITY:g}",
        f"{name}_sensitivity",
        f"{name}_specificity",
    ]


def _reaches(hits: Floats, wanted: float) -> Ints:
    """(D,) index of the first positive with which the wanted share of positives is found."""
    return np.asarray(np.argmax(hits >= (wanted - SLACK) * hits[:, -1:], axis=1), dtype=np.int64)


def _within(alarms: Floats, negatives: Floats | Ints, allowed: float) -> Ints:
    """(D,) number of positives down to which no more than the allowed share of negatives is called positive."""
    return np.asarray((alarms <= ((allowed + SLACK) * negatives)[:, None]).sum(axis=1), dtype=np.int64)


def _corners(judged: Judged, boundary: int) -> tuple[Floats, Floats, Floats]:
    """Return the corners of the curve: false positive rates, sensitivities, thresholds."""
    order = np.argsort(-judged.raw, kind="stable")
    values = judged.raw[order]
    positive = judged.labels[order] >= boundary
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits = np.concatenate([[0], np.cumsum(positive)[ends]])
    false = np.concatenate([[0], np.cumsum(~positive)[ends]])
    turns = np.ones(len(hits), dtype=np.bool_)
    turns[1:-1] = np.diff(hits)[:-1] * np.diff(false)[1:] != np.diff(hits)[1:] * np.diff(false)[:-1]
    thresholds = np.concatenate([[np.inf], values[ends]])
    return false[turns] / false[-1], hits[turns] / hits[-1], thresholds[turns]
