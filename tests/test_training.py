"""fit: what it computes, against a plain loop; what it is told, and what it leaves behind."""

from __future__ import annotations

import copy
import fcntl
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.metrics import cohen_kappa_score

from prebake import training
from prebake.augment import Augment
from prebake.config import TrainConfig
from prebake.errors import OptionError, PackDamaged, RecipeMismatch, RunError, WeightsError
from prebake.loader import Loader
from prebake.models import build_model, load_run_model
from prebake.runs import FILES, Run
from prebake.store import Pack
from prebake.training import fit
from prebake.training.data import augmentation, gather
from prebake.training.feeding import TimedLoader
from prebake.training.learner import learning_rate, save_inputs
from training_helpers import SIZE, make_pack, tiny, weights


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packs of one recipe that share ids."""
    folder = tmp_path_factory.mktemp("packs")
    return [make_pack(folder / "a.h5", 40), make_pack(folder / "b.h5", 20, seed=1)]


@pytest.fixture(scope="module")
def whole(packs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training that nothing interrupted."""
    return fit(packs, tmp_path_factory.mktemp("whole") / "run", tiny())


# what it computes


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order: Adam makes a whole step of a gradient that is zero but for rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain_loop(packs: list[Path], config: TrainConfig, train: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
    """Train without Lightning and return the weights that would be kept."""
    torch.manual_seed(config.seed)
    model = build_model(config.model, "none")[0].to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    optimizer = kind(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    augment = augmentation(gather(packs, config), config, None)  # type: ignore[arg-type]
    loader = Loader(
        packs,
        config.batch_size,
        rows=train,
        shuffle=True,
        seed=config.seed,
        augment=augment,
        drop_last=config.drop_last,
    )
    step = 0
    for epoch in range(config.epochs):
        loader.set_epoch(epoch)
        for images, labels in loader:
            optimizer.param_groups[0]["lr"] = learning_rate(config, step, len(loader))
            raw = model(images.contiguous(memory_format=torch.channels_last)).squeeze(1)
            loss = torch.nn.functional.mse_loss(raw, labels)
            optimizer.zero_grad()
            loss.backward()
            if config.clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            decay = min(config.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                for mine, other in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    mine.copy_(decay * mine + (1 - decay) * other if mine.is_floating_point() else other)
            step += 1
    return (average if config.ema else model).state_dict()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("preset", ["default", "kernel"])
def test_training_equals_a_plain_loop(packs: list[Path], tmp_path: Path, preset: str) -> None:
    chosen = {"model": "test_efficientnet", "weights": "none", "epochs": 2, "batch_size": 8, "threads": 1}
    config = TrainConfig.preset(preset, normalize="imagenet", clip=1.0 if preset == "default" else 0.0, **chosen)
    run = fit(packs, tmp_path / "run", config)
    train = np.flatnonzero(run.split()["part"] == "train")
    for name, tensor in plain_loop(packs, config, train).items():
        torch.testing.assert_close(weights(run, "last")[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_activations_that_save_their_input_give_the_same_gradients_to_the_last_bit() -> None:
    in_place = build_model("efficientnet_b0", "none")[0].to(memory_format=torch.channels_last)
    saving = copy.deepcopy(in_place)
    save_inputs(saving)
    assert not any(getattr(module, "inplace", False) for module in saving.modules())
    images = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for model in (in_place, saving):
        model(images).square().sum().backward()
    for mine, other in zip(saving.parameters(), in_place.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=0)


def test_the_share_of_waiting_for_data_is_recorded(whole: Run, packs: list[Path]) -> None:
    table = whole.metrics()
    assert table["waiting"].between(0, 1).all()
    expected = (table["waiting"] * table["seconds"]).sum() / table["seconds"].sum()
    assert whole.waiting() == pytest.approx(expected)

    with TimedLoader(packs, 25, shuffle=True) as timed, Loader(packs, 25, shuffle=True) as plain:
        pairs = list(zip(timed, plain, strict=True))
        assert len(pairs) == 3
        assert all(torch.equal(mine[0], other[0]) for mine, other in pairs)
        assert timed.waited > 0


def test_validation_is_what_the_best_weights_say_of_images_that_are_not_augmented(
    whole: Run, packs: list[Path]
) -> None:
    model, table = load_run_model(whole), whole.validation()
    mean, std = (np.array(whole.info["input"][key]) for key in ("mean", "std"))
    opened = {pack.name: pack for pack in map(Pack, packs)}
    images = np.stack([opened[pack][name] for pack, name in zip(table["pack"], table["id_code"], strict=True)])
    normal = torch.from_numpy((images / 255 - mean) / std).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        raw = model(normal).squeeze(1).numpy()
    np.testing.assert_allclose(table["raw"], raw, atol=1e-5)
    assert table["diagnosis"].tolist() == np.clip(np.floor(raw + 0.5), 0, 4).tolist()
    labels = [
        opened[pack].labels[opened[pack].index_of(name)]
        for pack, name in zip(table["pack"], table["id_code"], strict=True)
    ]
    assert table["label"].tolist() == labels


def test_the_metrics_of_the_best_epoch_are_those_of_its_predictions(whole: Run) -> None:
    best, table = whole.best(), whole.validation()
    assert best["val_loss"] == pytest.approx(((table["raw"] - table["label"]) ** 2).mean())
    kappa = cohen_kappa_score(table["label"].astype(int), table["diagnosis"], weights="quadratic")
    assert best["val_kappa"] == pytest.approx(kappa)
    assert best["val_loss"] == whole.metrics()["val_loss"].min()


def test_the_kept_epoch_follows_the_monitor(packs: list[Path], tmp_path: Path) -> None:
    run = fit(packs, tmp_path / "run", tiny(monitor="val_kappa", epochs=3))
    assert run.best()["val_kappa"] == run.metrics()["val_kappa"].max()


def test_learning_rates_are_those_of_torch() -> None:
    kernel = TrainConfig.preset("kernel", epochs=12)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=kernel.lr)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, kernel.step_size, kernel.gamma)
    for epoch in range(12):
        assert learning_rate(kernel, epoch * 7 + 3, 7) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    cosine = TrainConfig(epochs=10, warmup=0)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=cosine.lr)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=70)
    for step in range(70):
        assert learning_rate(cosine, step, 7) == pytest.approx(annealing.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        annealing.step()


def test_the_warm_up_rises_in_a_line_and_ends_at_the_highest_rate() -> None:
    config = TrainConfig(epochs=10, warmup=2, lr=1.0)
    rates = [learning_rate(config, step, 5) for step in range(50)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert max(rates) == 1.0
    assert all(now < before for before, now in itertools.pairwise(rates[10:]))


def test_a_single_epoch_of_the_default_preset_is_all_warm_up() -> None:
    config = TrainConfig(epochs=1)
    rates = [learning_rate(config, step, 5) for step in range(5)]
    np.testing.assert_allclose(rates, config.lr * np.arange(1, 6) / 5)


# what it is told


def test_the_packs_own_mean_and_std_are_those_of_all_training_pixels(tmp_path: Path) -> None:
    path = make_pack(tmp_path / "ben.h5", 20, recipe="ben")
    run = fit(path, tmp_path / "run", tiny(epochs=1))  # the recipe changes colours: auto takes the pack's
    pack, split = Pack(path), run.split()
    pixels = np.stack([pack[name] for name in split["id_code"][split["part"] == "train"]]) / 255
    np.testing.assert_allclose(run.info["input"]["mean"], pixels.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(run.info["input"]["std"], pixels.std(axis=(0, 1, 2)), rtol=1e-5)
    assert run.info["input"]["fill"] == list(pack.fill)


def test_where_colours_are_kept_mean_and_std_are_the_models(whole: Run) -> None:
    theirs = timm.create_model("test_efficientnet").pretrained_cfg
    assert whole.info["input"]["mean"] == list(theirs["mean"])
    assert whole.info["input"]["std"] == list(theirs["std"])


@pytest.mark.parametrize(
    ("flips", "expected"), [("none", (False, False)), ("horizontal", (True, False)), ("both", (True, True))]
)
def test_the_augmentation_is_what_the_configuration_says(packs: list[Path], flips: Any, expected: Any) -> None:
    config = tiny(flips=flips, rotation=30.0, zoom=(0.9, 1.1), normalize="imagenet", fill="black")
    augment = augmentation(gather(packs, config), config, None)  # type: ignore[arg-type]
    assert (augment.horizontal_flip, augment.vertical_flip) == expected
    assert (augment.rotation, augment.zoom, augment.fill) == (30.0, (0.9, 1.1), (0, 0, 0))
    assert augment.std == (0.229, 0.224, 0.225)
    assert isinstance(augment, Augment)


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    labels = [None if row % 4 == 0 else float(row % 3) for row in range(24)]
    run = fit(make_pack(tmp_path / "a.h5", 24, labels=labels), tmp_path / "run", tiny(epochs=1))
    assert (run.info["n_train"] + run.info["n_val"], run.info["n_unlabelled"]) == (18, 6)
    assert not {f"p{row:03}" for row in range(0, 24, 4)} & set(run.split()["id_code"])


def test_a_published_test_set_is_kept_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    splits = ["test" if row % 3 == 0 else "train" for row in range(24)]
    mixed = make_pack(tmp_path / "a.h5", 24, splits=splits)
    run = fit(mixed, tmp_path / "run", tiny(epochs=1))
    assert (run.info["n_train"] + run.info["n_val"], run.info["n_unlabelled"], run.info["n_test"]) == (16, 0, 8)
    assert not {f"p{row:03}" for row in range(0, 24, 3)} & set(run.split()["id_code"])
    assert len(gather([mixed], tiny(use_test=True)).train) + len(gather([mixed], tiny(use_test=True)).val) == 24
    with pytest.raises(RunError, match="its source calls test"):
        gather([make_pack(tmp_path / "b.h5", 24, splits=["test"] * 24)], tiny())


def test_groups_and_identical_files_stay_on_one_side(tmp_path: Path) -> None:
    groups = [f"patient {row // 2}" if row < 20 else None for row in range(40)]
    digests = [f"{row // 2:032x}" for row in range(40)]
    config = tiny(val_fraction=0.3)
    data = gather([make_pack(tmp_path / "a.h5", 40, groups=groups, digests=digests)], config)
    sides = {row: row in set(data.val.tolist()) for row in range(40)}
    assert all(sides[row] == sides[row + 1] for row in range(0, 40, 2))
    assert len(data.val) == 12


def test_packs_without_labels_are_refused(tmp_path: Path) -> None:
    path = make_pack(tmp_path / "a.h5", 8, labels=[None] * 8)
    with pytest.raises(RunError, match="--labels CSV"):
        fit(path, tmp_path / "run", tiny())


def test_packs_of_two_recipes_are_refused(tmp_path: Path, packs: list[Path]) -> None:
    other = make_pack(tmp_path / "other.h5", 8, recipe="resize")
    with pytest.raises(RecipeMismatch):
        fit([packs[0], other], tmp_path / "run", tiny())


def test_weights_that_are_not_there_are_said_before_the_first_step(tmp_path: Path, packs: list[Path]) -> None:
    with pytest.raises(WeightsError, match="absent"):
        fit(packs, tmp_path / "run", tiny(weights=str(tmp_path / "absent.pth")))
    assert fit(packs, tmp_path / "run", tiny(epochs=1)).complete  # the folder is free for another try


def test_a_machine_that_cannot_do_as_asked_is_an_option_error(tmp_path: Path, packs: list[Path]) -> None:
    with pytest.raises(OptionError, match="accelerator"):
        fit(packs, tmp_path / "run", tiny(accelerator="nothing"))


def test_a_training_that_diverges_says_so(tmp_path: Path, packs: list[Path]) -> None:
    with pytest.raises(RunError, match="smaller --lr"):
        fit(packs, tmp_path / "run", tiny(lr=1e30, optimizer="sgd", clip=0.0))


# what it leaves behind


def test_the_run_folder_is_whole_and_says_where_it_came_from(whole: Run, packs: list[Path]) -> None:
    assert {path.name for path in whole.path.iterdir()} == set(FILES) - {
        "checkpoints",
        "logs",
        "thresholds.json",
        "report.html",
    }
    assert whole.complete
    assert [pack["digest"] for pack in whole.info["packs"]] == [Pack(path).digest for path in packs]
    assert whole.recipe == Pack(packs[0]).recipe
    assert {"prebake", "torch", "timm", "lightning", "python"} <= whole.info["versions"].keys()
    assert whole.info["precision"] == "32-true"
    split = whole.split()
    assert len(split) == 60
    assert (split["part"] == "val").sum() == whole.info["n_val"] == 12
    assert split.loc[split["part"] == "val", "id_code"].tolist() == whole.validation()["id_code"].tolist()


def test_the_worst_pictures_are_the_largest_errors(whole: Run, packs: list[Path]) -> None:
    worst, table = whole.worst(), whole.validation()
    before = table[["raw", "label"]].astype(np.float32)  # what it was before it was text
    errors = (before["raw"] - before["label"]).abs().sort_values(ascending=False)
    assert np.abs(worst.raw - worst.labels).tolist() == errors.tolist()
    place = table.loc[errors.index[0]]
    pack = next(pack for pack in map(Pack, packs) if pack.name == place["pack"])
    assert np.array_equal(worst.images[0], pack[place["id_code"]])


def test_training_says_nothing_where_there_is_no_terminal_also_where_slurm_is_installed(
    packs: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    fit(packs, tmp_path / "run", tiny(epochs=1))
    assert capfd.readouterr() == ("", "")


def test_settings_of_the_process_are_put_back(packs: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = (torch.get_num_threads(), signal.getsignal(signal.SIGTERM), torch.random.get_rng_state().tolist())
    fit(packs, tmp_path / "run", tiny(epochs=1, deterministic=True))
    after = (torch.get_num_threads(), signal.getsignal(signal.SIGTERM), torch.random.get_rng_state().tolist())
    assert before == after
    assert not torch.are_deterministic_algorithms_enabled()


# pixels that are not what they were


def rotten(path: Path, row: int) -> Path:
    """Make a pack with one flipped bit in one image."""
    make_pack(path)
    pack = Pack(path)
    data = bytearray(path.read_bytes())
    data[int(pack._open.offsets[row]) + 5] ^= 16
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("verify", ["first", "always"])
def test_a_damaged_image_ends_a_training_and_is_named(tmp_path: Path, verify: Any) -> None:
    path = rotten(tmp_path / "a.h5", 7)
    with pytest.raises(PackDamaged) as caught:
        fit(path, tmp_path / "run", tiny(epochs=1, verify=verify, drop_last=False))
    assert caught.value.ids == (Pack(path).ids[7],)
    assert fit(path, tmp_path / "run", tiny(epochs=1, verify="none", drop_last=False)).complete


# whose the folder is


def test_a_complete_run_is_returned_and_not_trained_again(
    whole: Run, packs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_train", lambda *_: pytest.fail("trained again"))
    again = fit(packs, whole.path, tiny(threads=None, checkpoint_minutes=0.0))  # these do not change what it does
    assert again.info == whole.info


def test_another_training_in_the_folder_is_refused_and_the_difference_told(whole: Run, packs: list[Path]) -> None:
    with pytest.raises(RunError, match=r"lr: 0\.003 before, 0\.1 now"):
        fit(packs, whole.path, tiny(lr=0.1))
    with pytest.raises(RunError, match=r"packs: a \(.*\), b \(.*\) before, a \(.*\) now"):
        fit(packs[:1], whole.path, tiny())


def test_a_folder_with_something_else_is_left_alone(packs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"thesis\.tex"):
        fit(packs, tmp_path, tiny())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_trainings_do_not_share_a_folder(packs: list[Path], tmp_path: Path) -> None:
    handle = os.open(tmp_path / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process"):
            fit(packs, tmp_path, tiny())
    finally:
        os.close(handle)


def test_the_run_file_is_strict_json(whole: Run) -> None:
    json.loads((whole.path / "run.json").read_text(), parse_constant=pytest.fail)
    assert whole.info["input"]["size"] == SIZE
