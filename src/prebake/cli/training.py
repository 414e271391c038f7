"""The verbs that train, and what is fitted to a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prebake import terminal
from prebake.cli.options import Output
from prebake.cli.train_options import PRESET_VALUES, Options, Preset, config_of
from prebake.errors import OptionError

__all__ = ["cv", "thresholds", "train"]


def train(
    *packs: str,
    output: Output,
    preset: Preset = "default",
    options: Options = PRESET_VALUES,
) -> None:
    """Train a model on one or several packs; everything it produces goes into one run folder.

    Interrupted, the same command goes on where it was and ends with the same numbers (to the last bit on one CPU).
    Every option below replaces one value of the preset.

    Parameters
    ----------
    packs
        Packs made with the same recipe, or a quoted pattern ("NAME-*.h5"); several are trained on as one.
    output
        The run folder to write.
    preset
        kernel: the published 2019 training exactly. default: what the evidence favours today.
    """
    from prebake.training import fit

    run = fit(packs, output, config_of(preset, options))
    terminal.say(terminal.trained(run))


def cv(
    *packs: str,
    output: Output,
    folds: int | Path = 5,
    repeats: int = 1,
    fold: int | None = None,
    parallel: int | None = None,
    preset: Preset = "default",
    options: Options = PRESET_VALUES,
) -> None:
    """Cross-validate: train on all folds but one, for each fold; every photograph gets a model that never saw it.

    Every fold is a complete run inside RUN; the table of all of them is RUN/oof.csv. Interrupted, the same command goes
    on where it was, inside a fold too. Every option of train replaces one value of the preset.

    Parameters
    ----------
    packs
        Packs made with the same recipe, or a quoted pattern ("NAME-*.h5"); several are trained on as one.
    output
        The folder to write.
    folds
        How many folds to make, with --seed; or a table of them, as prebake split writes it.
    repeats
        Train all folds so many times, each time with other folds.
    fold
        Train only this fold (from 0), as one job of a cluster's array; the last job to end writes RUN/oof.csv.
    parallel
        Train so many folds at the same time, in processes of their own; each takes one GPU where there are some.
    preset
        kernel: the published 2019 training exactly. default: what the evidence favours today.
    """
    from prebake.crossval import cross_validate, cross_validate_side_by_side

    if fold is not None and parallel is not None:
        raise OptionError("--fold and --parallel contradict each other", expected="one of them")
    config = config_of(preset, options)
    asked: dict[str, Any] = {"folds": folds, "repeats": repeats, "done": lambda run: terminal.say(terminal.best(run))}
    if parallel is None:
        found = cross_validate(packs, output, config, fold=fold, **asked)
    else:
        found = cross_validate_side_by_side(packs, output, config, processes=parallel, **asked)
    terminal.say(terminal.cross_validated(found))


def thresholds(run: Path, /) -> None:
    """Fit the thresholds from raw values to grades, and judge by cross-fitting what they gain over the default ones.

    Written to RUN/thresholds.json, and used only by prebake predict --thresholds. Usually the gain is inside the noise.

    Parameters
    ----------
    run
        A cross-validation, whose out-of-fold predictions are used; or a run, with its validation photographs.
    """
    from prebake.runs import find_thresholds

    terminal.say(terminal.threshold_gain(find_thresholds(run), run))
