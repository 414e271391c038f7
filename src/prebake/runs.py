"""The run folder: everything one training produced, and all that predicting elsewhere needs. Free of torch.

========================  ==============================================================================
``run.json``              format, state, model, packs, input, thresholds, best epoch, versions, counts, seconds
``config.json``           the :class:`~prebake.config.TrainConfig`
``recipe.json``           the recipe the packs were baked with (absent where they do not tell it)
``split.csv``             id_code, pack, label, group, part (``train`` or ``val``)
``metrics.csv``           one row an epoch: epoch, train_loss, val_loss, val_kappa, val_mae, lr, seconds
``best.safetensors``      weights of the best epoch; ``last.safetensors`` of the last
``validation.csv``        id_code, pack, label, raw, diagnosis: what the best weights say of the validation rows
``worst.npz``             images, ids, labels, raw: the validation rows with the largest error, as pictures
``checkpoints/``          what resuming needs; gone when the run is complete
``report.html``           written by :func:`prebake.report.write_report`
========================  ==============================================================================

A folder is read by these names alone: no path that stands inside a file is ever followed, and a name that leads out of
the folder (a symbolic link) is refused, so a run from a stranger reads nothing else.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prebake.config import TrainConfig
from prebake.errors import OptionError, RecipeError, RunError
from prebake.files import atomic_path, write_json, write_text
from prebake.recipe import Recipe
from prebake.version import __version__

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["FORMAT", "Run", "RunWriter", "Worst"]

FORMAT = 1
INFO, CONFIG, RECIPE = "run.json", "config.json", "recipe.json"
SPLIT, METRICS, VALIDATION = "split.csv", "metrics.csv", "validation.csv"
BEST, LAST, WORST = "best.safetensors", "last.safetensors", "worst.npz"
CHECKPOINTS, REPORT = "checkpoints", "report.html"
FILES = (INFO, CONFIG, RECIPE, SPLIT, METRICS, VALIDATION, BEST, LAST, WORST, CHECKPOINTS, REPORT)

_TEXT_COLUMNS = {"id_code": str, "pack": str, "group": str, "part": str}
_NEEDED: dict[str, type | tuple[type, ...]] = {
    "state": str,
    "model": str,
    "packs": list,
    "input": dict,
    "thresholds": list,
    "versions": dict,
}
_STATES = ("training", "complete")
_LARGEST_WORST = 1 << 30


@dataclass(frozen=True)
class Worst:
    """The validation rows with the largest error: images (K, H, W, 3) uint8 RGB, and (K,) ids, labels, raw values."""

    images: NDArray[np.uint8]
    ids: tuple[str, ...]
    labels: NDArray[np.float32]
    raw: NDArray[np.float32]


class Run:
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

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        info = self._json(INFO)
        if info.get("format") != FORMAT:
            raise RunError(
                f"{self.path} has another format of run folder",
                expected=f"format {FORMAT}",
                got=info.get("format"),
                do=f"use the version of prebake that made it ({_maker(info)}), or a newer one; this is {__version__}",
            )
        for name, kind in _NEEDED.items():
            if not isinstance(info.get(name), kind):
                raise RunError(f"{self.path / INFO} lacks {name!r}, or it is of the wrong kind", got=info.get(name))
        if info["state"] not in _STATES:
            raise RunError(f"{self.path / INFO} has an unknown state", expected=_STATES, got=info["state"])
        given = info["input"]
        if not (
            isinstance(given.get("size"), int) and _numbers(given.get("mean"), 3) and _numbers(given.get("std"), 3)
        ):
            raise RunError(f"{self.path / INFO}: 'input' needs size, mean and std of three channels", got=given)
        if not _numbers(info["thresholds"]) or not all(isinstance(pack, dict) for pack in info["packs"]):
            raise RunError(f"{self.path / INFO}: 'thresholds' must be numbers, and 'packs' objects")
        self.info: dict[str, Any] = info

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def complete(self) -> bool:
        """Whether training has ended."""
        return bool(self.info["state"] == "complete")

    @cached_property
    def config(self) -> TrainConfig:
        """What the training was told."""
        try:
            return TrainConfig.from_dict(self._json(CONFIG))
        except OptionError as error:
            raise RunError(f"{self.path / CONFIG} cannot be used: {error}") from error

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe the packs were baked with; ``None`` where they do not tell it (files of the 2019 kernel)."""
        if not (self.path / RECIPE).exists():
            return None
        try:
            return Recipe.from_dict(self._json(RECIPE))
        except RecipeError as error:
            raise RunError(f"{self.path / RECIPE} cannot be used: {error}") from error

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

    def file(self, name: str) -> Path:
        """Return the path of a file of the run that exists and lies inside the folder."""
        path = self.path / name
        if not path.is_file():
            raise RunError(f"{self.path} has no {name}", do=self._advice())
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise RunError(
                f"{path} leads out of the run folder", got=f"a link to {path.resolve()}", do="copy the file in"
            )
        return path

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
        """Return every labelled row: id_code, pack, label, group, part."""
        return self._table(SPLIT, ("id_code", "pack", "label", "group", "part"))

    def metrics(self) -> pd.DataFrame:
        """Return one row for each epoch: epoch, train_loss, val_loss, val_kappa, ..., lr, seconds, waiting."""
        return self._table(METRICS, ("epoch", "train_loss", "val_loss"))

    def validation(self) -> pd.DataFrame:
        """Return what the best weights say of the validation rows: id_code, pack, label, raw, diagnosis."""
        return self._table(VALIDATION, ("id_code", "pack", "label", "raw", "diagnosis"))

    def worst(self) -> Worst:
        """Return the validation rows with the largest error as pictures, the worst first."""
        path = self.file(WORST)
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > _LARGEST_WORST:
                raise RunError(f"{path} is too large to be what its name says", expected="under 1 GiB", got=size)
            with np.load(path, allow_pickle=False) as stored:
                images, ids, labels, raw = (stored[name] for name in ("images", "ids", "labels", "raw"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        fits = images.ndim == 4 and images.shape[-1] == 3 and images.dtype == np.uint8
        if not fits or any(array.shape != images.shape[:1] for array in (ids, labels, raw)):
            raise RunError(f"{path} holds arrays that do not belong together", got=images.shape)
        return Worst(images, tuple(map(str, ids)), labels.astype(np.float32), raw.astype(np.float32))

    def _json(self, name: str) -> dict[str, Any]:
        path = self.file(name)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(value, dict):
            raise RunError(f"{path} does not hold what it should", expected="a JSON object", got=type(value).__name__)
        return value

    def _table(self, name: str, needed: Sequence[str]) -> pd.DataFrame:
        path = self.file(name)
        try:
            # Text columns are text whatever they look like ("NA", "0709652336e2"); only an empty label is missing.
            table = pd.read_csv(path, dtype=_TEXT_COLUMNS, keep_default_na=False, na_values=_missing(path))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        lacking = [column for column in needed if column not in table.columns]
        if lacking:
            raise RunError(f"{path} lacks columns", expected=", ".join(needed), got=", ".join(table.columns))
        for column in table.columns:
            if column not in _TEXT_COLUMNS and not pd.api.types.is_numeric_dtype(table[column]):
                raise RunError(f"{path} has something else than numbers in column {column!r}")
        return table

    def _advice(self) -> str:
        if (self.path / INFO).is_file():
            return "give its prebake train command again: an interrupted training goes on where it was"
        return "name a folder that prebake train wrote"


def _missing(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    return {column: [""] for column in header if column not in _TEXT_COLUMNS}


def _numbers(value: object, count: int | None = None) -> bool:
    return (
        isinstance(value, list) and count in (None, len(value)) and all(type(entry) in (int, float) for entry in value)
    )


def _maker(info: Mapping[str, Any]) -> str:
    versions = info.get("versions")
    return str(versions.get("prebake", "unknown")) if isinstance(versions, dict) else "unknown"


class RunWriter:
    """Writes the files of a run folder, each whole or not at all.

    Parameters
    ----------
    path
        The folder; it is made when it is not there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        """The folder of what resuming needs."""
        return self.path / CHECKPOINTS

    def write_config(self, config: TrainConfig) -> None:
        """Write ``config.json``."""
        write_json(self.path / CONFIG, config.to_dict())

    def write_recipe(self, recipe: Recipe) -> None:
        """Write ``recipe.json``."""
        write_json(self.path / RECIPE, recipe.to_dict())

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Write ``run.json``; format and version of prebake are added."""
        write_json(self.path / INFO, {"format": FORMAT, **info})

    def write_split(self, table: pd.DataFrame) -> None:
        """Write ``split.csv``."""
        self._csv(SPLIT, table)

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write ``metrics.csv``: one row for each epoch so far; NaN is an empty field."""
        self._csv(METRICS, pd.DataFrame(list(rows)))

    def write_validation(self, table: pd.DataFrame) -> None:
        """Write ``validation.csv``."""
        self._csv(VALIDATION, table)

    def write_worst(self, worst: Worst) -> None:
        """Write ``worst.npz``."""
        with atomic_path(self.path / WORST) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, images=worst.images, ids=np.array(worst.ids, dtype=np.str_), labels=worst.labels, raw=worst.raw
            )

    def _csv(self, name: str, table: pd.DataFrame) -> None:
        write_text(self.path / name, table.to_csv(index=False, lineterminator="\n"))
