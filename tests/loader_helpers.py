"""Small packs for the tests of the loader, and what has to be importable in a spawned worker."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from prebake.recipe import Recipe
from prebake.store import Header, PackWriter, Row

SIZE = 16


def make_pack(path: Path, count: int, *, codec: str = "raw", first: int = 0, recipe: Recipe | None = None) -> Path:
    """Write ``count`` images: image i is full of noise, but its first pixel tells ``first + i``."""
    recipe = recipe or Recipe.named("kernel", SIZE)
    header = Header(recipe.to_json(), recipe.digest, recipe.size, codec, {})
    shape = (recipe.size, recipe.size, 3)
    with PackWriter(path, header, shape, count) as writer:
        for number in range(first, first + count):
            image = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
            image[0, 0] = (number >> 16, number >> 8 & 255, number & 255)
            label = None if number % 5 == 4 else float(number % 5)
            writer.add(
                Row(
                    id=f"img{number}", label=label, group=None, source="", split="", path=f"img{number}.png",
                    width=30, height=20, to_source=np.eye(2, 3), source_digest="0" * 32, source_bytes=1, phash=0,
                ),
                image,
            )  # fmt: skip
    return path


def numbers(images: object) -> list[int]:
    """What :func:`make_pack` wrote into the first pixels of uint8 images (B, H, W, C)."""
    pixels = np.asarray(images)[:, 0, 0].astype(int)
    return (pixels @ (1 << 16, 1 << 8, 1)).tolist()


def damage(path: Path, row: int) -> None:
    """Overwrite one compressed image with nonsense."""
    with h5py.File(path, "r") as file:
        info = file["images"].id.get_chunk_info(row)
    with path.open("r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(b"\xff" * info.size)


def brighter(image: np.ndarray) -> np.ndarray:
    """A transform of arrays that a spawned worker can import."""
    return np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8)
