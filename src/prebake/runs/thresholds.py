"""Thresholds fitted to the predictions of a run or a cross-validation, kept in its folder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prebake.errors import RunError
from prebake.files import write_json
from prebake.metrics import ThresholdGain, for_json, judge_thresholds
from prebake.runs.folder import THRESHOLDS
from prebake.runs.opening import open_run

if TYPE_CHECKING:
    import os

    from prebake.runs.crossval import CrossValidation
    from prebake.runs.run import Run

__all__ = ["find_thresholds"]


def find_thresholds(run: str | os.PathLike[str] | Run | CrossValidation) -> ThresholdGain:
    """Fit thresholds to predictions that were not trained on, judge them by cross-fitting, and write them down.

    They are kept in ``thresholds.json`` of the folder, and used only when a prediction asks for them.

    Parameters
    ----------
    run
        A cross-validation (its out-of-fold predictions) or a run (its validation photographs), complete.

    Raises
    ------
    RunError
        It is not complete, or nothing can be fitted to its predictions.

    Examples
    --------
    >>> find_thresholds("cv").sentence                    # doctest: +SKIP
    'the gain of 0.004 is inside the noise (-0.010 ... 0.019): keep the default'
    """
    opened = open_run(run)
    if not opened.complete:
        raise RunError(
            f"the training of {opened.path} has not ended",
            do=f"give its prebake {opened.verb} command again: it goes on where it was",
        )
    gain = judge_thresholds(opened.judged())
    if math.isnan(gain.gain):
        raise RunError(f"no thresholds can be fitted to the predictions of {opened.path}", got=gain.reason)
    write_json(opened.path / THRESHOLDS, {**for_json(gain), "worthwhile": gain.worthwhile, "sentence": gain.sentence})
    return gain
