"""prebake, as installed or on PYTHONPATH.

``arm_prebake.py raw`` and ``zstd`` are its Loader, ``dataset`` is torch's DataLoader with its PackDataset.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from serving import BATCH, Epoch, serve

import prebake
from prebake.store import Header, PackWriter, Row

if TYPE_CHECKING:
    import numpy as np


def write(images: np.ndarray, folder: Path, codec: str) -> None:
    """Write a pack, with checksum, mean and deviation of every image, as packing does."""
    header = Header('{"name":"peers"}', "0" * 32, size=images.shape[1], codec=codec)
    identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    with PackWriter(folder / "pack.h5", header, images.shape[1:], len(images)) as writer:
        for number, image in enumerate(images):
            name = f"{number:08}"
            writer.add(Row(name, float(number), None, "", "", name, 1, 1, identity, "0" * 32, 1, 0), image)


def loader(folder: Path) -> Epoch:
    """Read with the Loader as it comes."""
    batches = prebake.Loader(folder / "pack.h5", BATCH, shuffle=True)
    return lambda: batches


def dataset(folder: Path, workers: int) -> Epoch:
    """Read with torch's DataLoader."""
    batches = torch.utils.data.DataLoader(
        prebake.PackDataset(folder / "pack.h5"),
        BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: batches


if __name__ == "__main__":
    if sys.argv[1] == "dataset":
        ways = {"no workers": functools.partial(dataset, workers=0), "2 workers": functools.partial(dataset, workers=2)}
        serve(None, ways, ["torch"])
    else:
        serve(functools.partial(write, codec=sys.argv[1]), {"as it comes": loader}, ["numpy", "torch"])
