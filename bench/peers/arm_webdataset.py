"""WebDataset: shards of raw pixels and labels in tar files, shuffled through a buffer of 1,000 images."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
import webdataset as wds
from serving import BATCH, Epoch, serve

SHAPE = "shape.npy"
PER_SHARD = 100


def write(images: np.ndarray, folder: Path) -> None:
    """Write 100 images into a shard."""
    np.save(folder / SHAPE, images.shape[1:])
    with wds.ShardWriter(str(folder / "%06d.tar"), maxcount=PER_SHARD, verbose=0) as writer:
        for row, image in enumerate(images):
            writer.write({"__key__": f"{row:08}", "image.raw": image.tobytes(), "label.txt": str(row)})


def batch(samples: list[tuple[bytes, bytes]], shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Join the pixels of a batch."""
    pixels, labels = zip(*samples, strict=True)
    array = np.frombuffer(bytearray().join(pixels), np.uint8).reshape(-1, *shape)
    return torch.from_numpy(array), torch.tensor([int(label) for label in labels])


def read(folder: Path, workers: int) -> Epoch:
    """Shuffle the shards, then the images."""
    shape = tuple(int(side) for side in np.load(folder / SHAPE))
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    dataset = (
        wds.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
        .shuffle(1000)
        .to_tuple("image.raw", "label.txt")
        .batched(BATCH, collation_fn=functools.partial(batch, shape=shape))
    )
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    return lambda: loader


if __name__ == "__main__":
    ways = {"no workers": functools.partial(read, workers=0), "2 workers": functools.partial(read, workers=2)}
    serve(write, ways, ["webdataset", "torch"])
