"""More than there is, for measurements: images of a pack turned and mirrored, so that no two are the same; links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

import prebake
from prebake.store import Header, Pack, PackWriter, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIANTS = 8


def opened(source: Path, scratch: Path) -> Pack:
    """Open a pack, or bake a folder of photographs with the recipe ``kernel`` first."""
    if source.is_dir():
        return prebake.pack([source], scratch / "baked.h5", recipe="kernel", progress=False)
    return prebake.open(source)


def links(files: Sequence[Path], times: int, folder: Path) -> Path:
    """Make a folder with so many links to each file."""
    folder.mkdir()
    for turn in range(times):
        for file in files:
            (folder / f"{turn:03d}-{file.stem}{file.suffix}").symlink_to(file.resolve())
    return folder


def images_of(pack: Pack, count: int, first: int = 0) -> NDArray[np.uint8]:
    """Return images ``first`` ... ``first + count``, uint8 (count, H, W, C).

    Those of the pack come first, then the same turned and mirrored, seven times, then over again, each time brighter
    by one.
    """
    out = np.empty((count, *pack.shape), np.uint8)
    for place, number in enumerate(range(first, first + count)):
        times, row = divmod(number, len(pack))
        brighter, variant = divmod(times, VARIANTS)
        image = np.rot90(pack[row], variant % 4)
        out[place] = (image[:, ::-1] if variant >= 4 else image) + np.uint8(brighter)  # wraps around
    return out


def labels_of(pack: Pack, count: int) -> NDArray[np.float32]:
    """Return the labels of :func:`images_of`, (count,)."""
    return np.resize(pack.labels, count).astype(np.float32)


def write_pack(pack: Pack, path: Path, count: int, codec: str) -> Path:
    """Write :func:`images_of` as a pack."""
    header = Header(pack.recipe_json or '{"name": "unknown"}', pack.recipe_digest or "0" * 32, pack.shape[0], codec, {})
    labels = labels_of(pack, count)
    with PackWriter(path, header, pack.shape, count) as writer:
        for number in range(count):
            label = None if np.isnan(labels[number]) else float(labels[number])
            row = Row(
                id=f"{number:08}", label=label, group=None, source="", split="", path="", width=1, height=1,
                to_source=np.eye(2, 3), source_digest="0" * 32, source_bytes=1, phash=0,
            )  # fmt: skip
            writer.add(row, images_of(pack, 1, number)[0])
    return path


def write_as_in_2019(pack: Pack, path: Path, count: int) -> Path:
    """Write :func:`images_of` as the published kernel did: gzip, one image a chunk, ``images`` and ``id_code`` only."""
    with h5py.File(path, "w") as file:
        shape = (count, *pack.shape)
        images = file.create_dataset(
            "images", shape, np.uint8, chunks=(1, *pack.shape), compression="gzip", compression_opts=2
        )
        for number in range(count):
            images[number] = images_of(pack, 1, number)[0]
        file["id_code"] = np.array([f"{number:08}".encode() for number in range(count)])
    return path


def write_npy(pack: Pack, path: Path, count: int) -> Path:
    """Write :func:`images_of` as one array."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *pack.shape))
    for number in range(count):
        array[number] = images_of(pack, 1, number)[0]
    array.flush()
    return path
