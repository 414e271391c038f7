"""Near the limit of the memory: a ``.npy`` file, mapped, and ``np.take`` into buffers that are used again.

``arm_memmap.py THREADS``: on one thread, which reads nothing ahead, or on several.
"""

from __future__ import annotations

import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from serving import BATCH, Batches, Epoch, serve


def write(images: np.ndarray, folder: Path) -> None:
    """Write the images as they are."""
    np.save(folder / "images.npy", images)


def take(folder: Path, threads: int) -> Epoch:
    """Copy a batch for each thread at the same time, wait for all, and hand them over."""
    images = np.load(folder / "images.npy", mmap_mode="r").view(np.ndarray)
    labels = np.arange(len(images), dtype=np.float32)
    buffers = [np.empty((BATCH, *images.shape[1:]), np.uint8) for _ in range(threads)]
    random = np.random.default_rng(0)
    pool = ThreadPoolExecutor(threads)

    def copy(rows: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        return np.take(images, rows, axis=0, out=buffer[: len(rows)], mode="clip")

    def epoch() -> Batches:
        order = random.permutation(len(images))
        every = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        run = map if threads == 1 else pool.map
        for first in range(0, len(every), threads):
            several = every[first : first + threads]
            for rows, batch in zip(several, run(copy, several, buffers), strict=True):
                yield batch, labels[rows]

    return epoch


if __name__ == "__main__":
    ways = {"a batch on each": functools.partial(take, threads=int(sys.argv[1]))}
    serve(write, ways, ["numpy"])
