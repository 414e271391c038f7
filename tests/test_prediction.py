"""Predicting with runs of a tiny network: the same photograph gets the same value wherever it comes from."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch

from prebake.errors import OptionError, PackFailures, RecipeMismatch, RunError
from prebake.models import build_model, save_weights
from prebake.prediction import Predictions, predict
from prebake.recipe import Recipe
from prebake.records import Failure
from prebake.store import open_pack
from prediction_helpers import COUNT, MODEL, RECIPE, SIZE, THRESHOLDS, TOLERANCE, draw, write_pack, write_run

if TYPE_CHECKING:
    from prebake.runs import Run


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return write_run(folder / "a", seed=1), write_run(folder / "b", seed=2)


@pytest.fixture(scope="module")
def alone(runs: tuple[Run, Run], photographs: Path) -> Predictions:
    return predict(runs[0], photographs, batch_size=1, threads=1, device="cpu")


def by_hand(run: Run, file: Path) -> float:
    """The formula, without any of prebake's machinery but recipe and weights."""
    model, _ = build_model(MODEL, run.weights, image_size=SIZE)
    image = torch.from_numpy(RECIPE.bake(file.read_bytes()).image.astype(np.float32) / 255)
    mean, std = (torch.tensor(run.info["input"][key]) for key in ("mean", "std"))
    with torch.no_grad():
        return model.eval()(((image - mean) / std).permute(2, 0, 1)[None]).item()


def test_predictions_equal_the_network_applied_by_hand(runs, photographs, alone):
    expected = [by_hand(runs[0], file) for file in sorted(photographs.iterdir())]
    np.testing.assert_allclose(alone.raw, expected, atol=TOLERANCE)
    assert alone.ids == tuple(f"eye{number:02}" for number in range(COUNT))
    assert np.ptp(alone.raw) > 100 * TOLERANCE
    assert (alone.diagnosis == [sum(r >= cut for cut in THRESHOLDS) for r in alone.raw]).all()


@pytest.mark.parametrize("batch_size", [2, 4, 32])
def test_a_photograph_gets_the_same_value_alone_and_in_a_batch(runs, photographs, alone, batch_size):
    together = predict(runs[0], photographs, batch_size=batch_size, threads=3, device="cpu")
    assert together.ids == alone.ids
    np.testing.assert_allclose(together.raw, alone.raw, atol=TOLERANCE)


def test_one_photograph_is_a_source(runs, photographs, alone):
    single = predict([runs[0].path], photographs / "eye07.png", device="cpu")
    assert single.ids == ("eye07",)
    assert single.raw[0] == pytest.approx(alone.raw[7], abs=TOLERANCE)


def test_folder_archive_and_pack_give_the_same_values(runs, photographs, alone, tmp_path):
    with zipfile.ZipFile(tmp_path / "photographs.zip", "w") as archive:
        for file in sorted(photographs.iterdir()):
            archive.write(file, file.name)
    write_pack(tmp_path / "photographs.h5", photographs)
    pack = open_pack(tmp_path / "photographs.h5")
    for source in (tmp_path / "photographs.zip", tmp_path / "photographs.h5", pack):
        found = predict(runs[0], source, batch_size=4, device="cpu")
        assert found.ids == alone.ids
        np.testing.assert_allclose(found.raw, alone.raw, atol=TOLERANCE)


def test_a_pack_is_known_by_its_content_whatever_its_name(runs, photographs, alone, tmp_path):
    write_pack(tmp_path / "photographs.h5", photographs)
    (tmp_path / "photographs.h5").rename(tmp_path / "photographs.pack")
    np.testing.assert_allclose(predict(runs[0], tmp_path / "photographs.pack").raw, alone.raw, atol=TOLERANCE)


def test_predicting_twice_gives_the_same_bits(runs, photographs):
    first, second = (predict(runs, photographs, batch_size=4, threads=n, device="cpu") for n in (1, 4))
    np.testing.assert_array_equal(first.per_run, second.per_run)


