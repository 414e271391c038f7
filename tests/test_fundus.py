"""The pure functions on fundus pixels: crop, disc, local average, hash."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prebake import fundus
from prebake.fundus.average import _mirror_map

RNG = np.random.default_rng(0)


def photograph(height: int, width: int, x: float, y: float, radius: float, *, level: int = 150) -> np.ndarray:
    """A disc with shading and noise on a noisy dark border, with a notch and a label as cameras leave them."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(columns - x, rows - y)
    shade = np.clip(level * (1 - 0.5 * (distance / radius) ** 2), 0, 255)
    image = np.where((distance <= radius)[..., None], shade[..., None] * (1.0, 0.55, 0.25), 0)
    image += RNG.normal(0, 2, image.shape)
    image = np.clip(image, 0, 255).astype(np.uint8)
    cv2.circle(image, (round(x + radius * 0.75), round(y - radius * 0.68)), round(radius * 0.04), (200, 120, 60), -1)
    cv2.putText(image, "R", (4, height - 6), cv2.FONT_HERSHEY_PLAIN, 2, (255, 255, 255), 2)
    return image


def published_crop(image: np.ndarray, tolerance: int) -> np.ndarray:
    mask = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > tolerance
    return image[np.ix_(mask.any(1), mask.any(0))] if mask.any() else image


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]))
def test_the_tolerance_crop_equals_plain_indexing(seed: int, dark: float) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*rng.integers(1, 40, 2), 3), dtype=np.uint8)
    image[rng.random(image.shape[0]) < dark] = 0
    image[:, rng.random(image.shape[1]) < dark] = 0
    crop, _ = fundus.tolerance_crop(image, 7)
    np.testing.assert_array_equal(crop, published_crop(image, 7))


