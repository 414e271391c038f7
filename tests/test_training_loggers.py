"""Loggers: each by its name, nothing that leaves the machine unasked, and a clear word where a package is absent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from prebake.errors import MissingExtra
from prebake.training import fit, loggers
from training_helpers import make_pack, require_equal, tiny

if TYPE_CHECKING:
    from prebake.runs import Run


class Fake:
    """Stands for a logger of Lightning: records what it is given."""

    made: list[Fake] = []  # noqa: RUF012

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments, self.options = arguments, options
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.config: dict[str, Any] = {}
        self.finished = False
        self.experiment = SimpleNamespace(finish=self._finish)
        self.made.append(self)

    def _finish(self) -> None:
        self.finished = True

    def log_hyperparams(self, config: dict[str, Any]) -> None:
        self.config = config

    def log_metrics(self, row: dict[str, float], step: int) -> None:
        self.rows.append((step, row))

    def __getattr__(self, name: str) -> Any:  # what else Lightning calls
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """The loggers of Lightning replaced, as if their packages were installed."""
    Fake.made = []
    monkeypatch.setattr(loggers, "WandbLogger", type("Wandb", (Fake,), {}))
    monkeypatch.setattr(loggers, "MLFlowLogger", type("MLFlow", (Fake,), {}))
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Fake.made


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("packs") / "a.h5", 40)


@pytest.fixture(scope="module")
def plain(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(pack, tmp_path_factory.mktemp("plain") / "run", tiny())


def test_every_logger_gets_the_rows_of_metrics_csv_and_changes_no_number(
    plain: Run, pack: Path, tmp_path: Path, fakes: list[Fake]
) -> None:
    for name in ("wandb", "mlflow"):
        run = fit(pack, tmp_path / name, tiny(logger=name))
        (run.path / "config.json").write_bytes((plain.path / "config.json").read_bytes())
        require_equal(run, plain)
    assert len(fakes) == 2
    for fake in fakes:
        assert [step for step, _ in fake.rows] == [1, 2]
        assert [row["val_loss"] for _, row in fake.rows] == plain.metrics()["val_loss"].tolist()
        assert fake.config["model"] == "test_efficientnet"
    assert fakes[0].finished


def test_nothing_leaves_the_machine_unless_the_environment_says_so(
    tmp_path: Path, fakes: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        for name in ("wandb", "mlflow"):
            with loggers.logging_to(tmp_path / "run" / "logs", tiny(logger=name)):
                pass
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    wandb, mlflow, asked_wandb, asked_mlflow = (fake.options for fake in fakes)
    assert (wandb["offline"], asked_wandb["offline"]) == (True, False)
    assert Path(wandb["save_dir"]) == tmp_path / "run" / "logs"
    assert mlflow["tracking_uri"] == f"sqlite:///{tmp_path}/run/logs/mlflow.db"
    assert asked_mlflow["tracking_uri"] == "http://localhost:1"
    assert wandb["name"] == mlflow["run_name"] == "run"


def test_what_is_undefined_is_left_out(fakes: list[Fake], tmp_path: Path) -> None:
    with loggers.logging_to(tmp_path / "logs", tiny(logger="mlflow")) as logger:
        loggers.log_epoch(logger, {"epoch": 3, "val_kappa": float("nan"), "val_loss": 0.5})
    assert fakes[0].rows == [(3, {"val_loss": 0.5})]
    loggers.log_epoch(None, {"epoch": 1})


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_an_absent_package_is_named_with_how_to_install_it(
    name: str, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    kind = {"tensorboard": "TensorBoardLogger", "wandb": "WandbLogger", "mlflow": "MLFlowLogger"}[name]
    monkeypatch.setattr(loggers, kind, absent)
    with pytest.raises(MissingExtra, match=f"pip install {name}"):
        fit(pack, tmp_path / "run", tiny(logger=name))
    assert fit(pack, tmp_path / "run", tiny(epochs=1)).complete  # the folder is free for another try


def test_tensorboard_writes_into_the_run_folder_what_it_can_read_again(plain: Run, pack: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    run = fit(pack, tmp_path / "run", tiny(logger="tensorboard"))
    (file,) = (run.path / "logs").glob("events.out.tfevents.*")
    data, at, found = file.read_bytes(), 0, {}
    while at < len(data):  # records: length, its checksum, an event, its checksum
        length = int.from_bytes(data[at : at + 8], "little")
        assert int.from_bytes(data[at + 8 : at + 12], "little") == masked_crc32c(data[at : at + 8])
        event = Event.FromString(data[at + 12 : at + 12 + length])
        found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
        at += 16 + length
    for _, row in plain.metrics().iterrows():
        assert found["val_loss", row["epoch"]] == pytest.approx(row["val_loss"], rel=1e-6)