def test_several_runs_give_their_mean_and_spread(runs, photographs, alone):
    both = predict(runs, photographs, device="cpu")
    other = predict(runs[1], photographs, device="cpu")
    np.testing.assert_allclose(both.per_run, [alone.raw, other.raw], atol=TOLERANCE)
    np.testing.assert_allclose(both.raw, (both.per_run[0] + both.per_run[1]) / 2, atol=1e-6)
    table = both.table()
    assert list(table.columns) == ["id_code", "diagnosis", "raw", "raw_1", "raw_2", "spread"]
    np.testing.assert_allclose(table["spread"], np.abs(both.per_run[0] - both.per_run[1]) / 2, atol=1e-6)


def test_never_more_images_wait_than_three_batches(runs, photographs, monkeypatch):
    begun, done = [], []
    bake = Recipe.bake
    monkeypatch.setattr(Recipe, "bake", lambda self, data: begun.append(1) or bake(self, data))
    run_batch = predict.__globals__["Ensemble"].raw

    def slow(self, images, ids):
        done.extend(ids)
        assert len(begun) - len(done) + len(ids) <= 3 * 2
        return run_batch(self, images, ids)

    monkeypatch.setattr(predict.__globals__["Ensemble"], "raw", slow)
    predict(runs[0], photographs, batch_size=2, threads=4, device="cpu")
    assert len(done) == COUNT


@pytest.mark.parametrize("needed", [Recipe.named("kernel", SIZE), Recipe.named("resize", 32)])
def test_a_pack_with_another_recipe_is_refused_with_both_shown(needed, photographs, tmp_path):
    run = write_run(tmp_path / "run", seed=1, recipe=needed)
    write_pack(tmp_path / "photographs.h5", photographs)
    with pytest.raises(RecipeMismatch) as caught:
        predict(run, tmp_path / "photographs.h5")
    assert RECIPE.describe() in str(caught.value)
    assert needed.describe() in str(caught.value)


def test_runs_with_different_recipes_do_not_predict_together(runs, photographs, tmp_path):
    other = write_run(tmp_path / "run", seed=1, recipe=Recipe.named("kernel", SIZE))
    with pytest.raises(RecipeMismatch, match="kernel"):
        predict([runs[0], other], photographs)


def test_runs_with_different_thresholds_do_not_predict_together(runs, photographs, tmp_path):
    other = write_run(tmp_path / "run", seed=1, thresholds=[0.6, 1.5, 2.5, 3.5])
    with pytest.raises(RunError, match="raw values into grades differently"):
        predict([runs[0], other], photographs)


def test_a_run_without_a_recipe_cannot_bake_photographs(photographs, tmp_path):
    run = write_run(tmp_path / "run", seed=1, recipe=None)
    with pytest.raises(RunError, match="recipe"):
        predict(run, photographs)
    write_pack(tmp_path / "photographs.h5", photographs)
    with pytest.raises(RecipeMismatch, match="cannot be checked"):
        predict(run, tmp_path / "photographs.h5")


def test_every_run_without_a_recipe_must_have_seen_images_of_the_packs_size(tmp_path):
    pack = Path(__file__).parent / "golden" / "pack_kernel2019.h5"
    inputs = {"mean": [0.4, 0.3, 0.2], "std": [0.2, 0.3, 0.4], "fill": [0, 0, 0]}
    fitting = write_run(tmp_path / "a", seed=1, recipe=None, input={"size": 24, **inputs})
    other = write_run(tmp_path / "b", seed=1, recipe=None, input={"size": 32, **inputs})
    assert len(predict(fitting, pack)) == 4
    with pytest.raises(RecipeMismatch, match="32x32x3"):
        predict([fitting, other], pack)


def test_a_run_that_has_not_ended_is_refused(photographs, tmp_path):
    with pytest.raises(RunError, match="not ended"):
        predict(write_run(tmp_path / "run", seed=1, state="training"), photographs)


