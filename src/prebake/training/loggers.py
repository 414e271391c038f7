"""Metrics of every epoch for TensorBoard, Weights & Biases or MLflow, beside ``metrics.csv``: on this machine."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from prebake.errors import MissingExtra

if TYPE_CHECKING:
    from pathlib import Path

    from lightning.pytorch.loggers import Logger

    from prebake.config import TrainConfig

__all__ = ["log_epoch", "logging_to"]


@contextlib.contextmanager
def logging_to(folder: Path, config: TrainConfig) -> Iterator[Logger | None]:
    """Give the logger that a configuration names for a block; ``None`` for ``csv``, which is always written.

    Everything goes into ``folder``. It leaves the machine only where the environment says so: ``WANDB_MODE=online``, or
    ``MLFLOW_TRACKING_URI``.

    Raises
    ------
    MissingExtra
        Its package is not installed.
    """
    if config.logger == "csv":
        yield None
        return
    try:
        logger = _make(config.logger, folder)
    except ModuleNotFoundError as error:
        package = config.logger  # each is called as its package
        raise MissingExtra(
            f"{package} is not installed", expected=f"what --logger {package} needs", do=f"pip install {package}"
        ) from error
    logger.log_hyperparams(config.to_dict())
    try:
        yield logger
    finally:
        if isinstance(logger, WandbLogger):  # or the next training would go on in the same run
            logger.experiment.finish()


def _make(name: str, folder: Path) -> Logger:
    run = folder.resolve().parent.name
    folder.mkdir(parents=True, exist_ok=True)
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version="", default_hp_metric=False)
    if name == "wandb":
        offline = os.environ.get("WANDB_MODE", "offline") != "online"
        return WandbLogger(
            project=os.environ.get("WANDB_PROJECT", "prebake"), name=run, save_dir=folder, offline=offline
        )
    return MLFlowLogger(
        experiment_name="prebake",
        run_name=run,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}",
        artifact_location=(folder / "artifacts").resolve().as_uri(),
    )


def log_epoch(logger: Logger | None, row: Mapping[str, float]) -> None:
    """Log the row of one epoch; what is undefined (NaN) is left out."""
    if logger is not None:
        known = {name: value for name, value in row.items() if name != "epoch" and math.isfinite(value)}
        logger.log_metrics(known, step=int(row["epoch"]))
