"""What a model could know of a photograph without looking at the eye: size, framing, colour, border."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from prebake.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.store import Pack, PackRows

    Floats = NDArray[np.float64]

__all__ = ["ALL", "Feature", "Stage", "measure"]

Stage = Literal["before", "after"]
ALL = "all of these"
MIXED = "the packs are of different recipes"
SIDE = 64  # borders are measured on about so many rows and columns of an image
RING = 16  # the border is the outer sixteenth
NEAR_FILL = 8  # of 255: the tolerance that the published crop has for black


@dataclass(frozen=True)
class Feature:
    """Some numbers of every photograph.

    Parameters
    ----------
    name
        What they tell together.
    what
        What each of them is.
    stage
        ``"before"``: of the source photograph; ``"after"``: of the baked image.
    values
        (N, K) float64, NaN where unknown.
    by_recipe
        Whether it depends on the recipe, so that rows of different recipes cannot be compared.
    reason
        Why it is of no use for these rows; empty where it is.
    """

    name: str
    what: tuple[str, ...]
    stage: Stage
    values: Floats
    by_recipe: bool = True
    reason: str = ""

    def take(self, rows: NDArray[np.int64], *, mixed: bool) -> Feature:
        """Return the feature of some rows, of different recipes or not."""
        return replace(self, values=self.values[rows], reason=MIXED if mixed and self.by_recipe else "")


def measure(rows: PackRows) -> tuple[Feature, ...]:
    """Return every feature of all rows, and last of each stage all of that stage together.

    Source photographs are not read: what the packs know of them is used. Baked images are read once for their borders.
    """
    packs = rows.packs
    width = _known(np.concatenate([pack.width for pack in packs]))
    height = _known(np.concatenate([pack.height for pack in packs]))
    size = _known(np.concatenate([pack.source_bytes for pack in packs]))
    framing = np.concatenate([_framing(pack) for pack in packs])
    channels = min(pack.shape[2] for pack in packs)
    colour = np.concatenate([pack.mean[:, :channels] for pack in packs]).astype(np.float64)
    contrast = np.concatenate([pack.std[:, :channels] for pack in packs]).astype(np.float64)
    borders = _borders(rows)
    names = ("red", "green", "blue") if channels == 3 else tuple(f"channel {number}" for number in range(channels))
    sizes, files = _columns(width, height, width / height), _columns(size, size / (width * height))
    before = [
        Feature("image size", ("width", "height", "aspect"), "before", sizes, by_recipe=False),
        Feature("file size", ("bytes", "bytes per pixel"), "before", files, by_recipe=False),
        Feature("framing", ("left", "top", "right", "bottom of what was baked"), "before", framing),
    ]
    after = [
        Feature("colour", tuple(f"mean {name}" for name in names), "after", colour),
        Feature("contrast", tuple(f"spread of {name}" for name in names), "after", contrast),
        Feature("border", ("brightness", "its spread", "share of background"), "after", borders),
    ]
    return (*before, _together(before), *after, _together(after))


def _together(features: list[Feature]) -> Feature:
    what = tuple(feature.name for feature in features)
    return Feature(ALL, what, features[0].stage, np.concatenate([feature.values for feature in features], axis=1))


def _columns(*columns: Floats) -> Floats:
    return np.stack(columns, axis=1)


def _known(sizes: NDArray[np.int32] | NDArray[np.int64]) -> Floats:
    """Return sizes as numbers, NaN where they are 0: unknown."""
    return np.where(sizes == 0, np.nan, sizes.astype(np.float64))


def _framing(pack: Pack) -> Floats:
    """Where the edges of the baked square lie in the photograph, (N, 4) in widths and heights of it."""
    right, bottom = pack.shape[1] - 1, pack.shape[0] - 1
    corners = np.array([[0, 0, 1], [right, bottom, 1]], dtype=np.float64)
    placed = np.einsum("nij,kj->nki", pack.to_source, corners)
    sides = np.stack([_known(pack.width), _known(pack.height)], axis=1)
    return np.asarray((placed / sides[:, None]).reshape(len(pack), 4).round(6), dtype=np.float64)


def _borders(rows: PackRows) -> Floats:
    """(N, 3): brightness of the outer ring of each baked image, its spread, the share of background in the image."""
    found = np.empty((len(rows), 3))
    with progress("looking at borders", len(rows)) as bar:
        for row in range(len(rows)):
            pack, index = rows.place(row)
            found[row] = _border(pack[index], pack.fill)
            bar.update(1)
    return found


def _border(image: NDArray[np.uint8], fill: tuple[int, int, int]) -> tuple[float, float, float]:
    step = max(1, min(image.shape[:2]) // SIDE)
    small = image[step // 2 :: step, step // 2 :: step].astype(np.float64)
    height, width, channels = small.shape
    ring = np.ones((height, width), np.bool_)
    edge = max(1, min(height, width) // RING)
    ring[edge:-edge, edge:-edge] = False
    gray = small.mean(axis=2)[ring]
    background = np.resize(np.asarray(fill, dtype=np.float64), channels)
    share = (np.abs(small - background).max(axis=2) < NEAR_FILL).mean()
    return float(gray.mean()), float(gray.std()), float(share)
