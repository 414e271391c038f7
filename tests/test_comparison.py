"""Runs, cross-validations and predictions are compared on the photographs that both have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from metrics_helpers import FEW, some_predictions
from prebake import cli, metrics
from prebake.comparison import Side, compare, open_side
from prebake.crossval import cross_validate
from prebake.errors import OptionError, RunError
from prebake.training import fit
from training_helpers import make_pack, tiny

if TYPE_CHECKING:
    from prebake.metrics import Judged
    from prebake.runs import CrossValidation, Run


@pytest.fixture(scope="module")
def cv(tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """A cross-validation on a pack of one recipe."""
    folder = tmp_path_factory.mktemp("cv")
    return cross_validate(make_pack(folder / "kernel.h5", recipe="kernel"), folder / "cv", tiny(epochs=1), folds=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a pack of the same photographs, of another recipe and name."""
    folder = tmp_path_factory.mktemp("run")
    return fit(make_pack(folder / "crop.h5"), folder / "run", tiny(epochs=1))


def two(photographs: int = 240) -> tuple[Side, Side]:
    """Blunt and sharp predictions of the same photographs."""
    blunt = some_predictions(photographs, noise=0.9)
    raw = blunt.labels + np.random.default_rng(5).normal(0, 0.3, photographs)
    return Side("blunt", blunt), Side("sharp", metrics.Judged(blunt.ids, blunt.labels, raw, blunt.groups))


def table(judged: Judged) -> pd.DataFrame:
    return pd.DataFrame({"id_code": judged.ids, "label": judged.labels, "raw": judged.raw})


def test_b_less_a_is_judged_in_pairs_with_kappa_first() -> None:
    blunt, sharp = two()
    found = compare(blunt, sharp, bootstrap=FEW)
    assert list(found.changes) == ["kappa", "mae", "accuracy", "referable_auc"]
    assert (found.photographs, found.groups, found.only_a, found.only_b) == (240, 120, 0, 0)
    theirs = metrics.compare(sharp.judged, blunt.judged, bootstrap=FEW).differences
    for name, change in found.changes.items():
        assert (change.a, change.b) == pytest.approx((theirs[name].b, theirs[name].a))
        assert change.change == pytest.approx(change.b - change.a)
        assert (change.low, change.high) == pytest.approx((theirs[name].low, theirs[name].high), rel=0.1)  # other draws
        assert change.verdict == "b"
    assert found.changes["mae"].change < 0


def test_the_sentence_names_the_better_one_and_by_how_much() -> None:
    blunt, sharp = two()
    kappa = compare(blunt, sharp).changes["kappa"]
    ends = f"{kappa.change:.3f} kappa ({kappa.low:.3f} ... {kappa.high:.3f})"
    said = f"sharp is better by {ends} on the same 240 photographs"
    assert compare(blunt, sharp).sentence == compare(sharp, blunt).sentence == said


def test_what_is_inside_the_noise_is_no_difference() -> None:
    blunt, _ = two()
    same = compare(blunt, blunt, bootstrap=FEW)
    assert same.sentence == (
        "no difference can be told: blunt has +0.000 kappa (+0.000 ... +0.000) on the same 240 photographs"
    )
    assert same.changes["kappa"].verdict == ""


def test_what_is_undefined_is_said() -> None:
    ids, one = ("a", "b", "c"), np.ones(3)
    found = compare(*(Side(name, metrics.Judged(ids, one, one)) for name in "AB"), bootstrap=FEW)
    assert found.sentence.startswith("kappa cannot be compared on the same 3 photographs: ")
    assert found.to_dict()["changes"]["kappa"]["change"] is None
    alone = Side("one patient", metrics.Judged(ids, np.array([0, 1, 2]), np.array([0.0, 1, 1]), ("p", "p", "p")))
    assert "no interval: all photographs are of one group" in compare(alone, alone, bootstrap=FEW).sentence


