"""One photograph: an eye, a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from prebake.fundus_art.anatomy import background, vessels
from prebake.fundus_art.canvas import Floats, Generator, Ink, Pixels, View, rgb
from prebake.fundus_art.lesions import lesions

__all__ = ["Eye", "draw"]


@dataclass(frozen=True, slots=True)
class Eye:
    """What is drawn.

    Parameters
    ----------
    grade
        0 to 4.
    side
        Both eyes of a patient are photographed with the same camera and have the same complexion.
    patient
        Number of the patient; with ``seed`` it decides everything that is random.
    seed
        Seed of the whole set.
    """

    grade: int
    side: Literal["left", "right"] = "right"
    patient: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Camera:
    """Width and aspect relative to the size asked for, radius relative to the picture's height, and its habits."""

    scale: float
    aspect: float
    radius: float
    gain: tuple[float, float, float]
    rim: tuple[float, float, float]
    notch: bool
    quality: int


_CAMERAS = (
    _Camera(1.00, 3 / 2, 0.60, (1.00, 1.00, 1.00), (0.00, 0.00, 0.00), notch=True, quality=88),
    _Camera(0.92, 4 / 3, 0.485, (1.02, 0.93, 0.85), (0.02, 0.07, 0.05), notch=False, quality=80),
    _Camera(0.75, 4 / 3, 0.64, (0.95, 1.05, 0.80), (0.05, 0.10, 0.02), notch=False, quality=75),
    _Camera(0.80, 1.04, 0.515, (1.04, 0.96, 1.25), (0.00, 0.02, 0.04), notch=True, quality=92),
)
_COMPLEXIONS = (
    (0.74, 0.34, 0.14),
    (0.83, 0.41, 0.22),
    (0.60, 0.25, 0.09),
    (0.80, 0.46, 0.34),
    (0.72, 0.42, 0.13),
    (0.68, 0.28, 0.15),
)


def draw(eye: Eye, size: tuple[int, int] = (900, 700)) -> Pixels:
    """Draw one photograph.

    Parameters
    ----------
    eye
        Grade, side, patient and seed: the same eye gives the same pixels.
    size
        Width and height that the picture of the largest camera fills; the other cameras' pictures are smaller or
        narrower.

    Returns
    -------
    uint8 array (H, W, 3), RGB.

    Examples
    --------
    >>> picture = draw(Eye(grade=2, side="left"), size=(300, 240))
    >>> picture.dtype, picture.ndim
    (dtype('uint8'), 3)
    """
    person = np.random.default_rng([eye.seed, eye.patient])
    rng = np.random.default_rng([eye.seed, eye.patient, 1 + (eye.side == "left")])
    camera = _CAMERAS[int(person.integers(len(_CAMERAS)))]
    complexion = np.array(_COMPLEXIONS[int(person.integers(len(_COMPLEXIONS)))]) * person.normal(1, 0.05, 3)
    view = _place_eye(rng, camera, size, eye.side)
    picture = background(rng, view, complexion * person.uniform(0.85, 1.12))
    vessels(rng, view, picture)
    lesions(rng, view, picture, eye.grade)
    return _expose(rng, view, picture, camera)


def _place_eye(rng: Generator, camera: _Camera, size: tuple[int, int], side: str) -> View:
    width = min(size[0], size[1] * camera.aspect) * camera.scale
    width, height = round(width), round(width / camera.aspect)
    centre = (width / 2 + rng.normal(0, 0.012) * width, height / 2 + rng.normal(0, 0.012) * height)
    radius = camera.radius * height * rng.uniform(0.97, 1.02)
    return View(width, height, centre, radius, 1 if side == "right" else -1, rng.normal(0, 0.07))


def _expose(rng: Generator, view: View, image: Floats, camera: _Camera) -> Pixels:
    """Photograph the drawing: rim and notch of the field of view, glare, focus, sensor noise, JPEG."""
    x, y = view.eye(4)
    image += view.enlarge(np.clip((np.hypot(x, y) - 0.84) / 0.16, 0, 1) ** 2) * rgb(*camera.rim)
    image *= rgb(*camera.gain)
    if rng.random() < 0.3:
        spot = (x - rng.normal(0, 0.8)) ** 2 + (y - rng.choice((-0.9, 0.9))) ** 2
        image += rng.uniform(0.3, 1.0) * view.enlarge(np.exp(-spot / 0.5)) * rgb(0.12, 0.13, 0.15)
    seen = _field(view, notch=camera.notch)
    focus = rng.uniform(0.4, 1.0) * max(1.0, view.radius / 330)
    black = rng.uniform(0.5, 4.0)
    grain = rng.uniform(1.0, 3.0) * rng.standard_normal(seen.shape, np.float32) * (0.3 + 0.7 * seen) + black
    planes = [cv2.GaussianBlur(plane * seen * 255, (0, 0), focus) + grain for plane in image[::-1]]
    pixels = cv2.convertScaleAbs(np.maximum(cv2.merge(planes), 0))
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)


def _field(view: View, *, notch: bool) -> Floats:
    """Return the field of view ``(H, W)`` in 0..1: a disc, on some cameras with a small tab at its upper right."""
    ink = Ink(view)
    turn = np.linspace(0, 2 * np.pi, 361)
    far = np.where(notch & (np.abs(turn - 5.6) < 0.03), 1.03, 1.0)
    disc = np.stack([view.mirror * far * np.cos(turn), far * np.sin(turn)], axis=-1)
    ink.shape(disc)
    return ink.mask()
