"""Training: packs in, a run folder out, however often it is interrupted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from prebake.config import TrainConfig
from prebake.errors import OptionError, RunError
from prebake.memory import kept_memory
from prebake.models import build_model
from prebake.runs import Run, RunWriter
from prebake.store import Pack
from prebake.training.data import Data, augmentation, gather
from prebake.training.folder import Finish, alone, begin, check_folder, first_process
from prebake.training.learner import Learner
from prebake.training.watch import Checkpoints, Stop, Stopped, TerminalBar, checkpoint_path, hushed

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

__all__ = ["fit"]


def fit(
    packs: Pack | str | os.PathLike[str] | Sequence[Pack | str | os.PathLike[str]],
    run: str | os.PathLike[str],
    config: TrainConfig | None = None,
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

    Returns
    -------
    Run
        The complete run.

    Raises
    ------
    RunError
        The folder holds another training or something else, another process trains into it, the packs have no labels,
        or the training diverged.
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
    config, folder = config or TrainConfig(), Path(run)
    data = gather([packs] if isinstance(packs, Pack | str | os.PathLike) else packs, config)
    writer = RunWriter(folder)
    with alone(folder, config.nodes), _settings(config), hushed():
        done = check_folder(folder, config, data)
        if done is None:
            _train(writer, config, data)
    return done or Run(folder)


def _train(writer: RunWriter, config: TrainConfig, data: Data) -> None:
    checkpoint = checkpoint_path(writer.checkpoints)
    resumed = checkpoint.is_file()
    torch.manual_seed(config.seed)
    model, pretraining = build_model(
        config.model, "none" if resumed else config.weights, image_size=data.size, dropout=config.dropout
    )
    augment = augmentation(data, config, pretraining)
    stop = Stop()
    trainer = _trainer(writer, config, [Checkpoints(writer, config.checkpoint_minutes, stop), Finish(writer)])
    if first_process():
        begin(writer, config, data, augment, resumed=resumed)
    learner = Learner(model, config, data, augment)
    try:
        with stop.listening():
            trainer.fit(learner, ckpt_path=checkpoint if resumed else None, weights_only=True)
    except (Stopped, SIGTERMException) as reason:
        raise KeyboardInterrupt(
            f"training of {writer.path} interrupted; the same call goes on where it was"
        ) from reason
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the device has not enough memory: {str(error).splitlines()[0]}",
            do="train into a new folder with a smaller --batch-size, or a smaller --model",
        ) from error


def _trainer(writer: RunWriter, config: TrainConfig, callbacks: list[Callback]) -> lightning.Trainer:
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
            logger=False,
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
