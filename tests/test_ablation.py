"""Recipes are compared by the same cross-validation: the same folds, the same seed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from prebake import ablation, cli
from prebake.ablation import Ablation, ablate
from prebake.comparison import compare
from prebake.errors import OptionError, RunError
from prebake.runs import CrossValidation
from training_helpers import SIZE, tiny

COUNT = 20


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise whose brightness grows with the label, and the table of labels."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for row in range(COUNT):
        image = np.clip(rng.normal(60 + 40 * (row % 5), 40, (40, 40, 3)), 20, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"p{row:03}.png"), image)
    labels = {"id_code": [f"p{row:03}" for row in range(COUNT)], "diagnosis": np.arange(COUNT) % 5}
    pd.DataFrame(labels).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def made(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    """An ablation that nothing interrupted."""
    folder = tmp_path_factory.mktemp("ablation") / "out"
    return ablate(photographs, folder, ["resize", "kernel"], tiny(epochs=1), folds=2, size=SIZE)


def test_every_recipe_is_trained_with_the_same_folds_and_seed(made: Ablation) -> None:
    first, second = (CrossValidation(made.path / name) for name in ("resize", "kernel"))
    one, other = first.oof(), second.oof()
    assert one["id_code"].tolist() == other["id_code"].tolist()
    assert one["fold"].tolist() == other["fold"].tolist()
    assert first.config == second.config == tiny(epochs=1)
    assert [cv.recipe.name for cv in (first, second) if cv.recipe] == ["resize", "kernel"]
    assert one["raw"].tolist() != other["raw"].tolist()


def test_the_table_compares_each_with_the_first(made: Ablation) -> None:
    first, second = (CrossValidation(made.path / name) for name in ("resize", "kernel"))
    plain = compare(first, second)
    table = pd.read_csv(made.path / "ablation.csv")
    assert table["recipe"].tolist() == ["resize", "kernel"]
    assert table["kappa"].tolist() == pytest.approx([first.summary().kappa, second.summary().kappa])
    assert np.isnan(table["change"][0])
    kappa = plain.changes["kappa"]
    wanted = pytest.approx([kappa.change, kappa.low, kappa.high], nan_ok=True)
    assert table.loc[1, ["change", "change_low", "change_high"]].tolist() == wanted
    kept = json.loads((made.path / "ablation.json").read_text(), parse_constant=pytest.fail)
    assert [entry["recipe"] for entry in kept["recipes"]] == ["resize", "kernel"]
    assert kept["recipes"][1]["compared"]["sentence"] == made.sentences[0]
    assert made.sentences[0].endswith("on the same 20 photographs")


def test_interrupted_it_goes_on_and_ends_the_same(
    made: Ablation, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Path] = []

    def stop(run: object) -> None:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(getattr(run, "path", Path()))

    again = (photographs, tmp_path / "out", ["resize", "kernel"], tiny(epochs=1))
    with pytest.raises(KeyboardInterrupt):
        ablate(*again, folds=2, size=SIZE, done=stop)
    assert not (tmp_path / "out" / "ablation.csv").exists()
    before = [(path / "best.safetensors").stat().st_mtime_ns for path in trained]
    found = ablate(*again, folds=2, size=SIZE)
    assert before == [(path / "best.safetensors").stat().st_mtime_ns for path in trained]
    assert (found.path / "ablation.csv").read_bytes() == (made.path / "ablation.csv").read_bytes()


def test_labels_may_lie_elsewhere(made: Ablation, photographs: Path, tmp_path: Path) -> None:
    """Without them, or with others, the folds would not be those of before."""
    copy = Path(shutil.copytree(photographs, tmp_path / photographs.name))
    table = (copy / "labels.csv").rename(tmp_path / "grades.csv")
    shutil.copytree(made.path, tmp_path / "out")
    words = ["ablate", str(copy), "-o", str(tmp_path / "out"), "--recipes", "resize,kernel"]
    words += ["--folds", "2", "--size", str(SIZE), *tiny(epochs=1).options()]
    assert cli.main(words) != 0
    assert cli.main([*words, "--labels", str(table), "--layout", "folder"]) == 0


def test_what_differs_from_before_is_refused(made: Ablation, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"folds\.csv is not what"):
        ablate(photographs, made.path, ["resize", "kernel"], tiny(epochs=1), folds=3, size=SIZE)
    with pytest.raises(RunError, match=r"holds another cross-validation(.|\n)*lr"):
        ablate(photographs, made.path, ["resize", "kernel"], tiny(epochs=1, lr=1e-4), folds=2, size=SIZE)
    for recipes in (["kernel"], ["kernel", "kernel"], []):
        with pytest.raises(OptionError, match="two or more with different names"):
            ablate(photographs, tmp_path / "x", recipes)
    assert not (tmp_path / "x").exists()


def test_a_recipe_is_called_by_what_a_file_can_be_called() -> None:
    assert ablation._names(["kernel", "my.module:clahe", "recipes/green.json"]) == [
        "kernel",
        "my.module_clahe",
        "green",
    ]


def test_the_command_goes_on_where_it_was_and_says_what_came_of_it(
    made: Ablation, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ablate", str(photographs), "-o", str(made.path), "--recipes", "resize,kernel", "--folds", "2"]
    assert cli.main([*words, "--size", str(SIZE), *tiny(epochs=1).options()]) == 0
    said = capsys.readouterr().out
    assert made.sentences[0] in said
    assert f"wrote {made.path / 'ablation.csv'}" in said