def spoil(photographs: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in photographs.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    whole = (photographs / "eye03.png").read_bytes()
    (folder / "eye03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "eye05.png").write_bytes(b"no picture at all")
    return folder


def test_photographs_that_cannot_be_read_are_all_named_at_the_end(runs, photographs, tmp_path):
    folder = spoil(photographs, tmp_path / "spoilt")
    with pytest.raises(PackFailures) as caught:
        predict(runs[0], folder, batch_size=2, device="cpu")
    assert [failure.id for failure in caught.value.failures] == ["eye03", "eye05"]
    assert "spoilt/eye03.png" in str(caught.value)
    assert "2 of 11" in str(caught.value)


def test_skip_lists_them_and_predicts_the_others(runs, photographs, alone, tmp_path):
    folder = spoil(photographs, tmp_path / "spoilt")
    found = predict(runs[0], folder, batch_size=3, on_error="skip", device="cpu")
    kept = [row for row in range(COUNT) if row not in (3, 5)]
    assert found.ids == tuple(alone.ids[row] for row in kept)
    np.testing.assert_allclose(found.raw, alone.raw[kept], atol=TOLERANCE)
    assert [failure.id for failure in found.failures] == ["eye03", "eye05"]
    assert all(failure.reason for failure in found.failures)


def test_what_packing_left_out_is_still_listed(runs, photographs, tmp_path):
    lost = Failure("eye99", "photographs/eye99.png", "truncated")
    write_pack(tmp_path / "photographs.h5", photographs, failures=(lost,))
    found = predict(runs[0], tmp_path / "photographs.h5", device="cpu")
    assert found.failures == (lost,)
    assert len(found) == COUNT


def test_when_no_photograph_can_be_read_the_table_is_empty(runs, tmp_path):
    (tmp_path / "eye.png").write_bytes(b"nothing")
    found = predict(runs, tmp_path / "eye.png", on_error="skip", device="cpu")
    assert len(found) == 0
    assert found.per_run.shape == (2, 0)
    assert len(found.failures) == 1


def test_a_network_that_gives_no_number_is_named_with_the_photograph(photographs, tmp_path):
    run = write_run(tmp_path / "run", seed=1)
    model, _ = build_model(MODEL, run.weights, image_size=SIZE)
    weights = {
        name: tensor * float("nan") if "classifier" in name else tensor for name, tensor in model.state_dict().items()
    }
    save_weights(weights, tmp_path / "run" / "best.safetensors", {})
    with pytest.raises(RunError, match="eye00"):
        predict(run, photographs, device="cpu")


@pytest.mark.parametrize(
    "wrong", [{"on_error": "ignore"}, {"batch_size": 0}, {"threads": 0}, {"device": "toaster"}, {"device": "cuda:99"}]
)
def test_options_that_cannot_be_used_are_refused(runs, photographs, wrong):
    with pytest.raises(OptionError):
        predict(runs[0], photographs, **wrong)


def test_no_run_is_refused(photographs):
    with pytest.raises(OptionError, match="no run"):
        predict([], photographs)


def made_up(ids: tuple[str, ...]) -> Predictions:
    raw = np.linspace(-0.25, 4, len(ids), dtype=np.float32)
    labels = np.full(len(ids), np.nan, dtype=np.float32)
    return Predictions(ids, raw, np.arange(len(ids)), np.stack([raw, raw]), raw * 0, labels, ("",) * len(ids))


def test_a_submission_has_exactly_the_two_columns_and_the_ids_as_they_are(tmp_path):
    made_up(("0709652336e2", "=cmd", "a")).to_csv(tmp_path / "s.csv", submission=True)
    assert (tmp_path / "s.csv").read_bytes() == b"id_code,diagnosis\n0709652336e2,0\n=cmd,1\na,2\n"


@pytest.mark.parametrize("identity", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_an_id_that_a_spreadsheet_would_run_is_text(identity, tmp_path):
    made_up((identity, "b")).to_csv(tmp_path / "p.csv")
    read = pd.read_csv(tmp_path / "p.csv", dtype={"id_code": str})
    assert read["id_code"].tolist() == [f"'{identity}", "b"]


def test_ids_and_numbers_survive_the_csv(tmp_path):
    ids = ("0709652336e2", 'a "quoted", one', "NA", "\N{GREEK SMALL LETTER ALPHA}")
    predictions = made_up(ids)
    predictions.to_csv(tmp_path / "p.csv")
    read = pd.read_csv(tmp_path / "p.csv", dtype={"id_code": str}, keep_default_na=False)
    assert tuple(read["id_code"]) == ids
    np.testing.assert_array_equal(read["raw"].to_numpy(np.float32), predictions.raw)
    assert list(read.columns) == list(predictions.table().columns)


def test_a_csv_is_whole_or_absent(tmp_path, monkeypatch):
    made_up(("a", "b")).to_csv(tmp_path / "p.csv")
    before = (tmp_path / "p.csv").read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        made_up(("c",)).to_csv(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
