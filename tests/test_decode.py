"""Decoding: equal to OpenCV bit for bit, guarded, and never with a part of the picture missing."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from prebake.decode import MAX_PIXELS, decode
from prebake.errors import DecodeError

RNG = np.random.default_rng(0)


def scene(height: int = 67, width: int = 93) -> np.ndarray:
    """A smooth RGB picture with some texture: what JPEG is made for."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack((x * 2 % 256, 255 - y * 3 % 256, (x + y) % 256), axis=2).astype(np.uint8)
    noise = RNG.integers(0, 40, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(cv2.add(smooth, noise), (0, 0), 1.2)


def by_opencv(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def pillow(image: np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(colour: int, depth: int, *, interlaced: bool = False, extra: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG file of 37 x 29 random pixels of any kind, written by hand; palettes hold 2 ** depth colours."""
    width, height = 37, 29
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    adam7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    lines = b""
    for x, y, dx, dy in adam7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        for row in range(rows):
            values = RNG.integers(0, 256, (columns * channels * depth + 7) // 8, dtype=np.uint8)
            lines += bytes([0 if colour == 3 else row % 5]) + values.tobytes()
    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))]
    chunks += [chunk(name, content) for name, content in extra if name != b"tRNS"]
    if colour == 3:
        chunks.append(chunk(b"PLTE", RNG.integers(0, 256, 3 * 2**depth, dtype=np.uint8).tobytes()))
    chunks += [chunk(name, content) for name, content in extra if name == b"tRNS"]
    chunks += [chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


KINDS = [
    (c, d)
    for c, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16)))
    for d in depths
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_every_kind_of_png_equals_opencv(colour: int, depth: int, interlaced: bool) -> None:
    data = png(colour, depth, interlaced=interlaced)
    decoded = decode(data)
    np.testing.assert_array_equal(decoded.image, by_opencv(data))
    assert decoded.image.dtype == np.uint8
    assert decoded.image.flags.c_contiguous
    assert (decoded.width, decoded.height, decoded.scale) == (37, 29, 1)


@pytest.mark.parametrize(
    ("colour", "extra"),
    [
        (0, (b"tRNS", b"\0\x01")),
        (2, (b"tRNS", b"\0\x01\0\x02\0\x03")),
        (3, (b"tRNS", bytes(range(200)))),
        (2, (b"gAMA", struct.pack(">I", 100000))),
        (2, (b"sBIT", b"\x05\x06\x05")),
        (6, (b"sBIT", b"\x05\x06\x05\x05")),
        (2, (b"bKGD", b"\0\x05\0\x06\0\x05")),
        (2, (b"iCCP", b"x\0\0" + zlib.compress(b"not a profile"))),
    ],
)
def test_png_chunks_that_change_colours_elsewhere_change_nothing_that_opencv_does_not(
    colour: int, extra: tuple[bytes, bytes]
) -> None:
    data = png(colour, 8, extra=(extra,))
    np.testing.assert_array_equal(decode(data).image, by_opencv(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_png_orientation_equals_opencv(orientation: int) -> None:
    data = png(2, 8, extra=((b"eXIf", exif(orientation)[6:]),))
    np.testing.assert_array_equal(decode(data).image, by_opencv(data))


def test_the_first_picture_of_an_animation_is_taken() -> None:
    frames = [Image.fromarray(scene()), Image.fromarray(255 - scene())]
    for form in ("PNG", "GIF", "WEBP"):
        buffer = io.BytesIO()
        options = {"lossless": True} if form == "WEBP" else {}
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:], **options)
        decoded = decode(buffer.getvalue())
        np.testing.assert_array_equal(decoded.image, by_opencv(buffer.getvalue()))
        first = np.asarray(Image.open(buffer).convert("RGB"), np.int16)
        assert np.abs(decoded.image - first).mean() < 1, form


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"])
@pytest.mark.parametrize("shape", [(67, 93), (64, 96), (1, 1), (17, 200)])
def test_every_kind_of_jpeg_equals_opencv(shape: tuple[int, int], sampling: str, progressive: bool) -> None:
    factor = {
        "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
        "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    }[sampling]
    for quality, restart in ((95, 0), (30, 2)):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
        options += [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
        data = cv2.imencode(".jpg", scene(*shape), options)[1].tobytes()
        np.testing.assert_array_equal(decode(data).image, by_opencv(data))


def test_a_gray_jpeg_equals_opencv() -> None:
    data = pillow(scene()[..., 0], "JPEG")
    np.testing.assert_array_equal(decode(data).image, by_opencv(data))


def test_a_cmyk_jpeg_equals_opencv_and_looks_as_pillow_sees_it() -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene()).convert("CMYK").save(buffer, "JPEG", quality=95)
    decoded = decode(buffer.getvalue()).image
    np.testing.assert_array_equal(decoded, by_opencv(buffer.getvalue()))
    seen = np.asarray(Image.open(buffer).convert("RGB"), np.int16)
    assert np.abs(decoded - seen).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_orientation_equals_opencv_and_size_is_upright(orientation: int) -> None:
    data = pillow(scene(), "JPEG", exif=exif(orientation))
    expected = by_opencv(data)
    for exact in (True, False):
        decoded = decode(data, exact=exact, min_side=8)
        assert (decoded.height, decoded.width) == expected.shape[:2]
        upright = cv2.resize(expected, decoded.image.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.int16)
        assert np.abs(decoded.image - upright).mean() < 10  # turned wrongly it would be about 70
        if exact:
            np.testing.assert_array_equal(decoded.image, expected)


@pytest.mark.parametrize(
    "tiff",
    [
        b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 4, 1, 0, 6, 0),
        b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 77, 0, 0),
        b"MM\0*" + struct.pack(">IH", 8, 900),
        b"MM\0~" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0),
        b"XX\0*aaaa",
        b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0),
        b"",
    ],
)
def test_odd_exif_blocks_are_read_as_opencv_reads_them(tiff: bytes) -> None:
    for mark in (b"Exif\0\0", b"Exif\0~"):
        data = pillow(scene(), "JPEG", exif=mark + tiff)
        np.testing.assert_array_equal(decode(data).image, by_opencv(data))


@pytest.mark.parametrize(("min_side", "scale"), [(1, 8), (200, 4), (201, 2), (401, 2), (402, 1), (5000, 1)])
def test_a_scaled_jpeg_keeps_the_shorter_side_and_equals_opencv_at_that_scale(min_side: int, scale: int) -> None:
    data = cv2.imencode(".jpg", scene(803, 1001), [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    decoded = decode(data, min_side=min_side, exact=False)
    assert (decoded.width, decoded.height, decoded.scale) == (1001, 803, scale)
    flag = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), flag[scale])[..., ::-1]
    np.testing.assert_array_equal(decoded.image, expected)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
    ],
)
def test_other_kinds_equal_opencv(form: str, options: dict[str, object]) -> None:
    data = pillow(scene(), form, **options)
    decoded = decode(data)
    np.testing.assert_array_equal(decoded.image, by_opencv(data))
    assert decoded.image.shape == (67, 93, 3)


def test_sixteen_bit_and_turned_tiff_equal_opencv() -> None:
    deep = cv2.imencode(".tiff", scene().astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode(deep).image, by_opencv(deep))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = 6
    turned = pillow(scene(), "TIFF", tiffinfo=tags)
    np.testing.assert_array_equal(decode(turned).image, by_opencv(turned))


def refused(data: bytes, words: str, **options: object) -> None:
    with pytest.raises(DecodeError, match=words) as caught:
        decode(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("keep", [0.05, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9", b"\0" * 100])
def test_a_jpeg_cut_off_anywhere_is_refused(keep: float, progressive: int, exact: bool, end: bytes) -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    data = cv2.imencode(".jpg", scene(403, 501), options)[1].tobytes()
    refused(data[: int(len(data) * keep)] + end, "cut off|damaged", exact=exact, min_side=50)


def test_a_jpeg_whose_frame_header_is_too_short_is_refused() -> None:
    data = pillow(scene(), "JPEG")
    frame = data.index(b"\xff\xc0")
    refused(data[: frame + 2] + b"\0\x07" + data[frame + 4 :], "damaged inside its header")


def test_a_jpeg_that_only_lacks_its_end_mark_or_has_bytes_after_it_is_whole() -> None:
    data = cv2.imencode(".jpg", scene(403, 501))[1].tobytes()
    expected = by_opencv(data)
    for variant in (data[:-2], data + b"trailing bytes \xff\xd8\xff", data[:-2] + b"\0" * 40 + data[-2:]):
        np.testing.assert_array_equal(decode(variant).image, expected)
        assert decode(variant, min_side=50, exact=False).scale == 8


def test_a_jpeg_with_a_lost_stretch_between_restarts_is_refused() -> None:
    data = cv2.imencode(".jpg", scene(403, 501), [cv2.IMWRITE_JPEG_RST_INTERVAL, 8])[1].tobytes()
    third, fourth = (data.index(mark, len(data) // 3) for mark in (b"\xff\xd2", b"\xff\xd3"))
    assert third < fourth
    refused(data[: third + 20] + data[fourth:], "missing")
    refused(data[: third + 20] + data[fourth:], "missing", min_side=50, exact=False)


def test_a_png_cut_off_or_damaged_is_refused() -> None:
    for colour, depth in ((2, 8), (2, 16), (3, 8)):
        data = png(colour, depth)
        for keep in (20, 40, len(data) // 2, len(data) - 12):
            refused(data[:keep], "cut off|damaged")
        refused(data[:-24] + bytes([data[-24] ^ 1]) + data[-23:], "checksum")
        np.testing.assert_array_equal(decode(data + b"trailing bytes").image, by_opencv(data))


def test_a_png_whose_pixels_end_early_is_refused() -> None:
    short = b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(bytes(193 * 20))),
            chunk(b"IEND", b""),
        )
    )
    refused(short, "damaged|cut off")


@pytest.mark.parametrize("form", ["TIFF", "WEBP", "BMP", "GIF"])
def test_other_kinds_cut_off_inside_the_header_are_refused(form: str) -> None:
    refused(pillow(scene(), form)[:14], "cut off")


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "empty"), (b"id_code,diagnosis\n", "not a JPEG"), (b"\xff\xd8\xff", "cut off")]
)
def test_what_is_no_photograph_is_refused_with_the_reason(data: bytes, words: str) -> None:
    refused(data, words)


def bombs() -> dict[str, bytes]:
    side = 50_000
    idat = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return {
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + idat,
        "JPEG": b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", side, side) + b"\x03" + bytes(9) + b"\xff\xda\0\x02",
        "TIFF": b"II*\0" + struct.pack("<IHHHIIHHII", 8, 2, 256, 4, 1, side, 257, 4, 1, side),
        "BMP": b"BM" + bytes(12) + struct.pack("<Iii", 40, side, -side) + bytes(40),
        "GIF": b"GIF89a" + struct.pack("<HH", side, side) + bytes(20),
        "WebP": b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (side - 1).to_bytes(3, "little") * 2 + bytes(20),
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_picture_of_50000_by_50000_is_refused_before_anything_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("decode_jpeg", "decode_png", "imdecode"):
        monkeypatch.setattr(f"prebake.decode.{name}", lambda *_, **__: pytest.fail("it was decoded"))
    tracemalloc.start()
    refused(bombs()[kind], f"{kind} file says it is 50000 x 50000 pixels, more than {MAX_PIXELS:,}")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_random_damage_ends_in_a_picture_or_a_decode_error() -> None:
    originals = [pillow(scene(), form) for form in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")]
    for index in range(600):
        data = bytearray(originals[index % len(originals)])
        for _ in range(int(RNG.integers(1, 8))):
            data[int(RNG.integers(8, len(data)))] = int(RNG.integers(256))
        try:
            decoded = decode(bytes(data[: int(RNG.integers(20, len(data) + 1))]))
        except DecodeError:
            continue
        assert decoded.image.shape == (decoded.height, decoded.width, 3)


def test_opencv_says_nothing_on_standard_error_and_its_log_level_stays(capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.utils.logging.getLogLevel()
    broken = pillow(scene(), "TIFF")[:500]

    def work() -> None:
        for _ in range(20):
            with pytest.raises(DecodeError):
                decode(broken)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.utils.logging.getLogLevel() == level
    assert capfd.readouterr().err == ""


def test_metadata_of_a_photograph_never_reaches_a_message() -> None:
    data = pillow(scene(), "JPEG", comment=b"PATIENT-4711")
    assert b"PATIENT-4711" in data
    with pytest.raises(DecodeError) as caught:
        decode(data[: len(data) // 2])
    assert "PATIENT" not in str(caught.value)


def test_real_photographs_equal_opencv(idrid: Path) -> None:
    for path in sorted((idrid / "1. Original Images" / "a. Training Set").glob("*.jpg"))[::100]:
        data = path.read_bytes()
        assert np.array_equal(decode(data).image, by_opencv(data))


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from prebake.decode import decode
data = Path(sys.argv[1]).read_bytes()
size = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize() + 50_000_000
resource.setrlimit(resource.RLIMIT_DATA, (size, size))
try:
    decode(data)
except MemoryError:
    print("not enough memory")
"""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_where_memory_is_short_the_file_is_not_called_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    cv2.imwrite(str(path), np.full((9000, 9000, 3), 90, np.uint8))
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "not enough memory\n", done.stderr


def test_a_panic_of_the_fast_decoder_leaves_the_picture_to_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """As that of Rust, which cannot be imported."""

    def panic(*_: object) -> None:
        raise PanicException

    data = {form: pillow(scene(), form) for form in ("JPEG", "PNG")}
    monkeypatch.setattr("prebake.decode.jpeg.kornia_io.decode_image_jpegturbo", panic)
    monkeypatch.setattr("prebake.decode.png.kornia_io.decode_image_png_u8", panic)
    for encoded in data.values():
        np.testing.assert_array_equal(decode(encoded).image, by_opencv(encoded))


def test_an_interrupt_inside_the_fast_decoder_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prebake.decode.jpeg.kornia_io.decode_image_jpegturbo", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(pillow(scene(), "JPEG"))
