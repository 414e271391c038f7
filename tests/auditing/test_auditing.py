"""Audits of made-up packs, in which it is known what there is to find; and of the photographs of IDRiD."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import prebake
from duplicates_helpers import picture, row, write
from prebake.auditing import Audit, Clue, audit, save_pictures
from prebake.auditing.guessing import grades_by_rank
from prebake.errors import MissingExtra, OptionError, PackError
from prebake.metrics import Judged, auc_interval, judge
from prebake.packing import pack
from prebake.store import PackWriter, open_pack
from store.packs import FAILURES, header, images, kernel_2019
from store.packs import write as write_with_failures

COUNT = 120


def rows(count: int = COUNT, **columns: Any) -> list[dict[str, Any]]:
    """Rows whose labels go round; a column is a value for every row, or a function of its number."""
    return [
        row(number, **{name: value(number) if callable(value) else value for name, value in columns.items()})
        for number in range(count)
    ]


def clue(found: Audit, name: str, stage: str = "before", scope: int = 0) -> Clue:
    return next(one for one in found.shortcuts[scope].clues if (one.name, one.stage) == (name, stage))


def texts(found: Audit, about: str) -> str:
    return " ".join(finding.text for finding in found.findings if finding.about == about)


def test_a_size_that_gives_the_label_away_is_found(tmp_path: Path) -> None:
    leaking = rows(width=lambda number: 3000 if number % 5 >= 2 else 2000 + number % 3)
    found = audit(write(tmp_path / "a.h5", leaking))
    size = clue(found, "image size")
    assert size.low > 0.5
    first = found.findings[0]
    assert first.serious
    assert first.text.startswith(f"Image size alone predicts the grade with kappa {size.value:.2f} (")
    assert first.text.endswith("a model may learn the camera, not the eye.")


def test_what_has_nothing_to_do_with_the_label_is_not_taken_for_a_shortcut(tmp_path: Path) -> None:
    widths = np.random.default_rng(1).integers(1000, 4000, COUNT)
    found = audit(write(tmp_path / "a.h5", rows(width=lambda number: int(widths[number]))))
    size = clue(found, "image size")
    assert size.low < 0 < size.high
    assert not [finding for finding in found.findings if finding.serious]
    assert "image size, " in texts(found, "shortcuts").lower()
    assert "nothing of the grade" in texts(found, "shortcuts")


def test_photographs_of_one_size_are_said_to_be_so(tmp_path: Path) -> None:
    found = audit(write(tmp_path / "a.h5", rows()))
    assert clue(found, "image size").reason == "the same in every photograph"
    assert np.isnan(clue(found, "image size").value)
    assert "All photographs are 30 x 20 pixels: their size cannot give the grade away." in texts(found, "shortcuts")


def test_the_one_size_is_that_of_the_photographs_with_a_label(tmp_path: Path) -> None:
    write(tmp_path / "empty.h5", [])
    sizes = rows(
        60, width=lambda number: 30 if number else 99, label=lambda number: float(number % 5) if number else None
    )
    found = audit([tmp_path / "empty.h5", write(tmp_path / "a.h5", sizes)])
    assert "All photographs with a label are 30 x 20 pixels: their size cannot" in texts(found, "shortcuts")


def test_colour_that_gives_the_label_away_is_found_after_the_recipe(tmp_path: Path) -> None:
    def dyed(number: int) -> np.ndarray:
        return np.clip(picture(number).astype(int) + 12 * (number % 5), 0, 255).astype(np.uint8)

    found = audit(write(tmp_path / "a.h5", rows(image=dyed)))
    assert clue(found, "colour", "after").low > 0.4
    assert "or the disease itself" in texts(found, "shortcuts")


def test_a_border_that_gives_the_label_away_is_found(tmp_path: Path) -> None:
    def framed(number: int) -> np.ndarray:
        image, edge = picture(number), 1 + 2 * (number % 5)
        image[:edge] = image[-edge:] = 0
        return image

    found = audit(write(tmp_path / "a.h5", rows(image=framed)))
    assert clue(found, "border", "after").low > 0.7


def test_each_source_is_also_looked_at_alone(tmp_path: Path) -> None:
    """Within a source, size tells nothing; that one source is sicker and its photographs larger does."""
    mixed = [
        *rows(source="small", width=1000, label=lambda number: float(number % 2)),
        *[
            row(number, source="large", width=3000, label=float(2 + number % 3), image=picture(number))
            for number in range(COUNT, 2 * COUNT)
        ],
    ]
    found = audit(write(tmp_path / "a.h5", mixed))
    assert [scope.scope for scope in found.shortcuts] == ["all photographs", "small", "large"]
    assert clue(found, "image size").low > 0.3
    assert clue(found, "image size", scope=1).reason == "the same in every photograph"
    assert [(shift.what, shift.one, shift.other, shift.photographs) for shift in found.shifts] == [
        ("source", "small", "large", (COUNT, COUNT))
    ]


def test_training_and_test_photographs_of_other_cameras_are_told_apart(tmp_path: Path) -> None:
    shifted = rows(
        split=lambda number: "test" if number % 3 == 0 else "train",
        image=lambda number: picture(number) // (2 if number % 3 == 0 else 1),
    )
    found = audit(write(tmp_path / "a.h5", shifted))
    (shift,) = found.shifts
    values = {one.name: one for one in shift.clues if one.stage == "after"}
    assert (shift.one, shift.other, shift.photographs) == ("test", "train", (40, 80))
    assert values["colour"].low > 0.9
    assert found.findings[0].text.startswith("Split test against train can be told by colour (AUC ")
    assert found.findings[0].serious


def test_sides_that_are_alike_are_not_told_apart(tmp_path: Path) -> None:
    found = audit(
        [write(tmp_path / "a.h5", rows()), write(tmp_path / "b.h5", [row(n) for n in range(COUNT, 2 * COUNT)])]
    )
    (shift,) = found.shifts
    assert (shift.what, shift.one, shift.other) == ("pack", "a", "b")
    assert not any(one.above(0.5) for one in shift.clues)
    assert "cannot be told by any of these" in texts(found, "shift")


def test_one_side_is_nothing_to_compare_and_a_few_photographs_are_too_few(tmp_path: Path) -> None:
    found = audit(write(tmp_path / "a.h5", rows(20, split=lambda number: "test" if number < 4 else "train")))
    assert {one.reason for one in found.shortcuts[0].clues} == {"fewer than 50 photographs have a label"}
    assert {one.reason for one in found.shifts[0].clues} == {
        "fewer than 10 photographs of different patients on one side"
    }
    alone = audit(write(tmp_path / "b.h5", rows(20)))
    assert alone.shifts == ()
    assert "nothing to compare" in texts(alone, "shift")


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (lambda number: None, "no photograph has a label"),
        (lambda number: 2.0, "every label is 2"),
        (lambda number: number / 2, "the labels are no grades"),
    ],
)
def test_labels_that_cannot_be_predicted_are_a_reason_not_a_number(tmp_path: Path, labels, reason) -> None:
    found = audit(write(tmp_path / "a.h5", rows(60, label=labels, width=lambda number: number)))
    assert clue(found, "image size").reason == reason
    assert reason in texts(found, "shortcuts")


def test_a_handful_of_patients_is_too_few(tmp_path: Path) -> None:
    found = audit(write(tmp_path / "a.h5", rows(60, group=lambda number: f"patient{number % 3}")))
    assert clue(found, "colour", "after").reason == "the photographs are of fewer than 5 patients"
    assert found.patients.photographs == {20: 3}


def test_images_of_different_recipes_are_not_compared(tmp_path: Path) -> None:
    one = write(tmp_path / "crop.h5", rows(60, width=lambda number: 100 * (1 + number % 5)))
    other = write(tmp_path / "ben.h5", [row(n, width=100 * (1 + n % 5)) for n in range(60, 120)], recipe="ben")
    found = audit([one, other])
    assert clue(found, "colour", "after").reason == "the packs are of different recipes"
    assert clue(found, "framing").reason == "the packs are of different recipes"
    assert clue(found, "image size").low > 0.9
    assert not clue(found, "colour", "after", scope=1).reason, "each source alone is of one recipe"


def test_copies_their_labels_and_where_they_are(tmp_path: Path) -> None:
    train = [*map(row, range(4)), row(0, id="again", label=3.0, image=picture(0))]
    one = write(tmp_path / "train.h5", [{**entry, "split": "train"} for entry in train])
    other = write(tmp_path / "test.h5", [row(1, id="leak", split="test"), row(9, id="alone", split="test")])
    found = audit([one, other])
    assert [[copy.id for copy in copies.members] for copies in found.copies] == [["p000", "again"], ["p001", "leak"]]
    assert [(copies.conflict, copies.kinds, copies.packs, copies.splits) for copies in found.copies] == [
        (True, ("pixels",), ("train",), ("train",)),
        (False, ("pixels",), ("train", "test"), ("train", "test")),
    ]
    serious = [finding.text for finding in found.findings if finding.serious]
    assert serious[0] == "1 cluster of copies has different labels: p000 (0) = again (3)."
    assert serious[1] == "1 cluster of copies in more than one split: p001 (train) = leak (test)."


def test_pictures_of_copies_replace_those_of_an_earlier_audit(tmp_path: Path) -> None:
    two = audit(write(tmp_path / "a.h5", [*map(row, range(3)), row(0, id="x"), row(1, id="y", label=4.0)]))
    folder = tmp_path / "deep" / "pictures"
    assert [file.name for file in save_pictures(two, folder)] == ["copies-001.png", "copies-002.png"]
    first = cv2.imread(str(folder / "copies-001.png"))
    assert first.shape[1] > 2 * 384, "two photographs side by side"
    one = audit(write(tmp_path / "b.h5", [*map(row, range(3)), row(0, id="x")]))
    save_pictures(one, folder)
    assert [file.name for file in folder.iterdir()] == ["copies-001.png"]
    with pytest.raises(OptionError, match="into a folder"):
        save_pictures(one, tmp_path / "b.h5")


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    found = audit(write_with_failures(tmp_path / "a.h5", images(60), "raw", failures=FAILURES))
    assert [(part.source, part.photographs, part.missing) for part in found.parts] == [("", 30, 0), ("aptos", 30, 15)]
    assert "15 of 60 photographs have no label." in texts(found, "labels")
    assert texts(found, "failures") == "2 photographs could not be baked."
    assert found.patients.unknown == 20
    assert "the patient of 20 photographs" in texts(found, "patients")


def test_a_patient_in_training_and_test_is_serious(tmp_path: Path) -> None:
    entries = rows(8, group=lambda number: f"p{number // 2}", split=lambda number: "test" if number == 1 else "train")
    found = audit(write(tmp_path / "a.h5", entries))
    assert found.patients.across == ("p0",)
    assert found.findings[0].text == "1 patient in more than one split: p0."


def test_files_of_the_2019_kernel_are_audited_as_far_as_they_tell(tmp_path: Path) -> None:
    found = audit(kernel_2019(tmp_path / "old.h5", images(12)))
    assert "Copies cannot be found in old" in texts(found, "copies")
    assert clue(found, "image size").reason == "no photograph has a label"


def test_it_is_plain_json_and_the_same_every_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", [*rows(60, width=lambda number: 100 + number), row(0, id="x", image=picture(0))])
    first, second = (json.dumps(prebake.audit([path]).to_dict(), allow_nan=False) for _ in range(2))
    assert first == second
    values = json.loads(first)
    assert set(values) == {"findings", "packs", "parts", "patients", "copies", "shortcuts", "shifts"}
    assert values["shortcuts"][0]["measure"] == "kappa"
    assert {one["value"] for one in values["shortcuts"][0]["clues"] if one["reason"]} <= {None}


def test_grades_by_rank_are_as_frequent_as_in_training_and_equal_for_equal_predictions() -> None:
    labels = np.repeat([0.0, 1.0, 2.0], [50, 30, 20])
    given = grades_by_rank(np.random.default_rng(0).permutation(100) / 100, labels)
    assert np.unique(given, return_counts=True)[1].tolist() == [50, 30, 20]
    assert len(np.unique(grades_by_rank(np.ones(40), labels))) == 1


def test_kappa_and_auc_of_a_feature_that_tells_everything_are_those_of_scikit_learn(tmp_path: Path) -> None:
    found = audit(write(tmp_path / "a.h5", rows(width=lambda number: 100 * (1 + number % 5))))
    labels = np.arange(COUNT) % 5
    assert clue(found, "image size").value == pytest.approx(cohen_kappa_score(labels, labels, weights="quadratic"))


def test_the_interval_of_the_auc_is_that_of_all_metrics_together() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 150) * 2.0
    raw, groups = labels + rng.normal(0, 2, 150), tuple(f"g{number // 2}" for number in range(150))
    number = judge(Judged(tuple(map(str, range(150))), labels, raw, groups))["referable_auc"]
    assert auc_interval(labels, raw, 2, groups) == pytest.approx((number["low"], number["high"]))
    assert number["value"] == pytest.approx(roc_auc_score(labels > 0, raw))
    assert np.isnan(auc_interval([0, 0], [1, 2], 2)).all()
    assert np.isnan(auc_interval([0, 2], [1, 2], 2, ["a", "a"])).all()


def test_an_empty_pack_and_a_missing_package_are_explained(tmp_path: Path, monkeypatch) -> None:
    with PackWriter(tmp_path / "empty.h5", header("raw"), (8, 8, 3), 0):
        pass
    with pytest.raises(PackError, match="nothing to audit"):
        audit(tmp_path / "empty.h5")
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtra, match="pip install"):
        audit(tmp_path / "empty.h5")


def test_the_pairs_and_conflicts_of_idrid(idrid: Path, tmp_path: Path) -> None:
    names = ("001", "002", "013", "021", "028", "045", "073", "079", "279", "327", "333", "375", "391", "397")
    originals = {path.stem: path for path in idrid.rglob("*.jpg")}
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in names:
        (folder / f"IDRiD_{name}.jpg").symlink_to(originals[f"IDRiD_{name}"])
    table = next(idrid.rglob("*Training Labels.csv"))
    given = dict(line.split(",")[:2] for line in table.read_text(encoding="utf-8-sig").splitlines()[1:])
    labels = tmp_path / "labels.csv"
    labels.write_text("id_code,diagnosis\n" + "".join(f"IDRiD_{name},{given[f'IDRiD_{name}']}\n" for name in names))
    pack([folder], tmp_path / "idrid.h5", recipe="crop", labels=labels)
    found = audit(tmp_path / "idrid.h5")
    assert [tuple(copy.id[-3:] for copy in copies.members) for copies in found.copies] == [
        ("013", "397"), ("021", "391"), ("028", "327"), ("045", "333"), ("073", "375"), ("079", "279")
    ]  # fmt: skip
    assert [tuple(copy.label for copy in copies.members) for copies in found.conflicts] == [(3, 2), (1, 2), (4, 3)]
    assert [copies.kinds for copies in found.copies] == [("near",), *[("file",)] * 5]
    assert open_pack(tmp_path / "idrid.h5").width.tolist() == [4288] * len(names)
    assert found.shortcuts[0].clues[0].reason == "fewer than 50 photographs have a label"


def test_the_files_of_a_set_are_audited_as_one_pack(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"eyes-0000{number}-of-00003.h5", [row(40 * number + place) for place in range(40)])
    found = audit(tmp_path / "eyes-*.h5")
    assert [(pack.name, pack.path, pack.photographs) for pack in found.packs] == [
        ("eyes", str(tmp_path / "eyes-*.h5"), 120)
    ]
    assert found.shifts == ()
    assert {part.pack for part in found.parts} == {"eyes"}
