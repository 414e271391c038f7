"""How near recipes that decode JPEG at a fraction of its size come to themselves with whole decoding.

For scale, the same numbers between two ordinary ways of whole decoding: reduced by areas (OpenCV) and with Lanczos
(Pillow). PSNR, and SSIM (Wang et al. 2004: Gaussian window, sigma 1.5), inside 0.94 of the disc. The picture shows,
from left to right: scaled, whole, whole with Lanczos.

python bench/fidelity.py FOLDER [--photographs 40] [--size 256] [--quick] [--csv OUT.csv] [--picture OUT.png]
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import measuring
import numpy as np
from packing import chosen
from PIL import Image

from prebake import fundus
from prebake.decode import decode
from prebake.recipe import Recipe
from prebake.recipe.base import Photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

RECIPES = ("crop", "ben")


def psnr(a: Pixels, b: Pixels, mask: NDArray[np.bool_]) -> float:
    """Return the peak signal-to-noise ratio inside a mask, in dB."""
    error = np.mean((a[mask].astype(float) - b[mask]) ** 2)
    return 10 * math.log10(255**2 / max(float(error), 1e-9))


def ssim(a: Pixels, b: Pixels, mask: NDArray[np.bool_]) -> float:
    """Return the mean structural similarity inside a mask."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return cv2.GaussianBlur(image, (11, 11), 1.5)

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(found[mask].mean())


def three_ways(recipe: Recipe, data: bytes) -> tuple[Pixels, Pixels, Pixels]:
    """Bake scaled, from the whole picture by areas, and from the whole picture with Lanczos."""
    scaled = recipe.bake(data).image
    whole = Photo(decode(data).image)
    height, width = whole.image.shape[:2]
    by_area = recipe.steps[1].run(whole, recipe.size)
    scale, left, top = by_area.to_source[0, 0], *(by_area.to_source[:, 2] + 0.5 - by_area.to_source[0, 0] / 2)
    room = max(0, math.ceil(max(-left, -top, left + scale * recipe.size - width, top + scale * recipe.size - height)))
    padded = Image.fromarray(cv2.copyMakeBorder(whole.image, room, room, room, room, cv2.BORDER_CONSTANT))
    box = (left + room, top + room, left + room + scale * recipe.size, top + room + scale * recipe.size)
    lanczos = padded.resize((recipe.size, recipe.size), Image.Resampling.LANCZOS, box=box)
    ways = (by_area, replace(by_area, image=np.asarray(lanczos)))
    return scaled, *(recipe.steps[2].run(way, recipe.size).image for way in ways)


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="8 photographs", rounds=None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", type=int, default=40)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    photographs = chosen(options.folder, 8 if options.quick else options.photographs)
    mask, lines, picture = fundus.inside(options.size, options.size * 0.47), [], []
    for name in RECIPES:
        recipe = Recipe.named(name, options.size)
        baked = [three_ways(recipe, path.read_bytes()) for path in photographs]
        picture += [np.hstack(ways) for ways in baked[:2]]
        for unit, measure in (("dB", psnr), ("SSIM", ssim)):
            found = {
                "scaled decoding": [measure(scaled, whole, mask) for scaled, whole, _ in baked],
                "Lanczos, whole decoding": [measure(other, whole, mask) for _, whole, other in baked],
            }
            lines += measuring.results(
                found, row="3", what=f"{name} against itself by areas, whole decoding", unit=unit,
                against="Lanczos, whole decoding", packages=("opencv-python-headless", "pillow"),
            )  # fmt: skip
    # ratios of decibels tell nothing; medians and the lowest do
    lines = [replace(line, ratio=1.0, against="-") for line in lines]
    measuring.show(lines)
    measuring.write(lines, options.csv)
    if options.picture:
        cv2.imwrite(str(options.picture), cv2.cvtColor(np.vstack(picture), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