def test_the_tolerance_crop_is_right_where_nearly_every_second_row_is_dark() -> None:
    image = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    image[::2] = 0
    image[:, ::2] = 0
    crop, _ = fundus.tolerance_crop(image)
    np.testing.assert_array_equal(crop, published_crop(image, 7))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 260), st.integers(1, 260)),
    st.sampled_from([8, 16, 33, 64, 100]),
    st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
)
def test_crop_and_resize_in_one_equal_the_published_two(
    seed: int, shape: tuple[int, int], size: int, dark: float
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    image[rng.random(shape[0]) < dark] = 0
    image[:, rng.random(shape[1]) < dark] = rng.integers(0, 9)
    expected = published_crop(image, 7)
    result, offset, (width, height) = fundus.tolerance_crop_resized(image, 7, size)
    np.testing.assert_array_equal(result, cv2.resize(expected, (size, size)))
    assert (height, width) == expected.shape[:2]
    assert offset == fundus.tolerance_crop(image)[1]


@pytest.mark.parametrize("height", [1999, 2000, 2047, 2048, 2049, 4096, 20_000, 100_003])
@pytest.mark.parametrize("size", [50, 256, 512, 1024])
def test_crop_and_resize_in_one_equal_the_published_two_at_real_heights(height: int, size: int) -> None:
    image = RNG.integers(8, 256, (height, 9, 3), dtype=np.uint8)
    image[RNG.random(height) < 0.1] = 0
    for picture in (image, image.transpose(1, 0, 2).copy()):
        result, _, _ = fundus.tolerance_crop_resized(picture, 7, size)
        np.testing.assert_array_equal(result, cv2.resize(published_crop(picture, 7), (size, size)))


def test_the_offset_of_the_crop_is_that_of_the_longest_run() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    image[2, 3] = 255
    image[10:30, 20:45] = 100
    image[15, 25] = (1, 2, 250)
    crop, (x, y) = fundus.tolerance_crop(image)
    row, column = np.argwhere((crop == (1, 2, 250)).all(axis=2))[0]
    assert (column + x, row + y) == (25, 15)


@pytest.mark.parametrize(
    ("height", "width", "x", "y", "radius"),
    [
        (480, 640, 320, 240, 200),
        (356, 536, 247, 177, 214),
        (600, 400, 150, 330, 190),
        (480, 480, 240, 240, 240),
        (480, 640, 330, 235, 360),
        (1424, 2144, 1000.5, 700.25, 850),
        (90, 120, 61, 44, 40),
    ],
)
@pytest.mark.parametrize("level", [200, 40])
def test_the_disc_is_found_clipped_off_centre_and_dark(
    height: int, width: int, x: float, y: float, radius: float, level: int
) -> None:
    disc = fundus.fit_disc(photograph(height, width, x, y, radius, level=level))
    assert disc is not None
    tolerance = 0.012 * radius + 0.5
    assert disc.x == pytest.approx(x, abs=tolerance)
    assert disc.y == pytest.approx(y, abs=tolerance)
    assert disc.radius == pytest.approx(radius, abs=tolerance)


def test_the_disc_is_the_same_every_time() -> None:
    image = photograph(480, 640, 300, 250, 200)
    assert fundus.fit_disc(image) == fundus.fit_disc(image.copy())


def no_disc() -> dict[str, np.ndarray]:
    rectangle = np.zeros((200, 300, 3), np.uint8)
    rectangle[40:160, 30:270] = 150
    ellipse = np.zeros((300, 300, 3), np.uint8)
    cv2.ellipse(ellipse, (150, 150), (80, 145), 0, 0, 360, (180, 90, 40), -1)
    spot = np.zeros((200, 200, 3), np.uint8)
    spot[100, 100] = 255
    return {
        "dark": np.zeros((200, 300, 3), np.uint8),
        "noise": RNG.integers(0, 12, (200, 300, 3), dtype=np.uint8),
        "full": RNG.integers(90, 180, (200, 300, 3), dtype=np.uint8),
        "rectangle": rectangle,
        "ellipse": ellipse,
        "spot": spot,
        "one pixel": np.full((1, 1, 3), 99, np.uint8),
        "line": np.full((1, 500, 3), 99, np.uint8),
        "tall": RNG.integers(0, 256, (3000, 2, 3), dtype=np.uint8),
    }


@pytest.mark.parametrize("name", no_disc())
def test_where_there_is_no_disc_none_is_made_up(name: str) -> None:
    assert fundus.fit_disc(no_disc()[name]) is None


def test_the_least_squares_circle_equals_scipys_geometric_fit() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    disc = fundus.fit_disc(photograph(256, 256, 120.3, 130.7, 100))
    assert disc is not None
    angles = RNG.uniform(0, 2 * np.pi, 500)
    points = np.stack((120.3 + 100 * np.cos(angles), 130.7 + 100 * np.sin(angles)), 1) + RNG.normal(0, 0.2, (500, 2))
    found = optimize.least_squares(
        lambda p: np.hypot(points[:, 0] - p[0], points[:, 1] - p[1]) - p[2], (128, 128, 90)
    ).x
    np.testing.assert_allclose((disc.x, disc.y, disc.radius), found, atol=0.7)


def test_grahams_radius_is_half_the_bright_part_of_the_centre_row() -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    image[50, 100:300] = 90
    assert fundus.graham_radius(image) == 100
    assert fundus.graham_radius(np.zeros((100, 400, 3), np.uint8)) == 200


def test_the_subtraction_is_grahams_formula() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    average = cv2.GaussianBlur(image.astype(np.float64), (0, 0), 5)
    expected = np.clip(4 * image.astype(np.float64) - 4 * average + 128, 0, 255)
    # OpenCV blurs bytes with weights of eight bits and rounds the average, which then counts four times
    assert np.abs(fundus.subtract_average(image, 5) - expected).max() <= 8
    inside = fundus.subtract_average_inside(image, 5, None, (0, 0, 64, 64))
    assert np.abs(inside - expected).max() <= 1.5


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.one_of(st.floats(0.4, 45), st.sampled_from([10.0, 256 / 54, 20.0])),
)
def test_the_blur_is_opencvs_bit_for_bit(seed: int, shape: tuple[int, int], sigma: float) -> None:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 256, 2))
    image = rng.integers(low, high + 1, (*shape, 3), dtype=np.uint8)
    average = cv2.GaussianBlur(image, (0, 0), sigma)
    np.testing.assert_array_equal(fundus.subtract_average(image, sigma), cv2.addWeighted(image, 4, average, -4, 128))


