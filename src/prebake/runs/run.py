"""The run folder: everything one training produced, and all that predicting elsewhere needs. Free of torch.

========================  ==============================================================================
``run.json``              format, state, model, packs, input, thresholds, best epoch, versions, counts, seconds
``config.json``           the :class:`~prebake.config.TrainConfig`
``recipe.json``           the recipe the packs were baked with (absent where they do not tell it)
``split.csv``             id_code, pack, label, group (what stays together), fold (of folds), part (``train``, ``val``)
``metrics.csv``           one row an epoch: losses, val_kappa, val_mae, val_accuracy, lr, seconds, waiting
``best.safetensors``      weights of the best epoch; ``last.safetensors`` of the last
``validation.csv``        id_code, pack, label, group, raw, diagnosis: what the best weights say of the validation rows
``worst.npz``             images, ids, labels, raw: the validation rows with the largest error, as pictures
``checkpoints/``          what resuming needs; gone when the run is complete
``logs/``                 what a logger other than ``csv`` wrote
``thresholds.json``       written by ``prebake thresholds``
``report.html``           written by :func:`prebake.report.write_report`
========================  ==============================================================================

A folder is read by these names alone: no path that stands inside a file is ever followed, and a name that leads out of
the folder (a symbolic link) is refused, so a run from a stranger reads and writes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from prebake.errors import RunError
from prebake.metrics import Judged
from prebake.runs.arrays import read_arrays
from prebake.runs.folder import CONFIG, RECIPE, THRESHOLDS, ResultFolder, numbers

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "FILES",
    "INFO",
    "LAST",
    "LOGS",
    "METRICS",
    "REPORT",
    "SPLIT",
    "VALIDATION",
    "WORST",
    "Run",
    "Worst",
]

INFO = "run.json"
SPLIT, METRICS, VALIDATION = "split.csv", "metrics.csv", "validation.csv"
BEST, LAST, WORST = "best.safetensors", "last.safetensors", "worst.npz"
CHECKPOINTS, LOGS, REPORT = "checkpoints", "logs", "report.html"
FILES = (INFO, CONFIG, RECIPE, SPLIT, METRICS, VALIDATION, BEST, LAST, WORST, CHECKPOINTS, LOGS, THRESHOLDS, REPORT)

_LARGEST_WORST = 1 << 30
_LARGEST_SIDE = 1 << 13  # of an image in pixels: some networks take memory by it


@dataclass(frozen=True)
class Worst:
    """The validation rows with the largest error: images (K, H, W, 3) uint8 RGB, and (K,) ids, labels, raw values."""

    images: NDArray[np.uint8]
    ids: tuple[str, ...]
    labels: NDArray[np.float32]
    raw: NDArray[np.float32]


class Run(ResultFolder):
    """One run folder, opened for reading and checked.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    RunError
        It is no run folder, one of a newer format, or one that says what a run cannot say.

    Examples
    --------
    >>> run = Run("run")                              # doctest: +SKIP
    >>> run.complete, run.best()["val_kappa"]         # doctest: +SKIP
    (True, 0.83)
    """

    info_name = INFO
    verb = "train"
    needed: ClassVar = {
        "state": str,
        "model": str,
        "packs": list,
        "input": dict,
        "thresholds": list,
        "versions": dict,
    }

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        info, given = self.info, self.info["input"]
        fits = type(given.get("size")) is int and 1 <= given["size"] <= _LARGEST_SIDE
        if not (fits and numbers(given.get("mean"), 3) and numbers(given.get("std"), 3)):
            raise RunError(f"{self.path / INFO}: 'input' needs size, mean and std of three channels", got=given)
        if not numbers(info["thresholds"]):
            raise RunError(f"{self.path / INFO}: 'thresholds' must be numbers", got=info["thresholds"])
        if not isinstance(info.get("fold"), int | None):
            raise RunError(f"{self.path / INFO}: 'fold' must be a number", got=info["fold"])

    @property
    def fold(self) -> int | None:
        """The fold that validated; ``None`` for a hold-out."""
        return self.info.get("fold")

    @property
    def weights(self) -> Path:
        """Path of the best weights.

        Raises
        ------
        RunError
            The training has not ended, or the file is gone.
        """
        if not self.complete:
            raise RunError(
                f"the training of {self.path} has not ended",
                do="give its prebake train command again: it goes on where it was",
            )
        return self.file(BEST)

    def best(self) -> dict[str, float]:
        """Return the row of :meth:`metrics` of the best epoch."""
        table = self.metrics()
        rows = table[table["epoch"] == self.info.get("best_epoch")]
        if len(rows) != 1:
            raise RunError(f"{self.path / METRICS} has no epoch {self.info.get('best_epoch')}, the best of {INFO}")
        return {str(name): float(value) for name, value in rows.iloc[0].items()}

    def waiting(self) -> float | None:
        """Return the share of the training in which it waited for data, 0 ... 1; ``None`` where that is not known."""
        table = self.metrics()
        if not {"seconds", "waiting"} <= set(table.columns) or not table["seconds"].sum() > 0:
            return None
        return float((table["waiting"] * table["seconds"]).sum() / table["seconds"].sum())

    def split(self) -> pd.DataFrame:
        """Return every row that took part: id_code, pack, label, group, part; of one fold of several also fold."""
        return self._table(SPLIT, ("id_code", "pack", "label", "group", "part"))

    def metrics(self) -> pd.DataFrame:
        """Return one row for each epoch: epoch, train_loss, val_loss, val_kappa, ..., lr, seconds, waiting."""
        return self._table(METRICS, ("epoch", "train_loss", "val_loss"))

    def validation(self) -> pd.DataFrame:
        """Return what the best weights say of the validation rows: id_code, pack, label, group, raw, diagnosis."""
        return self._table(VALIDATION, ("id_code", "pack", "label", "raw", "diagnosis"))

    def judged(self) -> Judged:
        """Return the validation predictions as every judgement takes them."""
        return Judged.from_frame(self.validation())

    def worst(self) -> Worst:
        """Return the validation rows with the largest error as pictures, the worst first."""
        path = self.file(WORST)
        try:
            images, ids, labels, raw = read_arrays(path, ("images", "ids", "labels", "raw"), _LARGEST_WORST)
        except ValueError as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        fits = images.ndim == 4 and images.shape[-1] == 3 and images.dtype == np.uint8 and ids.dtype.kind == "U"
        fits = fits and images.size > 0 and all(array.dtype.kind in "fiu" for array in (labels, raw))
        if not fits or any(array.shape != images.shape[:1] for array in (ids, labels, raw)):
            raise RunError(f"{path} holds arrays that do not belong together", got=images.shape)
        return Worst(images, tuple(map(str, ids)), labels.astype(np.float32), raw.astype(np.float32))
