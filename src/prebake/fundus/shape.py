"""The published tolerance crop, and resizing without aliasing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

__all__ = ["resize", "tolerance_crop"]


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
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    rows, columns = (runs_of(gray.max(axis=axis) > tolerance) for axis in (1, 0))
    if not len(rows):
        return image, (0, 0)
    if len(rows) == len(columns) == 1:
        crop = image[rows[0, 0] : rows[0, 1], columns[0, 0] : columns[0, 1]]
    elif len(rows) * len(columns) > 4096:  # noise everywhere: copying run by run would be slower
        crop = image[np.ix_(_members(rows), _members(columns))]
    else:
        crop = np.empty((int(np.ptp(rows, 1).sum()), int(np.ptp(columns, 1).sum()), 3), np.uint8)
        for (top, bottom), y in zip(rows, _starts(rows), strict=True):
            for (left, right), x in zip(columns, _starts(columns), strict=True):
                crop[y : y + bottom - top, x : x + right - left] = image[top:bottom, left:right]
    return crop, (_longest_offset(columns), _longest_offset(rows))


def _starts(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run starts once the gaps are closed."""
    lengths: NDArray[np.int64] = np.ptp(runs, 1)
    return np.cumsum(lengths) - lengths


def _members(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(start, end) for start, end in runs])


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
