"""Hugging Face datasets: a ``large_binary`` column of raw pixels in an Arrow file, mapped."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets.arrow_writer import ArrowWriter
from serving import BATCH, Epoch, serve

FEATURES = datasets.Features({"image": datasets.Value("large_binary"), "label": datasets.Value("int64")})
SHAPE = "shape.npy"


def write(images: np.ndarray, folder: Path) -> None:
    """Write 100 images into a record batch."""
    np.save(folder / SHAPE, images.shape[1:])
    with ArrowWriter(path=str(folder / "images.arrow"), features=FEATURES, writer_batch_size=100) as writer:
        for row, image in enumerate(images):
            writer.write({"image": image.tobytes(), "label": row})
        writer.finalize()


def gathered(table: pa.Table, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a batch of an Arrow table: one copy, by Arrow."""
    column = table["image"].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    _, offsets, pixels = column.buffers()
    first = np.frombuffer(offsets, np.int64)[column.offset]
    array = np.frombuffer(pixels, np.uint8, count=len(column) * int(np.prod(shape)), offset=int(first))
    return torch.from_numpy(array.reshape(-1, *shape)), torch.from_numpy(table["label"].to_numpy().copy())


def joined(rows: dict[str, Any], shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a batch of ``bytes`` objects."""
    array = np.frombuffer(bytearray().join(rows["image"]), np.uint8)
    return torch.from_numpy(array.reshape(-1, *shape)), torch.tensor(rows["label"])


def read(folder: Path, form: str | None, collate: Callable[..., Any], workers: int) -> Epoch:
    """Ask the dataset for the rows of a whole batch at once."""
    shape = tuple(int(side) for side in np.load(folder / SHAPE))
    dataset = datasets.Dataset.from_file(str(folder / "images.arrow")).with_format(form)
    sampler = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(dataset), BATCH, drop_last=False)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        collate_fn=functools.partial(collate, shape=shape),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: loader


if __name__ == "__main__":
    ways = {
        "Arrow, no workers": functools.partial(read, form="arrow", collate=gathered, workers=0),
        "Arrow, 2 workers": functools.partial(read, form="arrow", collate=gathered, workers=2),
        "bytes, no workers": functools.partial(read, form=None, collate=joined, workers=0),
        "bytes, 2 workers": functools.partial(read, form=None, collate=joined, workers=2),
    }
    serve(write, ways, ["datasets", "pyarrow", "torch"])
