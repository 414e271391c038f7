"""Two sets of predictions of the same photographs: which is better, and by how much more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError
from prebake.metrics.draws import Bootstrap, outside_noise
from prebake.metrics.grades import DEFAULT_THRESHOLDS
from prebake.metrics.judged import Judged
from prebake.metrics.judging import all_numbers, interval, lower_is_better

if TYPE_CHECKING:
    from prebake.metrics.checks import Floats

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True)
class Difference:
    """One number of A and B.

    Attributes
    ----------
    name
        Of the number.
    a, b
        Its values.
    difference, low, high
        ``a - b`` and its paired interval.
    a_better
        Share of draws in which A is better (lower, for errors); equal counts half.
    reason
        Why the difference (or its interval) is undefined; empty otherwise.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    a_better: float
    reason: str = ""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return outside_noise(self.low, self.high)

    def sentence(self, a: str = "A", b: str = "B") -> str:
        """Say it in words, with the names of the two."""
        if np.isnan(self.difference):
            return f"{self.name} of {a} and {b} cannot be compared: {self.reason}"
        both = f"{self.name}: {a} {self.a:.3f}, {b} {self.b:.3f}"
        if np.isnan(self.low):
            return f"{both}; difference {self.difference:+.3f}, {self.reason}"
        ends = f"{self.difference:+.3f} ({self.low:+.3f} ... {self.high:+.3f})"
        if not self.clear:
            return f"{both}; the difference of {ends} is inside the noise"
        winner = a if (self.difference < 0) == lower_is_better(self.name) else b
        return f"{both}; {winner} is better, the difference of {ends} is outside the noise"


@dataclass(frozen=True)
class Comparison:
    """Every number of two sets of predictions, on the photographs that both have.

    Attributes
    ----------
    differences
        name -> :class:`Difference`, kappa first.
    n, groups
        Photographs and groups that both have.
    only_a, only_b
        Photographs that only one has, left out.
    """

    differences: dict[str, Difference]
    n: int
    groups: int
    only_a: int
    only_b: int


def compare(
    a: Judged,
    b: Judged,
    *,
    thresholds_a: Sequence[float] = DEFAULT_THRESHOLDS,
    thresholds_b: Sequence[float] = DEFAULT_THRESHOLDS,
    bootstrap: Bootstrap | None = None,
) -> Comparison:
    """Compare two sets of predictions in pairs: in every draw both are judged on the same groups of photographs.

    Parameters
    ----------
    a, b
        Predictions of the same photographs, found by id; those that only one has are left out and counted. Where only
        one names groups, they hold for both.
    thresholds_a, thresholds_b
        From raw values to grades.
    bootstrap
        How intervals are drawn.

    Raises
    ------
    OptionError
        When they share no photograph, or differ in the label or the groups of one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 5, 200)
    >>> ids = tuple(f"eye {row}" for row in range(200))
    >>> sharp, blunt = (Judged(ids, labels, labels + rng.normal(0, sd, 200)) for sd in (0.3, 1.0))
    >>> compare(sharp, blunt).differences["kappa"].clear
    True
    """
    bootstrap = bootstrap or Bootstrap()
    only = [len(set(one.ids) - set(other.ids)) for one, other in ((a, b), (b, a))]
    one, two = _shared(a, b)
    sides = [all_numbers(one, thresholds_a), all_numbers(two, thresholds_b)]
    names = [name for name in sides[0].counts if name in sides[1].counts]

    def score(weights: Floats) -> dict[str, Floats]:
        first, second = (side.score(weights) for side in sides)
        return {f"{side}:{name}": found[name] for side, found in (("a", first), ("b", second)) for name in names}

    once = np.ones(one.group_count, dtype=np.int64)
    now = score(once[None].astype(np.float64))
    drawn = bootstrap.values(score, once, 2 * max(side.width for side in sides))
    differences = {}
    for name in names:
        values = float(now[f"a:{name}"][0]), float(now[f"b:{name}"][0])
        apart = drawn[f"a:{name}"] - drawn[f"b:{name}"]
        ends, reason = interval(bootstrap, apart, one.group_count)
        known = apart[np.isfinite(apart)] * (-1 if lower_is_better(name) else 1)
        better = float((known > 0).mean() + (known == 0).mean() / 2) if known.size else float("nan")
        missing = [side.reasons[name] for side in sides if name in side.reasons]
        if missing:
            ends, better, reason = (float("nan"), float("nan")), float("nan"), missing[0]
        differences[name] = Difference(name, *values, values[0] - values[1], *ends, better, reason)
    return Comparison(differences, len(one), one.group_count, only[0], only[1])


def _shared(a: Judged, b: Judged) -> tuple[Judged, Judged]:
    """Return the photographs that both have, in the order of their ids, with the same groups."""
    rows_a, rows_b = ({name: row for row, name in enumerate(one.ids)} for one in (a, b))
    shared = sorted(rows_a.keys() & rows_b.keys())
    if not shared:
        raise OptionError(
            "the predictions share no photograph",
            expected="the same ids in both",
            got=f"{a.ids[:1]} ... and {b.ids[:1]} ...",
        )
    one = a.take(np.array([rows_a[name] for name in shared]))
    two = b.take(np.array([rows_b[name] for name in shared]))
    different = np.flatnonzero(one.labels != two.labels)
    if different.size:
        row = different[0]
        raise OptionError(
            f"{different.size} photographs have different labels in the two, the first is {shared[row]}",
            expected=f"{one.labels[row]:g}",
            got=f"{two.labels[row]:g}",
        )
    groups = one.groups if any(one.groups) else two.groups
    if any(two.groups) and _torn(one, groups, two.groups):
        raise OptionError("the groups of the two differ", expected="the same photographs together in both")
    sides = (Judged(side.ids, side.labels, side.raw, groups, side.folds) for side in (one, two))
    return next(sides), next(sides)


def _torn(one: Judged, groups: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two columns of groups put different photographs together."""
    both = [Judged(one.ids, one.labels, one.raw, tuple(column)).members for column in (groups, others)]
    pairs = np.unique(np.stack(both, axis=1), axis=0)
    return any(len(pairs) != int(column.max()) + 1 for column in both)
