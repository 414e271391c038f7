"""Several processes that train together (DDP over gloo) against one: the same photographs, the same numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prebake.runs import Run
from prebake.training import fit
from training_helpers import make_pack, tiny, weights

# Without batch norm, whose statistics each process takes of its own share, and without dropout.
SAME = {"model": "test_convnext", "optimizer": "sgd", "dropout": 0.0, "checkpoint_minutes": 1e-9}
RANKS = """
import sys
sys.path[:0] = {path!r}
from prebake.training import fit
from prebake.training.watch import Checkpoints
from training_helpers import tiny
after, calls = int(sys.argv[2]), iter(range(10**6))
original = Checkpoints.on_train_batch_start
def stop(*arguments):
    if next(calls) == after:
        raise SystemExit("stopped by the test")
    original(*arguments)
Checkpoints.on_train_batch_start = stop
fit({pack!r}, sys.argv[1], tiny(accelerator="cpu", devices="2", strategy="ddp", **{same!r}))
"""
NEVER = 10**6


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images, of which 8 validate and 32 train, in 4 steps of 8."""
    return make_pack(tmp_path_factory.mktemp("packs") / "a.h5", 40)


@pytest.fixture(scope="module")
def alone(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What one process makes of it."""
    return fit([pack], tmp_path_factory.mktemp("alone") / "run", tiny(accelerator="cpu", **SAME))


def on_two(pack: Path, folder: Path, *, after: int = NEVER) -> subprocess.CompletedProcess[str]:
    """Train with two processes, which stop after so many steps."""
    path = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)]
    script = folder / "ranks.py"
    script.write_text(RANKS.format(path=path, pack=[str(pack)], same=SAME))
    command = [sys.executable, str(script), str(folder / "run"), str(after)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def require_near(one: Run, other: Run) -> None:
    """Weights and losses agree as far as sums in another order do."""
    for name in ("best", "last"):
        mine, theirs = weights(one, name), weights(other, name)
        assert mine.keys() == theirs.keys()
        for key, tensor in mine.items():
            torch.testing.assert_close(tensor, theirs[key], rtol=1e-4, atol=1e-5, msg=f"{name}: {key}")
    for column in ("train_loss", "val_loss"):
        assert one.metrics()[column].tolist() == pytest.approx(other.metrics()[column].tolist(), rel=1e-4), column
    assert one.validation()["raw"].tolist() == pytest.approx(other.validation()["raw"].tolist(), rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_two_processes_end_with_the_numbers_of_one(pack: Path, alone: Run, tmp_path: Path) -> None:
    done = on_two(pack, tmp_path)
    assert done.returncode == 0, done.stderr
    require_near(Run(tmp_path / "run"), alone)


@pytest.mark.slow
def test_two_processes_stopped_within_an_epoch_are_gone_on_with_by_one(pack: Path, alone: Run, tmp_path: Path) -> None:
    assert on_two(pack, tmp_path, after=6).returncode != 0  # in the middle of the second epoch
    assert not Run(tmp_path / "run").complete
    require_near(fit([pack], tmp_path / "run", tiny(accelerator="cpu", **SAME)), alone)
