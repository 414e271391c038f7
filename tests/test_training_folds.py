"""Who trains and who validates: the hold-out keeps together what belongs together, and fit can be told its folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from duplicates_helpers import picture, row, saved_again, write
from prebake.errors import OptionError, RunError, SplitError
from prebake.splits import Folds, make_folds
from prebake.training import fit
from prebake.training.data import gather
from training_helpers import make_pack, require_equal, tiny

if TYPE_CHECKING:
    from prebake.runs import Run


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packs of the same name that share ids, with pairs of eyes in the first."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "2015").mkdir()
    (folder / "2019").mkdir()
    groups = [f"patient {number // 2}" for number in range(40)]
    return [make_pack(folder / "2015" / "train.h5", 40, groups=groups), make_pack(folder / "2019" / "train.h5", seed=1)]


@pytest.fixture(scope="module")
def folds(packs: list[Path]) -> Folds:
    return make_folds(packs, folds=4)


@pytest.fixture(scope="module")
def run(packs: list[Path], folds: Folds, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(packs, tmp_path_factory.mktemp("fold") / "run", tiny(), folds=folds, fold=2)


def test_the_rows_of_the_fold_validate_and_all_others_train(run: Run, folds: Folds) -> None:
    split = run.split()
    assert (run.fold, run.info["folds"]) == (2, [0, 1, 2, 3])
    assert split["fold"].tolist() == folds.fold.tolist()
    assert split["part"].tolist() == np.where(folds.fold == 2, "val", "train").tolist()
    assert len(run.validation()) == len(folds.val_rows(2)) == run.info["n_val"]


def test_packs_of_one_name_are_told_apart_and_pairs_are_groups(run: Run) -> None:
    split, judged = run.split(), run.judged()
    assert split["pack"].unique().tolist() == ["2015/train", "2019/train"]
    assert not split[["pack", "id_code"]].duplicated().any()
    assert split.loc[split["pack"] == "2015/train", "group"].value_counts().unique().tolist() == [2]
    assert split.loc[split["pack"] == "2019/train", "group"].unique().tolist() == [""]
    assert len(judged) == len(run.validation())
    assert judged.group_count < len(judged)


def test_other_folds_another_fold_or_a_hold_out_are_refused_in_the_same_folder(
    run: Run, packs: list[Path], folds: Folds
) -> None:
    assert fit(packs, run.path, tiny(), folds=folds, fold=2).info == run.info
    with pytest.raises(RunError, match="split: fold 2 before, fold 1 now"):
        fit(packs, run.path, tiny(), folds=folds, fold=1)
    with pytest.raises(RunError, match="split: fold 2 before, a hold-out now"):
        fit(packs, run.path, tiny())
    with pytest.raises(RunError, match="other photographs train or validate"):
        fit(packs, run.path, tiny(), folds=make_folds(packs, folds=4, seed=1), fold=2)


def test_folds_of_other_packs_and_half_an_answer_are_refused(packs: list[Path], folds: Folds, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="other packs"):
        fit(packs[:1], tmp_path / "run", tiny(), folds=folds, fold=0)
    with pytest.raises(OptionError, match="both or none"):
        fit(packs, tmp_path / "run", tiny(), folds=folds)
    with pytest.raises(SplitError, match="no fold 9"):
        fit(packs, tmp_path / "run", tiny(), folds=folds, fold=9)


def test_a_saved_table_gives_the_same_training(run: Run, packs: list[Path], folds: Folds, tmp_path: Path) -> None:
    folds.save(tmp_path / "folds.csv")
    again = fit(packs, tmp_path / "run", tiny(), folds=Folds.load(tmp_path / "folds.csv", packs), fold=2)
    require_equal(again, run)


def test_a_hold_out_keeps_copies_and_patients_on_one_side(tmp_path: Path) -> None:
    rows = [row(number) for number in range(20)]
    rows += [row(number, id=f"again{number}", image=saved_again(picture(number - 20))) for number in range(20, 40)]
    rows[0]["group"] = rows[5]["group"] = "two photographs"
    path = write(tmp_path / "a.h5", rows)
    for seed in range(5):
        data = gather(path, tiny(seed=seed, val_fraction=0.3))
        side = np.isin(np.arange(40), data.val)
        assert side[:20].tolist() == side[20:].tolist()
        assert side[0] == side[5]
        assert 10 <= side.sum() <= 14
    assert data.groups[0] == data.groups[5] == data.groups[20] == data.groups[25] == "p000"
    assert data.groups[1] == data.groups[21] == "p001"
