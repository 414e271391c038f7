"""Augmentation: what is drawn, and what it does to pixels."""

from __future__ import annotations

import math
import sys

import cv2
import numpy as np
import pytest

from prebake.augment import Augment, random_words
from prebake.errors import MissingExtra, OptionError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROWS = np.arange(20_000)


def photograph(seed: int = 0, shape: tuple[int, ...] = (48, 64, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def normalised(image: np.ndarray, augment: Augment) -> np.ndarray:
    """(H, W, C) in 0 ... 255 -> (C, H, W), in float64 and by the book."""
    return ((image / 255.0 - np.array(augment.mean)) / np.array(augment.std)).transpose(2, 0, 1)


def applied(augment: Augment, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    out = np.empty((image.shape[2], *image.shape[:2]), np.float32)
    augment.apply_numpy(image, matrix, out)
    return out


def interpolated(image: np.ndarray, matrix: np.ndarray, fill: tuple[int, ...]) -> np.ndarray:
    """Bilinear interpolation, pixel by pixel, in float64."""
    height, width, _ = image.shape
    out = np.empty(image.shape)

    def pixel(x: int, y: int) -> np.ndarray:
        return image[y, x].astype(float) if 0 <= x < width and 0 <= y < height else np.array(fill, float)

    for v in range(height):
        for u in range(width):
            x, y = matrix @ (u, v, 1)
            left, top = math.floor(x), math.floor(y)
            a, b = x - left, y - top
            upper = (1 - a) * pixel(left, top) + a * pixel(left + 1, top)
            lower = (1 - a) * pixel(left, top + 1) + a * pixel(left + 1, top + 1)
            out[v, u] = (1 - b) * upper + b * lower
    return out


# ------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_random_words_are_those_published_with_philox(counter, key, expected):
    row = np.array([counter[0] | counter[1] << 32], np.uint64)
    words = random_words(key[0] | key[1] << 32, counter[2], row, counter[3])
    assert tuple(words[:, 0].tolist()) == expected


def test_what_is_drawn_for_a_row_does_not_depend_on_the_batch():
    augment = Augment(zoom=(0.8, 1.25), shear=10)
    whole = augment.parameters(5, 3, ROWS[:100], (256, 256))
    some = augment.parameters(5, 3, [41, 7, 99], (256, 256))
    np.testing.assert_array_equal(some, whole[[41, 7, 99]])


@pytest.mark.parametrize(("seed", "epoch", "row"), [(6, 3, 7), (5, 4, 7), (5, 3, 8)])
def test_seed_epoch_and_row_each_change_what_is_drawn(seed, epoch, row):
    augment = Augment()
    one = augment.parameters(5, 3, [7], (256, 256))
    assert not np.allclose(one, augment.parameters(seed, epoch, [row], (256, 256)))


def test_flips_are_drawn_for_half_of_the_rows_and_independently():
    matrices = Augment(rotation=0).parameters(1, 0, ROWS, (32, 32))
    across, down = matrices[:, 0, 0] < 0, matrices[:, 1, 1] < 0
    for share in (across.mean(), down.mean(), (across == down).mean()):
        assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(len(ROWS))


def test_a_flip_that_is_not_wanted_is_never_drawn():
    for names in ({"horizontal_flip": False}, {"vertical_flip": False}):
        matrices = Augment(rotation=0, **names).parameters(1, 0, ROWS, (32, 32))
        diagonal = matrices[:, [0, 1], [0, 1]]
        index = 0 if "horizontal_flip" in names else 1
        assert (diagonal[:, index] == 1).all()
        assert (diagonal[:, 1 - index] == -1).any()


def test_angles_are_uniform_between_their_limits():
    augment = Augment(horizontal_flip=False, vertical_flip=False, rotation=120)
    matrices = augment.parameters(0, 0, ROWS, (256, 256))
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert angles.min() > -120
    assert angles.max() < 120
    counts, _ = np.histogram(angles, bins=24, range=(-120, 120))
    expected = len(ROWS) / 24
    assert ((counts - expected) ** 2 / expected).sum() < 49.7  # chi-squared, 23 degrees of freedom, p = 0.001


def test_zoom_is_uniform_in_its_logarithm_and_enlarges_above_one():
    augment = Augment(horizontal_flip=False, vertical_flip=False, rotation=0, zoom=(0.5, 2.0))
    scale = augment.parameters(0, 0, ROWS, (256, 256))[:, 0, 0]
    logs = -np.log2(scale)  # of the magnification
    assert -1 < logs.min() < -0.99
    assert 0.99 < logs.max() < 1
    assert abs(logs.mean()) < 5 * (2 / math.sqrt(12)) / math.sqrt(len(ROWS))
    wide = photograph(shape=(32, 32, 3)) // 2 + 100
    enlarged = applied(Augment.none(MEAN, STD), wide, np.array([[0.5, 0, 7.75], [0, 0.5, 7.75]]))
    assert enlarged.min() > (90 / 255 - max(MEAN)) / min(STD)  # nothing from outside


def test_shear_slants_by_an_angle_within_its_limits():
    augment = Augment(horizontal_flip=False, vertical_flip=False, rotation=0, shear=20)
    slants = np.degrees(np.arctan(augment.parameters(0, 0, ROWS, (256, 256))[:, 0, 1]))
    assert -20 < slants.min() < -19.9
    assert 19.9 < slants.max() < 20


@pytest.mark.parametrize("shape", [(256, 256), (40, 64), (33, 51)])
def test_the_centre_of_the_image_stays_where_it_is(shape):
    matrices = Augment(zoom=(0.5, 2), shear=15).parameters(2, 9, ROWS[:200], shape)
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 1.0])
    np.testing.assert_allclose(matrices @ centre, np.tile(centre[:2], (200, 1)), atol=1e-9)


# ------------------------------------------------------------------ pixels


def test_without_augmentation_values_are_normalised_and_nothing_else():
    augment, image = Augment.none(MEAN, STD), photograph()
    matrix = augment.parameters(0, 0, [3], image.shape)[0]
    np.testing.assert_allclose(applied(augment, image, matrix), normalised(image, augment), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32, 3), (40, 64, 3), (33, 51, 1), (16, 16, 4)])
