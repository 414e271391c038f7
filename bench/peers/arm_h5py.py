"""h5py reading the raw pack of prebake, ``dataset[i]`` image by image: a loop, or as a torch dataset in workers."""

from __future__ import annotations

import functools
from pathlib import Path

import h5py
import numpy as np
from serving import BATCH, Batches, Epoch, serve


def loop(folder: Path) -> Epoch:
    """Read into one buffer that every batch reuses."""
    file = h5py.File(folder / "pack.h5")
    images, labels = file["images"], file["label"][:]
    buffer = np.empty((BATCH, *images.shape[1:]), np.uint8)
    random = np.random.default_rng(0)

    def epoch() -> Batches:
        order = random.permutation(len(images))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            for place, row in enumerate(rows):
                buffer[place] = images[row]
            yield buffer[: len(rows)], labels[rows]

    return epoch


class Rows:
    """The file as a dataset; opened by the process that first reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with h5py.File(path) as file:
            self.labels = file["label"][:]

    @functools.cached_property
    def images(self) -> h5py.Dataset:
        """The images, on a handle of this process."""
        return h5py.File(self.path)["images"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.float32]:
        return self.images[row], self.labels[row]


def workers(folder: Path) -> Epoch:
    """Read in two workers of a DataLoader."""
    from torch.utils.data import DataLoader

    loader = DataLoader(Rows(folder / "pack.h5"), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    return lambda: loader


if __name__ == "__main__":
    serve(None, {"loop": loop, "2 workers": workers}, ["h5py", "torch"])
