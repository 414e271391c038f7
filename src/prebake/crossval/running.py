"""Folds trained one after another, and the table of what they say together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from prebake.config import TrainConfig
from prebake.crossval.plan import Plan, in_turn, prepare
from prebake.errors import RunError
from prebake.files import write_json, write_text
from prebake.metrics import for_json, grade
from prebake.remote import local_path
from prebake.runs import CV, OOF, CrossValidation, Run
from prebake.spreadsheets import csv_text
from prebake.training import fit
from prebake.training.folder import config_differences, now, versions

if TYPE_CHECKING:
    import os

    from prebake.crossval.plan import FoldsFrom
    from prebake.store import Packs

__all__ = ["cross_validate", "finish"]


def cross_validate(
    packs: Packs,
    output: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    folds: FoldsFrom = 5,
    repeats: int = 1,
    fold: int | None = None,
    done: Callable[[Run], None] | None = None,
) -> CrossValidation:
    """Train on all folds but one, for each fold; then every photograph has a prediction of a model that never saw it.

    Interrupted, the same call goes on where it was, inside a fold too, and on one CPU ends with the same numbers. Fold
    ``k`` is the very run that :func:`prebake.fit` makes with the same folds.

    Parameters
    ----------
    packs
        One pack or several (or their paths), of one recipe; all folds read the same open files.
    output
        The folder; see :mod:`prebake.runs.crossval` for what it will hold.
    config
        What each fold does; by default the preset ``default``.
    folds
        How many, made with the seed of the configuration; or a table of them, as ``prebake split`` writes it.
    repeats
        How often all folds are trained; repeat R makes folds, and trains, with the seed + R - 1.
    fold
        Only this fold (of every repeat). Several processes may train different folds of one folder at the same time;
        the last to end completes it.
    done
        Called with every run that is complete.

    Returns
    -------
    CrossValidation
        Complete, unless other folds are missing.

    Raises
    ------
    RunError
        The folder holds another cross-validation or something else, another process trains the same fold, or as of
        :func:`prebake.fit`.
    OptionError, SplitError, WeightsError, RecipeMismatch
        The configuration, folds, first weights or packs cannot be used.
    KeyboardInterrupt
        SIGINT or SIGTERM asked to end; what going on needs is saved.

    Examples
    --------
    >>> import prebake
    >>> cv = prebake.cross_validate("train.h5", "cv", prebake.TrainConfig(epochs=5))     # doctest: +SKIP
    >>> cv.summary().kappa                                                               # doctest: +SKIP
    0.81
    """
    plan = prepare(packs, local_path(output), config or TrainConfig(), folds, repeats)
    for repeat, each in enumerate(plan.folds, start=1):
        for number in plan.numbers if fold is None else (fold,):
            run = fit(each.rows, plan.run_folder(repeat, number), plan.config_of(repeat), folds=each, fold=number)
            if done is not None:
                done(run)
    return finish(plan)


def finish(plan: Plan) -> CrossValidation:
    """Write the out-of-fold table when all folds are complete; whoever comes last does it."""
    with in_turn(plan.folder):
        found = CrossValidation(plan.folder)
        if found.complete or found.missing():
            return found
        repeats = range(1, len(plan.folds) + 1)
        table = pd.concat([_out_of_fold(plan, repeat) for repeat in repeats], ignore_index=True)
        if len(repeats) == 1:
            table = table.drop(columns="repeat")
        write_text(plan.folder / OOF, csv_text(table))
        info = {
            **found.info,
            "state": "complete",
            "finished": now(),
            "seconds": round(sum(run.info["seconds"] for run in found.members), 3),
            "summary": for_json(found.summary()),
            "versions": versions(),
        }
        write_json(plan.folder / CV, info)
    return CrossValidation(plan.folder)


def _out_of_fold(plan: Plan, repeat: int) -> pd.DataFrame:
    """Return the predictions of all folds of a repeat, in the order of the packs' rows."""
    folds, data = plan.folds[repeat - 1], plan.data(repeat, plan.numbers[0])
    raw = np.full(len(data.labels), np.nan, np.float32)
    for number in plan.numbers:
        run, rows = Run(plan.run_folder(repeat, number)), folds.val_rows(number)
        said = run.validation()
        differences = config_differences(plan.config_of(repeat), run.config)
        if differences or said["id_code"].tolist() != [data.rows.ids[row] for row in rows]:
            raise RunError(
                f"{run.path} is of another cross-validation",
                got="; ".join(differences) or "other photographs in the fold",
                do="remove it, and give the prebake cv command again",
            )
        raw[rows] = said["raw"]
    rows = np.flatnonzero(folds.fold >= 0)
    table = data.table(rows).assign(repeat=repeat, fold=folds.fold[rows])
    return table.assign(raw=raw[rows], diagnosis=grade(raw[rows]))
