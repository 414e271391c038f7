"""The steps that recipes are made of: frozen, versioned, with a JSON identity.

A step's version goes up whenever its pixels change; a recipe with another version of a step is another recipe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2

from prebake import fundus
from prebake.decode import MAX_PIXELS
from prebake.errors import RecipeError
from prebake.recipe.base import Call, Decode, Photo, Step

__all__ = [
    "STEPS",
    "Call",
    "CutDisc",
    "Decode",
    "FieldOfView",
    "MaskDisc",
    "Resize",
    "ScaleRadius",
    "SubtractAverage",
    "SubtractAverageInside",
    "ToleranceCrop",
    "joined",
]


@dataclass(frozen=True, slots=True)
class ToleranceCrop(Step):
    """Drop dark rows and columns: :func:`prebake.fundus.tolerance_crop`."""

    NAME: ClassVar[str] = "tolerance_crop"
    tolerance: int = 7

    def run(self, photo: Photo, size: int) -> Photo:  # noqa: ARG002
        """Crop; where rows are spliced the geometry is that of the longest run."""
        crop, offset = fundus.tolerance_crop(photo.image, self.tolerance)
        return photo.moved(crop, (1, 1), offset)


@dataclass(frozen=True, slots=True)
class Resize(Step):
    """Resize to size x size pixels, whatever the aspect.

    Parameters
    ----------
    interpolation
        ``area``: without aliasing; ``linear``: as ``cv2.resize`` does by default.
    """

    NAME: ClassVar[str] = "resize"
    interpolation: str = "area"

    def __post_init__(self) -> None:
        """Check the interpolation."""
        if self.interpolation not in {"area", "linear"}:
            raise RecipeError("step resize: interpolation", expected="area or linear", got=repr(self.interpolation))

    def run(self, photo: Photo, size: int) -> Photo:
        """Resize."""
        if self.interpolation == "area":
            return photo.resized(fundus.resize(photo.image, size, size))
        return photo.resized(cv2.resize(photo.image, (size, size)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class FieldOfView(Step):
    """Find the disc and resample the square around it without aliasing; black beyond the photograph.

    Aspect and roundness are kept; what the photograph's edge cuts off stays black. Without a disc
    (:func:`prebake.fundus.fit_disc`) the square is that around the whole photograph.

    Parameters
    ----------
    margin
        Room around the disc, as a share of its radius.
    """

    NAME: ClassVar[str] = "field_of_view"
    VERSION: ClassVar[int] = 2  # 2: exact to a fraction of a pixel, so that a photograph may be reduced further before
    margin: float = 0.01

    def run(self, photo: Photo, size: int) -> Photo:
        """Crop and resample; afterwards the disc sits in the middle of the image and its radius is known.

        Raises
        ------
        RecipeError
            The square would have more than :data:`prebake.decode.MAX_PIXELS`: a strip, and no photograph of an eye.
        """
        height, width = photo.image.shape[:2]
        disc = fundus.fit_disc(photo.image)
        if disc is None:
            side = float(max(width, height))
            left, top = (width - side) / 2, (height - side) / 2
        else:
            half = disc.radius * (1 + self.margin)
            side = 2 * half
            left, top = disc.x + 0.5 - half, disc.y + 0.5 - half
        if side * side > MAX_PIXELS:
            raise RecipeError(
                "the photograph is too long and narrow for a square around it", got=f"{width} x {height} pixels"
            )
        image, frame = fundus.sample_square(photo.image, left, top, side, size)
        scale = side / size
        result = photo.moved(image, (scale, scale), (left + scale / 2 - 0.5, top + scale / 2 - 0.5))
        radius = None if disc is None else size / 2 / (1 + self.margin)
        return replace(result, radius=radius, frame=frame)


@dataclass(frozen=True, slots=True)
class MaskDisc(Step):
    """Black outside the disc: the border's noise, labels and notches tell nothing of the eye.

    Parameters
    ----------
    share
        Of the disc's radius that stays.
    """

    NAME: ClassVar[str] = "mask_disc"
    share: float = 1.0

    def run(self, photo: Photo, size: int) -> Photo:
        """Mask; a photograph without a disc stays as it is."""
        if photo.radius is None:
            return photo
        image = photo.image.copy()
        image[~fundus.inside(size, photo.radius * self.share)] = 0
        return replace(photo, image=image)


@dataclass(frozen=True, slots=True)
class SubtractAverageInside(Step):
    """Subtract the local average without a halo: :func:`prebake.fundus.subtract_average_inside`.

    Parameters
    ----------
    sigma
        In pixels.
    share
        Of the disc's radius that stays; the camera's aperture shades the outermost pixels.
    """

    NAME: ClassVar[str] = "subtract_average_inside"
    sigma: float = 10.0
    share: float = 0.98

    def run(self, photo: Photo, size: int) -> Photo:
        """Subtract; outside the disc, and beyond the photograph's edges, even 128."""
        radius = None if photo.radius is None else photo.radius * self.share
        frame = photo.frame or (0, 0, size, size)
        return replace(photo, image=fundus.subtract_average_inside(photo.image, self.sigma, radius, frame))


