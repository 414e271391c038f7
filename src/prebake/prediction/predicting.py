"""One call from runs and a source to a table.

Photographs go through the run's own recipe, the very function that packing calls; packs must have been made with it.
Every batch is read (and baked) once, whatever the number of runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError, PackFailures, RecipeMismatch, RunError
from prebake.metrics import grade
from prebake.prediction.images import Batch, pack_batches, photograph_batches
from prebake.prediction.members import Ensemble
from prebake.prediction.table import Predictions
from prebake.progress import Progress
from prebake.progress import progress as progress_bar
from prebake.recipe import Recipe, require_same
from prebake.runs import CrossValidation, Run, expand, open_run
from prebake.sources import survey
from prebake.store import Pack, open_pack

if TYPE_CHECKING:
    import numpy.typing as npt

    from prebake.records import Failure, Sample

__all__ = ["predict"]

Pathish = str | os.PathLike[str]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_log = logging.getLogger("prebake.prediction")


def predict(
    runs: Pathish | Run | CrossValidation | Sequence[Pathish | Run | CrossValidation],
    source: Pathish | Pack,
    *,
    batch_size: int = 32,
    threads: int | None = None,
    on_error: str = "fail",
    device: str = "auto",
    progress: bool = True,
) -> Predictions:
    """Predict a grade for every photograph of a source.

    The networks run in 32-bit floating point, in evaluation mode. What a photograph gets does not depend on what else
    is in its batch or whether it comes from a folder or a pack, within 1e-4 of a grade on a CPU (the order of sums
    differs). A GPU that convolves in TF32, as torch lets it by default, rounds more coarsely.

    Parameters
    ----------
    runs
        A run folder, or several: their raw values are averaged. They must share recipe and thresholds. A
        cross-validation stands for the runs of all its folds.
    source
        A pack made with the recipe of the runs; or a folder, .zip, .tar or single photograph, baked by that recipe.
    batch_size
        Images per step of the model.
    threads
        Threads that read and bake; all cores without it. Three batches are in memory at most.
    on_error
        Photographs that cannot be baked: ``"fail"`` raises after all others were tried, ``"skip"`` lists them in
        :attr:`Predictions.failures`. They are never given a grade.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes what the machine has.
    progress
        Show a progress bar when standard error is a terminal.

    Returns
    -------
    Predictions

    Raises
    ------
    RecipeMismatch
        When the pack, or one of the runs, was made with another recipe.
    PackFailures
        When photographs could not be baked and ``on_error`` is ``"fail"``.
    RunError, SourceError, PackError, OptionError
        When a run, the source or an option cannot be used.

    Examples
    --------
    >>> from prebake.prediction import predict
    >>> predict("run", "test_images/").to_csv("predictions.csv")     # doctest: +SKIP
    """
    if on_error not in ("fail", "skip"):
        raise OptionError("on_error is not known", expected="fail or skip", got=on_error)
    if batch_size < 1 or (threads is not None and threads < 1):
        raise OptionError("batch_size and threads", expected="at least 1", got=f"{batch_size} and {threads}")
    named = [runs] if isinstance(runs, str | os.PathLike | Run | CrossValidation) else list(runs)
    opened = expand([open_run(run) for run in named])
    recipe, thresholds = _common_recipe(opened), _common_thresholds(opened)
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), "prebake-predict") as pool:
        if isinstance(source, Pack) or _is_pack(source):
            pack = source if isinstance(source, Pack) else open_pack(source)
            for run in opened:
                _require_fits(pack, recipe, run)
            total, batches, left_out = len(pack), pack_batches(pack, batch_size, pool), pack.failures
        else:
            needed = _needed(recipe, opened[0])
            samples = _photographs(source)
            total, batches, left_out = len(samples), photograph_batches(samples, needed, batch_size, pool), ()
        ensemble = Ensemble(opened, device)
        with progress_bar("predicting", total, enabled=progress) as bar:
            ids, per_run, failures = _run_all(ensemble, batches, bar, stop=on_error == "fail")
    if failures and on_error == "fail":
        raise PackFailures(
            f"{len(failures)} of {total} photographs could not be read or baked, so nothing was predicted",
            failures,
            do="look at these files, or leave them out with --on-error skip",
        )
    raw = per_run.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Predictions(tuple(ids), raw, grade(raw, thresholds), per_run, (*left_out, *failures))


def _run_all(
    ensemble: Ensemble, batches: Generator[Batch], bar: Progress, *, stop: bool
) -> tuple[list[str], npt.NDArray[np.float32], list[Failure]]:
    """Give every batch to every network; with ``stop``, only look for further failures after the first."""
    ids: list[str] = []
    failures: list[Failure] = []
    found: list[npt.NDArray[np.float32]] = [np.empty((len(ensemble), 0), dtype=np.float32)]
    with contextlib.closing(batches):
        for batch in batches:
            failures += batch.failures
            if batch.ids and not (failures and stop):
                ids += batch.ids
                found.append(ensemble.raw(batch.images, batch.ids))
            bar.update(len(batch.ids) + len(batch.failures))
    return ids, np.concatenate(found, axis=1), failures


def _photographs(source: Pathish) -> Sequence[Sample]:
    found = survey(source)
    if found.unlisted:
        shown = ", ".join(found.unlisted[:3]) + (", ..." if len(found.unlisted) > 3 else "")
        _log.warning(
            "%d photographs that the table beside them does not name are left out: %s", len(found.unlisted), shown
        )
    return found.samples


def _common_recipe(runs: Sequence[Run]) -> Recipe | None:
    if not runs:
        raise OptionError("no run to predict with", expected="at least one run folder")
    first = runs[0].recipe
    for run in runs[1:]:
        if first is None or run.recipe is None:
            if first is not run.recipe:
                raise RecipeMismatch(f"{runs[0].path} and {run.path} do not both know their recipe")
        else:
            require_same(run.recipe, first, f"{run.path} (the other runs, as {runs[0].path}, have the one needed)")
    return first


def _common_thresholds(runs: Sequence[Run]) -> list[float]:
    first = [float(cut) for cut in runs[0].info["thresholds"]]
    for run in runs[1:]:
        if [float(cut) for cut in run.info["thresholds"]] != first:
            raise RunError(
                f"the runs turn raw values into grades differently: {run.path}",
                expected=f"thresholds {first}, as {runs[0].path}",
                got=run.info["thresholds"],
                do="predict with each run by itself",
            )
    return first


def _is_pack(source: Pathish) -> bool:
    path = Path(source)
    if not path.is_file():
        return path.suffix.lower() in (".h5", ".hdf5")
    with path.open("rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def _require_fits(pack: Pack, recipe: Recipe | None, run: Run) -> None:
    if pack.recipe is not None and recipe is not None:
        require_same(pack.recipe, recipe, f"the pack {pack.name}")
    elif (pack.recipe is None) != (recipe is None):
        raise RecipeMismatch(
            f"it cannot be checked that {pack.name} was baked as {run.path} needs it",
            expected=recipe.describe() if recipe else "a pack without a recipe, as the run was trained on",
            got=pack.recipe.describe() if pack.recipe else "a pack that does not tell its recipe",
            do="predict on the photographs themselves" if recipe else None,
        )
    size = run.info["input"]["size"]
    if pack.shape != (size, size, 3):
        raise RecipeMismatch(
            f"the images of {pack.name} do not fit {run.path}", expected=f"{size}x{size}x3", got=pack.shape
        )


def _needed(recipe: Recipe | None, run: Run) -> Recipe:
    if recipe is None:
        raise RunError(
            f"{run.path} was trained on a pack that does not tell its recipe",
            expected="a pack to predict on: photographs cannot be baked without a recipe",
            do="bake the photographs as that pack was, and give the pack",
        )
    return recipe
