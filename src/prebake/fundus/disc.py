"""Where the field of view is: a robust circle fit, and the measure of 2015."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from prebake.fundus.shape import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

__all__ = ["Disc", "fit_disc", "graham_radius"]


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle in pixel coordinates: centre and radius."""

    x: float
    y: float
    radius: float


def graham_radius(image: Image) -> float:
    """Measure the radius of the retina as Ben Graham's report of 2015 does, in pixels.

    Half the number of pixels in the centre row whose sum of channels is above a tenth of that row's mean. A row without
    a disc (under a tenth of its width) gives half the width.
    """
    row = image[image.shape[0] // 2].sum(axis=1, dtype=np.int64)
    radius = int((row > row.mean() / 10).sum()) / 2
    return radius if radius >= len(row) / 20 else len(row) / 2


def fit_disc(image: Image) -> Disc | None:
    """Fit a circle to the field of view: the bright disc on a dark background.

    The photograph is halved until it has at most 384 pixels. What is brighter than the darkest corner by 15 % of the
    way to the middle's brightness belongs to the field of view. A circle goes through the outline of its largest
    connected part by random sample consensus (Fischler and Bolles 1981, with fixed draws) and least squares on the
    inliers (Kasa 1976). The outline along the photograph's own edge does not count, so a disc clipped by it is fitted
    right; notches and labels are outliers.

    Parameters
    ----------
    image
        uint8 (H, W, 3), RGB.

    Returns
    -------
    Disc or None
        None where there is no such disc: a dark picture, no dark background, an outline that is no circle.

    Examples
    --------
    >>> image = np.zeros((300, 400, 3), np.uint8)
    >>> _ = cv2.circle(image, (210, 150), 120, (180, 90, 40), -1)
    >>> disc = fit_disc(image)
    >>> round(disc.x), round(disc.y), 119 < disc.radius < 122
    (210, 150, True)
    """
    small, factor = _reduced(image)
    red, green, blue = cv2.split(small)
    value = cv2.medianBlur(cv2.max(cv2.max(red, green), blue), 5)
    rows, columns = value.shape
    corner = max(2, min(rows, columns) // 24)
    patches = [
        value[y, x] for y in (slice(corner), slice(-corner, None)) for x in (slice(corner), slice(-corner, None))
    ]
    dark = min(float(np.median(patch)) for patch in patches)
    bright = float(np.median(value[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]))
    if bright - dark < 8 or dark > bright / 2:
        return None
    mask = (value > dark + 0.15 * (bright - dark)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    disc = _fit_circle(_outline(labels == largest))
    if disc is None or not _is_plausible(disc, rows, columns):
        return None
    return Disc((disc.x + 0.5) * factor - 0.5, (disc.y + 0.5) * factor - 0.5, disc.radius * factor)


def _reduced(image: Image) -> tuple[Image, int]:
    """Halve the photograph until no side is longer than 384, a last odd row or column left out; and by how much."""
    factor = 1
    while max(image.shape[:2]) > 384:
        height, width = (max(1, side // 2) for side in image.shape[:2])
        image = resize(image[: 2 * height, : 2 * width], width, height)
        factor *= 2
    return image, factor


def _is_plausible(disc: Disc, rows: int, columns: int) -> bool:
    centred = 0 <= disc.x < columns and 0 <= disc.y < rows
    return centred and min(rows, columns) / 8 <= disc.radius <= 0.75 * float(np.hypot(rows, columns))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """First and last edge of every row and column as (N, 2) points x, y; none along the edge of the mask itself."""
    points = []
    for swap in (False, True):
        lines = mask.T if swap else mask
        used = np.flatnonzero(lines.any(axis=1))
        first = lines[used].argmax(axis=1)
        last = lines.shape[1] - 1 - lines[used][:, ::-1].argmax(axis=1)
        for along, keep in ((first - 0.5, first > 0), (last + 0.5, last < lines.shape[1] - 1)):
            pair = (used[keep], along[keep]) if swap else (along[keep], used[keep])
            points.append(np.stack(pair, axis=1))
    return np.concatenate(points).astype(np.float64)


def _fit_circle(points: NDArray[np.float64]) -> Disc | None:
    """Find the circle that most points agree on; None when less than half do, or they lie on one side of it."""
    if len(points) < 24:
        return None
    sample = points[:: max(1, len(points) // 200)]
    a, b, c = sample[np.random.default_rng(0).integers(0, len(sample), (3, 100))]
    x, y, radius = _through(a, b, c)
    best = int(_within(sample, x, y, radius, 1.5).sum(axis=1).argmax())
    disc = Disc(float(x[best]), float(y[best]), float(radius[best]))
    for _ in range(3):
        near = points[np.abs(np.hypot(points[:, 0] - disc.x, points[:, 1] - disc.y) - disc.radius) < 1.5]
        if len(near) < len(points) / 2:
            return None
        disc = _least_squares(near)
    bins = np.unique(np.floor(np.arctan2(near[:, 1] - disc.y, near[:, 0] - disc.x) * (36 / np.pi)))  # of 5 degrees
    widest_gap = int(np.diff(bins, append=bins[0] + 72).max())
    return disc if len(bins) >= 8 and widest_gap <= 38 else None


def _through(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Circles through three points each, (K, 2): x, y and radius, (K,); not finite where the points lie in a line."""
    p, q = b - a, c - a
    double = 2 * (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])
    double[double == 0] = np.nan
    pp, qq = (p**2).sum(axis=1), (q**2).sum(axis=1)
    x, y = (q[:, 1] * pp - p[:, 1] * qq) / double, (p[:, 0] * qq - q[:, 0] * pp) / double
    return x + a[:, 0], y + a[:, 1], np.hypot(x, y)


def _within(
    points: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radius: NDArray[np.float64],
    reach: float,
) -> NDArray[np.bool_]:
    """Tell which points (N, 2) are closer than ``reach`` to which circles (K,): bool (K, N).

    The power of a point, distance^2 - radius^2, is a product of two vectors; it lies within reach^2 of 2 reach radius.
    No root is taken, so all draws take a sixth of the time. Circles that are not finite have nothing near.
    """
    placed = np.column_stack((points, (points**2).sum(axis=1), np.ones(len(points))))
    with np.errstate(invalid="ignore"):  # three points in a line: an infinite circle
        circles = np.column_stack((-2 * x, -2 * y, np.ones(len(x)), x * x + y * y - radius * radius))
        near: NDArray[np.bool_] = np.abs(circles @ placed.T - reach * reach) < 2 * reach * radius[:, None]
    return near


def _least_squares(points: NDArray[np.float64]) -> Disc:
    """Algebraic circle fit: x^2 + y^2 = 2 a x + 2 b y + c, linear in a, b and c (Kasa 1976)."""
    middle = points.mean(axis=0)
    shifted = points - middle
    design = np.column_stack((2 * shifted, np.ones(len(points))))
    (a, b, c), *_ = np.linalg.lstsq(design, (shifted**2).sum(axis=1), rcond=None)
    return Disc(float(a + middle[0]), float(b + middle[1]), float(np.sqrt(max(c + a * a + b * b, 0.0))))
