"""What the writer measures of each image, and the reader checks."""

from __future__ import annotations

import cv2
import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = ["checksum", "pixel_statistics"]

Pixels = NDArray[np.uint8]

_COUNTED = 1 << 24  # pixels: OpenCV counts in whole numbers and gives float32, which holds them up to here


def checksum(image: Pixels) -> int:
    """Return the XXH3-64 of the bytes of a C-contiguous image."""
    return int(xxhash.xxh3_64_intdigest(image.reshape(-1).data))


def pixel_statistics(image: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and (population) standard deviation of each channel, float32 (C,), in 0..255.

    Computed from the histogram in integers, so that they are the same on every machine.

    Examples
    --------
    >>> mean, std = pixel_statistics(np.array([[[0, 7], [4, 7]]], np.uint8))
    >>> mean.tolist(), std.tolist()
    ([2.0, 7.0], [2.0, 0.0])
    """
    pixels, values = image.shape[0] * image.shape[1], np.arange(256)
    mean, std = np.empty(image.shape[2], np.float32), np.empty(image.shape[2], np.float32)
    for channel in range(image.shape[2]):
        counts = _histogram(image, channel)
        total, squares = int(counts @ values), int(counts @ values**2)
        mean[channel] = total / pixels
        std[channel] = np.sqrt((squares * pixels - total**2) / pixels**2)
    return mean, std


def _histogram(image: Pixels, channel: int) -> NDArray[np.int64]:
    """Count the values of a channel, int64 (256,); five times as fast as ``np.bincount``."""
    counts, rows = np.zeros(256, np.int64), max(1, _COUNTED // image.shape[1])
    for start in range(0, image.shape[0], rows):
        counted = cv2.calcHist([image[start : start + rows]], [channel], None, [256], [0, 256])
        counts += counted.reshape(-1).astype(np.int64)
    return counts
