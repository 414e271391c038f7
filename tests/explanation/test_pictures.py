"""What is drawn and said of an explanation, and the check that maps show the model."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from explanation_helpers import SIZE, fundus, halved, make_run, save_jpeg
from prebake.cli import main
from prebake.explanation import SanityCheck, explain, overlay, sanity_check, save_explanation
from prebake.explanation.drawing import HIGHER, LOWER, limit, sheet
from prebake.explanation.sanity import rank_correlation
from prebake.recipe import Recipe

RESIZE = Recipe.named("resize", SIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(4):
        image = fundus(1500, 900, (500 + 60 * number, 300), (820, 620), 220)
        save_jpeg(image + rng.integers(0, 30, image.shape, np.uint8), folder / f"eye{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), RESIZE)


def test_orange_raises_blue_lowers_and_grey_is_between():
    image = np.full((1, 4, 3), 100, np.uint8)
    drawn = overlay(image, np.array([[2, 0, -2, np.nan]], np.float32)).astype(int)
    expected = [np.add(100, 0.8 * np.subtract(colour, 100)) for colour in (HIGHER, (100, 100, 100), LOWER)]
    np.testing.assert_allclose(drawn[0, :3], expected, atol=0.5)
    assert drawn[0, 3].tolist() == [50, 50, 50]
    half = overlay(image, np.full((1, 4), 1, np.float32), strongest=2)[0, 0]
    np.testing.assert_allclose(half, np.add(100, 0.4 * np.subtract(HIGHER, 100)), atol=0.5)


def test_a_map_of_zeros_colours_nothing():
    assert limit(np.zeros((2, 2), np.float32)) > 0
    assert (overlay(np.full((2, 2, 3), 90, np.uint8), np.zeros((2, 2), np.float32)) == 90).all()


def test_a_picture_is_bounded_and_colours_the_patches(run, folder, tmp_path):
    found = explain(run, folder, ids=["eye0"])[0]
    path = save_explanation(found, tmp_path / "out", longest=500)
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    assert path.name == "eye0.png"
    assert picture.shape[1] == 4 * 24 + 2 * 500 + 300
    right = picture[64:364, -524:-24]
    green, blue = right[100, 500 // 3], right[620 // 3, 820 // 3]
    assert green[0] - green[2] > 80
    assert blue[2] - blue[0] > 80


def test_without_a_photograph_the_baked_image_is_drawn_on_and_that_is_said(tmp_path, folder, monkeypatch):
    said = []
    monkeypatch.setattr("prebake.explanation.drawing._lines", lambda words, width: said.extend(words) or _empty(width))
    mine = make_run(tmp_path / "run", Recipe.from_callable(halved, name="mine", version="1", size=SIZE))
    assert sheet(explain(mine, folder, count=1)[0]).shape[1] == 3 * 24 + 2 * 640
    assert any("which point of the photograph a baked pixel shows is not known" in line for line in said)
    kernel = make_run(tmp_path / "kernel", Recipe.named("kernel", SIZE))
    sheet(explain(kernel, folder, count=1)[0])
    assert any("approximate" in line for line in said)
    assert any("raw value" in line and "grade" in line for line in said)


def _empty(width):
    return np.zeros((1, width, 3), np.uint8)


def test_names_of_files_are_harmless_and_differ(run, folder, tmp_path):
    from dataclasses import replace

    found = explain(run, folder, count=1)[0]
    names = ["a/b", "a_b", "../../up", ".hidden", "x" * 300, "x" * 299]
    paths = [save_explanation(replace(found, subject=replace(found.subject, id=name)), tmp_path, 64) for name in names]
    assert len(set(paths)) == len(names)
    assert all(path.parent == tmp_path and path.is_file() and not path.name.startswith(".") for path in paths)


def test_random_weights_give_other_maps(run, folder):
    found = explain(run, folder)
    check = sanity_check(run, found)
    assert check == sanity_check(run, found)
    assert check.passed, check.sentence
    assert (check.photographs, check.draws) == (4, 3)
    assert "passed" in check.sentence
    assert "\n" not in check.sentence


def test_maps_that_do_not_react_to_the_weights_fail_the_check(tmp_path, folder):
    stubborn = make_run(tmp_path / "run", RESIZE, model="stubborn")
    check = sanity_check(stubborn, explain(stubborn, folder))
    assert not check.passed
    assert check.correlation == pytest.approx(1)
    assert "failed" in check.sentence


def test_flat_maps_of_random_weights_decide_nothing():
    check = SanityCheck(float("nan"), 1, 3)
    assert not check.passed
    assert "undecided" in check.sentence


def test_rank_correlation_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 9, (2, 12, 12)).astype(np.float32)
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one.ravel(), other.ravel()).statistic)
    assert np.isnan(rank_correlation(one, np.ones_like(one)))


def test_the_verb_writes_a_picture_for_each_photograph(run, folder, tmp_path, capsys):
    arguments = ["explain", str(run.path), str(folder), "-o", str(tmp_path / "out"), "--count", "2", "--check"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert len(lines) == 3
    assert "raw value" in lines[0]
    assert lines[2].startswith("sanity check")
    assert main(["explain", str(run.path)]) == 2
