"""Folds in several processes of one machine, each on a device of its own where there are devices."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from prebake.config import TrainConfig
from prebake.crossval.plan import Plan, command, prepare
from prebake.crossval.running import finish
from prebake.errors import OptionError, RunError
from prebake.machine import usable_cores
from prebake.remote import local_path
from prebake.runs import CrossValidation, Run

if TYPE_CHECKING:
    from prebake.crossval.plan import FoldsFrom
    from prebake.store import Packs

__all__ = ["cross_validate_side_by_side"]

POLL = 0.1  # seconds between two looks at the processes


def cross_validate_side_by_side(
    packs: Packs,
    output: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    folds: FoldsFrom = 5,
    repeats: int = 1,
    processes: int = 2,
    done: Callable[[Run], None] | None = None,
) -> CrossValidation:
    """Cross-validate as :func:`prebake.cross_validate` does, several folds at the same time.

    Each process is the command ``prebake cv ... --fold K``. CUDA devices are dealt out to the processes in turn (not
    tried on a machine that has some); on a CPU they share the cores evenly, unless the configuration says ``threads``.

    Parameters
    ----------
    packs, output, config, folds, repeats, done
        As of :func:`prebake.cross_validate`.
    processes
        How many folds are trained at the same time.

    Raises
    ------
    RunError
        A fold could not be trained; all others were.
    """
    if processes < 1:
        raise OptionError("so many processes cannot be started", expected="1 or more", got=processes)
    plan = prepare(packs, local_path(output), config or TrainConfig(), folds, repeats)
    missing = set(CrossValidation(plan.folder).missing())
    open_ = [fold for fold in plan.numbers if any(path in missing for path in _runs(plan, fold))]
    words = [sys.executable, "-m", *command(plan, folds)]
    if plan.config.threads is None:
        words += ["--threads", str(max(1, usable_cores() // processes))]

    def trained(fold: int) -> None:
        for path in _runs(plan, fold):
            if done is not None:
                done(Run(path))

    try:
        failures = _run_all(words, open_, _environments(plan.config, processes), trained)
    except KeyboardInterrupt as reason:
        raise KeyboardInterrupt(
            f"folds of {plan.folder} interrupted; the same call goes on where they were"
        ) from reason
    if failures:
        raise RunError(
            f"{len(failures)} of {len(plan.numbers)} folds could not be trained\n"
            + "\n".join(f"    fold {fold}: {reason}" for fold, reason in sorted(failures.items())),
            do="give the same command again when that is settled: folds that are complete stay",
        )
    return finish(plan)


def _runs(plan: Plan, fold: int) -> list[Path]:
    return [plan.run_folder(repeat, fold) for repeat in range(1, len(plan.folds) + 1)]


def _environments(config: TrainConfig, processes: int) -> list[dict[str, str]]:
    """Return the environment of each process: one CUDA device each, in turn, where there are some."""
    devices: list[str] = []
    if config.accelerator in ("auto", "gpu", "cuda"):
        import torch  # noqa: PLC0415 - only to count what no variable names

        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = named.split(",") if named else list(map(str, range(torch.cuda.device_count())))
    return [
        {**os.environ, **({"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {})}
        for number in range(processes)
    ]


@dataclass(frozen=True)
class _Child:
    """One fold under way, and what it says when it fails."""

    fold: int
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def failure(self) -> str:
        """Return what went wrong; empty when nothing did."""
        with self.errors as file:
            if self.process.returncode == 0:
                return ""
            file.seek(0)
            said = file.read().decode(errors="replace").strip()
        return said or f"the process ended with code {self.process.returncode}"


def _run_all(
    words: Sequence[str], folds: Sequence[int], environments: Sequence[dict[str, str]], trained: Callable[[int], None]
) -> dict[int, str]:
    """Run the command for every fold, as many at a time as there are environments; return the failures."""
    waiting, failures = list(folds), {}
    running: dict[int, _Child] = {}
    try:
        while waiting or running:
            for place, environment in enumerate(environments):
                if waiting and place not in running:
                    running[place] = _start(words, waiting.pop(0), environment)
            time.sleep(POLL)
            for place, child in list(running.items()):
                if child.process.poll() is not None:
                    del running[place]
                    reason = child.failure()
                    if reason:
                        failures[child.fold] = reason
                    else:
                        trained(child.fold)
    finally:  # nothing is left here unless something was raised
        for child in running.values():
            child.process.terminate()
        for child in running.values():
            child.process.wait()
            child.errors.close()
    return failures


def _start(words: Sequence[str], fold: int, environment: dict[str, str]) -> _Child:
    """Start a process in a group of its own: it is told to end once, by this process, not by the terminal too."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
    process = subprocess.Popen(
        [*words, "--fold", str(fold)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        process_group=0,
    )
    return _Child(fold, process, errors)
