"""Several networks and several views: one reading, one mean, how far they disagree, and what that is worth."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from prebake.cli import main
from prebake.errors import OptionError, RecipeMismatch
from prebake.metrics import Judged, quadratic_weighted_kappa, referral_curve
from prebake.models import load_run_model
from prebake.prediction import Predictions, predict
from prebake.prediction.views import VIEWS, views
from prebake.recipe import Recipe
from prebake.runs import CrossValidation, Run
from prebake.store import Pack
from prediction_helpers import COUNT, INPUT, RECIPE, THRESHOLDS, TOLERANCE, draw, write_pack, write_run

OTHER_INPUT = {**INPUT, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5], "fill": [128, 128, 128]}
LABELS = [0.0, 1.0, None, 2.0, 3.0, 4.0, None, 0.0, 1.0, 2.0, 4.0]
GROUPS = ["p", "p", "q", "q", "r", "s", "t", "u", "", "", "v"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    third = write_run(folder / "c", seed=3, input=OTHER_INPUT)
    return write_run(folder / "a", seed=1), write_run(folder / "b", seed=2), third


@pytest.fixture(scope="module")
def pack(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packs") / "labelled.h5"
    return write_pack(path, photographs, labels=LABELS, groups=GROUPS)


@pytest.fixture(scope="module")
def cv(runs: tuple[Run, ...], tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """A cross-validation of two folds, which are the first two runs."""
    folder = tmp_path_factory.mktemp("cv")
    for fold in (0, 1):
        shutil.copytree(runs[fold].path, folder / f"fold-{fold}")
    for name in ("config.json", "recipe.json"):
        shutil.copy(runs[0].path / name, folder)
    facts = '{"format": 1, "state": "complete", "folds": [0, 1], "repeats": 1, "packs": [], "versions": {}}'
    (folder / "cv.json").write_text(facts)
    return CrossValidation(folder)


@pytest.fixture(scope="module")
def singles(runs: tuple[Run, ...], pack: Path) -> list[Predictions]:
    return [predict(run, pack, device="cpu") for run in runs]


def test_an_ensemble_is_the_mean_of_its_members_each_with_its_own_normalisation(runs, pack, singles):
    together = predict(runs, pack, device="cpu")
    np.testing.assert_array_equal(together.per_run, [single.raw for single in singles])
    np.testing.assert_allclose(together.raw, np.mean([single.raw for single in singles], axis=0), atol=1e-6)
    np.testing.assert_allclose(together.spread, np.std([single.raw for single in singles], axis=0), atol=1e-6)
    assert np.abs(singles[2].raw - predict(_renormalised(runs[2]), pack, device="cpu").raw).max() > TOLERANCE


def _renormalised(run: Run) -> Run:
    """The same weights behind the normalisation of the other runs."""
    other = Run(run.path)
    other.info["input"] = INPUT
    return other


def test_a_cross_validation_stands_for_the_runs_of_its_folds(cv, runs, pack):
    expected = predict(runs[:2], pack, device="cpu")
    for given in (cv, cv.path, [cv.path], str(cv.path)):
        np.testing.assert_array_equal(predict(given, pack, device="cpu").per_run, expected.per_run)


def test_weights_count_runs_and_every_fold_of_a_cross_validation(cv, runs, pack, singles):
    a, b, c = (single.raw.astype(float) for single in singles)
    plain = predict(runs, pack, device="cpu", weights=[2, 1, 1])
    np.testing.assert_allclose(plain.raw, (2 * a + b + c) / 4, atol=1e-6)
    spread = np.sqrt((2 * (a - plain.raw) ** 2 + (b - plain.raw) ** 2 + (c - plain.raw) ** 2) / 4)
    np.testing.assert_allclose(plain.spread, spread, atol=1e-6)
    folds = predict([cv, runs[2]], pack, device="cpu", weights=[1, 3])
    np.testing.assert_allclose(folds.raw, (a + b + 3 * c) / 5, atol=1e-6)


def test_equal_weights_are_no_weights(runs, pack):
    np.testing.assert_array_equal(
        predict(runs, pack, device="cpu", weights=[3, 3, 3]).raw, predict(runs, pack, device="cpu").raw
    )


@pytest.mark.parametrize(
    "weights", [[], [1], [1, 2], [1, 2, 3, 4], [1, 0, 1], [1, -1, 1], [1, float("nan"), 1], [1, float("inf"), 1]]
)
def test_weights_that_do_not_fit_are_refused(weights, runs, pack):
    with pytest.raises(OptionError, match="3 positive numbers"):
        predict(runs, pack, weights=weights)


def test_views_are_the_eight_ways_to_hold_a_square():
    square = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    found = list(views(square))
    assert len(found) == VIEWS
    assert torch.equal(found[0], square)
    expected = {np.rot90(side, k, (2, 3)).tobytes() for side in (square, square.flip(2)) for k in range(4)}
    assert {view.contiguous().numpy().tobytes() for view in found} == expected
    assert len(expected) == VIEWS


def test_tta_is_the_mean_over_a_loop_of_eight_views(runs, pack):
    model, baked = load_run_model(runs[2]), Pack(pack)
    mean, std = (np.float32(OTHER_INPUT[key]) for key in ("mean", "std"))
    values = np.empty((VIEWS, COUNT))
    for row, image in enumerate(baked):
        for view in range(VIEWS):
            turned = np.rot90(image[:, ::-1] if view >= 4 else image, view % 4)
            given = torch.from_numpy((turned / np.float32(255) - mean) / std).permute(2, 0, 1)[None]
            with torch.no_grad():
                values[view, row] = model(given).item()
    found = predict(runs[2], pack, device="cpu", tta=True, batch_size=4)
    np.testing.assert_allclose(found.raw, values.mean(axis=0), atol=TOLERANCE)
    np.testing.assert_allclose(found.spread, values.std(axis=0), atol=TOLERANCE)
    assert found.spread.max() > 10 * TOLERANCE


def test_with_tta_a_turned_photograph_gets_the_same_value(runs, photographs):
    image = RECIPE.bake((photographs / "eye05.png").read_bytes()).image
    model = predict.__globals__["Ensemble"](runs[:1], "cpu", tta=True)
    every = [np.rot90(side, k).copy() for side in (image, image[::-1]) for k in range(4)]
    values = model.raw(np.stack(every), list("abcdefgh")).mean(axis=(0, 1))
    assert np.ptp(values) < TOLERANCE


def test_spread_with_tta_is_of_all_runs_and_views(runs, pack):
    together = predict(runs, pack, device="cpu", tta=True)
    singles = [predict(run, pack, device="cpu", tta=True) for run in runs]
    within = np.mean([single.spread.astype(float) ** 2 for single in singles], axis=0)
    between = np.var([single.raw.astype(float) for single in singles], axis=0)
    np.testing.assert_allclose(together.spread, np.sqrt(within + between), atol=1e-6)


def test_one_run_that_sees_one_view_has_no_spread(singles, tmp_path):
    assert singles[0].spread is None
    singles[0].to_csv(tmp_path / "p.csv")
    assert list(pd.read_csv(tmp_path / "p.csv").columns) == ["id_code", "diagnosis", "raw", "label", "group"]


@pytest.mark.parametrize("tta", [False, True])
def test_each_image_is_read_once_for_all_runs_and_views(tta, runs, pack, monkeypatch):
    read = []
    plain = Pack.read
    monkeypatch.setattr(Pack, "read", lambda self, rows: read.extend(rows) or plain(self, rows))
    predict(runs, pack, device="cpu", batch_size=4, tta=tta)
    assert read == list(range(COUNT))


@pytest.mark.parametrize("tta", [False, True])
def test_each_photograph_is_baked_once_for_all_runs_and_views(tta, runs, photographs, monkeypatch):
    baked = []
    bake = Recipe.bake
    monkeypatch.setattr(Recipe, "bake", lambda self, data: baked.append(1) or bake(self, data))
    predict(runs, photographs, device="cpu", batch_size=4, tta=tta)
    assert len(baked) == COUNT


def test_the_same_call_gives_the_same_bits(runs, pack):
    first, second = (
        predict(runs, pack, device="cpu", tta=True, weights=[2, 1, 1], batch_size=4, threads=n) for n in (1, 4)
    )
    for name in ("raw", "per_run", "spread", "diagnosis"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_members_with_another_recipe_or_size_are_refused_with_both_shown(runs, pack, photographs, tmp_path):
    kernel = write_run(tmp_path / "kernel", seed=1, recipe=Recipe.named("kernel", 64))
    with pytest.raises(RecipeMismatch) as caught:
        predict([*runs, kernel], pack)
    assert all(recipe.describe() in str(caught.value) for recipe in (RECIPE, kernel.recipe))
    small = write_run(tmp_path / "small", seed=1, input={**INPUT, "size": 32})
    for source in (pack, photographs):
        with pytest.raises(RecipeMismatch, match="32x32x3"):
            predict([*runs, small], source)


def test_labels_and_groups_of_a_pack_stand_in_the_table(runs, pack, tmp_path):
    found = predict(runs, pack, device="cpu")
    found.to_csv(tmp_path / "p.csv")
    table = pd.read_csv(tmp_path / "p.csv", keep_default_na=False, dtype=str)
    columns = ["id_code", "diagnosis", "raw", "raw_1", "raw_2", "raw_3", "spread", "label", "group"]
    assert list(table.columns) == columns
    assert table["label"].tolist() == ["" if label is None else f"{label:g}" for label in LABELS]
    assert table["group"].tolist() == GROUPS
    judged = found.judged()
    assert judged.labels.tolist() == [label for label in LABELS if label is not None]
    read = Judged.from_frame(pd.read_csv(tmp_path / "p.csv", keep_default_na=False, na_values={"label": [""]}))
    assert read.ids == judged.ids
    np.testing.assert_array_equal(read.members, judged.members)
    found.to_csv(tmp_path / "s.csv", submission=True)
    assert (tmp_path / "s.csv").read_text().startswith("id_code,diagnosis\n")


def test_labels_of_a_folder_are_those_of_its_table(runs, photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "p")
    lines = [f"eye{number:02},{number % 5}" for number in range(COUNT)]
    (tmp_path / "p" / "train.csv").write_text("id_code,diagnosis\n" + "\n".join(lines) + "\n")
    found = predict(runs[0], tmp_path / "p", device="cpu")
    assert found.labels.tolist() == [number % 5 for number in range(COUNT)]
    assert not predict(runs[0], photographs, device="cpu").labelled


def test_the_referral_curve_sends_the_largest_spread_first(runs, pack):
    found = predict(runs, pack, device="cpu")
    found = found.graded([float(cut) for cut in np.quantile(found.raw, [0.2, 0.4, 0.6, 0.8])])
    name, doubt = found.uncertainty()
    assert name == "spread"
    curve = found.referral([0, 1 / 3])
    kept = np.isfinite(found.labels)
    order = np.argsort(-doubt[kept])[3:]
    labels, grades = found.labels[kept][order], found.diagnosis[kept][order]
    assert curve.left.tolist() == [9, 6]
    assert curve.kappa[1] == pytest.approx(quadratic_weighted_kappa(labels, grades))
    assert len(set(curve.kappa)) == 2


def test_without_a_spread_the_distance_to_the_nearest_threshold_decides(singles):
    name, doubt = singles[0].uncertainty()
    assert name == "distance to the nearest threshold"
    np.testing.assert_allclose(doubt, [-min(abs(raw - cut) for cut in THRESHOLDS) for raw in singles[0].raw], atol=1e-6)
    kept = np.isfinite(singles[0].labels)
    np.testing.assert_array_equal(singles[0].referral().kappa, referral_curve(singles[0].judged(), doubt[kept]).kappa)


def test_other_thresholds_change_grades_and_what_is_near_them(singles):
    moved = singles[0].graded([1, 2, 3, 4])
    assert moved.diagnosis.tolist() == [sum(raw >= cut for cut in (1, 2, 3, 4)) for raw in singles[0].raw]
    assert moved.uncertainty()[1].tolist() != singles[0].uncertainty()[1].tolist()


def test_labels_that_were_trained_on_are_told(pack, photographs, tmp_path, caplog):
    opened = Pack(pack)
    run = write_run(tmp_path / "run", seed=1, packs=[{"name": "labelled", "digest": opened.digest}])
    table = pd.DataFrame({"id_code": opened.ids, "pack": "labelled", "label": 1, "group": ""})
    table["part"] = ["train"] * 8 + ["val"] * 3
    table.to_csv(run.path / "split.csv", index=False)
    with caplog.at_level(logging.WARNING):
        predict(run, pack, device="cpu")
    assert "8 of the 11 photographs" in caplog.text
    caplog.clear()
    predict(run, write_pack(tmp_path / "other.h5", photographs), device="cpu")
    assert not caplog.records


def test_the_command_prints_kappa_and_the_referral_curve(runs, pack, tmp_path, capsys):
    paths = [str(run.path) for run in runs]
    out = tmp_path / "p.csv"
    assert main(["predict", *paths, str(pack), "--weights", "2", "1", "1", "--tta", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    expected = predict(runs, pack, device="cpu", weights=[2, 1, 1], tta=True)
    np.testing.assert_allclose(pd.read_csv(out)["raw"], expected.raw, atol=1e-6)
    curve = expected.referral([0.0, 0.1])
    assert f"kappa {curve.kappa[0]:.3f} (" in said
    assert "9 photographs with a label" in said
    assert f"{curve.kappa[1]:.3f}" in said
    assert "50%" in said
    assert "by spread" in said


def test_the_command_says_why_kappa_is_undefined(runs, photographs, tmp_path, capsys):
    pack = write_pack(tmp_path / "p.h5", photographs, labels=[0.5] * COUNT)
    assert main(["predict", str(runs[0].path), str(pack), "-o", str(tmp_path / "p.csv")]) == 0
    assert "kappa is undefined: the labels are not whole numbers" in capsys.readouterr().out
    assert main(["predict", str(runs[0].path), str(photographs), "-o", str(tmp_path / "p.csv")]) == 0
    assert "kappa" not in capsys.readouterr().out