def test_pure_flips_move_pixels_and_change_none(shape):
    channels = shape[2]
    augment = Augment(rotation=0, mean=(0.0,) * channels, std=(1.0,) * channels, fill=(9,) * channels)
    image = photograph(shape=shape)
    plain = applied(augment, image, np.eye(2, 3))
    seen = set()
    for matrix in augment.parameters(0, 0, range(20), shape):
        across, down = matrix[0, 0] < 0, matrix[1, 1] < 0
        expected = plain[:, :: -1 if down else 1, :: -1 if across else 1]
        np.testing.assert_array_equal(applied(augment, image, matrix), expected)
        seen.add((bool(across), bool(down)))
    assert len(seen) == 4


@pytest.mark.parametrize("shape", [(20, 20, 3), (18, 26, 3), (17, 23, 1)])
def test_a_warp_is_bilinear_interpolation_with_the_fill_outside(shape):
    channels = shape[2]
    augment = Augment(zoom=(0.7, 1.3), shear=10, fill=(128,) * channels, mean=(0.3,) * channels, std=(0.2,) * channels)
    image = photograph(shape=shape)
    for matrix in augment.parameters(1, 2, range(5), shape):
        expected = normalised(interpolated(image, matrix, augment.fill), augment)
        grey_levels = np.abs(applied(augment, image, matrix) - expected) * 255 * 0.2
        assert grey_levels.max() < 0.05


def test_corners_that_come_from_outside_have_exactly_the_fill_colour():
    augment = Augment(fill=(128, 10, 255), mean=MEAN, std=STD)
    image = photograph(shape=(64, 64, 3))
    angle = math.radians(45)
    linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.column_stack([linear, np.full(2, 31.5) - linear @ np.full(2, 31.5)])
    out = applied(augment, image, matrix)
    expected = (np.array(augment.fill) / 255 - MEAN) / STD
    for y in (0, -1):
        for x in (0, -1):
            np.testing.assert_allclose(out[:, y, x], expected, rtol=1e-5, atol=1e-6)


def test_the_fill_is_that_of_the_augmentation_whatever_was_warped_before():
    image, matrix = photograph(shape=(32, 32, 3)), Augment().parameters(0, 0, [1], (32, 32))[0]
    matrix[:, :2] *= 4  # shrinks, so that much comes from far outside
    matrix[:, 2] = 15.5 - matrix[:, :2] @ (15.5, 15.5)
    for fill in ((0, 0, 0), (200, 100, 50), (0, 0, 0)):
        out = applied(Augment(fill=fill), image, matrix)
        np.testing.assert_allclose(out[:, 0, 0] * 255, fill, atol=1e-4)
        expected = interpolated(image, matrix, fill).transpose(2, 0, 1)
        assert np.abs(out * 255 - expected).max() < 0.05


