"""The run folder: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prebake.config import TrainConfig
from prebake.errors import RecipeMismatch, RunError
from prebake.recipe import Recipe
from prebake.runs import (
    FILES,
    Run,
    RunWriter,
    Worst,
    common_recipe,
    common_size,
    common_thresholds,
    require_recipe,
    require_size,
)

IDS = ["NA", "0709652336e2", "007", "nan", 'a,"b', "1e5"]


def info(**changes: Any) -> dict[str, Any]:
    return {
        "state": "complete",
        "model": "efficientnet_b0",
        "packs": [],
        "input": {"size": 8, "mean": [0.5, 0.5, 0.5], "std": [1, 1, 1], "fill": [0, 0, 0]},
        "thresholds": [0.5, 1.5, 2.5, 3.5],
        "versions": {"prebake": "0.1.0"},
        "best_epoch": 2,
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small complete run, with ids that look like numbers or like nothing."""
    path = tmp_path / "run"
    writer = RunWriter(path)
    writer.write_config(TrainConfig.preset("kernel", epochs=2))
    writer.write_recipe(Recipe.named("ben", 8))
    raw = np.array([0.1, 1 / 3, 2, 3.3, -0.5, 7e-9], np.float32)
    table = pd.DataFrame({"id_code": IDS, "pack": "p", "label": np.arange(6, dtype=np.float32)})
    writer.write_split(table.assign(group=["", "NA", "", "1", "", ""], part=["train", "val"] * 3))
    writer.write_validation(table.assign(raw=raw, diagnosis=np.arange(6)))
    writer.write_metrics(
        [
            {"epoch": 1, "train_loss": 1.0, "val_loss": 0.5, "val_kappa": float("nan")},
            {"epoch": 2, "train_loss": 0.1 + 0.2, "val_loss": 0.4, "val_kappa": 0.7},
        ]
    )
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    writer.write_worst(Worst(images, ("NA", "é"), np.array([0, 4], np.float32), np.array([3, 1], np.float32)))
    (path / "best.safetensors").write_bytes(b"weights")
    writer.write_info(info())
    return path


def test_everything_written_is_read_back(folder: Path) -> None:
    run = Run(folder)
    assert run.complete
    assert run.name == "run"
    assert run.config == TrainConfig.preset("kernel", epochs=2)
    assert run.recipe == Recipe.named("ben", 8)
    assert run.weights == folder / "best.safetensors"
    assert {path.name for path in folder.iterdir()} <= set(FILES)


def test_ids_and_groups_stay_text_whatever_they_look_like(folder: Path) -> None:
    run = Run(folder)
    assert run.validation()["id_code"].tolist() == IDS
    assert run.split()["id_code"].tolist() == IDS
    assert run.split()["group"].tolist() == ["", "NA", "", "1", "", ""]


def test_raw_values_and_metrics_keep_every_bit(folder: Path) -> None:
    raw = np.array([0.1, 1 / 3, 2, 3.3, -0.5, 7e-9], np.float32)
    assert Run(folder).validation()["raw"].astype(np.float32).tolist() == raw.tolist()
    assert Run(folder).metrics()["train_loss"].tolist() == [1.0, 0.1 + 0.2]


def test_the_best_epoch_is_the_one_named(folder: Path) -> None:
    assert Run(folder).best()["val_kappa"] == 0.7
    assert np.isnan(Run(folder).metrics()["val_kappa"][0])


def test_the_worst_pictures_come_back(folder: Path) -> None:
    worst = Run(folder).worst()
    assert worst.images.shape == (2, 4, 4, 3)
    assert worst.ids == ("NA", "é")
    assert worst.raw.tolist() == [3, 1]


def test_an_unfinished_run_has_no_weights_and_says_how_to_go_on(folder: Path) -> None:
    RunWriter(folder).write_info(info(state="training"))
    run = Run(folder)
    assert not run.complete
    with pytest.raises(RunError, match="goes on where it was"):
        _ = run.weights


def test_another_format_is_refused_with_the_version_that_made_it(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps({**info(versions={"prebake": "9.1"}), "format": 2}))
    with pytest.raises(RunError, match=r"9\.1"):
        Run(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="prebake train wrote"):
        Run(tmp_path)
    with pytest.raises(RunError, match=r"run\.json"):
        Run(tmp_path / "absent")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '{"format": "1"}', "\udce9"])
def test_a_damaged_run_json_is_an_error_of_ours(folder: Path, text: str) -> None:
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError):
        Run(folder)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": {"mean": [0.5] * 3, "std": [1.0] * 3}},
        {"input": {"size": 8, "mean": [0.5] * 3}},
        {"input": {"size": 8, "mean": [0.5] * 3, "std": [1.0, 1.0, "1"]}},
        {"input": {"size": 8, "mean": [0.5], "std": [1.0] * 3}},
        {"thresholds": ["low", "high"]},
        {"packs": ["pack.h5"]},
    ],
)
def test_a_run_that_lacks_what_predicting_needs_is_refused(folder: Path, wrong: dict[str, Any]) -> None:
    RunWriter(folder).write_info(info(**wrong))
    with pytest.raises(RunError, match=next(iter(wrong))):
        Run(folder)


def test_a_configuration_of_another_version_is_refused_with_the_field(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"epochs": 1, "magic": 3}))
    with pytest.raises(RunError, match="magic"):
        _ = Run(folder).config


