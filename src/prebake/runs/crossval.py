"""The folder of a cross-validation, read without torch: a run for each fold, and the table of what they say together.

=====================  ==========================================================================================
``cv.json``            format, state, folds, repeats, made (here, or a table), packs, versions, command, summary
``config.json``        the :class:`~prebake.config.TrainConfig` of all folds (repeat R trains with seed + R - 1)
``recipe.json``        the recipe the packs were baked with (absent where they do not tell it)
``folds.csv``          as ``prebake split`` writes it
``fold-0/``, ...       a run folder for each fold, see :mod:`prebake.runs.run`
``repeat-1/``, ...     of several repeats: each with its own ``folds.csv`` and ``fold-0/``, ...
``oof.csv``            id_code, pack, label, group, repeat (of several), fold, raw, diagnosis; when complete
``thresholds.json``    written by ``prebake thresholds``
``report.html``        written by :func:`prebake.report.write_report`
=====================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from prebake.errors import RunError
from prebake.metrics import Judged, grade, kappa_interval, summary
from prebake.runs.folder import ResultFolder, numbers, require_inside
from prebake.runs.run import INFO, METRICS, Run

if TYPE_CHECKING:
    import os

__all__ = ["CV", "FOLDS", "OOF", "CrossValidation", "FoldScore", "Summary", "fold_folder", "repeat_folder"]

CV, FOLDS, OOF = "cv.json", "folds.csv", "oof.csv"
MOST_RUNS = 10_000
_OOF_COLUMNS = ("id_code", "pack", "label", "group", "fold", "raw", "diagnosis")


def repeat_folder(path: Path, repeat: int, repeats: int) -> Path:
    """Return the folder of a repeat (from 1): with one repeat the cross-validation's own."""
    return path if repeats == 1 else path / f"repeat-{repeat}"


def fold_folder(path: Path, fold: int, repeat: int, repeats: int) -> Path:
    """Return the run folder of a fold."""
    return repeat_folder(path, repeat, repeats) / f"fold-{fold}"


@dataclass(frozen=True)
class FoldScore:
    """What one fold reached on its own photographs: ``kappa`` (NaN where undefined), ``mae``, and at which epoch."""

    repeat: int
    fold: int
    photographs: int
    best_epoch: int
    kappa: float
    mae: float


@dataclass(frozen=True)
class Summary:
    """What a cross-validation reached out of fold.

    Attributes
    ----------
    kappa, low, high
        Quadratic weighted kappa of all photographs and its 95 % bootstrap interval over groups; NaN where undefined.
        Of several repeats, the raw values of a photograph are averaged first.
    mae
        Mean absolute error of raw values, in grades.
    photographs, groups
        How many there are; groups are drawn whole.
    repeats
        Kappa of each repeat; NaN where nothing of it is there.
    folds
        What every fold reached on its own; of those that are there.
    """

    kappa: float
    low: float
    high: float
    mae: float
    photographs: int
    groups: int
    repeats: tuple[float, ...]
    folds: tuple[FoldScore, ...]


