"""The Loader in Lightning's Trainer: epochs, and resuming from checkpoints made at different moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from loader_helpers import make_pack

torch = pytest.importorskip("torch")
L = pytest.importorskip("lightning")

from prebake.loader import Loader  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning"),
]

EPOCHS, BATCHES = 4, 5


class Stop(Exception):
    pass


class Recorder(L.LightningModule):
    """Notes which rows it was given; can stop as if killed."""

    def __init__(self, path: Path, stop_at: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.path, self.stop_at = path, stop_at
        self.seen: list[tuple[int, list[int]]] = []

    def train_dataloader(self) -> Loader:
        return Loader(self.path, 4, shuffle=True, seed=3, with_rows=True)

    def val_dataloader(self) -> Loader:
        return Loader(self.path, 8)

    def training_step(self, batch, batch_idx):
        if self.stop_at is not None and self.global_step == self.stop_at:
            raise Stop
        self.seen.append((self.current_epoch, batch[-1].tolist()))
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        self.log("loss", 0.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(folder: Path, *callbacks: L.Callback, **options: object) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(default_root_dir=folder, callbacks=list(callbacks), **({"max_epochs": EPOCHS} | quiet | options))


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack.h5", 4 * BATCHES - 1)


@pytest.fixture(scope="session")
def undisturbed(path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, list[int]]]:
    module = Recorder(path)
    trainer(tmp_path_factory.mktemp("run")).fit(module)
    return module.seen


def test_every_epoch_of_a_trainer_is_the_loaders_epoch_of_that_number(path, undisturbed):
    expected = []
    loader = Loader(path, 4, shuffle=True, seed=3, with_rows=True)
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)
        expected += [(epoch, batch[-1].tolist()) for batch in loader]
    assert undisturbed == expected


@pytest.mark.parametrize("saved", ["every 3 steps", "after validation", "at the end of the training epoch"])
@pytest.mark.parametrize("stop_at", [4, 8, 10, 13, 17])
def test_a_killed_training_goes_on_with_the_rows_that_were_left(path, undisturbed, tmp_path, saved, stop_at):
    options = {
        "every 3 steps": {"every_n_train_steps": 3},
        "after validation": {"save_on_train_epoch_end": False},
        "at the end of the training epoch": {"save_on_train_epoch_end": True},
    }[saved]
    keep = L.pytorch.callbacks.ModelCheckpoint(tmp_path, save_last=True, **options)
    killed = Recorder(path, stop_at)
    with pytest.raises(Stop):
        trainer(tmp_path, keep).fit(killed)
    last = tmp_path / "last.ckpt"
    if not last.exists():
        assert stop_at < BATCHES
        return
    done = torch.load(last, weights_only=True)["global_step"]
    resumed = Recorder(path)
    trainer(tmp_path).fit(resumed, ckpt_path=last, weights_only=True)
    assert [rows for _, rows in resumed.seen] == [rows for _, rows in undisturbed[done:]]


def test_a_limited_epoch_does_not_run_into_the_next(path, undisturbed, tmp_path):
    module = Recorder(path)
    trainer(tmp_path, limit_train_batches=2).fit(module)
    assert module.seen == [undisturbed[epoch * BATCHES + step] for epoch in range(EPOCHS) for step in range(2)]
