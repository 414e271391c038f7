"""What a file says of itself before it is decoded: its kind, told by content and never by name, and its dimensions."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from prebake.errors import DecodeError

__all__ = ["KINDS", "Header", "read_header"]

KINDS = ("JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF")


@dataclass(frozen=True, slots=True)
class Header:
    """Kind of file, and width and height in pixels as stored (before any EXIF orientation)."""

    kind: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Read kind and dimensions from the first bytes of an encoded photograph.

    Raises
    ------
    DecodeError
        The file is empty, of no known kind, or ends inside its header.
    """
    if not data:
        raise DecodeError("the file is empty")
    kind = _kind(data)
    if kind is None:
        raise DecodeError(f"not a {', '.join(KINDS[:-1])} or {KINDS[-1]} file")
    try:
        width, height = _READERS[kind](data)
    except (struct.error, IndexError):
        raise DecodeError(f"the {kind} file is cut off or damaged inside its header") from None
    if width < 1 or height < 1:
        raise DecodeError(f"the {kind} file says it is {width} x {height} pixels")
    return Header(kind, width, height)


def _kind(data: bytes) -> str | None:
    """Tell the kind by the first bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    return None


def _jpeg(data: bytes) -> tuple[int, int]:
    for marker, start, _ in jpeg_segments(data):
        if is_frame(marker):
            height, width = struct.unpack_from(">HH", data, start + 1)
            return width, height
    raise IndexError


def is_frame(marker: int) -> bool:
    """Whether a JPEG marker is a start of frame (ITU T.81, table B.1): C0-CF without DHT, JPG and DAC."""
    return 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}


def jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """List the segments of a JPEG file up to its first scan: marker, start and end of the content.

    Bytes between segments are skipped as libjpeg does. The last one listed is the start of scan (DA), if there is one.
    """
    segments: list[tuple[int, int, int]] = []
    position = 2
    while (position := data.find(b"\xff", position)) >= 0 and position + 3 < len(data):
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in {0x00, 0x01, 0xD8} or 0xD0 <= marker <= 0xD7:  # no content follows these
            position += 2
        else:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            end = position + 2 + max(length, 2)
            segments.append((marker, position + 4, end))
            if marker in {0xDA, 0xD9} or end > len(data):
                break
            position = end
    return segments


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise IndexError
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _webp(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif form == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    else:
        raise IndexError
    if len(data) < 30:
        raise IndexError
    return width, height


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
    first, step, at = (offset + 8, 20, 12) if big else (offset + 2, 12, 8)
    found: dict[int, int] = {}
    for index in range(min(count, 4096)):
        entry = first + index * step
        tag, form = struct.unpack_from(order + "HH", data, entry)
        if tag in {256, 257}:
            code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(form)
            if code is None:
                raise IndexError
            (found[tag],) = struct.unpack_from(order + code, data, entry + at)
    if len(found) < 2:
        raise IndexError
    return found[256], found[257]


_READERS = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "WebP": _webp, "BMP": _bmp, "GIF": _gif}
