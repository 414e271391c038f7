"""What happens beside the steps: checkpoints, an orderly end on a signal, and quiet."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Checkpoint, TQDMProgressBar

from prebake.files import atomic_path
from prebake.models import save_weights
from prebake.training.learner import Learner
from prebake.training.loggers import log_epoch

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from lightning import LightningModule, Trainer

    from prebake.runs import RunWriter

__all__ = ["Checkpoints", "Stop", "Stopped", "TerminalBar", "best_path", "checkpoint_path", "hushed"]


class Stopped(BaseException):
    """The training was asked to end. Like KeyboardInterrupt it is no error, and passes ``except Exception``."""


class Stop:
    """Whether SIGINT or SIGTERM asked to end; the second time it ends at once.

    Only the main thread can listen to signals; elsewhere they keep their usual effect.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._active = False

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of handlers
        if self.wanted:
            raise Stopped
        self.wanted = True

    def heed(self) -> None:
        """End where that was asked."""
        if self.wanted:
            raise Stopped

    def listen(self) -> None:
        """Listen (again, where Lightning has put its own handler in between)."""
        if self._active:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._receive)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen within a block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._active = True
        try:
            self.listen()
            yield
        finally:
            self._active = False
            for number, handler in before.items():
                signal.signal(number, handler)


class TerminalBar(TQDMProgressBar):
    """Lightning's progress bar, with two things it lacks."""

    def on_train_batch_start(self, trainer: Trainer, *arguments: Any, **options: Any) -> None:
        """Know the end also of an epoch that goes on in the middle."""
        super().on_train_batch_start(trainer, *arguments, **options)
        self.train_progress_bar.total = int(trainer.num_training_batches)

    def on_exception(self, *arguments: Any) -> None:
        """Close, so that what is said next stands on a line of its own."""
        super().on_exception(*arguments)
        self.train_progress_bar.close()


def checkpoint_path(folder: Path) -> Path:
    """Return where the checkpoint lies."""
    return folder / "last.ckpt"


def best_path(folder: Path, epoch: int) -> Path:
    """Return where the weights of an epoch lie, if it is the best so far."""
    return folder / f"best-{epoch:04d}.safetensors"


class Checkpoints(Checkpoint):
    """Saves after every epoch, every so often within one, and when asked to stop.

    The weights of a new best epoch are saved before the checkpoint that names it, and those it replaces are removed
    after: whenever the process dies, the checkpoint and the weights it names are there.

    Parameters
    ----------
    writer
        The run folder.
    minutes
        Time between two checkpoints within an epoch; 0 for none.
    stop
        Whether to end.
    """

    def __init__(self, writer: RunWriter, minutes: float, stop: Stop) -> None:
        self.writer, self.folder, self.minutes, self.stop = writer, writer.checkpoints, minutes, stop
        self._saved = time.monotonic()

    def on_train_start(self, trainer: Trainer, learner: LightningModule) -> None:  # noqa: ARG002
        """Listen to signals in Lightning's place: its own end saves nothing."""
        self.stop.listen()

    def on_train_batch_end(self, trainer: Trainer, learner: LightningModule, *_: Any) -> None:  # noqa: ARG002
        """Save where it is time to; the end of an epoch is left to its own hook, validation comes first."""
        if trainer.is_last_batch:
            return
        due = bool(self.minutes) and time.monotonic() - self._saved >= 60 * self.minutes
        if self._agreed(trainer, self.stop.wanted or due):
            self._save(trainer)
            self._end_if_asked(trainer)

    def on_validation_batch_end(self, trainer: Trainer, learner: LightningModule, *_: Any) -> None:  # noqa: ARG002
        """End without saving; several processes wait for the end of the epoch, for they validate unlike numbers."""
        if trainer.world_size == 1:
            self._end_if_asked(trainer)

    def on_train_epoch_end(self, trainer: Trainer, learner: LightningModule) -> None:
        """Save the epoch, and its weights if it is the best."""
        if not isinstance(learner, Learner):
            raise TypeError(f"{type(learner).__name__} keeps no history")
        row = learner.history[-1]
        best = best_path(self.folder, learner.best_epoch)
        if trainer.is_global_zero and row["epoch"] == learner.best_epoch:
            save_weights(learner.kept.state_dict(), best, {"epoch": str(learner.best_epoch)})
        log_epoch(trainer.logger, row)
        self._save(trainer)
        if trainer.is_global_zero:
            self.writer.write_metrics(learner.history)
            for path in self.folder.glob("best-*.safetensors"):
                if path != best:
                    path.unlink()
        self._end_if_asked(trainer)

    def _save(self, trainer: Trainer) -> None:
        path = checkpoint_path(self.folder)
        if trainer.is_global_zero:
            with atomic_path(path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(path)  # takes part; only the first process writes
        self._saved = time.monotonic()

    def _agreed(self, trainer: Trainer, wanted: bool) -> bool:  # noqa: FBT001
        return wanted if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wanted, all=False)

    def _end_if_asked(self, trainer: Trainer) -> None:
        if self._agreed(trainer, self.stop.wanted):
            raise Stopped


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep Lightning's notes on devices and products away for a block; its warnings and errors stay.

    So do a warning that nobody but its authors can act on, and the advice to start with ``srun`` wherever SLURM is
    installed.
    """
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logging.WARNING, logger.level))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", r"The `srun` command is available on your system but is not used")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
