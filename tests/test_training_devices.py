"""fit on other devices than one CPU: several processes, several machines, precision, and what goes to a GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from prebake import training
from prebake.errors import OptionError, RunError
from prebake.runs import Run, RunWriter
from prebake.training.data import augmentation, gather
from prebake.training.folder import alone
from prebake.training.learner import Learner
from training_helpers import SIZE, make_pack, tiny


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A pack of 40 images, of which 8 validate."""
    return [make_pack(tmp_path_factory.mktemp("packs") / "a.h5", 40)]


def make_learner(packs: list[Path], **changes: Any) -> Learner:
    """A learner of a network that is never called."""
    config = tiny(normalize="imagenet", **changes)
    data = gather(packs, config)
    return Learner(torch.nn.Linear(1, 1), config, data, augmentation(data, config, None))  # type: ignore[arg-type]


@dataclass
class Ranks:
    """Stands for the trainer of one of several processes."""

    world_size: int
    global_rank: int = 1


def test_only_images_and_labels_go_to_the_device(packs: list[Path]) -> None:
    learner = make_learner(packs)
    batch = (torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8), torch.zeros(2), torch.zeros(2, 2, 3))
    moved = learner.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [tensor.device.type for tensor in moved] == ["meta", "meta", "cpu"]


def test_a_batch_that_the_devices_cannot_share_is_refused(packs: list[Path]) -> None:
    learner = make_learner(packs, batch_size=7)
    learner.trainer = Ranks(2)  # type: ignore[assignment]
    with pytest.raises(OptionError, match="multiple of 2"):
        learner.train_dataloader()


def test_fewer_validation_photographs_than_devices_are_refused(packs: list[Path]) -> None:
    learner = make_learner(packs, batch_size=16)
    learner.trainer = Ranks(16)  # type: ignore[assignment]
    with pytest.raises(OptionError, match="--val-fraction"):
        learner.val_dataloader()


RANKS = """
import os, sys
sys.path[:0] = {path!r}
from prebake.training import fit
from training_helpers import tiny
run = fit({pack!r}, sys.argv[1], tiny(accelerator="cpu", devices="2", strategy="ddp"))
if os.environ.get("LOCAL_RANK", "0") != "0":
    assert run.complete
"""


@pytest.mark.slow
def test_two_processes_train_one_run(packs: list[Path], tmp_path: Path) -> None:
    path = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)]
    script = tmp_path / "ranks.py"
    script.write_text(RANKS.format(path=path, pack=str(packs[0])))
    done = subprocess.run(
        [sys.executable, script, tmp_path / "run"], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "run")
    assert run.info["device"] == "2 x cpu"
    assert len(run.validation()) == 8
    assert run.best()["val_loss"] == pytest.approx(((run.validation()["raw"] - run.validation()["label"]) ** 2).mean())


def test_of_several_machines_only_the_first_locks_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", "1")
    with alone(tmp_path, nodes=1):
        with alone(tmp_path, nodes=2):
            pass
        with pytest.raises(RunError, match="another process"), alone(tmp_path, nodes=1):
            pass


@pytest.mark.parametrize(
    ("accelerator", "cuda", "expected"),
    [
        ("auto", True, "16-mixed"),
        ("gpu", True, "16-mixed"),
        ("auto", False, "32-true"),
        ("gpu", False, "32-true"),  # a GPU of Apple's
        ("cpu", True, "32-true"),
    ],
)
def test_precision_is_mixed_on_cuda_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str, cuda: bool, expected: str
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(training.lightning, "Trainer", lambda **options: told.update(options))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    training._trainer(RunWriter(tmp_path), tiny(accelerator=accelerator), [], None)
    assert told["precision"] == expected
