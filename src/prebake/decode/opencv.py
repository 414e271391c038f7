"""OpenCV as a decoder of last resort and of reference: its log silent, RGB, and with our own errors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

from prebake.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["imdecode"]

_SCALED = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}


class _Quiet:
    """Keeps OpenCV's log silent while at least one thread decodes, and puts it back as it was after the last one.

    Warnings of libjpeg itself ("Corrupt JPEG data: ...") go straight to standard error: OpenCV has no switch for them.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        logging = cv2.utils.logging
        with self._lock:
            if self._inside == 0:
                self._level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    logging.setLogLevel(self._level)


_quiet = _Quiet()


def imdecode(data: bytes, kind: str, scale: int = 1) -> NDArray[np.uint8]:
    """Decode with OpenCV to 8-bit RGB, EXIF orientation applied; JPEG optionally at 1/2, 1/4 or 1/8.

    Raises
    ------
    DecodeError
        OpenCV cannot decode it.
    """
    flags = cv2.IMREAD_COLOR_RGB if scale == 1 else _SCALED[scale]
    with _quiet():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        raise DecodeError(f"the {kind} file is damaged, cut off, or of a variant that cannot be decoded")
    return np.ascontiguousarray(image, dtype=np.uint8)
