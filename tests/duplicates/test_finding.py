"""Duplicates: all of them, only them, and what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import prebake
from duplicates_helpers import half_size, picture, row, saved_again, write
from prebake.duplicates import find_duplicates, similarity
from prebake.errors import OptionError
from prebake.store import PackRows
from store.packs import images, kernel_2019


def kinds(found) -> list[tuple[str, str, str]]:
    table = found.table()
    return sorted(zip(table["kind"], table["id_code"], table["id_code_2"], strict=True))


def test_the_same_file_the_same_pixels_and_copies_saved_again(tmp_path: Path) -> None:
    pack = write(
        tmp_path / "a.h5",
        [
            *map(row, range(30)),
            row(0, id="file", image=picture(0), file=f"{tmp_path / 'a.h5'} p000"),
            row(1, id="pixels"),
            row(2, id="quality", image=saved_again(picture(2))),
            row(3, id="half", image=half_size(picture(3))),
            row(4, id="darker", image=(picture(4) * 0.7).astype(np.uint8)),
        ],
    )
    found = find_duplicates(pack)
    assert kinds(found) == [
        ("file", "p000", "file"),
        ("near", "p002", "quality"),
        ("near", "p003", "half"),
        ("near", "p004", "darker"),
        ("pixels", "p001", "pixels"),
    ]
    assert found.clusters == ((0, 30), (1, 31), (2, 32), (3, 33), (4, 34))
    assert found.names[30] == found.names[0] == "p000"
    assert found.names[29] == ""
    assert kinds(find_duplicates(pack, near=False)) == [("file", "p000", "file"), ("pixels", "p001", "pixels")]


def test_the_other_eye_is_no_duplicate(tmp_path: Path) -> None:
    mirrored = [row(number, id=f"right{number}", image=picture(number)[:, ::-1].copy()) for number in range(10)]
    assert find_duplicates(write(tmp_path / "a.h5", [*map(row, range(10)), *mirrored])).pairs == ()


def test_three_that_are_joined_in_different_ways_are_one_cluster_with_two_pairs(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5", [row(0, file="x"), row(1)])
    second = write(tmp_path / "b.h5", [row(5), row(0, label=3.0, file="x"), row(0, id="again", label=None)])
    found = find_duplicates([first, second])
    assert found.clusters == ((0, 3, 4),)
    assert sorted(pair.kind for pair in found.pairs) == ["file", "pixels"]
    assert found.conflicts == ((0, 3, 4),)
    assert set(found.table()["pack_2"]) == {"b"}
    assert found.names[0] == "a:p000", "p000 is in both packs"


def test_a_missing_label_is_no_conflict(tmp_path: Path) -> None:
    found = find_duplicates(write(tmp_path / "a.h5", [row(0), row(0, id="again", label=None)]))
    assert len(found.clusters) == 1
    assert found.conflicts == ()


def test_images_of_different_recipes_are_not_compared_but_files_are(tmp_path: Path) -> None:
    one = write(tmp_path / "crop.h5", [row(0, file="x"), row(1)])
    rows = [row(0, id="same", file="x"), row(1, id="other"), row(0, id="copy", image=saved_again(picture(0)))]
    other = write(tmp_path / "ben.h5", rows, recipe="ben")
    assert kinds(find_duplicates([one, other])) == [("file", "p000", "same"), ("near", "same", "copy")]


def test_even_pictures_have_no_hash_and_are_compared_as_pixels_only(tmp_path: Path) -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    rows = [row(n, image=image) for n, image in enumerate((black, black, white, black + 1))]
    assert kinds(find_duplicates(write(tmp_path / "a.h5", rows))) == [("pixels", "p000", "p001")]
    assert similarity(black, black) == 0


def test_pictures_that_are_alike_in_the_hash_alone_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplicates_helpers.perceptual_hash", lambda image: 12345)
    rows = [*map(row, range(40)), row(7, id="copy", image=saved_again(picture(7)))]
    assert kinds(find_duplicates(write(tmp_path / "a.h5", rows))) == [("near", "p007", "copy")]


def test_a_copy_that_is_cropped_elsewhere_is_aligned_first() -> None:
    image = cv2.GaussianBlur(picture(1), (0, 0), 3)
    moved = cv2.warpAffine(image, np.array([[1.02, 0, 1.5], [0, 0.98, -1.0]]), (64, 64), borderMode=cv2.BORDER_REFLECT)
    assert similarity(image, moved) > 0.9
    assert similarity(image, cv2.GaussianBlur(picture(2), (0, 0), 3)) < 0.7


def test_a_file_of_the_2019_kernel_tells_nothing(tmp_path: Path) -> None:
    old = kernel_2019(tmp_path / "old.h5", np.repeat(images(1), 3, axis=0))
    assert find_duplicates(old).pairs == ()


def test_packs_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, [row(0)]) for name in ("a/x/p.h5", "b/x/p.h5", "b/q.h5", "b/q.hdf5")]
    rows = PackRows.of(paths)
    assert rows.names == ("a/x/p", "b/x/p", "q.h5", "q.hdf5")
    assert rows.titles == ["a/x/p:p000", "b/x/p:p000", "q.h5:p000", "q.hdf5:p000"]
    assert PackRows.of(paths[0]).names == ("p",)
    assert rows.place(2) == (rows.packs[2], 0)


def test_the_same_pack_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", [row(0)])
    (tmp_path / "link.h5").symlink_to(path)
    with pytest.raises(OptionError, match="given 2 times"):
        find_duplicates([path, tmp_path / "link.h5"])
    with pytest.raises(OptionError, match="no pack"):
        find_duplicates([])


def test_the_five_pairs_of_idrid_and_the_eye_photographed_twice(idrid: Path, tmp_path: Path) -> None:
    chosen = [13, 397, 21, 391, 28, 327, 45, 333, 73, 375, 79, 279, 124, 171, 43, 48, 127, 248, 200, 86]
    originals = {path.stem: path for path in idrid.rglob("*.jpg")}
    (tmp_path / "in").mkdir()
    for number in chosen:
        shutil.copy(originals[f"IDRiD_{number:03d}"], tmp_path / "in")
    image = cv2.imread(str(originals["IDRiD_043"]))
    cv2.imwrite(str(tmp_path / "in" / "quality60.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "in" / "half.jpg"), half)
    prebake.pack([tmp_path / "in"], tmp_path / "p.h5", recipe="crop")
    found = find_duplicates(tmp_path / "p.h5")
    files = [("021", "391"), ("028", "327"), ("045", "333"), ("073", "375"), ("079", "279")]
    assert [pair[1:] for pair in kinds(found) if pair[0] == "file"] == [
        (f"IDRiD_{one}", f"IDRiD_{other}") for one, other in files
    ]
    clusters = {tuple(sorted(found.rows.ids[row] for row in rows)) for rows in found.clusters}
    again = {("IDRiD_013", "IDRiD_397"), ("IDRiD_043", "half", "quality60")}
    assert clusters == again | {(f"IDRiD_{one}", f"IDRiD_{other}") for one, other in files}
