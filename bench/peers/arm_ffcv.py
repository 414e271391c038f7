"""FFCV: raw pixels in a ``.beton`` file, ``os_cache``, random order; JIT-compiled copies in threads.

A batch is a place in FFCV's ring of buffers: it is overwritten when a few more have been taken.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from ffcv.fields import IntField, NDArrayField, RGBImageField
from ffcv.fields.basics import IntDecoder
from ffcv.fields.ndarray import NDArrayDecoder
from ffcv.fields.rgb_image import SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import Squeeze, ToTensor
from ffcv.writer import DatasetWriter
from serving import BATCH, Epoch, serve


class Rows:
    """Images and labels one by one, as the writer wants them."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return np.asarray(self.images[row]), row


def write(images: np.ndarray, folder: Path) -> None:
    """Write the images as a raw RGB field, in two processes."""
    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    DatasetWriter(str(folder / "rgb.beton"), fields, num_workers=2).from_indexed_dataset(Rows(images))


def rgb(folder: Path, workers: int) -> Epoch:
    """Read the RGB field."""
    return _loader(folder / "rgb.beton", SimpleRGBImageDecoder(), workers)


def ndarray(folder: Path) -> Epoch:
    """Read an array field, which FFCV copies on one thread; the file is made of the RGB one at the first call."""
    target = folder.with_name(f"{folder.name}-array") / "array.beton"
    if not target.exists():
        target.parent.mkdir()
        images = np.load(folder.parent / "images.npy", mmap_mode="r")
        fields = {"image": NDArrayField(np.dtype(np.uint8), images.shape[1:]), "label": IntField()}
        DatasetWriter(str(target), fields, num_workers=2).from_indexed_dataset(Rows(images))
    return _loader(target, NDArrayDecoder(), 1)


def _loader(path: Path, decoder: SimpleRGBImageDecoder | NDArrayDecoder, workers: int) -> Epoch:
    batches = Loader(
        str(path),
        BATCH,
        num_workers=workers,
        os_cache=True,
        order=OrderOption.RANDOM,
        drop_last=False,
        seed=0,
        pipelines={"image": [decoder, ToTensor()], "label": [IntDecoder(), ToTensor(), Squeeze()]},
    )
    return lambda: batches


if __name__ == "__main__":
    ways = {
        "1 worker": functools.partial(rgb, workers=1),
        "2 workers": functools.partial(rgb, workers=2),
        "1 worker, array field": ndarray,
    }
    serve(write, ways, ["ffcv", "numba", "numpy", "torch"])
