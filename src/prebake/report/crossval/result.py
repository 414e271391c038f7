"""What a report says of a cross-validation out of fold: numbers of :mod:`prebake.metrics`, each computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from prebake.metrics import DEFAULT_THRESHOLDS, Judged, Number, judge
from prebake.report.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from prebake.runs import CrossValidation, Summary

__all__ = ["OutOfFold"]


@dataclass(frozen=True)
class OutOfFold:
    """The out-of-fold predictions of a cross-validation, of all folds or of those that are complete.

    Parameters
    ----------
    cv
        The cross-validation.
    whole
        Whether every fold is complete; without it only the photographs of complete folds are judged.
    """

    cv: CrossValidation
    whole: bool

    @classmethod
    def of(cls, cv: CrossValidation) -> OutOfFold:
        """Open what a cross-validation says out of fold so far."""
        return cls(cv, cv.complete and not cv.missing())

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each photograph (and repeat): id_code, pack, label, group, [repeat,] fold, raw, diagnosis."""
        return self.cv.oof() if self.whole else self.cv.oof_so_far()

    @cached_property
    def judged(self) -> Judged:
        """One prediction for each photograph; of several repeats their mean."""
        return self.cv.judged(so_far=not self.whole)

    @cached_property
    def summary(self) -> Summary:
        """Kappa with its interval, of all photographs and of every fold."""
        return self.cv.summary(so_far=not self.whole)

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """Every number with its interval."""
        return judge(self.judged)

    @cached_property
    def result(self) -> Result:
        """The same photographs, as all reports look at them."""
        return Result(self.judged.labels, self.judged.raw, self.judged.groups, DEFAULT_THRESHOLDS, "photograph")

    @cached_property
    def without(self) -> dict[Path, str]:
        """Run folders of the folds that say nothing -> why."""
        held = {(row.repeat, row.fold) for row in self.table.assign(repeat=self.repeats).itertuples()}
        begun, found = self.cv.begun(), {}
        for repeat, fold, path in self.cv.places():
            if (repeat, fold) not in held:
                run = begun.get((repeat, fold))
                state = (
                    "not begun" if run is None else "gives no numbers (it diverged)" if run.complete else "not ended"
                )
                found[path] = state
        return found

    @property
    def repeats(self) -> pd.Series[int] | int:
        """The repeat of each row of :attr:`table`."""
        return self.table["repeat"] if "repeat" in self.table.columns else 1
