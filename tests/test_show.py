"""The picture grid: which images, in which order, with which words, beside which photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from prebake.errors import OptionError, PackError, PrebakeError, SourceError
from prebake.files import digest
from prebake.show import GAP, LINE, grid, save_grid
from prebake.sources import survey
from prebake.store import Pack, PackWriter, open_pack
from prebake.store.layout import Header, Row

CELL, SIZE = 64, 16
COLOURS = np.array(
    [(220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30), (30, 220, 220), (220, 30, 220)], np.uint8
)
LABELS = (0.0, 0.0, 0.0, 2.0, 2.0, None)


def _plain(colour: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(colour, (height, width, 3)).copy()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photographs of one plain colour each, twice as wide as high."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number, colour in enumerate(COLOURS):
        cv2.imwrite(str(photographs / f"eye{number}.png"), _plain(colour[::-1], 40, 80))
    return photographs


@pytest.fixture
def pack(folder: Path, tmp_path: Path) -> Pack:
    """A pack of them: baked they are half as bright."""
    samples = survey([folder]).samples
    target = tmp_path / "pack.h5"
    with PackWriter(target, Header("{}", "0" * 32, SIZE, "raw"), (SIZE, SIZE, 3), len(samples)) as writer:
        for sample, colour, label in zip(samples, COLOURS, LABELS, strict=True):
            data = (Path(sample.root) / sample.member).read_bytes()
            affine = ((5.0, 0.0, 2.0), (0.0, 2.5, 1.0))
            row = Row(
                sample.id, label, None, sample.source, "", sample.path, 80, 40, affine, digest(data), len(data), 0
            )
            writer.add(row, _plain(colour // 2, SIZE, SIZE))
    return open_pack(target)


def _middles(picture: np.ndarray, columns: int, count: int, width: int = CELL) -> list[list[int]]:
    """Colour of the middle of each picture, row by row."""
    found = []
    for place in range(count):
        y = GAP + place // columns * (CELL + LINE + GAP) + CELL // 2
        x = GAP + place % columns * (width + GAP) + width - CELL // 2
        found.append(picture[y, x].tolist())
    return found


def test_named_images_come_in_the_order_in_which_they_are_named(pack: Pack) -> None:
    picture = grid(pack, ["eye4", "eye0", "eye2"], cell=CELL)
    assert picture.dtype == np.uint8
    assert picture.shape == (GAP + CELL + LINE + GAP, GAP + 3 * (CELL + GAP), 3)
    assert _middles(picture, 3, 3) == [(COLOURS[i] // 2).tolist() for i in (4, 0, 2)]


def test_without_ids_every_label_gets_its_share_and_a_missing_label_too(pack: Pack) -> None:
    assert _middles(grid(pack, count=3, cell=CELL), 3, 3) == [(COLOURS[i] // 2).tolist() for i in (1, 4, 5)]


def test_more_images_than_there_are_shows_all_of_them_once(pack: Pack) -> None:
    picture = grid(pack, count=100, cell=CELL)
    assert sorted(_middles(picture, 3, 6)) == sorted((COLOURS // 2).tolist())
    np.testing.assert_array_equal(picture, grid(pack.path, count=100, cell=CELL))


def test_the_photograph_stands_to_the_left_of_what_was_baked_of_it_with_its_aspect_kept(
    pack: Pack, folder: Path
) -> None:
    picture = grid(pack, ["eye3"], sources=[folder], cell=CELL)
    assert picture.shape[1] == 2 * GAP + 2 * CELL + GAP // 2
    row = GAP + CELL // 2
    assert picture[row, GAP + CELL // 2].tolist() == COLOURS[3].tolist()
    assert picture[row, -GAP - CELL // 2].tolist() == (COLOURS[3] // 2).tolist()
    photograph = picture[GAP : GAP + CELL, GAP : GAP + CELL]
    assert int((photograph[:, CELL // 2] == COLOURS[3]).all(axis=-1).sum()) == CELL // 2


def test_a_source_that_was_renamed_is_found_by_its_ids(pack: Pack, folder: Path) -> None:
    renamed = folder.rename(folder.with_name("elsewhere"))
    np.testing.assert_array_equal(
        grid(pack, ["eye1"], sources=renamed, cell=CELL)[GAP + CELL // 2, GAP + CELL // 2], COLOURS[1]
    )


def test_among_several_sources_the_photograph_is_found_by_its_path(pack: Pack, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    cv2.imwrite(str(other / "eye1.png"), np.zeros((9, 9, 3), np.uint8))
    picture = grid(pack, ["eye1"], sources=[other, folder], cell=CELL)
    assert picture[GAP + CELL // 2, GAP + CELL // 2].tolist() == COLOURS[1].tolist()


def test_photographs_that_are_not_in_the_sources_are_named(pack: Pack, folder: Path) -> None:
    (folder / "eye2.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 2 photographs are not in the sources: eye2") as caught:
        grid(pack, ["eye1", "eye2"], sources=[folder], cell=CELL)
    assert "as they were given to prebake pack" in str(caught.value)


def test_a_photograph_that_has_changed_is_not_passed_off_as_the_one_that_was_baked(pack: Pack, folder: Path) -> None:
    cv2.imwrite(str(folder / "eye2.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(SourceError, match=r"eye2.*not the photograph that was baked"):
        grid(pack, ["eye2"], sources=[folder], cell=CELL)


def test_an_id_that_is_not_there_is_answered_with_the_nearest(pack: Pack) -> None:
    with pytest.raises(PackError, match="eye") as caught:
        grid(pack, ["eye9"], cell=CELL)
    assert "eye9" in str(caught.value)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"cell": 8}])
def test_a_grid_of_nothing_is_refused(pack: Pack, wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        grid(pack, **wrong)


def _ink(picture: np.ndarray) -> np.ndarray:
    """Where something is written under a picture that is alone in its grid."""
    line = picture[GAP + CELL : GAP + CELL + LINE].astype(int)
    return np.abs(line - line[0, 0]).sum(axis=-1) > 60


def test_id_and_label_stand_under_the_picture_apart_from_each_other(pack: Pack) -> None:
    ink = _ink(grid(pack, ["eye3"], cell=CELL))
    columns = np.flatnonzero(ink.any(axis=0))
    gaps = np.diff(columns)
    assert gaps.max() >= 8, "the id, room, the label"
    assert columns[0] < GAP + 6
    assert columns[-1] > GAP + CELL - 6
    assert not ink[0].any()
    assert not ink[-1].any()


def test_a_long_or_foreign_id_is_shortened_to_fit(tmp_path: Path) -> None:
    names = ["a_very_long_name_of_a_photograph_0123456789", "左眼_ñandú_0123456789_und_noch_mehr", "x"]
    with PackWriter(tmp_path / "p.h5", Header("{}", "0" * 32, SIZE, "raw"), (SIZE, SIZE, 3), 3) as writer:
        for name in names:
            row = Row(name, 1.25, None, "", "", name, 1, 1, ((1, 0, 0), (0, 1, 0)), "0" * 32, 1, 0)
            writer.add(row, np.zeros((SIZE, SIZE, 3), np.uint8))
    for name in names:
        ink = _ink(grid(tmp_path / "p.h5", [name], cell=CELL))
        assert not ink[:, : GAP - 1].any()
        assert not ink[:, GAP + CELL + 1 :].any()
        assert ink.any()


def test_gray_images_and_labels_that_are_no_whole_numbers_are_drawn(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "p.h5", Header("{}", "0" * 32, SIZE, "raw"), (SIZE, SIZE, 1), 1) as writer:
        row = Row("a", 1.25, None, "", "", "a", 1, 1, ((1, 0, 0), (0, 1, 0)), "0" * 32, 1, 0)
        writer.add(row, np.full((SIZE, SIZE, 1), 77, np.uint8))
    assert _middles(grid(tmp_path / "p.h5", cell=CELL), 1, 1) == [[77, 77, 77]]


def test_an_empty_pack_is_refused(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "p.h5", Header("{}", "0" * 32, SIZE, "raw"), (SIZE, SIZE, 3), 0):
        pass
    with pytest.raises(PackError, match="no image"):
        grid(tmp_path / "p.h5")


def test_the_written_png_is_the_grid_and_nothing_lies_beside_it(pack: Pack, tmp_path: Path) -> None:
    target = save_grid(pack, tmp_path / "new" / "grid.png", ["eye1"], cell=CELL)
    np.testing.assert_array_equal(cv2.imread(str(target), cv2.IMREAD_COLOR_RGB), grid(pack, ["eye1"], cell=CELL))
    assert [path.name for path in target.parent.iterdir()] == ["grid.png"]


def test_another_ending_than_png_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(PrebakeError, match="PNG"):
        save_grid(tmp_path / "no-such-pack.h5", tmp_path / "grid.jpg")
