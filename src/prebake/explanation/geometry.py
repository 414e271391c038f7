"""From the baked image back onto the photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["shown_size", "warp"]


def shown_size(image: npt.NDArray[np.uint8], width: int, height: int, longest: int) -> npt.NDArray[np.uint8]:
    """Reduce a picture of a photograph of ``width`` x ``height`` pixels so that its longer side has ``longest``.

    The picture may be reduced already; what is smaller than ``longest`` stays as large as the photograph.
    """
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if image.shape[1::-1] == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def warp(
    values: npt.NDArray[np.float32],
    to_source: npt.NDArray[np.float64],
    photograph: tuple[int, int],
    shape: tuple[int, ...],
) -> npt.NDArray[np.float32]:
    """Lay a map of the baked image over a picture of the whole photograph.

    Parameters
    ----------
    values
        (S, S) float32 on the baked image.
    to_source
        (2, 3) float64: from pixel centres of the baked image to those of the photograph.
    photograph
        Width and height of the photograph, upright.
    shape
        Height and width of the picture, which shows all of it.

    Returns
    -------
    (H, W) float32: interpolated bilinearly; NaN outside the baked image.

    Examples
    --------
    >>> values = np.array([[1, 2], [3, 4]], np.float32)
    >>> warp(values, np.array([[1.0, 0, 1], [0, 1, 0]]), (4, 2), (2, 4))
    array([[nan,  1.,  2., nan],
           [nan,  3.,  4., nan]], dtype=float32)
    """
    height, width = shape
    x = (np.arange(width) + 0.5) * photograph[0] / width - 0.5
    y = (np.arange(height) + 0.5) * photograph[1] / height - 0.5
    back = cv2.invertAffineTransform(to_source)
    across = (back[0, 0] * x + back[0, 2])[None] + (back[0, 1] * y)[:, None]
    down = (back[1, 0] * x + back[1, 2])[None] + (back[1, 1] * y)[:, None]
    rows, columns = values.shape
    found = cv2.remap(
        values, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = (across >= -0.5) & (across <= columns - 0.5) & (down >= -0.5) & (down <= rows - 0.5)
    return np.where(inside, found, np.float32(np.nan)).astype(np.float32)
