"""Training: packs in, a run folder out, however often it is interrupted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from prebake.config import TrainConfig
from prebake.errors import OptionError, RunError
from prebake.files import remove_leftovers
from prebake.memory import kept_memory
from prebake.models import build_model
from prebake.remote import local_path
from prebake.runs import Run, RunWriter
from prebake.training.data import Data, Fold, augmentation, gather
from prebake.training.folder import OURS, Finish, alone, begin, check_folder, first_process, require_checkpoint
from prebake.training.learner import Learner
from prebake.training.loggers import logging_to
from prebake.training.watch import Checkpoints, Stop, Stopped, TerminalBar, checkpoint_path, hushed

if TYPE_CHECKING:
    import os

    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger

    from prebake.splits import Folds
    from prebake.store import Packs

__all__ = ["fit"]


def fit(
    packs: Packs,
    run: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    folds: Folds | None = None,
    fold: int | None = None,
) -> Run:
    """Train a model on packs; the run folder then holds all that predicting needs.

    Interrupted (killed, SIGINT, SIGTERM, a full disk), the same call goes on from the last checkpoint, and on one CPU
    ends with the same numbers as if nothing had happened. A run that is complete is returned as it is.

    Parameters
    ----------
    packs
        One pack or several (or their paths), all baked with the same recipe, which are trained on as one. Photographs
        without a label are left out.
    run
        The run folder; see :mod:`prebake.runs` for what it will hold.
    config
        What to do; by default the preset ``default``.
    folds, fold
        Folds of these packs, and the one that validates; those left train. Without them a share of the photographs is
        held out, patients and copies on one side.

    Returns
    -------
    Run
        The complete run.

    Raises
    ------
    RunError
        The folder holds another training (or another fold) or something else, another process trains into it, the packs
        have no labels, or the training diverged.
    OptionError, WeightsError, RecipeMismatch, SplitError
        The configuration, first weights or packs cannot be used.
    KeyboardInterrupt
        SIGINT or SIGTERM asked to end; what resuming needs is saved.

    Examples
    --------
    >>> import prebake
    >>> run = prebake.fit("train.h5", "run", prebake.TrainConfig(epochs=5))     # doctest: +SKIP
    >>> run.best()["val_kappa"]                                                # doctest: +SKIP
    0.83
    """
    config, folder = config or TrainConfig(), local_path(run)
    if (folds is None) != (fold is None):
        raise OptionError("folds and fold belong together", expected="both or none", got=f"fold {fold}")
    data = gather(packs, config, Fold(folds, fold) if folds is not None and fold is not None else None)
    writer = RunWriter(folder)
    with alone(folder, config.nodes), _settings(config), hushed():
        done = check_folder(folder, config, data)
        if first_process():
            remove_leftovers(folder, OURS)
        if done is None:
            _train(writer, config, data)
    return done or Run(folder)


def _train(writer: RunWriter, config: TrainConfig, data: Data) -> None:
    checkpoint = checkpoint_path(writer.checkpoints)
    resumed = checkpoint.is_file()
    if resumed:
        require_checkpoint(checkpoint)
    torch.manual_seed(config.seed)
    model, pretraining = build_model(
        config.model, "none" if resumed else config.weights, image_size=data.size, dropout=config.dropout
    )
    augment = augmentation(data, config, pretraining)
    stop = Stop()
    callbacks: list[Callback] = [Checkpoints(writer, config.checkpoint_minutes, stop), Finish(writer)]
    learner = Learner(model, config, data, augment)
    try:
        with stop.listening(), logging_to(writer.logs, config) as logger:
            trainer = _trainer(writer, config, callbacks, logger)
            if first_process():
                begin(writer, config, data, augment, resumed=resumed)
            trainer.fit(learner, ckpt_path=checkpoint if resumed else None, weights_only=True)
            stop.heed()  # too late to stop this training, but whoever asked wants nothing else to begin
    except (Stopped, SIGTERMException) as reason:
        raise KeyboardInterrupt(
            f"training of {writer.path} interrupted; the same call goes on where it was"
        ) from reason
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the device has not enough memory: {str(error).splitlines()[0]}",
            do="train into a new folder with a smaller --batch-size, or a smaller --model",
        ) from error


def _trainer(
    writer: RunWriter, config: TrainConfig, callbacks: list[Callback], logger: Logger | None
) -> lightning.Trainer:
    precision = config.precision if config.precision != "auto" else "16-mixed" if _on_cuda(config) else "32-true"
    on_terminal = sys.stdout.isatty()
    try:
        return lightning.Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=config.strategy,
            precision=precision,
            max_epochs=config.epochs,
            gradient_clip_val=config.clip or None,
            deterministic=config.deterministic or None,
            callbacks=[*callbacks, TerminalBar(leave=True)] if on_terminal else callbacks,
            enable_progress_bar=on_terminal,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            logger=logger or False,
            log_every_n_steps=1,
            default_root_dir=writer.path,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise OptionError(
            f"this machine cannot train as asked: {str(error).splitlines()[0]}",
            got=f"accelerator {config.accelerator}, devices {config.devices}, nodes {config.nodes}, "
            f"strategy {config.strategy}, precision {precision}",
        ) from error


def _on_cuda(config: TrainConfig) -> bool:
    return config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


@contextlib.contextmanager
def _settings(config: TrainConfig) -> Iterator[None]:
    """Apply settings of the whole process for a block, and put back what was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory = contextlib.nullcontext() if _on_cuda(config) else kept_memory()
    with memory, torch.random.fork_rng(devices=[]):
        try:
            if config.threads is not None:
                torch.set_num_threads(config.threads)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
