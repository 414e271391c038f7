"""Encoded bytes to RGB pixels: by content, guarded, oriented, equal to OpenCV bit for bit.

JPEG and the common kinds of PNG are decoded by kornia-rs, which is two to three times as fast as OpenCV and gives the
same bits (the tests compare all kinds); everything else by OpenCV. Of an animation, and of a TIFF file
with several pages, the first picture is taken. Names and extensions play no part. Nothing of a file's metadata
goes into a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prebake.decode.headers import KINDS, read_header
from prebake.decode.jpeg import decode_jpeg
from prebake.decode.opencv import imdecode
from prebake.decode.png import decode_png
from prebake.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "MAX_PIXELS", "Decoded", "decode"]

MAX_PIXELS = 400_000_000
"""Photographs with more pixels than this are refused by their header, before any memory is taken for them."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded photograph.

    Parameters
    ----------
    image
        uint8 (H, W, 3), RGB, C-contiguous, upright.
    width, height
        Size of the whole photograph in pixels, after EXIF orientation; the image is smaller when ``scale`` is not 1.
    scale
        1, 2, 4 or 8: the image is ``ceil(height / scale)`` x ``ceil(width / scale)`` pixels.
    """

    image: NDArray[np.uint8]
    width: int
    height: int
    scale: int


def decode(data: bytes, *, min_side: int | None = None, exact: bool = True) -> Decoded:
    """Decode a photograph (JPEG, PNG, TIFF, WebP, BMP or GIF) to 8-bit RGB.

    Parameters
    ----------
    data
        The encoded file.
    min_side
        With ``exact=False``: the shorter side may be reduced to as few as so many pixels.
    exact
        True: every pixel equals ``cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)``.
        False: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is two to three times as fast.

    Returns
    -------
    Decoded
        Image, original size and scale.

    Raises
    ------
    MemoryError
        There is not enough memory for the picture.
    DecodeError
        Not a photograph, larger than :data:`MAX_PIXELS`, damaged, or a part of the picture is missing.

    Examples
    --------
    >>> import cv2, numpy as np
    >>> data = cv2.imencode(".png", np.full((20, 30, 3), (255, 0, 0), np.uint8))[1].tobytes()  # OpenCV writes BGR: blue
    >>> decoded = decode(data)
    >>> decoded.image.shape, decoded.image[0, 0].tolist(), decoded.scale
    ((20, 30, 3), [0, 0, 255], 1)
    """
    header = read_header(data)
    if header.width * header.height > MAX_PIXELS:
        size = f"{header.width} x {header.height}"
        raise DecodeError(f"the {header.kind} file says it is {size} pixels, more than {MAX_PIXELS:,} in all")
    scale = 1
    try:
        if header.kind == "JPEG":
            image, scale = decode_jpeg(data, header, None if exact else min_side)
        elif header.kind == "PNG":
            image = decode_png(data, header)
        else:
            image = imdecode(data, header.kind)
    except DecodeError:
        np.empty(
            (header.height, header.width, 3), np.uint8
        )  # decoders say damage where memory is short: this says that
        raise
    if scale > 1:  # pictures to be turned are never reduced
        return Decoded(image, header.width, header.height, scale)
    return Decoded(image, image.shape[1], image.shape[0], 1)
