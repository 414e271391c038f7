"""The table of folds: made, saved, loaded, and refused where it leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from duplicates_helpers import picture, row, saved_again, write
from prebake.duplicates import find_duplicates
from prebake.errors import OptionError, SplitError
from prebake.splits import Folds, make_folds, together


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Twenty photographs, two of a patient; row 1 is row 6 saved again: it joins patients 0 and 3."""
    rows = [row(number, group=f"patient {number // 2}", label=float(number % 3)) for number in range(20)]
    rows[1]["image"] = saved_again(picture(6))
    rows[18]["label"] = None
    rows[19]["split"] = "test"
    return write(tmp_path / "pack.h5", rows)


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_labelled_rows_are_in_one_fold_and_patients_and_copies_together(pack: Path) -> None:
    folds = make_folds(pack, folds=3)
    assert folds.numbers == (0, 1, 2)
    assert np.flatnonzero(folds.fold < 0).tolist() == [18, 19]
    assert len({folds.fold[number] for number in (0, 1, 6, 7)}) == 1
    assert all(folds.fold[number] == folds.fold[number + 1] for number in range(0, 18, 2))
    for number in folds.numbers:
        train, val = folds.train_rows(number), folds.val_rows(number)
        assert sorted([*train, *val]) == [*range(18)]
    assert make_folds(pack, folds=3, use_test=True).fold[19] >= 0
    assert (make_folds(pack, folds=3, seed=1).fold != folds.fold).any()
    with pytest.raises(SplitError, match="no fold 3"):
        folds.val_rows(3)


def test_together_serves_the_hold_out_too(pack: Path) -> None:
    names = together(find_duplicates(pack))
    assert len({names[number] for number in (0, 1, 6, 7)}) == 1
    assert len(set(names)) == 9