def test_a_recipe_that_is_none_is_refused(folder: Path) -> None:
    (folder / "recipe.json").write_text("{}")
    with pytest.raises(RunError, match=r"recipe\.json"):
        _ = Run(folder).recipe
    (folder / "recipe.json").unlink()
    assert Run(folder).recipe is None


@pytest.mark.parametrize("name", ["best.safetensors", "validation.csv", "run.json"])
def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).replace(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RunError, match="leads out"):
        Run(folder).file(name)


def test_a_table_without_its_columns_or_with_words_for_numbers_is_refused(folder: Path) -> None:
    (folder / "validation.csv").write_text("id_code,raw\na,1\n")
    with pytest.raises(RunError, match="lacks columns"):
        Run(folder).validation()
    (folder / "validation.csv").write_text("id_code,pack,label,raw,diagnosis\na,p,1,=cmd(),2\n")
    with pytest.raises(RunError, match="raw"):
        Run(folder).validation()


def test_pictures_that_carry_objects_or_do_not_fit_are_refused(folder: Path) -> None:
    np.savez(folder / "worst.npz", images=np.array([{}], object), ids=["a"], labels=[0], raw=[0])
    with pytest.raises(RunError, match=r"worst\.npz"):
        Run(folder).worst()
    np.savez(folder / "worst.npz", images=np.zeros((2, 4, 4, 3), np.uint8), ids=["a"], labels=[0], raw=[0])
    with pytest.raises(RunError, match="belong together"):
        Run(folder).worst()
    (folder / "worst.npz").write_bytes(b"no archive")
    with pytest.raises(RunError, match="cannot be read"):
        Run(folder).worst()


def small_run(path: Path, recipe: Recipe | None = None, **changes: Any) -> Run:
    writer = RunWriter(path)
    if recipe is not None:
        writer.write_recipe(recipe)
    writer.write_info(info(**changes))
    return Run(path)


def test_runs_that_agree_share_recipe_thresholds_and_size(tmp_path: Path) -> None:
    ben = Recipe.named("ben", 8)
    runs = [small_run(tmp_path / name, ben) for name in "ab"]
    assert (common_recipe(runs), common_thresholds(runs), common_size(runs)) == (ben, [0.5, 1.5, 2.5, 3.5], 8)
    assert common_recipe([small_run(tmp_path / name) for name in "cd"]) is None


def test_runs_of_different_recipes_are_refused_with_both_shown(tmp_path: Path) -> None:
    ben, crop = Recipe.named("ben", 8), Recipe.named("crop", 8)
    first, other = small_run(tmp_path / "a", ben), small_run(tmp_path / "b", crop)
    with pytest.raises(RecipeMismatch, match=f"the other runs, as {first.path}") as caught:
        common_recipe([first, first, other])
    assert all(recipe.describe() in str(caught.value) for recipe in (ben, crop))
    for runs in ([first, small_run(tmp_path / "c")], [small_run(tmp_path / "c"), first]):
        with pytest.raises(RecipeMismatch, match="do not both know their recipe"):
            common_recipe(runs)


def test_runs_of_different_thresholds_or_sizes_are_refused_with_both_shown(tmp_path: Path) -> None:
    first = small_run(tmp_path / "a")
    other = small_run(tmp_path / "b", thresholds=[1, 2], input={"size": 9, "mean": [0.5] * 3, "std": [1] * 3})
    with pytest.raises(RunError, match=f"the runs turn raw values into grades differently: {other.path}") as caught:
        common_thresholds([first, first, other])
    assert (caught.value.expected, caught.value.got) == (f"[0.5, 1.5, 2.5, 3.5], as {first.path}", [1, 2])
    assert caught.value.do == "take each run by itself"
    with pytest.raises(RunError, match=f"the runs differ in image size: {other.path}") as caught:
        common_size([first, other])
    assert (caught.value.expected, caught.value.got) == (f"8, as {first.path}", 9)


def test_a_pack_must_have_been_baked_as_the_run_needs_it(tmp_path: Path) -> None:
    ben, crop = Recipe.named("ben", 8), Recipe.named("crop", 8)
    knowing, bare = small_run(tmp_path / "a", ben), small_run(tmp_path / "b")
    require_recipe(knowing, ben, "p.h5")
    require_recipe(bare, None, "p.h5")
    with pytest.raises(RecipeMismatch, match=r"the pack p\.h5 was baked with another recipe"):
        require_recipe(knowing, crop, "p.h5", do="bake")
    for run, found, do in ((knowing, None, "bake"), (bare, ben, None)):
        with pytest.raises(RecipeMismatch, match=f"cannot be checked that p.h5 was baked as {run.path}") as caught:
            require_recipe(run, found, "p.h5", do="bake")
        assert caught.value.do == do


@pytest.mark.parametrize("shape", [(8, 9, 3), (9, 9, 3), (8, 8), (8, 8, 1)])
def test_images_must_have_the_shape_that_the_run_takes(folder: Path, shape: tuple[int, ...]) -> None:
    require_size(Run(folder), (8, 8, 3), "the images")
    with pytest.raises(RecipeMismatch, match=f"the images do not fit {folder}") as caught:
        require_size(Run(folder), shape, "the images")
    assert (caught.value.expected, caught.value.got) == ("8x8x3", shape)


def test_reading_a_run_loads_no_torch(folder: Path) -> None:
    import subprocess
    import sys

    code = f"from prebake.runs import Run; Run({str(folder)!r}).metrics(); import sys; sys.exit('torch' in sys.modules)"
    src = Path(__file__).parents[1] / "src"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(src)}, check=False).returncode == 0
