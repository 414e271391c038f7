"""The published tolerance crop, and resampling without aliasing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

__all__ = ["resize", "sample_square", "tolerance_crop", "tolerance_crop_resized"]

_STRIPE = 32  # rows or columns in the middle that are looked at first
_BLOCK = 64  # rows or columns that are then looked at together


def runs_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the runs of True: int64 (R, 2), start and end (exclusive) of each.

    Examples
    --------
    >>> runs_of(np.array([True, True, False, True])).tolist()
    [[0, 2], [3, 4]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return edges.reshape(-1, 2)


def tolerance_crop(image: Image, tolerance: int = 7) -> tuple[Image, tuple[int, int]]:
    """Drop every row and column in which no pixel is brighter than a tolerance, as the published 2019 kernel does.

    Rows and columns inside the photograph go as well, so the result may be spliced together. With no pixel
    brighter than the tolerance the image stays whole.

    Parameters
    ----------
    image
        uint8 (H, W, 3), RGB.
    tolerance
        Gray values (0..255, ``cv2.cvtColor`` to gray) up to this one count as dark.

    Returns
    -------
    tuple
        The crop, uint8 (h, w, 3), RGB, and (x, y): what to add to a coordinate of the crop to get the one in the image,
        right for the longest run of kept columns and of kept rows.

    Examples
    --------
    >>> image = np.zeros((6, 8, 3), np.uint8)
    >>> image[2:5, 1:7] = 200
    >>> crop, offset = tolerance_crop(image)
    >>> crop.shape, offset
    ((3, 6, 3), (1, 2))
    """
    rows, columns = (_bright(image, tolerance, axis) for axis in (0, 1))
    if not rows.any():
        return image, (0, 0)
    return _spliced(image, np.flatnonzero(rows), columns), _offset(rows, columns)


def tolerance_crop_resized(image: Image, tolerance: int, size: int) -> tuple[Image, tuple[int, int], tuple[int, int]]:
    """Do :func:`tolerance_crop` and then ``cv2.resize`` to size x size, bit for bit, without making the whole crop.

    Bilinear interpolation looks at two rows for each row of the result. Only these are taken out of the image; the
    others of what is resized stay whatever the memory holds.

    Parameters
    ----------
    image
        uint8 (H, W, 3), RGB.
    tolerance
        As for :func:`tolerance_crop`.
    size
        Width and height of the result.

    Returns
    -------
    tuple
        The result, uint8 (size, size, 3), the offset as :func:`tolerance_crop` gives it, and width and height of the
        crop.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    >>> result, offset, (width, height) = tolerance_crop_resized(image, 7, 20)
    >>> bool((result == cv2.resize(tolerance_crop(image)[0], (20, 20))).all()), width, height
    (True, 70, 90)
    """
    rows, columns = (_bright(image, tolerance, axis) for axis in (0, 1))
    if not rows.any():
        return cv2.resize(image, (size, size)), (0, 0), (image.shape[1], image.shape[0])  # type: ignore[return-value]
    kept = np.flatnonzero(rows)
    height, width = len(kept), int(np.count_nonzero(columns))
    looked_at = _interpolated(height, size)
    crop = np.empty((height, width, 3), np.uint8)
    crop[looked_at] = _spliced(image, kept[looked_at], columns)
    result = cv2.resize(crop, (size, size))
    return result, _offset(rows, columns), (width, height)  # type: ignore[return-value]


def _bright(image: Image, tolerance: int, axis: int) -> NDArray[np.bool_]:
    """Tell which rows (axis 0) or columns (axis 1) have a pixel brighter than the tolerance.

    A stripe through the middle decides nearly all that cross the disc; of the rest all pixels are looked at.
    """
    along, across = image.shape[axis], image.shape[1 - axis]

    def part(start: int, end: int) -> Image:
        return image[start:end] if axis == 0 else image[:, start:end]

    def is_bright(pixels: Image) -> NDArray[np.bool_]:
        brightest: NDArray[np.bool_] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).max(axis=1 - axis) > tolerance
        return brightest

    middle = slice(max(0, across // 2 - _STRIPE // 2), across // 2 + _STRIPE // 2)
    bright = is_bright(image[:, middle] if axis == 0 else image[middle])
    blocks = np.logical_or.reduceat(~bright, np.arange(0, along, _BLOCK))
    for start, end in runs_of(blocks) * _BLOCK:
        bright[start:end] = is_bright(part(start, end))
    return bright


def _interpolated(length: int, size: int) -> NDArray[np.int64]:
    """List what bilinear interpolation looks at along an axis, in order.

    OpenCV interpolates between ``floor(x)`` and the next, with x in float32; where x is nearly a whole number, both
    sides count.
    """
    x = (np.arange(size) + 0.5) * (length / size) - 0.5
    doubt = (length + 1) * 2.0**-22
    first = np.floor(np.concatenate((x - doubt, x + doubt))).astype(np.int64)
    return np.unique(np.clip(np.concatenate((first, first + 1)), 0, length - 1))


def _spliced(image: Image, rows: NDArray[np.int64], columns: NDArray[np.bool_]) -> Image:
    """Take these rows and columns out of the image: copying runs of columns is ten times as fast as one by one."""
    strip = image[rows]
    return np.concatenate([strip[:, start:end] for start, end in runs_of(columns)], axis=1)


def _offset(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> tuple[int, int]:
    return _longest_offset(runs_of(columns)), _longest_offset(runs_of(rows))


def _starts(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run starts once the gaps are closed."""
    lengths: NDArray[np.int64] = np.ptp(runs, 1)
    return np.cumsum(lengths) - lengths


