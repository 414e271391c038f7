"""The preprocessing, packing and reading of 2019, written anew as the yardstick: same steps and libraries, own words.

Nothing here is used for anything but being measured against.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["PhotographDataset", "PublishedDataset", "bake", "pack", "preprocess", "read", "transforms"]

TOLERANCE = 7
SIGMA = 10
BATCH = 1000
ROTATION = 120

Image = NDArray[np.uint8]


def crop(image: Image) -> Image:
    """Keep the rows and columns in which any pixel is brighter than the tolerance, channel by channel."""
    bright = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > TOLERANCE
    kept = np.ix_(bright.any(1), bright.any(0))
    if image[:, :, 0][kept].size == 0:
        return image
    return np.stack([image[:, :, channel][kept] for channel in range(3)], axis=-1)


def read(path: str) -> Image:
    """Read and decode one photograph; uint8 (H, W, 3), RGB."""
    found: Any = cv2.imread(path)
    image: Image = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
    return image


def bake(image: Image, size: int = 256) -> Image:
    """Crop, resize bilinearly, subtract the local average; uint8 (size, size, 3)."""
    image = cv2.resize(crop(image), (size, size))  # type: ignore[assignment]
    return cv2.addWeighted(image, 4, cv2.GaussianBlur(image, (0, 0), SIGMA), -4, 128)  # type: ignore[return-value]


def preprocess(path: str, size: int = 256) -> Image:
    """Read one photograph and bake it; uint8 (size, size, 3)."""
    return bake(read(path), size)


def pack(
    paths: Sequence[Path], target: Path, *, processes: int = 2, size: int = 256, pool: Executor | None = None
) -> None:
    """Bake all photographs with a pool of processes, in batches of 1,000, into one gzipped HDF5 file.

    Processes that run already come as ``pool``; it is left open.
    """
    with (
        h5py.File(target, "w") as file,
        contextlib.nullcontext(pool) if pool is not None else multiprocessing.Pool(processes) as workers,
    ):
        images = file.create_dataset(
            "images",
            (len(paths), size, size, 3),
            np.uint8,
            chunks=(1, size, size, 3),
            compression="gzip",
            compression_opts=2,
        )
        file["id_code"] = np.array([path.stem.encode() for path in paths])
        for start in range(0, len(paths), BATCH):
            baked = list(
                workers.map(partial(preprocess, size=size), [str(path) for path in paths[start : start + BATCH]])
            )
            images[start : start + len(baked)] = np.stack(baked)


class PhotographDataset:
    """The Dataset of those who do not pack: every photograph is read, decoded and baked again each time.

    Parameters
    ----------
    paths
        The photographs.
    size
        Side of the images in pixels.
    transform
        Called with a PIL image.
    """

    def __init__(self, paths: Sequence[Path], size: int, transform: Callable[[Any], Any]) -> None:
        self.paths, self.size, self.transform = [str(path) for path in paths], size, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, float]:
        """Return one image, transformed, and a label, which plays no part."""
        from PIL import Image as Pillow  # noqa: PLC0415 - comes with torchvision

        return self.transform(Pillow.fromarray(preprocess(self.paths[index], self.size))), 0.0


class PublishedDataset:
    """The Dataset of 2019 for ``torch.utils.data.DataLoader``: a lazily opened file, ids looked up one by one.

    Parameters
    ----------
    path
        A file as :func:`pack` writes it.
    ids, labels
        The rows of the table: what to read, and the grades, (N,).
    transform
        Called with a PIL image; None: the image as it is stored, uint8 (H, W, 3).
    """

    def __init__(
        self,
        path: Path,
        ids: Sequence[str],
        labels: NDArray[np.float32],
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.path, self.ids, self.labels, self.transform = path, list(ids), labels, transform
        self.file: h5py.File | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return one image, transformed, and its label."""
        if self.file is None:
            self.file = h5py.File(self.path, "r")
            self.table = self.file["id_code"][()]
        row = int(np.flatnonzero(self.table == self.ids[index].encode())[0])
        image = self.file["images"][row]
        if self.transform is not None:
            from PIL import Image as Pillow  # noqa: PLC0415 - comes with torchvision

            image = self.transform(Pillow.fromarray(image))
        return image, self.labels[index]


def transforms(mean: Sequence[float], std: Sequence[float]) -> Callable[[Any], Any]:
    """Return the transform of 2019: random flip, rotation by up to 120 degrees, normalised float32 (C, H, W)."""
    from torchvision import transforms as t  # noqa: PLC0415 - the base install goes without

    steps = [t.RandomHorizontalFlip(), t.RandomRotation((-ROTATION, ROTATION)), t.ToTensor(), t.Normalize(mean, std)]
    return t.Compose(steps)  # type: ignore[no-any-return]