def test_photographs_of_packs_with_other_recipes_are_paired_by_id(cv: CrossValidation, run: Run) -> None:
    found = compare(run, cv, bootstrap=FEW)
    held = run.validation()
    assert (found.photographs, found.only_a, found.only_b) == (len(held), 0, 40 - len(held))
    oof = cv.oof().set_index("id_code").loc[held["id_code"]]
    assert found.changes["mae"].b == pytest.approx((oof["raw"] - oof["label"]).abs().mean())
    assert (found.a, found.b, found.warnings) == (str(run.path), str(cv.path), ())


def test_a_table_of_predictions_is_taken_as_prebake_predict_writes_it(run: Run, tmp_path: Path) -> None:
    held = run.validation().assign(id_code=lambda found: "=" + found["id_code"])
    held["id_code"] = "'" + held["id_code"]
    held.loc[0, "label"] = None
    held[["id_code", "diagnosis", "raw", "label"]].to_csv(tmp_path / "p.csv", index=False)
    side = open_side(tmp_path / "p.csv")
    assert side.judged.ids == tuple("=" + name for name in run.validation()["id_code"][1:])
    assert "does not tell what its model learned from" in side.warning
    pd.DataFrame({"id_code": ["007", "NA"], "label": [0, 1], "raw": [0.5, 0.5]}).to_csv(tmp_path / "n.csv")
    assert open_side(tmp_path / "n.csv").judged.ids == ("007", "NA")


def test_what_belongs_together_in_either_is_drawn_together() -> None:
    ids, labels = tuple("abcdef"), np.arange(6) % 5
    one = metrics.Judged(ids, labels, labels + 0.1, ("p", "p", "", "", "", ""), np.array([0, 0, 1, 1, 0, 1]))
    other = metrics.Judged(ids[::-1], labels[::-1], labels[::-1] - 0.1, ("", "", "", "q", "q", ""))
    assert compare(Side("A", one), Side("B", other), bootstrap=FEW).groups == 4  # a + b + c, d, e, f


def test_a_model_that_learned_from_what_it_is_judged_on_is_warned_of(
    run: Run, cv: CrossValidation, tmp_path: Path
) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    run.split().assign(part="train").to_csv(tmp_path / "run" / "split.csv", index=False)
    found = compare(tmp_path / "run", cv, bootstrap=FEW)
    count = len(run.validation())
    assert found.warnings == (
        f"the model of {tmp_path / 'run'} learned from {count} of the photographs that it is judged on",
    )


def test_what_cannot_be_compared_is_refused(run: Run, tmp_path: Path) -> None:
    blunt, sharp = two()
    other = metrics.Judged(tuple(f"x{name}" for name in sharp.judged.ids), sharp.judged.labels, sharp.judged.raw)
    with pytest.raises(OptionError, match="share no photograph"):
        compare(blunt, Side("other", other))
    with pytest.raises(OptionError, match="different labels"):
        compare(blunt, Side("other", metrics.Judged(blunt.judged.ids, 4 - blunt.judged.labels, blunt.judged.raw)))
    table(blunt.judged).drop(columns="label").to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(OptionError, match=r"p\.csv cannot be compared(.|\n)*add label"):
        open_side(tmp_path / "p.csv")
    table(blunt.judged).assign(label="mild").to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(OptionError, match="mild"):
        open_side(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("")
    with pytest.raises(OptionError, match="cannot be compared"):
        open_side(tmp_path / "p.csv")
    with pytest.raises(RunError):
        open_side(tmp_path / "nothing")


def test_the_result_can_be_written_as_json() -> None:
    found = compare(*two(), bootstrap=FEW)
    kept = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert kept["sentence"] == found.sentence
    assert kept["changes"]["kappa"]["better"] == "b"
    assert kept["photographs"] == 240


def test_the_command_says_it_in_a_table_and_a_sentence_or_as_json(
    cv: CrossValidation, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv.oof().to_csv(tmp_path / "p.csv", index=False)
    words = ["compare", str(run.path), str(tmp_path / "p.csv")]
    assert cli.main(words) == 0
    said, found = capsys.readouterr().out, compare(run, tmp_path / "p.csv")
    assert found.sentence in said
    assert f"only A has 0 more, only B {found.only_b}" in said
    assert f"warning: {found.warnings[0]}" in said
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()
    assert cli.main(["compare", str(run.path), str(tmp_path / "nothing")]) == 1