def test_the_saved_table_is_read_back_whatever_the_order_of_packs_and_lines(pack: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.h5", [row(number, id=f"q{number}") for number in range(30, 40)])
    folds = make_folds([pack, other], folds=3)
    folds.save(tmp_path / "folds.csv")
    header, *lines = (tmp_path / "folds.csv").read_text().splitlines()
    assert header == "id_code,pack,label,group,cluster,fold"
    assert lines[1] == f"p001,pack,1.0,patient 0,p001,{folds.fold[1]}"
    assert lines[18].endswith(",patient 9,,")
    table(tmp_path / "folds.csv", "\n".join([header, *reversed(lines)]))
    again = Folds.load(tmp_path / "folds.csv", [other, pack])
    assert again.fold.tolist() == [*folds.fold[20:], *folds.fold[:20]]
    assert make_folds([other, pack], folds=3).fold.tolist() == again.fold.tolist()


def test_ids_and_folds_alone_are_enough(tmp_path: Path) -> None:
    ids = ["0709652336e2", "007", "7", "NA", "1e5"]
    pack = write(tmp_path / "p.h5", [row(number, id=name) for number, name in enumerate(ids)])
    path = table(tmp_path / "f.csv", "id_code,fold\n0709652336e2,1\n007,2.0\n7,1\nNA,2\n1e5,\n")
    folds = Folds.load(path, pack)
    assert folds.fold.tolist() == [1, 2, 1, 2, -1]
    assert folds.numbers == (1, 2)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["p000,0", "p001,1", "p002,1", "p009,1"], "line 5: 'p009' is in none of the packs"),
        (["p000,0", "p001,1", "p002,1", "p001,1"], "line 5: 'p001' is in line 3 already"),
        (["p000,0", "p001,1", "p002,x"], "line 4: 'p002' has the fold 'x', which is no whole number"),
        (["p000,0", "p001,1", "p002,1.5"], "no whole number"),
        (["p000,0", "p001,1", "p002,-1"], "no whole number"),
        (["p000,0", "p001,1"], "lacks labelled photographs: 1 problem\n  - p002"),
        (["p000,0", "p001,1", "p002,1", "p003,0"], "line 5: 'p003' has no label"),
        (["p000,0", "p001,0", "p002,0"], "nothing to validate with"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    pack = write(tmp_path / "p.h5", [*map(row, range(3)), row(3, label=None)])
    path = table(tmp_path / "f.csv", "\n".join(["id_code,fold", *lines]))
    with pytest.raises(SplitError) as error:
        Folds.load(path, pack)
    assert said in str(error.value)
    assert "expected" in str(error.value) or "what to do" in str(error.value)


def test_other_labels_than_those_of_the_pack_are_refused(tmp_path: Path) -> None:
    pack = write(tmp_path / "p.h5", map(row, range(2)))
    with pytest.raises(SplitError, match="line 3: 'p001' has the label 1 in the pack, not 4"):
        Folds.load(table(tmp_path / "f.csv", "id_code,label,fold\np000,0,0\np001,4,1\n"), pack)


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    pack = write(tmp_path / "p.h5", map(row, range(2)))
    with pytest.raises(SplitError, match="lacks columns"):
        Folds.load(table(tmp_path / "f.csv", "image,fold\np000,0\n"), pack)


def test_a_patient_in_two_folds_is_refused_by_name(tmp_path: Path) -> None:
    rows = [row(number, group=f"patient {number // 2}") for number in range(4)]
    pack = write(tmp_path / "p.h5", rows)
    path = table(tmp_path / "f.csv", "id_code,fold\np000,0\np001,1\np002,0\np003,0\n")
    with pytest.raises(SplitError, match=r"patient 'patient 0': p000 is in fold 0, p001 in fold 1"):
        Folds.load(path, pack)
    out = table(tmp_path / "f.csv", "id_code,fold\np000,\np001,1\np002,0\np003,0\n")
    assert Folds.load(out, pack).fold.tolist() == [-1, 1, 0, 0]


def test_a_patient_that_only_the_table_knows_counts_too(tmp_path: Path) -> None:
    pack = write(tmp_path / "p.h5", map(row, range(3)))
    with pytest.raises(SplitError, match="patient 'x'"):
        Folds.load(table(tmp_path / "f.csv", "id_code,group,fold\np000,x,0\np001,x,1\np002,,1\n"), pack)


def test_copies_in_two_folds_are_refused_unless_the_table_says_that_they_are_none(tmp_path: Path) -> None:
    copy = row(9, id="copy", image=saved_again(picture(0)))
    pack = write(tmp_path / "p.h5", [row(0), row(1), copy])
    with pytest.raises(SplitError, match="duplicates of 'p000': p000 is in fold 0, copy in fold 1"):
        Folds.load(table(tmp_path / "f.csv", "id_code,fold\np000,0\np001,1\ncopy,1\n"), pack)
    Folds.load(table(tmp_path / "f.csv", "id_code,cluster,fold\np000,,0\np001,,1\ncopy,,1\n"), pack)
    with pytest.raises(SplitError, match="duplicates of 'twins'"):
        Folds.load(table(tmp_path / "f.csv", "id_code,cluster,fold\np000,twins,0\np001,twins,1\ncopy,,1\n"), pack)
    same = write(tmp_path / "same.h5", [row(0), row(1), row(0, id="copy")])
    with pytest.raises(SplitError, match="duplicates of 'p000'"):
        Folds.load(table(tmp_path / "f.csv", "id_code,cluster,fold\np000,,0\np001,,1\ncopy,,1\n"), same)


def test_photographs_that_one_in_no_fold_joins_are_refused_in_two_folds(tmp_path: Path) -> None:
    """The copy has no label, but it shows that p000 and p002 are of one patient."""
    copy = row(9, id="copy", image=saved_again(picture(2)), group="a", label=None)
    pack = write(tmp_path / "p.h5", [row(0, group="a"), row(1), row(2), copy])
    with pytest.raises(SplitError, match=r"in no fold: p000 is in fold 0, p002 in fold 1"):
        Folds.load(table(tmp_path / "f.csv", "id_code,fold\np000,0\np001,1\np002,1\n"), pack)
    Folds.load(table(tmp_path / "f.csv", "id_code,fold\np000,0\np001,1\np002,0\n"), pack)


def test_packs_with_the_same_ids_and_the_same_name_are_told_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "2015" / "train.h5", map(row, range(4)))
    two = write(tmp_path / "2019" / "train.h5", [row(n, image=picture(50 + n), label=1.0) for n in range(4)])
    folds = make_folds([one, two], folds=2)
    folds.save(tmp_path / "f.csv")
    assert "\np000,2019/train,1.0," in (tmp_path / "f.csv").read_text()
    again = Folds.load(tmp_path / "f.csv", [two, one])
    assert again.fold.tolist() == [*folds.fold[4:], *folds.fold[:4]]
    with pytest.raises(SplitError, match="'p000' of pack '2015/train' is in none"):
        Folds.load(tmp_path / "f.csv", one)
    with pytest.raises(SplitError, match="'p000' is in 2 packs, and no column `pack` tells"):
        Folds.load(table(tmp_path / "g.csv", "id_code,fold\np000,0\n"), [one, two])
    with pytest.raises(OptionError, match="given 2 times"):
        make_folds([one, one])


def test_one_table_serves_packs_of_two_recipes(tmp_path: Path) -> None:
    crop = write(tmp_path / "crop.h5", [row(n, file=f"{n}") for n in range(10)])
    ben = write(tmp_path / "ben.h5", [row(n, file=f"{n}") for n in range(10)], recipe="ben")
    make_folds(crop).save(tmp_path / "f.csv")
    assert Folds.load(tmp_path / "f.csv", ben).fold.tolist() == make_folds(ben).fold.tolist()


def test_packs_without_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="no photograph of p can be in a fold"):
        make_folds(write(tmp_path / "p.h5", [row(n, label=None) for n in range(3)]))
