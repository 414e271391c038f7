"""Interrupted trainings: whatever ends them and wherever, they go on and end with the same numbers."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from prebake.runs import Run
from prebake.training import fit
from prebake.training.folder import Finish
from prebake.training.watch import Checkpoints
from training_helpers import make_pack, require_equal, tiny

if TYPE_CHECKING:
    from lightning import Trainer

    from prebake.training.learner import Learner


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packs of one recipe that share ids."""
    folder = tmp_path_factory.mktemp("packs")
    return [make_pack(folder / "a.h5", 40), make_pack(folder / "b.h5", 20, seed=1)]


@pytest.fixture(scope="module")
def whole(packs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training that nothing interrupted."""
    return fit(packs, tmp_path_factory.mktemp("whole") / "run", tiny())


class Broken(Exception):
    """Stands for whatever may happen."""


@pytest.mark.parametrize(
    ("hook", "at"),
    [
        ("on_train_batch_start", 0),
        ("on_train_batch_start", 3),
        ("on_train_batch_end", 4),
        ("on_train_batch_end", 5),
        ("on_validation_batch_end", 0),
        ("on_train_epoch_end", 0),
        ("on_train_epoch_start", 1),
        ("on_train_end", 0),
    ],
)
def test_what_breaks_anywhere_goes_on_and_ends_with_the_same_numbers(
    whole: Run, packs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str, at: int
) -> None:
    original, calls = getattr(Checkpoints, hook), iter(range(10**6))

    def break_once(*arguments: Any) -> None:
        if next(calls) == at:
            raise Broken
        original(*arguments)

    monkeypatch.setattr(Checkpoints, hook, break_once)
    config = tiny(checkpoint_minutes=1e-9)  # after every batch
    with pytest.raises(Broken):
        fit(packs, tmp_path / "run", config)
    assert not Run(tmp_path / "run").complete
    run = fit(packs, tmp_path / "run", config)
    (run.path / "config.json").write_bytes((whole.path / "config.json").read_bytes())
    require_equal(run, whole)
    assert not (run.path / "checkpoints").exists()


@pytest.mark.slow
def test_what_breaks_at_every_third_step_still_ends_with_the_same_numbers(
    whole: Run, packs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls, broken = Checkpoints.on_train_batch_start, iter(range(10**6)), 0

    def break_often(*arguments: Any) -> None:
        if next(calls) % 3 == 2:
            raise Broken
        original(*arguments)

    monkeypatch.setattr(Checkpoints, "on_train_batch_start", break_often)
    while True:
        try:
            run = fit(packs, tmp_path / "run", tiny(checkpoint_minutes=1e-9))
            break
        except Broken:
            broken += 1
    assert broken >= 4
    (run.path / "config.json").write_bytes((whole.path / "config.json").read_bytes())
    require_equal(run, whole)


SCRIPT = """
import sys, time
sys.path[:0] = {path!r}
from prebake.training import fit
from prebake.training.watch import Checkpoints
from training_helpers import tiny
original = Checkpoints.on_train_batch_end
def slow(self, trainer, learner, outputs, batch, index):
    original(self, trainer, learner, outputs, batch, index)
    if trainer.current_epoch == 1 and index == 1:
        print("here", flush=True)
        time.sleep({sleep})
if len(sys.argv) > 3:
    Checkpoints.on_train_batch_end = slow
fit([{first!r}, {second!r}], sys.argv[1], tiny(checkpoint_minutes=float(sys.argv[2])))
"""


def start(packs: list[Path], run: Path, minutes: float, sleep: float) -> subprocess.Popen[str]:
    """Start a training that says when it is in the middle of the second epoch, and wait for that."""
    path = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)]
    code = SCRIPT.format(path=path, sleep=sleep, first=str(packs[0]), second=str(packs[1]))
    command = [sys.executable, "-W", "error", "-c", code, str(run), str(minutes), "slow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n", process.communicate()[1]
    return process


def test_a_killed_training_goes_on_and_ends_with_the_same_numbers(
    whole: Run, packs: list[Path], tmp_path: Path
) -> None:
    process = start(packs, tmp_path / "run", minutes=0, sleep=60)
    process.kill()
    process.communicate()
    assert len(Run(tmp_path / "run").metrics()) == 1
    (tmp_path / "run" / ".last.safetensors.0f1e2d3c.tmp").write_bytes(b"what a kill while writing leaves")
    run = fit(packs, tmp_path / "run", tiny(checkpoint_minutes=0.0))
    assert not list(run.path.glob(".*.tmp"))
    (run.path / "config.json").write_bytes((whole.path / "config.json").read_bytes())
    require_equal(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_soon_keeps_the_epoch_so_far_and_says_how_to_go_on(
    whole: Run, packs: list[Path], tmp_path: Path, number: signal.Signals
) -> None:
    process = start(packs, tmp_path / "run", minutes=0, sleep=0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the same call goes on where it was" in errors
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert (state["epoch"], state["prebake"]["epoch"][1]) == (1, 24), "three batches of the second epoch are kept"
    run = fit(packs, tmp_path / "run", tiny(checkpoint_minutes=0.0))
    (run.path / "config.json").write_bytes((whole.path / "config.json").read_bytes())
    require_equal(run, whole)


def test_a_signal_that_comes_too_late_keeps_the_run_and_lets_nothing_else_begin(
    packs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Finish._write

    def late(self: Finish, trainer: Trainer, learner: Learner) -> None:
        write(self, trainer, learner)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Finish, "_write", late)
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        fit(packs, tmp_path / "run", tiny(epochs=1))
    assert Run(tmp_path / "run").info["state"] == "complete"
