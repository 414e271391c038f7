"""LitData: chunks of 64 MB, read by its streaming dataset from the local folder."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"

import litdata
import numpy as np
import torch
from serving import BATCH, Epoch, serve

SHAPE = "shape.npy"


def sample(row: int, images: str) -> dict[str, Any]:
    """Return what is stored of one image."""
    return {"image": np.load(images, mmap_mode="r")[row].tobytes(), "label": row}


def write(images: np.ndarray, folder: Path) -> None:
    """Write raw pixels, in two processes."""
    litdata.optimize(
        functools.partial(sample, images=str(images.filename)),
        inputs=list(range(len(images))),
        output_dir=str(folder),
        chunk_bytes="64MB",
        num_workers=2,
        start_method="fork",
        verbose=False,
    )
    np.save(folder / SHAPE, images.shape[1:])


def batch(samples: list[dict[str, Any]], shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Join the pixels of a batch."""
    array = np.frombuffer(bytearray().join(one["image"] for one in samples), np.uint8).reshape(-1, *shape)
    return torch.from_numpy(array), torch.tensor([one["label"] for one in samples])


def read(folder: Path, workers: int, *, whole: bool) -> Epoch:
    """Shuffle the chunks, then the images within windows of a chunk, or within the ``whole`` chunk."""
    shape = tuple(int(side) for side in np.load(folder / SHAPE))
    order = {"item_shuffle_window": "full", "batch_decode": 0} if whole else {}
    dataset = litdata.StreamingDataset(str(folder), shuffle=True, drop_last=False, **order)
    loader = litdata.StreamingDataLoader(
        dataset,
        batch_size=BATCH,
        num_workers=workers,
        collate_fn=functools.partial(batch, shape=shape),
        persistent_workers=workers > 0,
    )
    return lambda: loader


if __name__ == "__main__":
    ways = {
        f"{workers or 'no'} workers, shuffled within {'chunks' if whole else 'windows'}": functools.partial(
            read, workers=workers, whole=whole
        )
        for workers in (0, 2)
        for whole in (False, True)
    }
    serve(write, ways, ["litdata", "torch"])
