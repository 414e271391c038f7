"""The run folder of a training: whose it is, what is written before the first step and after the last."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback

from prebake.errors import RunError
from prebake.locks import Held, held_lock
from prebake.metrics import DEFAULT_THRESHOLDS, grade
from prebake.models import save_weights
from prebake.models.weights import UNREADABLE, require_plain
from prebake.runs import (
    BEST,
    CHECKPOINTS,
    FILES,
    INFO,
    LAST,
    REPORT,
    THRESHOLDS,
    Run,
    RunWriter,
    Worst,
    require_inside,
)
from prebake.training.learner import STATE, Learner
from prebake.training.watch import best_path
from prebake.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from lightning import LightningModule, Trainer

    from prebake.augment import Augment
    from prebake.config import TrainConfig
    from prebake.training.data import Data

__all__ = [
    "OURS",
    "Finish",
    "alone",
    "begin",
    "check_folder",
    "config_differences",
    "first_process",
    "now",
    "pack_differences",
    "require_checkpoint",
    "versions",
]

WORST_SHOWN = 24
LOCK = ".lock"
OURS = frozenset(FILES) - {THRESHOLDS, REPORT}
"""What nobody but a training writes into a run folder."""

FREE_TO_CHANGE = ("accelerator", "devices", "nodes", "strategy", "threads", "verify", "checkpoint_minutes", "logger")
"""Fields that say where a training runs, not what it does: they may differ when it goes on."""


def first_process() -> bool:
    """Whether this process writes: the only one, or the first of those that train together."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


@contextlib.contextmanager
def alone(folder: Path, nodes: int) -> Iterator[None]:
    """Keep other trainings out of a run folder for a block; the lock ends with the process, however it ends.

    Of several machines that were not started by a launcher only ``NODE_RANK`` tells, so early, which is the first.
    """
    if not first_process() or (nodes > 1 and os.environ.get("NODE_RANK", "0") != "0"):
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held_lock(folder / LOCK))
        except Held as holder:
            do = "wait for it, or choose another folder"
            raise RunError(f"another process trains into {folder}", got=holder, do=do) from None
        yield


def check_folder(folder: Path, config: TrainConfig, data: Data) -> Run | None:
    """Return the run if it is complete, ``None`` if there is something to do; refuse what is another training."""
    for path in (*(folder / name for name in FILES), *folder.glob(f"{CHECKPOINTS}/*")):
        require_inside(folder, path)  # a training writes there
    if not (folder / INFO).exists():
        others = sorted(path.name for path in folder.iterdir() if path.name not in FILES and path.name[0] != ".")
        if others:
            raise RunError(
                f"{folder} holds something else", got=", ".join(others[:5]), do="choose another folder with -o"
            )
        return None
    found = Run(folder)
    differences = [
        *config_differences(found.config, config),
        *pack_differences(found.info["packs"], data.describe_packs()),
    ] or _split_differences(found, data)
    if differences:
        raise RunError(
            f"{folder} holds another training ({found.info['state']})\n"
            + "\n".join(f"    {line}" for line in differences),
            do="choose another folder with -o, or give the packs and options of before",
        )
    return found if found.complete else None


def require_checkpoint(path: Path) -> None:
    """Refuse what is no checkpoint of a training, before anything of it is used; no code in it is run.

    Raises
    ------
    RunError
        It cannot be read as plain data, or lacks what resuming needs.
    """
    try:
        require_plain(path)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        problem = "" if isinstance(found, dict) and STATE in found else "it holds something else"
    except UNREADABLE as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
    if problem:
        raise RunError(
            f"{path} is not a checkpoint that a training can go on from",
            got=problem,
            do="remove it, and the same call begins anew; or choose another folder with -o",
        )


def config_differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """Return a line for each field that differs and that decides what a training does."""
    values = now.to_dict()
    return [
        f"{name}: {value!r} before, {values[name]!r} now"
        for name, value in before.to_dict().items()
        if value != values[name] and name not in FREE_TO_CHANGE
    ]


