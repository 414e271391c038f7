"""PNG: the common kinds by the fast decoder, the others by OpenCV after a check of the file's checksums."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cv2
from kornia_rs import io as kornia_io

from prebake.decode.opencv import imdecode
from prebake.decode.rust import attempted
from prebake.errors import DecodeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prebake.decode.headers import Header

__all__ = ["decode_png"]

_MODES = {0: "mono", 2: "rgb", 6: "rgba"}  # by PNG colour type; at 8 bits these are proven equal to OpenCV
_TEXTS = {b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"sPLT", b"pCAL"}  # PNG 3rd ed., 11.3: they hold words or names
_TO_RGB = {0: cv2.COLOR_GRAY2RGB, 6: cv2.COLOR_RGBA2RGB}


def decode_png(data: bytes, header: Header) -> NDArray[np.uint8]:
    """Decode a PNG file to RGB as OpenCV does: alpha is dropped, 16 bits become 8, a palette its colours.

    Raises
    ------
    DecodeError
        The file is cut off, a checksum is wrong, or the pixels cannot be decoded.
    """
    depth, colour = data[24:26]
    if depth == 8 and colour in _MODES and not _has_special_chunks(data):
        image = attempted(kornia_io.decode_image_png_u8, data, (header.height, header.width), _MODES[colour])
        if image is not None:
            return image if colour == 2 else cv2.cvtColor(image, _TO_RGB[colour])  # type: ignore[no-any-return]
    return imdecode(_checked(data), "PNG")


def _has_special_chunks(data: bytes) -> bool:
    """Whether an animation or an orientation is announced before the pixels."""
    return any(name in {b"acTL", b"eXIf"} for name, _, _ in _chunks(data, until=b"IDAT"))


def _chunks(data: bytes, until: bytes) -> list[tuple[bytes, int, int]]:
    """List name, start and end of the content of each chunk, up to and with the first one called ``until``."""
    chunks = []
    position = 8
    while position + 12 <= len(data):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        chunks.append((name, position + 8, position + 8 + length))
        if name == until:
            break
        position += length + 12
    return chunks


def _checked(data: bytes) -> bytes:
    """Return the file without words and names, of which libpng writes some to standard error.

    Raises
    ------
    DecodeError
        Not every critical chunk is whole with a right checksum, up to the end mark.
    """
    chunks = _chunks(data, until=b"IEND")
    name, _, end = chunks[-1]
    if name != b"IEND" or end + 4 > len(data):
        raise DecodeError("the PNG file is cut off: it has no end mark")
    pieces = [data[:8]]
    for name, start, end in chunks:
        critical = name[:1].isupper()
        if critical and zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise DecodeError("the PNG file is damaged: a checksum is wrong")
        if name not in _TEXTS:
            pieces.append(data[start - 8 : end + 4])
    return b"".join(pieces)
