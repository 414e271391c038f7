"""The steps that recipes are made of: frozen, versioned, with a JSON identity.

A step's version goes up whenever its pixels change; a recipe with another version of a step is another recipe.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from prebake import fundus
from prebake.errors import RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "STEPS",
    "Call",
    "CutDisc",
    "Decode",
    "FieldOfView",
    "MaskDisc",
    "Photo",
    "Resize",
    "ScaleRadius",
    "Step",
    "SubtractAverage",
    "SubtractAverageInside",
    "ToleranceCrop",
    "find_function",
]


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photograph on its way through the steps.

    Parameters
    ----------
    image
        uint8 (H, W, 3), RGB.
    to_source
        float64 (2, 3): maps coordinates of the image to those of the photograph.
    radius
        Of the field of view, around the middle of the image; None: no such disc is known.
    frame
        left, top, right, bottom (the latter two exclusive) of what the photograph covers; None: all of it.
    """

    image: NDArray[np.uint8]
    to_source: NDArray[np.float64] = field(default_factory=lambda: np.eye(2, 3))
    radius: float | None = None
    frame: tuple[int, int, int, int] | None = None

    def moved(self, image: NDArray[np.uint8], scale: tuple[float, float], offset: tuple[float, float]) -> Photo:
        """Return the next state: x of the new image lies at ``scale * x + offset`` in this one."""
        matrix = self.to_source.copy()
        matrix[:, 2] += matrix[:, :2] @ np.asarray(offset, np.float64)
        matrix[:, :2] *= np.asarray(scale, np.float64)
        return Photo(image, matrix)

    def resized(self, image: NDArray[np.uint8]) -> Photo:
        """Return the next state after a resize with OpenCV's convention: x lies at ``(x + 0.5) * scale - 0.5``."""
        x = self.image.shape[1] / image.shape[1]
        y = self.image.shape[0] / image.shape[0]
        return self.moved(image, (x, y), (x / 2 - 0.5, y / 2 - 0.5))


class Step:
    """One deterministic step of a recipe. Subclasses are frozen dataclasses and listed in :data:`STEPS`."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1

    def run(self, photo: Photo, size: int) -> Photo:
        """Do the step for a recipe of ``size`` pixels."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """Return the fields of the step."""
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Decode(Step):
    """How the photograph is decoded; always the first step.

    Parameters
    ----------
    oversampling
        0: whole, bit for bit as OpenCV does. Else a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long
        as each pixel of the result is made from at least so many by so many pixels.
    """

    NAME: ClassVar[str] = "decode"
    oversampling: float = 0.0

    def run(self, photo: Photo, size: int) -> Photo:  # noqa: ARG002
        """Do nothing: the photograph is decoded already."""
        return photo


@dataclass(frozen=True, slots=True)
class Call(Step):
    """Call a function of the user's: uint8 (H, W, 3) RGB -> uint8 (size, size, 3) RGB.

    Parameters
    ----------
    function
        ``package.module:qualified.name``.
    release
        The user's own version of it.
    """

    NAME: ClassVar[str] = "call"
    function: str
    release: str

    def run(self, photo: Photo, size: int) -> Photo:
        """Call it and check what comes back. Where its pixels come from is not known: the geometry is NaN."""
        result = find_function(self.function)(photo.image)
        found = f"{getattr(result, 'dtype', type(result).__name__)} {getattr(result, 'shape', '')}".strip()
        if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != (size, size, 3):
            expected = f"an array uint8 ({size}, {size}, 3), RGB"
            raise RecipeError(
                f"the recipe function {self.function} returned something else", expected=expected, got=found
            )
        return Photo(np.ascontiguousarray(result), np.full((2, 3), np.nan))


def find_function(name: str) -> Callable[[NDArray[np.uint8]], Any]:
    """Import ``package.module:qualified.name``."""
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        do = "make its module importable, for example PYTHONPATH=. prebake ..."
        raise RecipeError(f"the recipe function {name} cannot be imported", got=str(error), do=do) from error
    if not callable(found):
        raise RecipeError(f"{name} is not a function", got=type(found).__name__)
    return found  # type: ignore[no-any-return]


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
    """Find the disc, take the square around it (black beyond the photograph), resize that without aliasing.

    Aspect and roundness are kept; what the photograph's edge cuts off stays black. Without a disc
    (:func:`prebake.fundus.fit_disc`) the square is that around the whole photograph.

    Parameters
    ----------
    margin
        Room around the disc, as a share of its radius.
    """

    NAME: ClassVar[str] = "field_of_view"
    margin: float = 0.01

    def run(self, photo: Photo, size: int) -> Photo:
        """Crop and resize; afterwards the disc sits in the middle of the image and its radius is known."""
        height, width = photo.image.shape[:2]
        disc = fundus.fit_disc(photo.image)
        if disc is None:
            side = max(width, height)
            x, y = (width - side) // 2, (height - side) // 2
        else:
            half = disc.radius * (1 + self.margin)
            side = max(1, round(2 * half))
            x, y = round(disc.x + 0.5 - side / 2), round(disc.y + 0.5 - side / 2)
        left, top, right, bottom = max(0, -x), max(0, -y), max(0, x + side - width), max(0, y + side - height)
        part = photo.image[y + top : y + side - bottom, x + left : x + side - right]
        square = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT)
        image = fundus.resize(square, size, size)  # type: ignore[arg-type]
        scale = size / side
        near, far = (math.ceil(left * scale), math.ceil(top * scale)), (side - right, side - bottom)
        frame = (*near, *(max(start + 1, math.floor(end * scale)) for start, end in zip(near, far, strict=True)))
        result = photo.moved(square, (1, 1), (x, y)).resized(image)  # type: ignore[arg-type]
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
