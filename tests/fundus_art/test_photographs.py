"""The generated set: laid out as APTOS 2019, the same for a seed, resumed, and never written over someone's data."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from prebake.errors import OptionError
from prebake.fundus_art import draw, generate, plan

SMALL = {"count": 10, "size": (150, 117), "progress": False}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("generated") / "photographs", **SMALL)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_tables_and_folders_are_those_of_aptos(photographs: Path) -> None:
    train, test = _rows(photographs / "train.csv"), _rows(photographs / "test.csv")
    assert list(train[0]) == ["id_code", "diagnosis"]
    assert list(test[0]) == ["id_code"]
    assert {row["id_code"] for row in train} == {path.stem for path in (photographs / "train_images").iterdir()}
    assert {row["id_code"] for row in test} == {path.stem for path in (photographs / "test_images").iterdir()}
    assert {path.suffix for path in photographs.glob("*_images/*")} == {".png"}
    for row in train + test:
        assert len(row["id_code"]) == 12
        int(row["id_code"], 16)


def test_what_is_written_is_what_was_drawn(photographs: Path) -> None:
    drawing = plan(10)[3]
    written = cv2.imread(str(photographs / drawing.member), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(written, draw(drawing.eye, SMALL["size"]))
    table = {row["id_code"]: int(row["diagnosis"]) for row in _rows(photographs / "train.csv")}
    assert table[drawing.id] == drawing.eye.grade


def test_grades_are_as_unevenly_frequent_as_in_aptos_and_both_eyes_mostly_agree() -> None:
    drawings = [drawing for drawing in plan(1000, 3) if drawing.split == "train"]
    share = Counter(drawing.eye.grade for drawing in drawings)
    for grade, expected in enumerate((0.45, 0.10, 0.25, 0.10, 0.10)):
        assert abs(share[grade] / 1000 - expected) < 0.06
    pairs = list(zip(drawings[::2], drawings[1::2], strict=True))
    assert all(left.eye.patient == right.eye.patient for left, right in pairs)
    assert 0.75 < np.mean([left.eye.grade == right.eye.grade for left, right in pairs]) < 0.95
    assert max(abs(left.eye.grade - right.eye.grade) for left, right in pairs) == 1


def test_even_the_smallest_set_has_every_grade_and_no_patient_is_in_train_and_test() -> None:
    drawings = plan(10, 5)
    train = [drawing for drawing in drawings if drawing.split == "train"]
    assert {drawing.eye.grade for drawing in train} == {0, 1, 2, 3, 4}
    test = [drawing for drawing in drawings if drawing.split == "test"]
    assert not {d.eye.patient for d in train} & {d.eye.patient for d in test}
    assert len({drawing.id for drawing in drawings}) == len(drawings)


def test_another_seed_gives_other_ids() -> None:
    assert not {d.id for d in plan(20, 0)} & {d.id for d in plan(20, 1)}


def test_an_interrupted_call_goes_on_and_keeps_what_was_drawn(photographs: Path, tmp_path: Path) -> None:
    folder = generate(tmp_path / "again", **SMALL)
    kept, lost = (folder / drawing.member for drawing in plan(10)[:2])
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    (folder / "train.csv").unlink()
    generate(folder, **SMALL)
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp
    assert (folder / "train.csv").read_bytes() == (photographs / "train.csv").read_bytes()


def test_a_folder_with_other_settings_is_refused_and_both_are_shown(photographs: Path) -> None:
    with pytest.raises(OptionError, match="other settings") as caught:
        generate(photographs, **{**SMALL, "count": 12})
    assert "12" in str(caught.value)
    assert "10" in str(caught.value)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("precious")
    with pytest.raises(OptionError, match="not empty"):
        generate(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


@pytest.mark.parametrize("wrong", [{"count": 9}, {"seed": -1}, {"size": (40, 40)}])
def test_values_that_cannot_be_used_are_named(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        generate(tmp_path / "new", **{**SMALL, **wrong})
    assert not (tmp_path / "new").exists()