def _longest_offset(runs: NDArray[np.int64]) -> int:
    longest = int(np.ptp(runs, 1).argmax())
    return int(runs[longest, 0] - _starts(runs)[longest])


def resize(image: Image, width: int, height: int) -> Image:
    """Resize without aliasing: averages areas along an axis that shrinks, is linear along one that grows."""
    rows, columns = image.shape[:2]
    if width <= columns and height <= rows:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
    shrunk = cv2.resize(image, (min(width, columns), min(height, rows)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def sample_square(
    image: Image, left: float, top: float, side: float, size: int
) -> tuple[Image, tuple[int, int, int, int]]:
    """Resample a square of an image onto size x size pixels without aliasing; black where the image has no pixels.

    The image is halved while at least four of its pixels make one of the result; then it is interpolated bilinearly at
    twice the size, and each 2 x 2 pixels are averaged. A pixel that the image covers in part is as much darker.

    Parameters
    ----------
    image
        uint8 (H, W, 3).
    left, top, side
        The square, in pixels; 0, 0 is the outer corner of the first pixel. It may reach beyond the image.
    size
        Width and height of the result.

    Returns
    -------
    tuple
        The result, uint8 (size, size, 3), and what of it the image covers wholly: left, top, right, bottom (the latter
        two exclusive), in pixels of the result.

    Examples
    --------
    >>> result, frame = sample_square(np.full((50, 100, 3), 200, np.uint8), 0, -27, 100, 20)
    >>> frame, result[4:7, 0, 0].tolist()
    ((0, 6, 20, 15), [0, 120, 200])
    """
    covered = [
        _coverage(start, side, size, length) for start, length in zip((left, top), image.shape[1::-1], strict=True)
    ]
    while side >= 4 * size and min(image.shape[:2]) > 1:
        rows, columns = (length // 2 for length in image.shape[:2])
        even = image[: 2 * rows, : 2 * columns]
        image = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        left, top, side = left / 2, top / 2, side / 2
    result = _halved_warp(image, left, top, side, size)
    for share, lines in zip(covered, (result.transpose(1, 0, 2), result), strict=True):
        partly = np.flatnonzero(share < 1)
        lines[partly] = np.rint(lines[partly] * share[partly, None, None])
    (x, right), (y, bottom) = (_span(share) for share in covered)
    return result, (x, y, right, bottom)


def _halved_warp(image: Image, left: float, top: float, side: float, size: int) -> Image:
    """Interpolate at twice the size, and average each 2 x 2 pixels; beyond the image its outermost pixels go on.

    OpenCV takes half the time where it warps four channels, and does not leave the image.
    """
    step = side / (2 * size)
    beyond = max(0, -left, -top, left + side - image.shape[1], top + side - image.shape[0])
    frame = math.ceil(beyond) + 2
    wide = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    framed = cv2.copyMakeBorder(wide, frame, frame, frame, frame, cv2.BORDER_REPLICATE)
    matrix = np.array([[step, 0, left + frame + step / 2 - 0.5], [0, step, top + frame + step / 2 - 0.5]])
    double = cv2.warpAffine(framed, matrix, (2 * size, 2 * size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    halved = cv2.resize(double, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(halved, cv2.COLOR_RGBA2RGB)  # type: ignore[return-value]


def _coverage(start: float, side: float, size: int, length: int) -> NDArray[np.float64]:
    """Return the share of each pixel of a result, along one axis, that lies within the image: (size,), 0..1."""
    edges = start + np.arange(size + 1) * (side / size)
    inside: NDArray[np.float64] = np.diff(np.clip(edges, 0, length)) * (size / side)
    return np.where(inside > 1 - 1e-6, 1, inside)


def _span(share: NDArray[np.float64]) -> tuple[int, int]:
    """Find the first pixel that is covered wholly and the one after the last; at least one, covered or not."""
    whole = np.flatnonzero(share == 1)
    first = int(whole[0]) if len(whole) else int(share.argmax())
    return first, int(whole[-1]) + 1 if len(whole) else first + 1
