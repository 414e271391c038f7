"""From folders that a user names to the runs that are meant."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import RunError
from prebake.runs.crossval import CV, CrossValidation
from prebake.runs.run import Run

if TYPE_CHECKING:
    import os

__all__ = ["expand", "fitted_thresholds", "open_run"]

_log = logging.getLogger("prebake.runs")

Opened = Run | CrossValidation


def open_run(path: str | os.PathLike[str] | Opened) -> Opened:
    """Open a folder as what it is: a run or a cross-validation; what is open is returned as it is."""
    if isinstance(path, Opened):
        return path
    return CrossValidation(path) if (Path(path) / CV).is_file() else Run(path)


def expand(opened: Sequence[Opened]) -> list[Run]:
    """Replace every cross-validation by the runs of its folds."""
    return [run for one in opened for run in (one.members if isinstance(one, CrossValidation) else (one,))]


def fitted_thresholds(runs: Sequence[str | os.PathLike[str] | Opened]) -> tuple[float, ...]:
    """Return the thresholds that ``prebake thresholds`` fitted; warn where their gain is not outside the noise.

    Parameters
    ----------
    runs
        Runs and cross-validations that predict together.

    Raises
    ------
    RunError
        One has no fitted thresholds, or they differ.
    """
    opened = [open_run(run) for run in runs]
    first = opened[0].fitted()
    for one in opened[1:]:
        if one.fitted().thresholds != first.thresholds:
            raise RunError(
                f"the fitted thresholds of {one.path} are not those of {opened[0].path}",
                do="predict with each by itself, or with the default thresholds",
            )
    if not first.worthwhile:
        _log.warning("fitted thresholds of %s are used although %s", opened[0].path, first.sentence)
    return first.thresholds
