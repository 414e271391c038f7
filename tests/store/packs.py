"""Small packs and files of the 2019 kernel, for the tests of the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from prebake.records import Failure
from prebake.store import Header, PackWriter, Row

RECIPE = '{"fill":[128,128,128],"name":"kernel"}'
FAILURES = (Failure("broken", "train/broken.png", "cut short"), Failure("käse", "train/käse.png", "text, not an image"))


def images(count: int, size: int = 8, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth images with some noise: they compress, and no two are the same."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(size), np.arange(size))[None, :, :, None]
    start = rng.integers(0, 200, (count, 1, 1, channels))
    return (start + slope + rng.integers(0, 4, (count, size, size, channels))).clip(0, 255).astype(np.uint8)


def header(codec: str, size: int = 8, **extra: str) -> Header:
    return Header(RECIPE, "0123456789abcdef" * 2, size, codec, extra)


def row(i: int, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "id": f"id{i:04d}",
        "label": None if i % 4 == 3 else float(i % 5),
        "group": f"patient{i // 2}" if i % 3 else None,
        "source": "aptos" if i % 2 else "",
        "split": "train",
        "path": f"train/{'ä' * (i % 7)}{i}.png",
        "width": 2000 + i,
        "height": 1000 + i,
        "to_source": ((10.0, 0.0, i / 3), (0.0, 10.0, 4.5)),
        "source_digest": f"{i:032x}",
        "source_bytes": 10_000_000_000 + i,
        "phash": 2**64 - 1 - i,
    }
    return Row(**(values | changes))


def write(
    path: Path, pixels: np.ndarray, codec: str, *, rows: Sequence[int] | None = None, capacity: int | None = None,
    failures: Sequence[Failure] = (),
) -> Path:  # fmt: skip
    """Write a pack of the images that ``rows`` names (all of them by default)."""
    numbers = range(len(pixels)) if rows is None else rows
    with PackWriter(path, header(codec, pixels.shape[1]), pixels.shape[1:], capacity or len(numbers)) as writer:
        for i in numbers:
            writer.add(row(i), pixels[i])
        for failure in failures:
            writer.fail(failure)
    return path


def kernel_2019(path: Path, pixels: np.ndarray, *, ids: Any = None, **options: Any) -> Path:
    """Write a file as the 2019 kernel did: one gzip chunk an image, and the ids."""
    names = [f"{i:012x}" for i in range(len(pixels))] if ids is None else ids
    with h5py.File(path, "w") as file:
        given = {"chunks": (1, *pixels.shape[1:]), "compression": "gzip", "compression_opts": 2} | options
        file.create_dataset("images", data=pixels, **given)
        file.create_dataset("id_code", data=names)
    return path