@dataclass(frozen=True, slots=True)
class ScaleRadius(Step):
    """Scale to a radius, measured by :func:`prebake.fundus.graham_radius`, so that a share of it fills the size.

    Parameters
    ----------
    share
        Of the radius.
    sigma
        Of the subtraction that follows, in pixels: so much more than the square in the middle is kept for its sake.
    """

    NAME: ClassVar[str] = "scale_radius"
    share: float = 0.9
    sigma: float = 10.0

    def run(self, photo: Photo, size: int) -> Photo:
        """Scale the middle of the photograph."""
        height, width = photo.image.shape[:2]
        scale = size / (2 * self.share * fundus.graham_radius(photo.image))
        half = math.ceil((size / 2 + 4 * self.sigma) / scale)
        x, y = max(0, width // 2 - half), max(0, height // 2 - half)
        part = photo.image[y : height // 2 + half, x : width // 2 + half]
        image = fundus.resize(part, *(max(1, round(side * scale)) for side in part.shape[1::-1]))
        return photo.moved(part, (1, 1), (x, y)).resized(image)


@dataclass(frozen=True, slots=True)
class CutDisc(Step):
    """Keep the disc in the middle that fits into size x size pixels; 128 around it."""

    NAME: ClassVar[str] = "cut_disc"

    def run(self, photo: Photo, size: int) -> Photo:
        """Cut."""
        height, width = photo.image.shape[:2]
        x, y = (width - size) // 2, (height - size) // 2
        left, top, right, bottom = max(0, -x), max(0, -y), max(0, x + size - width), max(0, y + size - height)
        part = photo.image[y + top : y + size - bottom, x + left : x + size - right]
        image = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(128, 128, 128))
        image[~fundus.inside(size, size / 2)] = 128
        return photo.moved(image, (1, 1), (x, y))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class SubtractAverage(Step):
    """Subtract the local average: :func:`prebake.fundus.subtract_average`, sigma in pixels."""

    NAME: ClassVar[str] = "subtract_average"
    sigma: float = 10.0

    def run(self, photo: Photo, size: int) -> Photo:  # noqa: ARG002
        """Subtract."""
        return replace(photo, image=fundus.subtract_average(photo.image, self.sigma))


_ALL: tuple[type[Step], ...] = (
    Decode,
    Call,
    ToleranceCrop,
    Resize,
    FieldOfView,
    MaskDisc,
    SubtractAverage,
    SubtractAverageInside,
    ScaleRadius,
    CutDisc,
)

STEPS: dict[str, type[Step]] = {step.NAME: step for step in _ALL}


@dataclass(frozen=True, slots=True)
class _CropAndResize(Step):
    """:class:`ToleranceCrop` and a linear :class:`Resize` in one; never part of a recipe, see :func:`joined`."""

    NAME: ClassVar[str] = "crop_and_resize"
    tolerance: int

    def run(self, photo: Photo, size: int) -> Photo:
        """Do both."""
        image, offset, (width, height) = fundus.tolerance_crop_resized(photo.image, self.tolerance, size)
        return photo.moved(image, (1, 1), offset).resized(image, width, height)


def joined(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps that do bit for bit the same in less time. What a recipe is told by stays its own steps."""
    done: list[Step] = []
    for step in steps:
        if step == Resize("linear") and done and isinstance(done[-1], ToleranceCrop):
            done[-1] = _CropAndResize(done[-1].tolerance)
        else:
            done.append(step)
    return tuple(done)
