"""The table that predicting gives, and its CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from prebake.files import write_text
from prebake.metrics import DEFAULT_THRESHOLDS, Judged, ReferralCurve, doubt, grade, referral_curve
from prebake.metrics.referral import SHARES
from prebake.spreadsheets import harmless

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    import pandas as pd

    from prebake.records import Failure

__all__ = ["Predictions"]


@dataclass(frozen=True)
class Predictions:
    """One row for every photograph that could be read, in the order of the source.

    Parameters
    ----------
    ids
        The N ids, as packing names them.
    raw
        (N,) float32: what the model gives, or the (weighted) mean over all runs and views; in grades, not cut off at
        either end.
    diagnosis
        (N,) int64: ``raw`` cut at the thresholds.
    per_run
        (R, N) float32: the raw values of each run, the mean over its views.
    spread
        (N,) float32: the standard deviation of the values that ``raw`` is the (weighted) mean of, which is how far
        runs, and views where there are several, disagree. ``None`` where one run saw one view: a single value has none.
    labels
        (N,) float32: what the source says of the photographs, NaN where it says nothing.
    groups
        What belongs together (the patient), ``""`` where unknown.
    thresholds
        From ``raw`` to ``diagnosis``.
    failures
        The photographs that could not be read or baked (only with ``on_error="skip"``); of a pack, those that packing
        left out.
    """

    ids: tuple[str, ...]
    raw: npt.NDArray[np.float32]
    diagnosis: npt.NDArray[np.int64]
    per_run: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.float32]
    groups: tuple[str, ...]
    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @classmethod
    def of(
        cls,
        values: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float64],
        thresholds: Sequence[float],
        about: Sequence[tuple[str, float, str]],
        failures: Sequence[Failure],
    ) -> Self:
        """Put together what networks said.

        Parameters
        ----------
        values
            (R, V, N) raw values of each run and view.
        weights
            (R,) positive, of the runs; the views of a run count the same.
        thresholds
            From raw values to grades.
        about
            Id, label (NaN where unknown) and group of the N photographs.
        failures
            What could not be read or baked.
        """
        share = (weights / weights.sum())[:, None]
        per_run = values.mean(axis=1, dtype=np.float64)
        mean = (share * per_run).sum(axis=0)
        spread = np.sqrt((share * ((values - mean) ** 2).mean(axis=1)).sum(axis=0)).astype(np.float32)
        raw, several = mean.astype(np.float32), values.shape[0] * values.shape[1] > 1
        return cls(
            tuple(name for name, _, _ in about),
            raw,
            grade(raw, thresholds),
            per_run.astype(np.float32),
            spread if several else None,
            np.array([label for _, label, _ in about], dtype=np.float32),
            tuple(group for _, _, group in about),
            tuple(thresholds),
            tuple(failures),
        )

    @property
    def labelled(self) -> bool:
        """Whether any photograph has a label."""
        return bool(np.isfinite(self.labels).any())

    def judged(self) -> Judged:
        """Return the photographs that have a label, as every judgement of :mod:`prebake.metrics` takes them."""
        rows = np.flatnonzero(np.isfinite(self.labels))
        ids, groups = (tuple(column[row] for row in rows) for column in (self.ids, self.groups))
        return Judged(ids, self.labels[rows].astype(np.float64), self.raw[rows].astype(np.float64), groups)

    def uncertainty(self) -> tuple[str, npt.NDArray[np.float32]]:
        """Return what tells the least certain photographs, and (N,) values of it: larger is less certain.

        It is ``"spread"``; where there is none, ``"distance to the nearest threshold"``, with the sign turned.
        """
        if self.spread is not None:
            return "spread", self.spread
        return "distance to the nearest threshold", doubt(self.raw, self.thresholds).astype(np.float32)

    def referral(self, shares: Sequence[float] = SHARES) -> ReferralCurve:
        """Return kappa of what is left when the least certain photographs go to a human; of those with a label.

        Examples
        --------
        >>> predict(["a", "b", "c"], "labelled.h5").referral().kappa      # doctest: +SKIP
        array([0.79, 0.81, 0.84, ...])
        """
        rows = np.isfinite(self.labels)
        return referral_curve(self.judged(), self.uncertainty()[1][rows], self.thresholds, shares)

    def graded(self, thresholds: Sequence[float]) -> Self:
        """Return the same predictions with ``raw`` cut at other thresholds."""
        return replace(self, diagnosis=grade(self.raw, thresholds), thresholds=tuple(thresholds))

    def table(self) -> pd.DataFrame:
        """Return ``id_code``, ``diagnosis``, ``raw``, and what there is of the rest.

        ``raw_1``, ... are the runs where there are several, ``spread`` is of them or their views; ``label`` and
        ``group`` stand where any photograph has a label.
        """
        import pandas as pd  # noqa: PLC0415 - half a second that predicting itself does not need

        columns: dict[str, Any] = {"id_code": list(self.ids), "diagnosis": self.diagnosis, "raw": self.raw}
        if len(self.per_run) > 1:
            columns |= {f"raw_{number}": values for number, values in enumerate(self.per_run, start=1)}
        if self.spread is not None:
            columns["spread"] = self.spread
        if self.labelled:
            columns["label"] = self.labels
        if self.labelled and any(self.groups):
            columns["group"] = list(self.groups)
        return pd.DataFrame(columns)

    def to_csv(self, path: str | os.PathLike[str], *, submission: bool = False) -> None:
        r"""Write the table as CSV: whole, or not at all.

        An id or group that a spreadsheet would run as a formula gets a leading ``'``
        (:func:`prebake.spreadsheets.harmless`). A submission is read by a program that must find its ids again, so
        there ids stay as they are.

        Parameters
        ----------
        path
            The file to write; an existing one is replaced.
        submission
            Write exactly the two columns ``id_code,diagnosis``.
        """
        table = self.table()
        if submission:
            table = table[["id_code", "diagnosis"]]
        rows = table.itertuples(index=False, name=None)
        lines = [",".join(_cell(value, exact=submission) for value in row) for row in rows]
        write_text(path, "\n".join([",".join(table.columns), *lines]) + "\n")


def _cell(value: object, *, exact: bool) -> str:
    """Quote a cell as RFC 4180 says (Python's csv leaves a lone carriage return bare, where readers end a row)."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.9g}"
    if not isinstance(value, str):
        return str(value)
    if not exact:
        value = harmless(value)
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"\r\n') else value
