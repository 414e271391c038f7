"""Photographs gone wrong in every way that could be thought of: the same ones for the same seed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from prebake.fundus_art import Eye, draw

SIDES = (0, 1, 7, 4096, 20_000, 65_500, 65_535, 2**31 - 1, 2**32 - 1)
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Original:
    """A good file: its ending, its bytes."""

    suffix: str
    data: bytes


def originals(seed: int) -> list[Original]:
    """Draw eyes and encode them as the kinds of JPEG, PNG and TIFF that cameras and converters write."""
    found = []
    for number, size in enumerate(((240, 180), (320, 256), (97, 131))):
        eye = Eye(number * 2, "left" if number % 2 else "right", number, seed)
        image = cv2.cvtColor(draw(eye, size), cv2.COLOR_RGB2BGR)
        gray, deep = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), image.astype(np.uint16) * 257
        quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
        found += [
            *(
                encoded(".jpg", image, [*quality, *more])
                for more in (
                    [],
                    [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
                    [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
                    [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
                )
            ),
            encoded(".jpg", gray, quality),
            tagged(encoded(".jpg", image, quality)),
            *(encoded(".png", kind) for kind in (image, gray, deep, cv2.cvtColor(image, cv2.COLOR_BGR2BGRA))),
            encoded(".png", gray // 128 * 255, [cv2.IMWRITE_PNG_BILEVEL, 1]),
            *(
                encoded(".tif", kind, [cv2.IMWRITE_TIFF_COMPRESSION, code, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 16])
                for kind, code in ((image, 1), (image, 5), (image, 8), (gray, 32773), (deep, 5), (image, 7))
            ),
        ]
    return found


def encoded(suffix: str, image: np.ndarray, options: Sequence[int] = ()) -> Original:
    """Encode with OpenCV."""
    done, data = cv2.imencode(suffix, image, list(options))
    if not done:
        raise ValueError(f"{suffix} {options} cannot be written")
    return Original(suffix, data.tobytes())


def tagged(original: Original) -> Original:
    """Add an orientation to a JPEG."""
    block = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    return Original(original.suffix, original.data[:2] + segment + original.data[2:])


# -- what befalls one file --------------------------------------------------------------------------------------------

Way = Callable[[Original, Sequence[Original], np.random.Generator], bytes]


def bits(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Turn 1 to 64 bits anywhere."""
    return turned(one.data, random, len(one.data))


