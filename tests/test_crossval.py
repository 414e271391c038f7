"""Cross-validation: a fold is the run that fit makes; one table, whatever interrupts it and whoever runs which fold."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from prebake import cli, terminal
from prebake.crossval import cross_validate, cross_validate_side_by_side, side_by_side
from prebake.errors import OptionError, RunError, SplitError
from prebake.metrics import grade
from prebake.prediction import predict
from prebake.runs import CrossValidation, find_thresholds, fitted_thresholds, open_run
from prebake.splits import Folds, make_folds
from prebake.training import fit
from prebake.training.watch import Checkpoints
from training_helpers import make_pack, require_equal, tiny

FOLDS = 3
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    groups = [f"patient {number // 2}" if number < 20 else None for number in range(45)]
    return make_pack(tmp_path_factory.mktemp("packs") / "a.h5", 45, groups=groups)


@pytest.fixture(scope="module")
def whole(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """A cross-validation that nothing interrupted."""
    return cross_validate(pack, tmp_path_factory.mktemp("whole") / "cv", tiny(), folds=FOLDS)


@pytest.fixture
def varied(whole: CrossValidation, tmp_path: Path) -> CrossValidation:
    """The same with predictions that are worth judging."""
    shutil.copytree(whole.path, tmp_path / "varied")
    oof, noise = whole.oof(), np.random.default_rng(0).normal(0, 0.7, 45)
    raw = oof["label"] + noise
    oof.assign(raw=raw, diagnosis=grade(raw)).to_csv(tmp_path / "varied" / "oof.csv", index=False)
    return CrossValidation(tmp_path / "varied")


def require_same(one: CrossValidation, other: CrossValidation) -> None:
    assert one.complete
    for mine, theirs in zip(one.members, other.members, strict=True):
        (mine.path / "config.json").write_bytes((theirs.path / "config.json").read_bytes())
        require_equal(mine, theirs)
    for name in ("oof.csv", "folds.csv"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes()


# what it computes


def test_a_fold_is_the_run_that_fit_makes_with_the_same_folds(
    whole: CrossValidation, pack: Path, tmp_path: Path
) -> None:
    folds = make_folds(pack, folds=FOLDS, seed=tiny().seed)
    require_equal(fit(pack, tmp_path / "run", tiny(), folds=folds, fold=1), whole.members[1])
    assert [run.fold for run in whole.members] == [0, 1, 2]


def test_every_photograph_has_the_prediction_of_the_model_that_never_saw_it(whole: CrossValidation) -> None:
    oof = whole.oof()
    assert list(oof.columns) == ["id_code", "pack", "label", "group", "fold", "raw", "diagnosis"]
    assert oof["id_code"].tolist() == [f"p{number:03}" for number in range(45)]
    for fold, run in enumerate(whole.members):
        said, mine = run.validation(), oof[oof["fold"] == fold]
        assert mine["raw"].tolist() == said["raw"].tolist()
        split = run.split()
        assert set(split.loc[split["part"] == "train", "id_code"]).isdisjoint(mine["id_code"])
    assert oof.groupby("group")["fold"].nunique().drop("").eq(1).all()
    assert oof["diagnosis"].tolist() == grade(oof["raw"]).tolist()


def test_the_summary_is_of_all_photographs_together_and_of_each_fold(
    varied: CrossValidation, whole: CrossValidation
) -> None:
    oof, found = varied.oof(), varied.summary()
    assert found.kappa == pytest.approx(plain_kappa(oof))
    assert found.low < found.kappa < found.high
    assert found.mae == pytest.approx((oof["raw"] - oof["label"]).abs().mean())
    assert (found.photographs, found.groups, found.repeats) == (45, 35, (found.kappa,))
    assert [score.kappa for score in found.folds] == pytest.approx(
        [plain_kappa(oof[oof["fold"] == k]) for k in range(3)]
    )
    assert [score.mae for score in whole.summary().folds] == pytest.approx(
        [run.best()["val_mae"] for run in whole.members]
    )
    assert whole.info["summary"]["mae"] == whole.summary().mae


def plain_kappa(table: pd.DataFrame) -> float:
    return float(cohen_kappa_score(table["label"].astype(int), table["diagnosis"], weights="quadratic"))


def test_the_folder_says_what_was_done_and_its_command_does_it_again(whole: CrossValidation, pack: Path) -> None:
    assert whole.complete
    assert (whole.folds, whole.repeats, whole.config) == ((0, 1, 2), 1, tiny())
    assert whole.recipe == whole.members[0].recipe
    assert whole.info["command"][:3] == ["prebake", "cv", str(pack)]
    assert len(whole.curves()) == FOLDS * 2
    assert whole.curves().columns[:3].tolist() == ["repeat", "fold", "epoch"]
    json.loads((whole.path / "cv.json").read_text(), parse_constant=pytest.fail)
    assert open_run(whole.path).path == open_run(whole).path
    before = (whole.path / "cv.json").read_bytes()
    assert cli.main(whole.info["command"][1:]) == 0
    assert (whole.path / "cv.json").read_bytes() == before


def test_repeats_have_folds_and_seeds_of_their_own_and_are_averaged(pack: Path, tmp_path: Path) -> None:
    cv = cross_validate(pack, tmp_path / "cv", tiny(epochs=1, seed=5), folds=2, repeats=2)
    assert [run.path.relative_to(cv.path).as_posix() for run in cv.members] == [
        f"repeat-{repeat}/fold-{fold}" for repeat in (1, 2) for fold in (0, 1)
    ]
    assert [run.config.seed for run in cv.members] == [5, 5, 6, 6]
    oof = cv.oof()
    assert len(oof) == 2 * 45
    first, second = (oof[oof["repeat"] == repeat].reset_index() for repeat in (1, 2))
    assert first["fold"].tolist() != second["fold"].tolist()
    assert cv.judged().raw.tolist() == pytest.approx(((first["raw"] + second["raw"]) / 2).tolist())
    assert cv.judged(2).raw.tolist() == second["raw"].tolist()
    assert len(cv.summary().repeats) == 2
    assert "1/0" in terminal.cross_validated(cv)
    assert cross_validate(pack, cv.path, tiny(epochs=1, seed=5), folds=2, repeats=2).info == cv.info


def test_a_table_of_folds_decides_and_may_leave_photographs_out(pack: Path, tmp_path: Path) -> None:
    table = make_folds(pack, folds=2, seed=9).table()
    table.loc[table["id_code"] == "p044", "fold"] = pd.NA
    table.to_csv(tmp_path / "mine.csv", index=False)
    cv = cross_validate(pack, tmp_path / "cv", tiny(epochs=1), folds=tmp_path / "mine.csv")
    assert len(cv.oof()) == 44
    again = Folds.load(tmp_path / "cv" / "folds.csv", pack)
    assert np.array_equal(again.fold, Folds.load(tmp_path / "mine.csv", pack).fold)
    assert cross_validate(pack, cv.path, tiny(epochs=1), folds=cv.path / "folds.csv").info == cv.info
    with pytest.raises(RunError, match="folds: 2 of a table before, 2 made here now"):
        cross_validate(pack, cv.path, tiny(epochs=1), folds=2)
    make_folds(pack, folds=2, seed=1).save(tmp_path / "other.csv")
    with pytest.raises(RunError, match=r"now"):
        cross_validate(pack, cv.path, tiny(epochs=1), folds=tmp_path / "other.csv")
    with pytest.raises(OptionError, match="repeats"):
        cross_validate(pack, tmp_path / "more", tiny(), folds=tmp_path / "mine.csv", repeats=2)


# interrupted, and in parts


class Broken(Exception):
    """Stands for whatever may happen."""


def test_what_breaks_within_a_fold_goes_on_there_and_ends_with_the_same_numbers(
    whole: CrossValidation, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls, ended = Checkpoints.on_train_batch_end, iter(range(10**6)), []

    def break_once(*arguments: Any) -> None:
        original(*arguments)
        if next(calls) == 9:  # in the second fold, whose epochs have three batches
            raise Broken

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", break_once)
    config = tiny(checkpoint_minutes=1e-9)
    with pytest.raises(Broken):
        cross_validate(pack, tmp_path / "cv", config, folds=FOLDS, done=ended.append)
    broken = CrossValidation(tmp_path / "cv")
    assert not broken.complete
    assert [run.fold for run in ended] == [0]
    assert [path.name for path in broken.missing()] == ["fold-1", "fold-2"]
    with pytest.raises(RunError, match="2 of 3 folds"):
        _ = broken.members
    with pytest.raises(RunError, match="prebake cv command again"):
        broken.oof()
    before = (broken.path / "fold-0" / "run.json").read_bytes()
    cv = cross_validate(pack, tmp_path / "cv", config, folds=FOLDS)
    assert (broken.path / "fold-0" / "run.json").read_bytes() == before
    require_same(cv, whole)


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on_and_ends_with_the_same_numbers(
    whole: CrossValidation, pack: Path, tmp_path: Path
) -> None:
    process = start(command(pack, tmp_path / "cv"))
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"{tmp_path}/cv/fold-0: best epoch")
    process.kill()
    process.communicate()
    assert not CrossValidation(tmp_path / "cv").complete
    for left in (".cv.json.0f1e2d3c.tmp", "fold-0/.metrics.csv.0f1e2d3c.tmp"):
        (tmp_path / "cv" / left).write_text("what a kill while writing leaves")
    require_same(cross_validate(pack, tmp_path / "cv", tiny(), folds=FOLDS), whole)
    assert not list((tmp_path / "cv").rglob(".*.tmp"))


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def command(pack: Path, folder: Path, **changes: Any) -> list[str]:
    words = ["cv", str(pack), "-o", str(folder), "--folds", str(FOLDS), *tiny(**changes).options()]
    return [sys.executable, "-W", "error", "-m", "prebake", *words]


@pytest.mark.slow
def test_folds_run_alone_in_several_processes_and_the_last_writes_the_table(
    whole: CrossValidation, pack: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cv"
    assert cli.main([*command(pack, folder)[5:], "--fold", "2"]) == 0
    assert not (folder / "oof.csv").exists()
    jobs = [start([*command(pack, folder), "--fold", fold]) for fold in ("0", "1")]
    said = [job.communicate() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    assert sum("out of fold: kappa" in out for out, _ in said) >= 1
    require_same(CrossValidation(folder), whole)


def test_the_table_is_also_written_by_the_command_without_a_fold(
    whole: CrossValidation, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in range(FOLDS):
        cv = cross_validate(pack, tmp_path / "cv", tiny(), folds=FOLDS, fold=fold)
        assert cv.complete == (fold == 2)
        if not cv.complete:
            assert "missing:" in terminal.cross_validated(cv)
    (cv.path / "cv.json").write_text(json.dumps({**cv.info, "state": "training"}))
    (cv.path / "oof.csv").unlink()
    assert cli.main(command(pack, cv.path)[5:]) == 0
    require_same(CrossValidation(cv.path), whole)
    assert f"prebake predict {cv.path} PHOTOGRAPHS -o predictions.csv" in capsys.readouterr().out


def test_a_fold_that_was_removed_is_trained_again_and_the_table_made_anew(
    whole: CrossValidation, pack: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole.path, tmp_path / "cv")
    shutil.rmtree(tmp_path / "cv" / "fold-1")
    (tmp_path / "cv" / "oof.csv").write_text("of before")
    assert not cross_validate(pack, tmp_path / "cv", tiny(), folds=FOLDS, fold=0).complete
    require_same(cross_validate(pack, tmp_path / "cv", tiny(), folds=FOLDS), whole)


@pytest.mark.slow
def test_side_by_side_ends_its_processes_when_interrupted_goes_on_and_ends_with_the_same_numbers(
    whole: CrossValidation, pack: Path, tmp_path: Path
) -> None:
    process, ended = start([*command(pack, tmp_path / "cv"), "--parallel", "2"]), []
    while not (tmp_path / "cv" / "fold-0" / "run.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode == 130, errors
    assert "goes on" in errors
    missing = [int(path.name[-1]) for path in CrossValidation(tmp_path / "cv").missing()]
    assert 2 in missing  # and no process holds a fold:
    cv = cross_validate_side_by_side(pack, tmp_path / "cv", tiny(), folds=FOLDS, processes=2, done=ended.append)
    assert sorted(run.fold for run in ended) == missing
    require_same(cv, whole)


def test_side_by_side_names_the_folds_that_fail(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "command", lambda *_: ["no_such_module"])
    with pytest.raises(RunError, match=r"2 of 2 folds could not be trained(.|\n)*fold 1: .*No module named no_such"):
        cross_validate_side_by_side(pack, tmp_path / "cv", tiny(), folds=2)
    with pytest.raises(OptionError, match="processes"):
        cross_validate_side_by_side(pack, tmp_path / "cv", tiny(), folds=2, processes=0)
    assert cli.main(["cv", str(pack), "-o", str(tmp_path / "cv"), "--fold", "1", "--parallel", "2"]) == 2


def test_each_process_takes_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    found = [each.get("CUDA_VISIBLE_DEVICES") for each in side_by_side._environments(tiny(), 3)]
    assert found == ["3", "5", "3"]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in side_by_side._environments(tiny(accelerator="cpu"), 2)] == [
        "3,5",
        "3,5",
    ]


# whose the folder is


def test_another_cross_validation_in_the_folder_is_refused_and_the_difference_told(
    whole: CrossValidation, pack: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"lr: 0\.003 before, 0\.1 now"):
        cross_validate(pack, whole.path, tiny(lr=0.1), folds=FOLDS)
    with pytest.raises(RunError, match="folds: 3 made here before, 4 made here now"):
        cross_validate(pack, whole.path, tiny(), folds=4)
    with pytest.raises(RunError, match="repeats: 1 before, 2 now"):
        cross_validate(pack, whole.path, tiny(), folds=FOLDS, repeats=2)
    other = make_pack(tmp_path / "b.h5", 45, seed=3)
    with pytest.raises(RunError, match=r"packs: a \(.*\) before, b \(.*\) now"):
        cross_validate(other, whole.path, tiny(), folds=FOLDS)
    with pytest.raises(RunError, match="something else"):
        fit(pack, whole.path, tiny())
    with pytest.raises(RunError, match="something else"):
        cross_validate(pack, whole.path / "fold-0", tiny(), folds=FOLDS)
    with pytest.raises(SplitError, match="no fold 7"):
        cross_validate(pack, whole.path, tiny(), folds=FOLDS, fold=7)


def test_what_failed_before_the_first_fold_began_leaves_the_folder_free(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        cross_validate(pack, tmp_path / "cv", tiny(model="no_such_model"), folds=2)
    assert cross_validate(pack, tmp_path / "cv", tiny(epochs=1), folds=FOLDS, fold=0).config == tiny(epochs=1)


def test_a_fold_of_other_origin_is_not_taken_into_the_table(whole: CrossValidation, pack: Path, tmp_path: Path) -> None:
    cv = cross_validate(pack, tmp_path / "cv", tiny(epochs=1), folds=2, fold=0)
    folds = Folds.load(cv.path / "folds.csv", pack)
    fit(pack, cv.path / "fold-1", tiny(epochs=1, lr=1e-4), folds=folds, fold=1)
    with pytest.raises(RunError, match=r"fold-1 holds another training(.|\n)*lr"):
        cross_validate(pack, cv.path, tiny(epochs=1), folds=2)
    with pytest.raises(RunError, match=r"fold-1 is of another cross-validation(.|\n)*lr"):
        cross_validate(pack, cv.path, tiny(epochs=1), folds=2, fold=0)


@pytest.mark.parametrize(
    "change", [{"folds": [0]}, {"folds": ["a", "b"]}, {"repeats": 0}, {"state": "?"}, {"format": 9}]
)
def test_a_damaged_cv_json_is_an_error_of_ours(whole: CrossValidation, tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "cv.json").write_text(json.dumps({**whole.info, **change}))
    with pytest.raises(RunError):
        CrossValidation(tmp_path)


# what it is for


def test_predicting_with_a_cross_validation_is_the_mean_of_its_folds(whole: CrossValidation, pack: Path) -> None:
    together = predict(whole.path, pack)
    assert together.per_run.shape == (FOLDS, 45)
    assert np.array_equal(together.raw, predict([run.path for run in whole.members], pack).raw)
    oof = whole.oof()
    own = together.per_run[oof["fold"], np.arange(45)]
    assert own == pytest.approx(oof["raw"], abs=1e-4)


def test_thresholds_are_fitted_out_of_fold_and_used_only_when_asked(
    varied: CrossValidation, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunError, match="prebake thresholds"):
        fitted_thresholds([varied])
    assert cli.main(["thresholds", str(varied.path)]) == 0
    said = capsys.readouterr().out
    assert "default" in said
    assert varied.fitted().sentence in said
    assert fitted_thresholds([varied.path]) == varied.fitted().thresholds == find_thresholds(varied).thresholds
    words = ["predict", str(varied.path), str(pack), "-o"]
    assert cli.main([*words, str(tmp_path / "default.csv")]) == 0
    assert cli.main([*words, str(tmp_path / "fitted.csv"), "--thresholds"]) == 0
    plain, other = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("default", "fitted"))
    assert plain["diagnosis"].tolist() == grade(plain["raw"]).tolist()
    assert other["diagnosis"].tolist() == grade(plain["raw"], varied.fitted().thresholds).tolist()
    assert ("are used although" in capsys.readouterr().err) == (not varied.fitted().worthwhile)
    assert shlex.quote(str(varied.path)) in said


def test_thresholds_of_a_run_are_fitted_to_its_validation_and_must_agree(varied: CrossValidation) -> None:
    run = varied.members[0]
    gain = find_thresholds(run)
    assert run.fitted().thresholds == gain.thresholds
    find_thresholds(varied)
    assert gain.thresholds != varied.fitted().thresholds
    with pytest.raises(RunError, match="are not those of"):
        fitted_thresholds([varied, run])
