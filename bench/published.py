"""The preprocessing and packing of 2019, written anew as the yardstick: same steps, same libraries, our own words."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import h5py
import numpy as np

TOLERANCE = 7
SIGMA = 10
BATCH = 1000


def crop(image: np.ndarray) -> np.ndarray:
    """Keep the rows and columns in which any pixel is brighter than the tolerance, channel by channel."""
    bright = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > TOLERANCE
    kept = np.ix_(bright.any(1), bright.any(0))
    if image[:, :, 0][kept].size == 0:
        return image
    return np.stack([image[:, :, channel][kept] for channel in range(3)], axis=-1)


def preprocess(path: str, size: int = 256) -> np.ndarray:
    """Read one photograph and bake it: crop, bilinear resize, subtract the local average."""
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    image = cv2.resize(crop(image), (size, size))
    return cv2.addWeighted(image, 4, cv2.GaussianBlur(image, (0, 0), SIGMA), -4, 128)


def pack(paths: list[Path], target: Path, *, processes: int = 2) -> None:
    """Bake all photographs with a pool of processes, in batches of 1,000, into one gzipped HDF5 file."""
    with h5py.File(target, "w") as file, multiprocessing.Pool(processes) as pool:
        images = file.create_dataset(
            "images",
            (len(paths), 256, 256, 3),
            np.uint8,
            chunks=(1, 256, 256, 3),
            compression="gzip",
            compression_opts=2,
        )
        file["id_code"] = np.array([path.stem.encode() for path in paths])
        for start in range(0, len(paths), BATCH):
            baked = pool.map(preprocess, [str(path) for path in paths[start : start + BATCH]])
            images[start : start + len(baked)] = np.stack(baked)
