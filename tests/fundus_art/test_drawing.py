"""The drawings: the same every time, laid out as photographs are, and different by grade."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from prebake.fundus_art import Eye, draw

SIZE = (300, 234)


def _gray(eye: Eye) -> np.ndarray:
    return cv2.cvtColor(draw(eye, SIZE), cv2.COLOR_RGB2GRAY)


def test_the_same_eye_is_drawn_the_same_to_the_pixel() -> None:
    eye = Eye(3, "left", 5, 1)
    np.testing.assert_array_equal(draw(eye, SIZE), draw(eye, SIZE))


@pytest.mark.parametrize(
    "other", [Eye(2, "right", 5, 1), Eye(2, "left", 6, 1), Eye(2, "left", 5, 2), Eye(3, "left", 5, 1)]
)
def test_another_side_patient_seed_or_grade_gives_another_picture(other: Eye) -> None:
    first, second = draw(Eye(2, "left", 5, 1), SIZE), draw(other, SIZE)
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_a_drawing_is_an_rgb_disc_on_black_within_the_size_asked_for() -> None:
    for patient in range(12):
        image = draw(Eye(patient % 5, "right", patient), SIZE)
        height, width = image.shape[:2]
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert 100 < width <= SIZE[0]
        assert 100 < height <= SIZE[1]
        middle = image[height // 3 : -height // 3, width // 3 : -width // 3].reshape(-1, 3).mean(axis=0)
        assert middle[0] > middle[1] > middle[2] > 5, "orange to red"
        corners = np.concatenate([image[:4, :4], image[-4:, :4], image[:4, -4:], image[-4:, -4:]])
        assert corners.mean() < 12


def _nasal_and_temporal(plane: np.ndarray, side: int) -> tuple[float, float]:
    """Brightness where the optic disc belongs (``side`` 1: right of the middle), and in the mirrored place."""
    seen = np.flatnonzero(plane.max(axis=0) > 40)
    middle, reach = (seen[0] + seen[-1]) / 2, (seen[-1] - seen[0]) / 2

    def spot(direction: int) -> float:
        column, row, half = round(middle + direction * 0.6 * reach), plane.shape[0] // 2, round(0.2 * reach)
        return float(np.percentile(plane[row - half : row + half, column - half : column + half], 85))

    return spot(side), spot(-side)


def test_both_eyes_of_a_patient_come_from_one_camera_and_look_to_opposite_sides() -> None:
    for patient in range(8):
        left, right = (draw(Eye(0, side, patient), SIZE) for side in ("left", "right"))
        assert left.shape == right.shape
        for eye, side in ((left, -1), (right, 1)):
            nasal, temporal = _nasal_and_temporal(eye[..., 1], side)
            assert nasal > temporal, "the optic disc lies towards the nose"


def test_cameras_differ_in_size_and_in_aspect() -> None:
    shapes = {draw(Eye(0, "left", patient), SIZE).shape for patient in range(20)}
    assert len(shapes) == 4


def test_the_worse_the_grade_the_more_fine_detail_there_is_away_from_the_rim() -> None:
    def detail(eye: Eye) -> float:
        gray = _gray(eye).astype(np.float32)
        height, width = gray.shape
        middle = gray[height // 4 : -height // 4, width // 4 : -width // 4]
        return float(np.abs(middle - cv2.GaussianBlur(middle, (0, 0), 5)).mean())

    means = [np.mean([detail(Eye(grade, "left", patient)) for patient in range(12)]) for grade in range(5)]
    assert means[0] < means[1] < means[2] < means[3]
    assert means[4] > means[2]
