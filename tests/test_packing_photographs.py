"""Photographs as they come: each ends as the right image, or as a failure with id, path and reason."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from prebake.packing import pack
from prebake.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from prebake.store import Pack

MARKER = "PATIENT-4711"
RECIPE = Recipe.named("kernel", 32)


def scene() -> NDArray[np.uint8]:
    """Return an RGB picture that is another one when turned, mirrored, or with its channels swapped."""
    image = np.zeros((90, 120, 3), np.uint8)
    cv2.circle(image, (60, 45), 40, (200, 120, 60), -1)
    cv2.circle(image, (80, 30), 9, (60, 220, 90), -1)
    return image


def encoded(suffix: str, image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, MARKER
    return saved(Image.fromarray(scene()), "JPEG", quality=95, exif=exif)


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PNG, JPEG = encoded(".png", scene()[..., ::-1]), encoded(".jpg", scene()[..., ::-1])
FRAMES = [Image.fromarray(scene()), Image.fromarray(scene()[::-1].copy())]
GOOD: dict[str, Callable[[], bytes]] = {
    "plain.png": lambda: PNG,
    "plain.jpg": lambda: JPEG,
    "plain.tif": lambda: encoded(".tif", scene()[..., ::-1]),
    "wrong-extension.jpg": lambda: PNG,
    "other-extension.png": lambda: JPEG,
    "sixteen-bit.png": lambda: encoded(".png", scene()[..., ::-1].astype(np.uint16) * 257),
    "gray.png": lambda: encoded(".png", cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY)),
    "gray.jpg": lambda: encoded(".jpg", cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY)),
    "rgba.png": lambda: encoded(".png", cv2.cvtColor(scene(), cv2.COLOR_RGB2BGRA)),
    "cmyk.jpg": lambda: saved(Image.fromarray(scene()).convert("CMYK"), "JPEG"),
    "turned.jpg": turned,
}
BAD: dict[str, Callable[[], bytes]] = {
    "cut.jpg": lambda: JPEG[: len(JPEG) // 2],
    "cut.png": lambda: PNG[: len(PNG) // 2],
    "empty.jpg": lambda: b"",
    "text.jpg": lambda: f"{MARKER} is no photograph\n".encode() * 50,
    "zeros.png": lambda: b"\0" * 5000,
    "bomb.png": bomb,
    "cut-and-tagged.jpg": lambda: turned()[: len(turned()) // 2],
}
EITHER = {"animated.gif": lambda: saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])}


def name_of(file: str) -> str:
    return file.replace(".", "-")


def file_of(file: str) -> str:
    """Keep names apart that differ in their ending alone."""
    return f"{name_of(file)}.{file.partition('.')[2]}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder = tmp_path_factory.mktemp("packing") / "photographs"
    folder.mkdir()
    for name, data in {**GOOD, **BAD, **EITHER}.items():
        (folder / file_of(name)).write_bytes(data())
    target = folder.with_name("out.h5")
    with ThreadPoolExecutor(1) as threads:
        return pack(folder, target, recipe=RECIPE, codec="raw", on_error="skip", executor=threads)


@pytest.mark.parametrize("file", GOOD)
def test_what_can_be_decoded_is_baked_right(made, file):
    data = np.frombuffer(GOOD[file](), np.uint8)
    expected = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(made[name_of(file)], RECIPE.apply(expected).image)


def test_the_orientation_in_the_metadata_is_followed(made):
    row = made.index_of("turned-jpg")
    assert (made.width[row], made.height[row]) == (90, 120)


@pytest.mark.parametrize("file", BAD)
def test_what_cannot_be_decoded_is_a_failure_with_id_path_and_reason(made, file):
    failure = next(failure for failure in made.failures if failure.id == name_of(file))
    assert failure.path == f"photographs/{file_of(file)}"
    assert len(failure.reason) > 8
    assert "\n" not in failure.reason


def test_of_an_animation_the_first_frame_is_taken_or_it_is_a_failure(made):
    if "animated-gif" in made:
        np.testing.assert_allclose(made["animated-gif"], RECIPE.apply(scene()).image, atol=30)
    else:
        assert "animated-gif" in {failure.id for failure in made.failures}


def test_every_photograph_is_an_image_or_a_failure(made):
    assert len(made) + len(made.failures) == len(GOOD) + len(BAD) + len(EITHER)


def test_metadata_of_the_photographs_reaches_neither_the_pack_nor_what_is_kept_beside_it(made):
    files = [made.path, *(path for path in made.path.parent.glob(".out*/*") if path.is_file())]
    assert len(files) == 2
    for path in files:
        assert MARKER.encode() not in path.read_bytes()
