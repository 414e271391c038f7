"""One call from runs and a source to a table.

Photographs go through the run's own recipe, the very function that packing calls; packs must have been made with it.
Every batch is read (and baked) once, whatever the number of runs and views.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError, PackFailures
from prebake.machine import usable_cores
from prebake.prediction.members import Ensemble
from prebake.prediction.source import open_source
from prebake.prediction.table import Predictions
from prebake.progress import Progress
from prebake.progress import progress as progress_bar
from prebake.runs import CrossValidation, Run, common_recipe, common_thresholds, expand, open_run

if TYPE_CHECKING:
    import numpy.typing as npt

    from prebake.prediction.images import Batch
    from prebake.records import Failure
    from prebake.store import Packs

__all__ = ["predict"]

Pathish = str | os.PathLike[str]
Given = Pathish | Run | CrossValidation


def predict(  # noqa: PLR0913 - one keyword for each option of the command line
    runs: Given | Sequence[Given],
    source: Packs,
    *,
    tta: bool = False,
    weights: Sequence[float] | None = None,
    batch_size: int = 32,
    threads: int | None = None,
    on_error: str = "fail",
    device: str = "auto",
    progress: bool = True,
) -> Predictions:
    """Predict a grade for every photograph of a source.

    The networks run in 32-bit floating point, in evaluation mode. What a photograph gets does not depend on what else
    is in its batch or whether it comes from a folder or a pack, within 1e-4 of a grade on a CPU (the order of sums
    differs). A GPU that convolves in TF32, as torch lets it by default, rounds more coarsely. The same call on the same
    CPU gives the same bits. All networks stay in memory; of the images, three batches at most.

    Parameters
    ----------
    runs
        A run folder, or several: their raw values are averaged. A cross-validation stands for the runs of its folds.
        All must share recipe and thresholds; each normalises the images as its own training did.
    source
        A pack made with the recipe of the runs, or a pattern or list of such packs; or a folder, .zip, .tar or
        single photograph, baked by that recipe.
    tta
        Test-time augmentation: every network sees each image turned by 0, 90, 180 and 270 degrees, and the same
        mirrored, without interpolation; their mean counts. Takes eight times the work of the networks.
    weights
        How much each of ``runs`` counts in the mean, positive; all the same without. Every fold of a cross-validation
        counts as much as is said for it.
    batch_size
        Images per step of a network.
    threads
        Threads that read and bake; all cores without it.
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
    members, shares = _members(runs, weights)
    thresholds = common_thresholds(members)
    found = open_source(source, common_recipe(members), members)
    ensemble = Ensemble(members, device, tta=tta)
    with (
        ThreadPoolExecutor(threads or usable_cores(), "prebake-predict") as pool,
        progress_bar("predicting", len(found.ids), enabled=progress) as bar,
    ):
        rows, values, failures = _run_all(
            ensemble, found.batches(batch_size, pool), found.ids, bar, stop=on_error == "fail"
        )
    if failures and on_error == "fail":
        raise PackFailures(
            f"{len(failures)} of {len(found.ids)} photographs could not be read or baked, so nothing was predicted",
            failures,
            do="look at these files, or leave them out with --on-error skip",
        )
    about = [(found.ids[row], float(found.labels[row]), found.groups[row]) for row in rows]
    return Predictions.of(values, shares, thresholds, about, (*found.left_out, *failures))


def _run_all(
    ensemble: Ensemble, batches: Generator[Batch], ids: Sequence[str], bar: Progress, *, stop: bool
) -> tuple[list[int], npt.NDArray[np.float32], list[Failure]]:
    """Give every batch to every network; with ``stop``, only look for further failures after the first.

    Returns the positions that were predicted, (R, V, N) raw values, and what failed.
    """
    rows: list[int] = []
    failures: list[Failure] = []
    found: list[npt.NDArray[np.float32]] = [np.empty((*ensemble.shape, 0), dtype=np.float32)]
    with contextlib.closing(batches):
        for batch in batches:
            failures += batch.failures
            if batch.rows and not (failures and stop):
                rows += batch.rows
                found.append(ensemble.raw(batch.images, [ids[row] for row in batch.rows]))
            bar.update(len(batch.rows) + len(batch.failures))
    return rows, np.concatenate(found, axis=2), failures


def _members(
    runs: Given | Sequence[Given], weights: Sequence[float] | None
) -> tuple[list[Run], npt.NDArray[np.float64]]:
    """Return the R runs that are meant, and (R,) how much each counts."""
    named = [runs] if isinstance(runs, str | os.PathLike | Run | CrossValidation) else list(runs)
    if not named:
        raise OptionError("no run to predict with", expected="at least one run folder")
    given = np.ones(len(named)) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (len(named),) or not (np.isfinite(given) & (given > 0)).all():
        raise OptionError(
            "the weights do not fit the runs",
            expected=f"{len(named)} positive number{'s' if len(named) > 1 else ''}, one for each RUN",
            got=" ".join(f"{weight:g}" for weight in given.ravel()) or "none",
        )
    opened = [expand([open_run(run)]) for run in named]
    return [run for folder in opened for run in folder], np.repeat(given, [len(folder) for folder in opened])
