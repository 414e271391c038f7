"""From folders that a user names to the runs that are meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import RunError
from prebake.runs.crossval import CV, CrossValidation
from prebake.runs.run import Run

if TYPE_CHECKING:
    import os

    from prebake.runs.folder import Fitted

__all__ = ["common_fitted", "expand", "open_run"]

Opened = Run | CrossValidation


def open_run(path: str | os.PathLike[str] | Opened) -> Opened:
    """Open a folder as what it is: a run or a cross-validation; what is open is returned as it is."""
    if isinstance(path, Opened):
        return path
    return CrossValidation(path) if (Path(path) / CV).is_file() else Run(path)


def expand(opened: Sequence[Opened]) -> list[Run]:
    """Replace every cross-validation by the runs of its folds."""
    return [run for one in opened for run in (one.members if isinstance(one, CrossValidation) else (one,))]


def common_fitted(opened: Sequence[Opened]) -> Fitted:
    """Return the fitted thresholds of folders that are used together.

    Raises
    ------
    RunError
        One has none, or they differ.
    """
    first = opened[0].fitted()
    for one in opened[1:]:
        if one.fitted().thresholds != first.thresholds:
            raise RunError(
                f"the fitted thresholds of {one.path} are not those of {opened[0].path}",
                do="predict with each by itself, or with the default thresholds",
            )
    return first