def head_bits(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Turn bits near the beginning, and for TIFF near the end too, where its directory stands."""
    data = turned(one.data, random, 400)
    return turned(data[::-1], random, 300)[::-1] if one.suffix == ".tif" else data


def turned(data: bytes, random: np.random.Generator, within: int) -> bytes:
    """Turn up to 64 bits within the first bytes, more often few than many."""
    changed = bytearray(data)
    for _ in range(int(2 ** random.uniform(0, 6))):
        changed[int(random.integers(min(within, len(data))))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def cut(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Leave out the end."""
    return one.data[: int(random.integers(len(one.data)))]


def zeros(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Write zeros over a stretch, as a broken copy has them, or over all to the end."""
    start, end = sorted(int(place) for place in random.integers(len(one.data), size=2))
    end = len(one.data) if random.random() < 0.3 else end
    return one.data[:start] + bytes(end - start) + one.data[end:]


def moved(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Take a stretch out, and put it in at another place, once or twice."""
    start, end = sorted(int(place) for place in random.integers(len(one.data), size=2))
    piece, rest = one.data[start:end], one.data[:start] + one.data[end:]
    place = int(random.integers(len(rest) + 1))
    return rest[:place] + piece * int(random.integers(1, 3)) + rest[place:]


def spliced(one: Original, others: Sequence[Original], random: np.random.Generator) -> bytes:
    """Put the beginning of one file before the end of another."""
    other = others[int(random.integers(len(others)))]
    place = int(2 ** random.uniform(2, np.log2(len(one.data))))
    return one.data[:place] + other.data[int(random.integers(len(other.data))) :]


def headers(one: Original, others: Sequence[Original], random: np.random.Generator) -> bytes:
    """Put another file's first bytes over the file's own."""
    other = others[int(random.integers(len(others)))]
    count = int(random.integers(2, 700))
    return other.data[:count] + one.data[count:]


def longer(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Add noise after the end, or the file itself once more."""
    return one.data + (one.data if random.random() < 0.3 else random.bytes(int(random.integers(1, 5000))))


def lying(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Say another width, height, or both; all checksums right."""
    sides = [int(side) for side in random.choice(SIDES, 2)]
    if one.suffix == ".jpg":
        return said_by_jpeg(one.data, sides)
    if one.suffix == ".png":
        header = struct.pack(">II", *sides) + one.data[24:29]
        return PNG + chunk(b"IHDR", header) + one.data[33:]
    return said_by_tiff(one.data, sides)


def noise(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Keep only the first bytes, by which the kind is told."""
    return one.data[: int(random.integers(2, 40))] + random.bytes(int(random.integers(1, 20_000)))


def tags(one: Original, _: Sequence[Original], random: np.random.Generator) -> bytes:
    """Write a wild number over a few aligned words: lengths, offsets, counts."""
    data = bytearray(one.data)
    for _ in range(int(random.integers(1, 6))):
        near_end = one.suffix == ".tif" and random.random() < 0.8
        place = (
            int(random.integers(max(len(data) - 300, 0), len(data) - 4)) if near_end else int(random.integers(8, 200))
        )
        wild = int(random.choice([0, 1, 8, 255, 65_535, 2**31, 2**32 - 1, len(data), len(data) - 8]))
        struct.pack_into("<I" if random.random() < 0.5 else ">I", data, place, wild)
    return bytes(data)


WAYS: tuple[Way, ...] = (bits, head_bits, cut, zeros, moved, spliced, headers, longer, lying, noise, tags)


def said_by_jpeg(data: bytes, sides: Sequence[int]) -> bytes:
    """Change the sides in the frame header of a JPEG."""
    place = max(data.find(b"\xff\xc0\0"), data.find(b"\xff\xc2\0"))
    return data[: place + 5] + struct.pack(">HH", *(side & 0xFFFF for side in sides)) + data[place + 9 :]


def said_by_tiff(data: bytes, sides: Sequence[int]) -> bytes:
    """Change the sides in the first directory of a little-endian TIFF."""
    changed = bytearray(data)
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in {256, 257}:
            struct.pack_into("<HII", changed, entry + 2, 4, 1, sides[tag - 256])
    return bytes(changed)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


# -- a few of their own -----------------------------------------------------------------------------------------------


def gigantic() -> dict[str, bytes]:
    """Return files that are small on the disk and take much memory or time: some good, some not, some beyond all."""
    flat = np.full((4000, 4000, 3), 90, np.uint8)
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20)))
    small = encoded(".png", flat[:64, :64]).data
    progressive = encoded(".jpg", flat[:3200, :3200], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]).data
    return {
        "good-wide.png": flat_png(18_000, 6_000),
        "good-large.jpg": encoded(".jpg", np.vstack([flat] * 4)).data,
        "good-text-bomb.png": small[:33] + text + small[33:],
        "beyond.png": flat_png(400_001, 1_000),
        "early-end.png": flat_png(20_000, 20_000, rows=100),
        "late-end.png": flat_png(64, 64, rows=2_000_000),
        "scans.jpg": many_scans(progressive, 40_000),
        "cut-large.jpg": said_by_jpeg(encoded(".jpg", flat[:400, :400]).data, (20_000, 19_000)),
    }


def flat_png(width: int, height: int, rows: int | None = None) -> bytes:
    """Return a black PNG of which so many rows are there."""
    packer, row = zlib.compressobj(1), bytes(1 + 3 * width)
    content = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def many_scans(progressive: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG; a decoder walks over the whole picture for each of them."""
    last = progressive.rindex(b"\xff\xda")
    return progressive[:last] + progressive[last:-2] * count + progressive[-2:]


def write(folder: Path, count: int, seed: int) -> None:
    """Write so many files, every fortieth of them good, named by what befell them."""
    good = originals(seed)
    for number in range(count):
        random = np.random.default_rng([seed, number])
        one = good[int(random.integers(len(good)))]
        if number % 40 == 0:
            name, data = "good", one.data
        else:
            way = WAYS[number % len(WAYS)]
            name, data = way.__name__.replace("_", "-"), way(one, good, random)
        (folder / f"{number:05d}-{name}{one.suffix}").write_bytes(data)
