"""The recipes that come with prebake, by name.

``kernel``
    Bit for bit the published 2019 kernel: rows and columns without a pixel of gray > 7 go, bilinear resize to size x
    size, ``4 * x - 4 * blur(x, sigma 10) + 128``.
``graham``
    Ben Graham's preprocessing (first place of Kaggle's Diabetic Retinopathy Detection, competition report of 2015):
    scale to a radius, subtract the local average with sigma = radius / 30, mask at 0.9 of the radius. The 0.9 fills
    the picture. Resized by area, where he had OpenCV's default; a photograph whose centre row shows no disc counts as
    one disc of its whole width.
``ben``
    The same idea with the disc fitted, aspect kept, mirrored at the rim so that there is no halo. Sigma is the kernel's
    10 pixels at 256, tied to the size; the outer 2 % of the disc, which the aperture shades, are masked.
``crop``
    The disc fitted, the square around it, black outside; no change of colour.
``resize``
    Plain resize to size x size.

All but ``kernel`` decode JPEG at a fraction of its size where that leaves 1.5 pixels for each one of the result (1.3
for ``ben`` and ``crop``, whose square is sampled to a fraction of a pixel). On 40 photographs of 4288 x 2848 at 256
pixels, inside the disc, ``crop`` is then 51 dB from itself with whole decoding (median; the worst 49), ``ben``, which
multiplies every difference by four, 39.5 dB (37.5). With Lanczos instead of areas, both on whole pictures, it is 49 dB
(47) and 38 dB (35.5). ``bench/fidelity.py`` measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prebake.recipe import steps as s

if TYPE_CHECKING:
    from prebake.recipe.base import Step

__all__ = ["NAMES", "named_steps"]

_GRAY, _BLACK = (128, 128, 128), (0, 0, 0)
_OVERSAMPLING = 1.5
_OVERSAMPLING_OF_DISC = 1.3  # enough where the square is sampled exactly; measured by bench/fidelity.py

NAMES = ("kernel", "graham", "ben", "crop", "resize")


def named_steps(name: str, size: int) -> tuple[tuple[Step, ...], tuple[int, int, int]]:
    """Return the steps and the fill value of a recipe in :data:`NAMES`."""
    scaled, scaled_further = s.Decode(_OVERSAMPLING), s.Decode(_OVERSAMPLING_OF_DISC)
    if name == "kernel":
        return (s.Decode(), s.ToleranceCrop(7), s.Resize("linear"), s.SubtractAverage(10.0)), _GRAY
    if name == "graham":
        sigma = size / (2 * 0.9 * 30)
        return (scaled, s.ScaleRadius(0.9, sigma), s.SubtractAverage(sigma), s.CutDisc()), _GRAY
    if name == "ben":
        return (scaled_further, s.FieldOfView(0.01), s.SubtractAverageInside(size / 25.6, 0.98)), _GRAY
    if name == "crop":
        return (scaled_further, s.FieldOfView(0.01), s.MaskDisc(1.0)), _BLACK
    return (scaled, s.Resize("area")), _BLACK
