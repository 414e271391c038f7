"""Where an eye lies in a picture, and masks to draw on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Generator = np.random.Generator

DISC = np.array([0.60, -0.04])
FOVEA = np.array([-0.14, 0.05])


@dataclass(frozen=True, slots=True)
class View:
    """Where the eye lies in the picture: from coordinates of the eye to pixels."""

    width: int
    height: int
    centre: tuple[float, float]
    radius: float
    mirror: int
    tilt: float

    def pixels(self, points: Points) -> Points:
        """Map ``(..., 2)`` eye coordinates to pixel coordinates."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned * (self.mirror * self.radius, self.radius) + self.centre)

    def eye(self, step: int) -> tuple[Floats, Floats]:
        """Return the eye coordinates x and y of every ``step``-th pixel, each ``(ceil(H/step), ceil(W/step))``."""
        rows = (np.arange(0, self.height, step, dtype=np.float32) + (step - 1) / 2 - self.centre[1]) / self.radius
        columns = (np.arange(0, self.width, step, dtype=np.float32) + (step - 1) / 2 - self.centre[0]) / self.radius
        u, v = np.meshgrid(columns * self.mirror, rows)
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        return u * cos + v * sin, v * cos - u * sin

    def enlarge(self, plane: npt.ArrayLike) -> Floats:
        """Bring a plane computed at every n-th pixel to the size of the picture."""
        small = np.asarray(plane, np.float32)
        return np.asarray(cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_LINEAR), np.float32)


class Ink:
    """A mask that is drawn at twice the resolution of the picture and then reduced."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.canvas = np.zeros((2 * view.height, 2 * view.width), np.uint8)

    def _place(self, points: Points) -> npt.NDArray[np.int32]:
        return np.round((2 * self.view.pixels(points) + 0.5) * 8).astype(np.int32)

    def stroke(self, points: Points, widths: Points, value: int = 255) -> None:
        """Draw a line through ``(N, 2)`` points with a width (eye units) for each."""
        places = self._place(points).tolist()
        thickness = np.maximum(1, np.round(2 * widths * self.view.radius)).astype(int).tolist()
        for start, end, thick in zip(places, places[1:], thickness, strict=False):
            cv2.line(self.canvas, start, end, value, thick, cv2.LINE_AA, 3)

    def blot(
        self, rng: Generator, at: Points, radius: float, *, stretch: float = 1.0, angle: float = 0.0, value: int = 255
    ) -> None:
        """Draw one irregular spot; ``stretch`` makes it longer along ``angle`` (radians)."""
        turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        wobble = 1 + 0.16 * np.sin(2 * turn + rng.uniform(0, 6)) + 0.12 * np.sin(3 * turn + rng.uniform(0, 6))
        wobble += rng.normal(0, 0.05, 18)
        x, y = radius * wobble * np.cos(turn) * stretch, radius * wobble * np.sin(turn)
        outline = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)
        self.shape(at + outline, value)

    def shape(self, outline: Points, value: int = 255) -> None:
        """Fill the polygon ``(N, 2)``."""
        cv2.fillPoly(self.canvas, [self._place(outline)], value, cv2.LINE_AA, 3)

    def mask(self, blur: float = 0.0) -> Floats:
        """Return the mask ``(H, W)`` in 0..1, blurred by ``blur`` (eye units)."""
        small = cv2.resize(self.canvas, (self.view.width, self.view.height), interpolation=cv2.INTER_AREA)
        if blur * self.view.radius > 0.3:
            small = cv2.GaussianBlur(small, (0, 0), blur * self.view.radius)
        return np.asarray(small, np.float32) * np.float32(1 / 255)


def noise(rng: Generator, shape: tuple[int, int], cells: int) -> Floats:
    """Return smooth noise of unit deviation with about ``cells`` bumps across."""
    coarse = rng.standard_normal((max(2, cells * shape[0] // shape[1]), cells), np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def rgb(red: float, green: float, blue: float) -> Floats:
    """Return a colour as ``(3, 1, 1)``, ready to be multiplied with planes ``(H, W)``."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)
