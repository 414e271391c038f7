"""Two results judged on the photographs that both have, in pairs, and what that says in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prebake.comparison.sides import Side, open_side
from prebake.duplicates import Joined
from prebake.metrics import Bootstrap, Difference, Judged, for_json, lower_is_better
from prebake.metrics import compare as compare_judged
from prebake.metrics.draws import outside_noise

if TYPE_CHECKING:
    import os

    from prebake.runs import CrossValidation, Run

__all__ = ["NUMBERS", "Change", "Compared", "compare"]

NUMBERS = ("kappa", "mae", "accuracy", "referable_auc")
"""What is compared, in this order."""


@dataclass(frozen=True)
class Change:
    """One number of A and B.

    Attributes
    ----------
    name
        Of the number, as :func:`prebake.metrics.judge` calls it.
    a, b
        Its values; NaN where undefined.
    change, low, high
        ``b - a`` and its paired interval; NaN where undefined.
    reason
        Why the change or its interval is undefined; empty otherwise.
    """

    name: str
    a: float
    b: float
    change: float
    low: float
    high: float
    reason: str = ""

    @classmethod
    def of(cls, found: Difference) -> Change:
        """Take a difference whose first side is B."""
        return cls(found.name, found.b, found.a, found.difference, found.low, found.high, found.reason)

    @property
    def verdict(self) -> str:
        """Which one is better, ``"a"`` or ``"b"``; empty where the interval does not leave out 0."""
        if not outside_noise(self.low, self.high):
            return ""
        return "a" if (self.change > 0) == lower_is_better(self.name) else "b"


@dataclass(frozen=True)
class Compared:
    """Two results on the photographs that both have.

    Attributes
    ----------
    a, b
        What the two are called.
    changes
        name -> :class:`Change`, kappa first.
    photographs, groups
        How many both have; groups (patients and copies) are drawn whole.
    only_a, only_b
        Photographs that only one has, left out.
    warnings
        Why one may look better than it is.
    """

    a: str
    b: str
    changes: dict[str, Change]
    photographs: int
    groups: int
    only_a: int
    only_b: int
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What the change of kappa says, in words."""
        kappa, same = self.changes["kappa"], f"on the same {self.photographs:,} photographs"
        if math.isnan(kappa.change):
            return f"kappa cannot be compared {same}: {kappa.reason}"
        if math.isnan(kappa.low):
            return f"no difference can be told: {self.b} has {kappa.change:+.3f} kappa {same}, {kappa.reason}"
        if not kappa.verdict:
            ends = f"{kappa.low:+.3f} ... {kappa.high:+.3f}"
            return f"no difference can be told: {self.b} has {kappa.change:+.3f} kappa ({ends}) {same}"
        better = self.b if kappa.verdict == "b" else self.a
        low, high = sorted((abs(kappa.low), abs(kappa.high)))
        return f"{better} is better by {abs(kappa.change):.3f} kappa ({low:.3f} ... {high:.3f}) {same}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; what is undefined is ``None``."""
        changes = {name: {**for_json(change), "better": change.verdict} for name, change in self.changes.items()}
        return {**for_json(self), "changes": changes, "sentence": self.sentence}


def compare(
    a: str | os.PathLike[str] | Run | CrossValidation | Side,
    b: str | os.PathLike[str] | Run | CrossValidation | Side,
    *,
    bootstrap: Bootstrap | None = None,
) -> Compared:
    """Tell whether B is better than A on the photographs that both have, and whether by more than noise.

    Photographs are found by id, so packs may have been baked with different recipes. Raw values are graded by the
    default thresholds. What belongs together in one of the two is drawn together.

    Parameters
    ----------
    a, b
        Runs (their validation photographs), cross-validations (out of fold), or CSVs of predictions with labels.
    bootstrap
        How intervals are drawn; 95 %, 2,000 draws by default.

    Raises
    ------
    RunError
        A folder is no complete run or cross-validation.
    OptionError
        They share no photograph, or differ in the label of one; or a CSV is no table of predictions with labels.

    Examples
    --------
    >>> compare("cv-kernel", "cv-crop").sentence                              # doctest: +SKIP
    'cv-crop is better by 0.031 kappa (0.004 ... 0.058) on the same 413 photographs'
    """
    one, other = (each if isinstance(each, Side) else open_side(each) for each in (a, b))
    found = compare_judged(*_grouped_alike(other.judged, one.judged), bootstrap=bootstrap)
    return Compared(
        one.name,
        other.name,
        {name: Change.of(found.differences[name]) for name in NUMBERS},
        found.n,
        found.groups,
        found.only_b,
        found.only_a,
        tuple(side.warning for side in (one, other) if side.warning),
    )


def _grouped_alike(*sides: Judged) -> list[Judged]:
    """Give both the groups that join what either joins: with another recipe other near-duplicates are found."""
    ids = sorted({name for side in sides for name in side.ids})
    place = {name: row for row, name in enumerate(ids)}
    joined = Joined(len(ids))
    for side in sides:
        names = [""] * len(ids)
        for name, group in zip(side.ids, side.groups, strict=False):
            names[place[name]] = group
        joined.join_equal(names)
    group_of = [ids[first] for first in joined.roots()]
    return [
        Judged(side.ids, side.labels, side.raw, tuple(group_of[place[name]] for name in side.ids)) for side in sides
    ]
