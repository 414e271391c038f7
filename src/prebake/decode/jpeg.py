"""JPEG: whole or at a fraction of its size, its EXIF orientation applied, never a picture with a part missing."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from kornia_rs import io as kornia_io

from prebake.decode.headers import Header, is_frame, jpeg_segments
from prebake.decode.opencv import imdecode
from prebake.decode.rust import attempted
from prebake.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["decode_jpeg"]

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff]")  # ends a stretch of entropy-coded data; FF00 is a data byte, FFFF is fill
_FILLING = b"\x5a\xc3\x96\x2d" * 16
_CUT = "the JPEG file is cut off or damaged: a part of the picture is missing"


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """What decides how a JPEG can be decoded; ``orientation`` None: something odd, OpenCV shall judge."""

    components: int
    one_scan: bool
    restarts: bool
    orientation: int | None
    scan: int
    ended: bool = True


def decode_jpeg(data: bytes, header: Header, min_side: int | None) -> tuple[NDArray[np.uint8], int]:
    """Decode a JPEG file to RGB, bit for bit as OpenCV does at the same scale.

    Whole pictures are decoded by libjpeg-turbo through kornia-rs, which is twice as fast and refuses what libjpeg
    warns of. What it refuses gets a second chance, see :func:`_tolerant`.

    Parameters
    ----------
    data
        The encoded file.
    header
        Its header.
    min_side
        Choose the largest of 1/2, 1/4, 1/8 at which the shorter side keeps at least so many pixels; None: whole size.

    Returns
    -------
    tuple
        The image, uint8 (H, W, 3) RGB, and the scale: 1, 2, 4 or 8.

    Raises
    ------
    DecodeError
        The file is cut off or damaged.
    """
    jpeg = _inspect(data)
    if not _has_end(data, jpeg.scan):
        if not jpeg.one_scan:
            raise DecodeError("the JPEG file is cut off: it has no end mark")
        jpeg, data = replace(jpeg, ended=False), data + _END  # whether more than the mark is missing is seen below
    scale = _scale(jpeg, header, min_side)
    if scale == 1:
        return _whole(data, jpeg), 1
    image = imdecode(data, "JPEG", scale)
    if _has_gray_corner(image):
        _whole(data, jpeg)  # raises when that gray is a missing part
    return image, scale


def _inspect(data: bytes) -> _Jpeg:
    components = scan = 0
    one_scan = restarts = False
    orientation: int | None = 1
    for marker, start, end in jpeg_segments(data):
        content = data[start:end]
        if is_frame(marker):
            components = content[5] if len(content) > 5 else 0
            one_scan = marker in {0xC0, 0xC1}
        elif marker == 0xE1 and content.startswith(b"Exif\0\0") and orientation == 1:
            orientation = _orientation(content[6:])
        elif marker == 0xDD:
            restarts = any(content)
        elif marker == 0xDA:
            one_scan = one_scan and bool(content) and content[0] == components
            scan = end
    if not scan or not components:
        raise DecodeError("the JPEG file is cut off or damaged inside its header")
    return _Jpeg(components, one_scan, restarts, orientation, scan)


def _orientation(tiff: bytes) -> int | None:
    """Read tag 0x0112 of the first directory (EXIF 2.3, 4.6.4): 1 when absent, None when it cannot be read plainly."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, offset)
        for index in range(count):
            tag, form, number, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * index)
            if tag == 0x0112:
                return value if form == 3 and number == 1 and 1 <= value <= 8 else None
    except struct.error:
        return None
    return 1


def _has_end(data: bytes, scan: int) -> bool:
    """Whether the end mark follows, walking from scan to scan."""
    position = scan
    while found := _MARKER.search(data, position):
        marker = data[found.start() + 1]
        if marker == 0xD9:
            return True
        position = found.end()
        if not 0xD0 <= marker <= 0xD7:  # not a restart: a segment with content
            position += max(int.from_bytes(data[position : position + 2], "big"), 2)
    return False


def _scale(jpeg: _Jpeg, header: Header, min_side: int | None) -> int:
    """Choose the reduction.

    Decoded whole are pictures to be turned, those of several scans (they gain little by it), and those with restart
    marks: any stretch between two of them may be missing, which only the whole way tells.
    """
    plain = jpeg.one_scan and not jpeg.restarts and jpeg.components in {1, 3} and jpeg.orientation == 1
    if min_side is None or not plain:
        return 1
    shorter = min(header.width, header.height)
    return next((scale for scale in (8, 4, 2) if shorter // scale >= min_side), 1)


def _has_gray_corner(image: NDArray[np.uint8]) -> bool:
    """Whether the last pixel is exactly the middle gray, which libjpeg gives to blocks that are missing at the end.

    A picture that is gray there in truth only costs a check.
    """
    return bool((image[-1, -1] == 128).all())


def _whole(data: bytes, jpeg: _Jpeg) -> NDArray[np.uint8]:
    if jpeg.orientation is not None and jpeg.components in {1, 3}:
        image = attempted(kornia_io.decode_image_jpegturbo, data, "rgb")
        if image is not None:
            return _orient(image, jpeg.orientation)
        if not jpeg.ended:
            raise DecodeError(_CUT)
    return _tolerant(data, jpeg)


def _orient(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn the stored picture upright (EXIF 2.3, 4.6.4, tag Orientation)."""
    if orientation >= 5:
        image = cv2.transpose(image)  # type: ignore[assignment]
    code = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if code is None else cv2.flip(image, code)  # type: ignore[return-value]


def _tolerant(data: bytes, jpeg: _Jpeg) -> NDArray[np.uint8]:
    """Decode with OpenCV what libjpeg warns of, when nothing of the picture is missing.

    Many warnings are harmless (bytes between data and marker, odd header fields). To tell them from missing data, the
    picture is decoded a second time with some bytes put before each marker of the data: a decoder that has
    everything never looks at them, one that lacks something reads on into them and gives another picture.
    """
    image = imdecode(data, "JPEG")
    if not np.array_equal(image, imdecode(_padded(data, jpeg.scan), "JPEG")):
        raise DecodeError(_CUT)
    return image


def _padded(data: bytes, scan: int) -> bytes:
    pieces = [data[:scan]]
    position = scan
    while found := _MARKER.search(data, position):
        marker = data[found.start() + 1]
        end = found.end()
        if marker != 0xD9 and not 0xD0 <= marker <= 0xD7:
            end += max(int.from_bytes(data[end : end + 2], "big"), 2)
        pieces += [data[position : found.start()], _FILLING, data[found.start() : end]]
        position = end
        if marker == 0xD9:
            break
    return b"".join(pieces)