def pack_differences(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line where two lists of packs, as :meth:`Data.describe_packs` gives them, hold other images."""
    if [pack.get("digest") for pack in before] == [pack["digest"] for pack in now]:
        return []
    return [f"packs: {_names(before)} before, {_names(now)} now"]


def _split_differences(found: Run, data: Data) -> list[str]:
    """Return a line where other photographs train or validate, or stand in other folds."""
    before, now = (_split(table) for table in (found.split(), data.split_table()))
    if before == now:
        return []
    was, is_ = found.fold, None if data.fold is None else data.fold.number
    if was != is_:
        return [f"split: {_side(was)} before, {_side(is_)} now"]
    return ["split: other photographs train or validate now"]


def _split(table: pd.DataFrame) -> list[list[object]]:
    return [table[name].tolist() for name in ("id_code", "fold", "part") if name in table.columns]


def _side(fold: int | None) -> str:
    return "a hold-out" if fold is None else f"fold {fold}"


def _names(packs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{pack.get('name')} ({str(pack.get('digest'))[:8]})" for pack in packs)


def begin(writer: RunWriter, config: TrainConfig, data: Data, augment: Augment, *, resumed: bool) -> None:
    """Write what is known before the first step; ``run.json`` last, for it makes the folder a run."""
    if not resumed:
        shutil.rmtree(writer.checkpoints, ignore_errors=True)
    writer.checkpoints.mkdir(exist_ok=True)
    unlabelled = int(np.isnan(data.labels).sum())
    created = Run(writer.path).info.get("created") if (writer.path / INFO).exists() else None
    writer.write_config(config)
    if data.recipe is not None:
        writer.write_recipe(data.recipe)
    writer.write_split(data.split_table())
    writer.write_info(
        {
            "state": "training",
            "created": created or now(),
            "model": config.model,
            "packs": data.describe_packs(),
            **({} if data.fold is None else {"fold": data.fold.number, "folds": list(data.fold.folds.numbers)}),
            "input": {
                "size": data.size,
                "mean": list(augment.mean),
                "std": list(augment.std),
                "fill": list(augment.fill),
            },
            "thresholds": list(DEFAULT_THRESHOLDS),
            "n_train": len(data.train),
            "n_val": len(data.val),
            "n_unlabelled": unlabelled,
            "n_test": data.kept_out,
            "versions": versions(),
        }
    )


class Finish(Callback):
    """Writes the results when the last epoch is done, ``run.json`` last, and removes what only resuming needed."""

    def __init__(self, writer: RunWriter) -> None:
        self.writer = writer

    def on_fit_end(self, trainer: Trainer, learner: LightningModule) -> None:
        """Write the results; no process goes on before they are there."""
        if trainer.is_global_zero and isinstance(learner, Learner):
            self._write(trainer, learner)
        trainer.strategy.barrier("the run is written")

    def _write(self, trainer: Trainer, learner: Learner) -> None:
        writer, data = self.writer, learner.data
        best = best_path(writer.checkpoints, learner.best_epoch)
        if best.exists():  # it is not where a process died right here before
            best.replace(writer.path / BEST)
        save_weights(learner.kept.state_dict(), writer.path / LAST, {"epoch": str(len(learner.history))})
        writer.write_metrics(learner.history)
        labels, raw = data.labels[data.val], learner.best_raw
        writer.write_validation(data.table(data.val).assign(raw=raw, diagnosis=grade(raw)))
        order = np.argsort(-np.abs(raw - labels), kind="stable")[:WORST_SHOWN]
        table = data.table(data.val[order])
        writer.write_worst(Worst(data.images(data.val[order]), tuple(table["id_code"]), labels[order], raw[order]))
        info = Run(writer.path).info
        info |= {
            "state": "complete",
            "finished": now(),
            "best_epoch": learner.best_epoch,
            "precision": str(trainer.precision),
            "device": _device(trainer),
            "seconds": round(sum(row["seconds"] for row in learner.history), 3),
            "versions": versions(),
        }
        writer.write_info(info)
        shutil.rmtree(writer.checkpoints, ignore_errors=True)


def _device(trainer: Trainer) -> str:
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    return f"{trainer.world_size} x {name}" if trainer.world_size > 1 else name


def now() -> str:
    """Return the time as a run records it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions that a run records."""
    found = {name: version(name) for name in ("torch", "timm", "lightning", "numpy")}
    return {"prebake": __version__, "python": platform.python_version(), **found}
