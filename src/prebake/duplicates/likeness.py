"""Whether two baked pictures show the same: the correlation of their fine structure, after alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Gray = NDArray[np.float32]

__all__ = ["similarity", "sketch"]

SKETCH, FINE = 32, 64  # sides in pixels
SIGMA = 2.0  # what is coarser than this many pixels is illumination, and left out
ROUNDS = 30  # of the alignment


def sketch(image: Image) -> Gray:
    """Return the coarse structure of the middle of a picture as a vector of length 1: dot products are correlations.

    Parameters
    ----------
    image
        uint8 (H, W, C).

    Returns
    -------
    numpy.ndarray
        float32 (400,); all 0 for an even picture.
    """
    return _structure(_gray(image, SKETCH))


def similarity(one: Image, other: Image) -> float:
    """Compare two pictures: the correlation of their fine structure, as they are or aligned, whichever is higher.

    Both are reduced to 64 x 64 gray pixels, less their local average (sigma 2), so that brightness, colour and
    illumination do not matter; the middle 60 % is compared. The alignment is affine (Evangelidis and Psarakis 2008,
    as in OpenCV): saving a photograph again can shift where a recipe crops it. Turned or mirrored copies are not
    recognised.

    Parameters
    ----------
    one, other
        uint8 (H, W, C), RGB, baked with the same recipe.

    Returns
    -------
    float
        -1 to 1: 1 for the same picture, 0 for an even one.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> round(similarity(image, image // 2), 2), similarity(image, image[::-1]) < 0.5
    (1.0, True)
    """
    left, right = _gray(one, FINE), _gray(other, FINE)
    fine = _structure(left)
    moved = _aligned(right, left)
    return max(float(fine @ _structure(picture)) for picture in (right, moved) if picture is not None)


def _gray(image: Image, side: int) -> Gray:
    """Return the mean of the channels, float32 (side, side)."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(np.atleast_3d(small).mean(axis=2, dtype=np.float32))


def _flat(gray: Gray, sigma: float) -> Gray:
    """Take the local average away."""
    return np.asarray(gray - cv2.GaussianBlur(gray, (0, 0), sigma), dtype=np.float32)


def _structure(gray: Gray) -> Gray:
    """Return the middle 60 % less its local average as a vector of mean 0 and length 1 (or 0)."""
    edge = len(gray) // 5
    vector = _flat(gray, SIGMA)[edge:-edge, edge:-edge].ravel()
    vector = vector - vector.mean()
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 1e-3 else np.zeros_like(vector), dtype=np.float32)


def _aligned(moving: Gray, fixed: Gray) -> Gray | None:
    """Warp ``moving`` onto ``fixed``; ``None`` where no alignment is found."""
    inside = np.zeros(fixed.shape, np.uint8)
    edge = len(fixed) // 8
    inside[edge:-edge, edge:-edge] = 255
    ending = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ROUNDS, 1e-3)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, warp = cv2.findTransformECC(
            _flat(fixed, 2 * SIGMA), _flat(moving, 2 * SIGMA), start, cv2.MOTION_AFFINE, ending, inside, 5
        )
    except cv2.error:
        return None
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(moving, warp, fixed.shape[::-1], flags=flags), dtype=np.float32)