class CrossValidation(ResultFolder):
    """One cross-validation, opened for reading and checked.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    RunError
        It is no cross-validation, one of a newer format, or one that says what it cannot say.

    Examples
    --------
    >>> cv = CrossValidation("cv")                        # doctest: +SKIP
    >>> cv.summary().kappa                                # doctest: +SKIP
    0.81
    """

    info_name = CV
    verb = "cv"
    needed: ClassVar = {"state": str, "folds": list, "repeats": int, "packs": list, "versions": dict}

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        folds, repeats = self.info["folds"], self.info["repeats"]
        whole = numbers(folds) and all(type(fold) is int and fold >= 0 for fold in folds)
        if not whole or len(set(folds)) < 2 or repeats < 1 or len(folds) * repeats > MOST_RUNS:
            raise RunError(
                f"{self.path / CV}: 'folds' must be two or more numbers from 0, 'repeats' 1 or more",
                expected=f"at most {MOST_RUNS} runs in all",
                got=f"{len(folds)} folds, {repeats} repeats",
            )

    @property
    def folds(self) -> tuple[int, ...]:
        """The numbers of the folds."""
        return tuple(self.info["folds"])

    @property
    def repeats(self) -> int:
        """How often all folds are trained, each time with other folds."""
        return int(self.info["repeats"])

    def places(self) -> Iterator[tuple[int, int, Path]]:
        """Yield repeat (from 1), fold and run folder of every fold, whether it is there or not."""
        for repeat in range(1, self.repeats + 1):
            for fold in self.folds:
                yield repeat, fold, fold_folder(self.path, fold, repeat, self.repeats)

    def begun(self) -> dict[tuple[int, int], Run]:
        """Return the runs that are there, complete or not, by repeat and fold.

        Raises
        ------
        RunError
            One cannot be read, or is a link that leads out of the folder.
        """
        there = [(repeat, fold, path) for repeat, fold, path in self.places() if (path / INFO).exists()]
        for _, _, path in there:
            require_inside(self.path, path)
        return {(repeat, fold): Run(path) for repeat, fold, path in there}

    def missing(self) -> list[Path]:
        """Return the run folders of the folds that are not complete."""
        begun = self.begun()
        return [
            path
            for repeat, fold, path in self.places()
            if (repeat, fold) not in begun or not begun[repeat, fold].complete
        ]

    @property
    def members(self) -> tuple[Run, ...]:
        """The runs of all folds.

        Raises
        ------
        RunError
            Some are not complete.
        """
        missing = self.missing()
        if missing:
            raise RunError(
                f"{len(missing)} of {len(self.folds) * self.repeats} folds of {self.path} are not complete",
                got=", ".join(path.relative_to(self.path).as_posix() for path in missing),
                do="give its prebake cv command again: it goes on where it was",
            )
        return tuple(self.begun().values())

    def oof(self) -> pd.DataFrame:
        """Return a row for each photograph (and repeat): id_code, pack, label, group, fold, raw, diagnosis."""
        if not self.complete:
            _ = self.members
        return self._table(OOF, _OOF_COLUMNS)

    def oof_so_far(self) -> pd.DataFrame:
        """Return what :meth:`oof` has of the folds that are complete, fold after fold, without waiting for the others.

        A fold whose model gives a photograph no number (it diverged) is left out.
        """
        tables = [
            run.validation().assign(repeat=repeat, fold=fold)
            for (repeat, fold), run in self.begun().items()
            if run.complete
        ]
        tables = [table for table in tables if np.isfinite(table["raw"]).all()]
        if not tables:
            return pd.DataFrame(columns=[*_OOF_COLUMNS, "repeat"])
        whole = pd.concat(tables, ignore_index=True)
        return whole.reindex(columns=["id_code", "pack", "label", "group", "repeat", "fold", "raw", "diagnosis"])

    def judged(self, repeat: int | None = None, *, so_far: bool = False) -> Judged:
        """Return the out-of-fold predictions as every judgement takes them, one for each photograph.

        Parameters
        ----------
        repeat
            One repeat, from 1. Without it the raw values of a photograph are averaged over the repeats; they have no
            folds in common then.
        so_far
            Of the folds that are complete alone.
        """
        table = self.oof_so_far() if so_far else self.oof()
        if self.repeats > 1 and repeat is None:
            mean = table.groupby(["pack", "id_code"], sort=False).agg(
                {"label": "first", "group": "first", "raw": "mean"}
            )
            return Judged.from_frame(mean.reset_index())
        return Judged.from_frame(table[table["repeat"] == repeat] if self.repeats > 1 else table)

    def curves(self) -> pd.DataFrame:
        """Return the metrics of all epochs so far, with the columns repeat and fold before them."""
        tables = [
            run.metrics().assign(repeat=repeat, fold=fold)
            for (repeat, fold), run in self.begun().items()
            if run.complete or (run.path / METRICS).exists()
        ]
        if not tables:
            return pd.DataFrame(columns=["repeat", "fold", "epoch"])
        table = pd.concat(tables, ignore_index=True)
        return table[["repeat", "fold", *table.columns.drop(["repeat", "fold"])]]

    def summary(self, *, so_far: bool = False) -> Summary:
        """Judge the out-of-fold predictions with the default thresholds; ``so_far``: of the complete folds alone."""
        judged, table = self.judged(so_far=so_far), self.oof_so_far() if so_far else self.oof()
        reached = summary(judged.labels, judged.raw)
        low, high = kappa_interval(judged.labels, grade(judged.raw), judged.groups)
        repeat = table["repeat"] if "repeat" in table.columns else pd.Series(1, table.index)
        kappas = []
        scores = []
        for number in range(1, self.repeats + 1):
            whole = table[repeat == number]
            kappas.append(summary(whole["label"], whole["raw"])["kappa"])
            there = set(whole["fold"])
            scores += [self._score(number, fold, whole[whole["fold"] == fold]) for fold in self.folds if fold in there]
        return Summary(
            reached["kappa"],
            low,
            high,
            reached["mae"],
            len(judged),
            judged.group_count,
            tuple(kappas),
            tuple(scores),
        )

    def _score(self, repeat: int, fold: int, table: pd.DataFrame) -> FoldScore:
        reached = summary(table["label"], table["raw"])
        best = int(Run(fold_folder(self.path, fold, repeat, self.repeats)).best()["epoch"])
        return FoldScore(repeat, fold, len(table), best, reached["kappa"], reached["mae"])
