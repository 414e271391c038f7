"""What a report says of the validation photographs: numbers from the run's tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from prebake import metrics

if TYPE_CHECKING:
    import pandas as pd

    from prebake.runs import Run

__all__ = ["MAX_CLASSES", "Matrix", "Result", "counts_by_label"]

MAX_CLASSES = 12
"""With more grades than this a confusion matrix is no longer readable."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: (C, C) counts, row = label, column = predicted grade."""

    counts: npt.NDArray[np.int64]

    @property
    def shares(self) -> Floats:
        """(C, C) shares of each row; NaN in a row without photographs."""
        totals = self.counts.sum(axis=1, keepdims=True).astype(np.float64)
        shares: Floats = np.divide(self.counts, totals, out=np.full(self.counts.shape, np.nan), where=totals > 0)
        return shares

    @property
    def absent(self) -> list[int]:
        """Labels that no photograph has."""
        return [int(label) for label in np.flatnonzero(self.counts.sum(axis=1) == 0)]


@dataclass(frozen=True)
class Result:
    """Photographs that were judged: (N,) labels, raw values and groups, and the thresholds they are cut at.

    Parameters
    ----------
    what
        What one of them is called.
    """

    labels: Floats
    raw: Floats
    groups: tuple[str, ...]
    thresholds: tuple[float, ...]
    what: str = "validation photograph"

    @classmethod
    def of(cls, run: Run) -> Result:
        """Read the validation predictions of a run, with the groups its split names."""
        table = run.validation()
        table = table[table["label"].notna()]
        split = run.split()
        named = dict(zip(zip(split["pack"], split["id_code"], strict=True), split["group"], strict=True))
        groups = tuple(named.get(row, "") for row in zip(table["pack"], table["id_code"], strict=True))
        labels, raw = (table[name].to_numpy(dtype=np.float64) for name in ("label", "raw"))
        return cls(labels, raw, groups, tuple(float(cut) for cut in run.info["thresholds"]))

    @property
    def finite(self) -> bool:
        """Whether every raw value is a number; without that there are no grades."""
        return bool(np.isfinite(self.raw).all())

    @cached_property
    def grades(self) -> npt.NDArray[np.int64]:
        """(N,) predicted grades."""
        return metrics.grade(self.raw, self.thresholds)

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Numbers of :func:`prebake.metrics.summary`, and ``low`` and ``high``, the 95 % interval of kappa."""
        numbers = metrics.summary(self.labels, self.raw, self.thresholds)
        low, high = metrics.kappa_interval(self.labels, self.grades, self.groups)
        return {**numbers, "low": low, "high": high}

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why a number is undefined."""
        return metrics.undefined(self.labels, self.raw, self.thresholds)

    @property
    def whole(self) -> bool:
        """Whether all labels are grades: whole numbers from 0, not too many different ones."""
        labels = self.labels
        return bool(labels.size and (labels == np.floor(labels)).all() and labels.min() >= 0 and labels.max() < 100)

    @cached_property
    def matrix(self) -> Matrix | None:
        """The confusion matrix; ``None`` where the labels are no grades, or too many."""
        if not self.whole:
            return None
        classes = max(len(self.thresholds) + 1, int(self.labels.max()) + 1)
        return Matrix(metrics.confusion(self.labels, self.grades, classes)) if classes <= MAX_CLASSES else None

    @property
    def misses(self) -> Floats:
        """(N,) distance of grade and label."""
        return np.asarray(np.abs(self.grades - self.labels), dtype=np.float64)


def counts_by_label(split: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Return ``(label, training photographs, validation photographs)`` for each label, in order.

    Parameters
    ----------
    split
        As :meth:`prebake.runs.Run.split` gives it.
    """
    table = split.groupby(["label", "part"]).size().unstack(fill_value=0)
    table = table.reindex(columns=["train", "val"], fill_value=0).sort_index()
    return [(f"{label:g}", int(row["train"]), int(row["val"])) for label, row in table.iterrows()]