def test_the_result_is_the_same_in_channels_last_memory():
    augment, image = Augment(mean=MEAN, std=STD), photograph(shape=(40, 40, 3))
    for matrix in (*augment.parameters(0, 0, range(3), image.shape), np.eye(2, 3)):
        interleaved = np.empty((40, 40, 3), np.float32)
        augment.apply_numpy(image, matrix, interleaved.transpose(2, 0, 1))
        np.testing.assert_array_equal(interleaved.transpose(2, 0, 1), applied(augment, image, matrix))


def test_the_rotation_is_that_of_opencv():
    image, augment = cv2.GaussianBlur(photograph(shape=(64, 64, 3)), (0, 0), 2), Augment(fill=(7, 7, 7))
    matrix = augment.parameters(0, 0, [1], image.shape)[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(image, matrix, (64, 64), flags=flags, borderValue=(7, 7, 7))
    got = applied(augment, image, matrix).transpose(1, 2, 0) * 255
    assert np.abs(got - expected).max() <= 2  # uint8 in and out


@pytest.mark.parametrize("shape", [(64, 64, 3), (40, 64, 3), (33, 51, 1), (256, 256, 3)])
def test_cpu_and_device_agree_within_a_twentieth_of_a_grey_level(shape):
    torch = pytest.importorskip("torch")
    channels = shape[2]
    augment = Augment(zoom=(0.8, 1.3), shear=8, fill=(128,) * channels, mean=(0.5,) * channels, std=(0.25,) * channels)
    images = photograph(3, (6, *shape))
    matrices = augment.parameters(1, 1, range(6), shape)
    batch = augment.apply_torch(torch.from_numpy(images), matrices)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    for image, matrix, result in zip(images, matrices, batch.numpy(), strict=True):
        assert np.abs(result - applied(augment, image, matrix)).max() * 255 * 0.25 < 0.05


def test_the_device_path_is_as_exact_within_a_block_of_mixed_precision():
    torch = pytest.importorskip("torch")
    augment = Augment(mean=MEAN, std=STD)
    images = torch.from_numpy(photograph(5, (2, 64, 64, 3)))
    matrices = augment.parameters(0, 0, range(2), images.shape[1:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = augment.apply_torch(images, matrices)
    assert torch.equal(mixed, augment.apply_torch(images, matrices))


def test_cpu_and_device_agree_exactly_on_flips():
    torch = pytest.importorskip("torch")
    augment = Augment(rotation=0, mean=MEAN, std=STD)
    images = photograph(4, (16, 24, 32, 3))
    matrices = augment.parameters(0, 0, range(16), images.shape[1:])
    batch = augment.apply_torch(torch.from_numpy(images), torch.from_numpy(matrices))
    for image, matrix, result in zip(images, matrices, batch.numpy(), strict=True):
        np.testing.assert_array_equal(result, applied(augment, image, matrix))


def test_the_device_path_needs_torch_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"prebake\[train\]"):
        Augment().apply_torch(photograph(shape=(1, 8, 8, 3)), np.eye(2, 3)[None])


# ------------------------------------------------------------------ the value object


def test_the_kernel_flips_sideways_and_turns_by_up_to_120_degrees():
    augment = Augment.kernel((128, 128, 128), MEAN, STD)
    assert (augment.horizontal_flip, augment.vertical_flip, augment.rotation) == (True, False, 120.0)
    assert Augment.full((0, 0, 0), MEAN, STD) == Augment(mean=MEAN, std=STD)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation": 181},
        {"rotation": math.nan},
        {"shear": 90},
        {"zoom": (0, 1)},
        {"zoom": (1.1, 0.9)},
        {"zoom": (1.0,)},
        {"zoom": 1.0},
        {"fill": (0, 0)},
        {"fill": (0, 0, 256)},
        {"std": (0, 1, 1)},
        {"mean": ("a", "b", "c")},
    ],
)
def test_values_that_cannot_be_used_are_refused(wrong):
    with pytest.raises(OptionError, match="augmentation"):
        Augment(**wrong)
