"""Writing the files of a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prebake.files import atomic_path, write_json, write_text
from prebake.runs.folder import CONFIG, FORMAT, RECIPE
from prebake.runs.run import CHECKPOINTS, INFO, LOGS, METRICS, SPLIT, VALIDATION, WORST, Worst
from prebake.spreadsheets import csv_text

if TYPE_CHECKING:
    import os

    from prebake.config import TrainConfig
    from prebake.recipe import Recipe

__all__ = ["RunWriter"]


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

    @property
    def logs(self) -> Path:
        """The folder of what loggers write."""
        return self.path / LOGS

    def write_config(self, config: TrainConfig) -> None:
        """Write ``config.json``."""
        write_json(self.path / CONFIG, config.to_dict())

    def write_recipe(self, recipe: Recipe) -> None:
        """Write ``recipe.json``."""
        write_json(self.path / RECIPE, recipe.to_dict())

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Write ``run.json``; the format is added."""
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
        write_text(self.path / name, csv_text(table))