@pytest.mark.parametrize("radius", [None, 58.0])
@pytest.mark.parametrize("frame", [(0, 0, 128, 128), (0, 20, 128, 100), (3, 20, 121, 128)])
def test_the_subtraction_inside_is_its_formula_in_plain_numpy(
    radius: float | None, frame: tuple[int, int, int, int]
) -> None:
    image = RNG.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    left, top, right, bottom = frame
    full = np.pad(image[top:bottom, left:right], ((top, 128 - bottom), (left, 128 - right), (0, 0)), "reflect")
    if radius is not None:
        full = cv2.remap(full, *_mirror_map(128, radius), cv2.INTER_LINEAR)
    exact = full.astype(np.float32)
    average = cv2.GaussianBlur(exact, (31, 31), 5)
    expected = np.full_like(image, 128)
    expected[top:bottom, left:right] = np.clip(np.rint(4 * (exact - average) + 128), 0, 255)[top:bottom, left:right]
    if radius is not None:
        expected[~fundus.inside(128, radius)] = 128
    np.testing.assert_array_equal(fundus.subtract_average_inside(image, 5, radius, frame), expected)


def test_an_even_disc_gives_even_gray_without_a_halo() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[20:100] = (180, 90, 40)
    image[~fundus.inside(128, 60)] = 0
    result = fundus.subtract_average_inside(image, 5, 58, (0, 20, 128, 100))
    assert np.abs(result.astype(int) - 128).max() <= 1
    halo = fundus.subtract_average(image, 5)
    assert np.abs(halo.astype(int) - 128).max() > 100


def test_the_background_of_the_subtraction_is_exactly_128() -> None:
    image = RNG.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    result = fundus.subtract_average_inside(image, 5, 50, (0, 20, 128, 100))
    assert (result[:20] == 128).all()
    assert (result[100:] == 128).all()
    assert (result[~fundus.inside(128, 50)] == 128).all()


def test_resizing_does_not_alias_and_keeps_the_mean() -> None:
    stripes = np.zeros((90, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(fundus.resize(stripes, 40, 40).astype(int) - 100).max() <= 1
    assert np.abs(fundus.resize(stripes, 40, 300).astype(int) - 100).max() <= 1


def test_hashes_of_recompressed_pictures_are_near_and_of_others_far() -> None:
    def picture(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        return cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC)

    pictures = [picture(seed) for seed in range(40)]
    hashes = [fundus.perceptual_hash(image) for image in pictures]
    assert all(0 <= value < 2**64 for value in hashes)
    for image, value in zip(pictures, hashes, strict=True):
        again = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
        assert (fundus.perceptual_hash(again) ^ value).bit_count() <= 4
    distances = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 8
    assert np.mean(distances) == pytest.approx(32, abs=2)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 200, 3), (3, 2, 3)])
def test_tiny_pictures_have_a_hash_too(shape: tuple[int, int, int]) -> None:
    assert fundus.perceptual_hash(np.zeros(shape, np.uint8)) == 0


@pytest.mark.parametrize(("left", "top", "side"), [(10.3, 5.7, 60.0), (-20.5, 12.25, 150.0), (3.1, -40.0, 190.4)])
def test_a_square_is_sampled_where_it_lies_to_a_fraction_of_a_pixel(left: float, top: float, side: float) -> None:
    y, x = np.mgrid[:120, :160]
    ramp = np.stack([x, y, np.full_like(x, 90)], axis=2).astype(np.uint8)
    result, (first, upper, right, lower) = fundus.sample_square(ramp, left, top, side, 20)
    centres = (np.arange(20) + 0.5) * side / 20 - 0.5
    inner = np.s_[upper + 1 : lower - 1, first + 1 : right - 1]
    expected = np.stack([*np.meshgrid(left + centres, top + centres), np.full((20, 20), 90)], axis=2)
    assert np.abs(result[inner] - expected[inner]).max() < 1.5  # half a grey level for each rounding on the way


def test_what_a_square_takes_from_beyond_the_photograph_is_black_and_an_edge_pixel_is_dark_by_its_share() -> None:
    white = np.full((40, 80, 3), 200, np.uint8)
    result, frame = fundus.sample_square(white, -5, -19, 100, 10)
    assert frame == (1, 2, 8, 5)
    assert set(result[frame[1] : frame[3], frame[0] : frame[2]].ravel().tolist()) == {200}
    assert result[3, :, 0].tolist() == [100, 200, 200, 200, 200, 200, 200, 200, 100, 0]
    assert result[:, 3, 0].tolist() == [0, 20, 200, 200, 200, 180, 0, 0, 0, 0]


def test_a_square_much_larger_than_the_result_is_averaged_not_picked() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    result, _ = fundus.sample_square(noise, 0, 0, 512, 16)
    blocks = noise.reshape(16, 32, 16, 32, 3).mean(axis=(1, 3))
    assert np.abs(result - blocks).max() < 4  # one pixel of the noise is off by 64 on average
