"""What a step is, and the two that know nothing of fundus photographs: decoding, and a user's function."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prebake.errors import RecipeError
from prebake.recipe.functions import allow_function, find_function, is_allowed, require_allowed

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Call", "Decode", "Photo", "Step"]


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

    def resized(self, image: NDArray[np.uint8], width: int | None = None, height: int | None = None) -> Photo:
        """Return the next state after a resize with OpenCV's convention: x lies at ``(x + 0.5) * scale - 0.5``.

        Width and height are those before; without them, those of the image of this state.
        """
        x = (width or self.image.shape[1]) / image.shape[1]
        y = (height or self.image.shape[0]) / image.shape[0]
        return self.moved(image, (x, y), (x / 2 - 0.5, y / 2 - 0.5))


class Step:
    """One deterministic step of a recipe. Subclasses are frozen dataclasses and listed in :data:`STEPS`."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Check the numbers: finite, none below zero, and what is divided by (``sigma``, ``share``) above it."""
        for name, value in self.values().items():
            if isinstance(value, str):
                continue
            divides = name in {"sigma", "share"}
            if not math.isfinite(value) or value < 0 or (divides and value == 0):
                expected = f"a number {'above' if divides else 'not below'} 0"
                raise RecipeError(f"step {self.NAME}: {name}", expected=expected, got=repr(value))

    def run(self, photo: Photo, size: int) -> Photo:
        """Do the step for a recipe of ``size`` pixels."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """Return the fields of the step, floats as such: 10 and 10.0 are equal, so they are written equally."""
        values: dict[str, Any] = {}
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            values[item.name] = float(value) if item.type == "float" else value
        return values


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

    def __reduce__(self) -> tuple[object, ...]:
        """Take along that the function is allowed: a pickle comes from one's own processes, never from a file."""
        return _restored, (self.function, self.release, is_allowed(self.function))

    def run(self, photo: Photo, size: int) -> Photo:
        """Call it and check what comes back. Where its pixels come from is not known: the geometry is NaN."""
        require_allowed([self.function])
        result = find_function(self.function)(photo.image)
        found = f"{getattr(result, 'dtype', type(result).__name__)} {getattr(result, 'shape', '')}".strip()
        if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != (size, size, 3):
            expected = f"an array uint8 ({size}, {size}, 3), RGB"
            raise RecipeError(
                f"the recipe function {self.function} returned something else", expected=expected, got=found
            )
        return Photo(np.ascontiguousarray(result), np.full((2, 3), np.nan))


def _restored(function: str, release: str, allowed: bool) -> Call:  # noqa: FBT001 - of a pickle
    if allowed:
        allow_function(function)
    return Call(function, release)
