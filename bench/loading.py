"""Loading: the Loader beside what it has to beat, from the page cache. Rows 5 to 8 of docs/performance.md.

python bench/loading.py SOURCE [--rows 5 6 7 8 8b] [--quick] [--rounds 5] [--images 3304] [--scratch DIR]
                               [--csv OUT.csv]

SOURCE is a pack, or a folder of photographs that is baked first. Its images are turned and mirrored until there are
enough, and stored raw, as zstd, as the kernel of 2019 did, and as a plain .npy: about 0.5 MB an image of 256 x 256.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import enlarged
import h5py
import measuring
import numpy as np
from torch.utils.data import DataLoader

from prebake import Augment, Loader, Pack
from prebake.bench import published
from prebake.store.codecs import codec_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 32
FILL, MEAN, STD = (128, 128, 128), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PACKAGES = ("numpy", "torch", "torchvision", "pillow", "h5py", "opencv-python-headless")

Arms = dict[str, Callable[[], float]]


class H5pyDataset:
    """``d[i]`` and a label, through h5py."""

    def __init__(self, path: Path, labels: NDArray[np.float32]) -> None:
        self.path, self.labels, self.images = path, labels, None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if self.images is None:
            self.images = h5py.File(self.path, "r")["images"]
        return self.images[index], self.labels[index]


def epoch_of(batches: Iterable[Any]) -> Callable[[], float]:
    """Return what goes through all batches of an epoch and gives images per second."""
    return lambda: measuring.rate(lambda: sum(len(batch[1]) for batch in batches))


def workers_of(dataset: Any, workers: int) -> DataLoader[Any]:
    """Return torch's DataLoader as one would use it; its workers stay."""
    return DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def orders(count: int) -> list[NDArray[np.int64]]:
    """Return the rows of an epoch's batches, in random order."""
    order = np.random.default_rng(0).permutation(count)
    return [order[start : start + BATCH] for start in range(0, count, BATCH)]


def take_arm(path: Path) -> Callable[[], float]:
    """``np.take`` from a memory map into one buffer."""
    images = np.load(path, mmap_mode="r").view(np.ndarray)
    out = np.empty((BATCH, *images.shape[1:]), np.uint8)

    def work() -> int:
        for rows in orders(len(images)):
            np.take(images, rows, axis=0, out=out[: len(rows)], mode="clip")
        return len(images)

    return lambda: measuring.rate(work)


def decoder_arm(pack: Pack, threads: int) -> Callable[[], float]:
    """Decode all chunks in threads, each into one buffer of its own, and nothing else."""
    codec, buffers = codec_named(pack.codec), [np.empty((BATCH, *pack.shape), np.uint8) for _ in range(threads)]

    def decode(number: int) -> None:
        for rows in orders(len(pack))[number::threads]:
            for row, out in zip(rows.tolist(), buffers[number], strict=False):
                codec.decode(pack.encoded(row), out)

    def work() -> int:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode, range(threads)))
        return len(pack)

    return lambda: measuring.rate(work)


def raw_arms(pack: Pack, scratch: Path, count: int) -> Arms:
    """Row 5."""
    path = enlarged.write_pack(pack, scratch / "raw.h5", count, "raw")
    arms = {"np.take from npy memmap, 1 thread": take_arm(enlarged.write_npy(pack, scratch / "images.npy", count))}
    arms["Loader"] = epoch_of(Loader(path, BATCH, shuffle=True))
    arms["Loader, 1 thread"] = epoch_of(Loader(path, BATCH, shuffle=True, threads=1))
    return arms


def zstd_arms(pack: Pack, scratch: Path, count: int) -> Arms:
    """Row 6."""
    path, arms = enlarged.write_pack(pack, scratch / "zstd.h5", count, "zstd"), {}
    for threads in (2, 1):
        arms[f"decoder alone, {threads} threads"] = decoder_arm(Pack(path), threads)
        arms[f"Loader, {threads} threads"] = epoch_of(Loader(path, BATCH, shuffle=True, threads=threads))
    return arms


def gzip_arms(pack: Pack, scratch: Path, count: int) -> Arms:
    """Row 7."""
    path, labels = enlarged.write_as_in_2019(pack, scratch / "2019.h5", count), enlarged.labels_of(pack, count)
    arms = {f"h5py, {n} workers": epoch_of(workers_of(H5pyDataset(path, labels), n)) for n in (2, 0)}
    arms["Loader"] = epoch_of(Loader(path, BATCH, shuffle=True))
    return arms


def augmented_arms(pack: Pack, scratch: Path, count: int, *, bilinear: bool) -> Arms:
    """Row 8: with the rotation as published, which takes the nearest pixel, or (8b) with one that interpolates."""
    old = enlarged.write_as_in_2019(pack, scratch / "2019.h5", count)
    raw = enlarged.write_pack(pack, scratch / "raw.h5", count, "raw")
    transform = published.transforms(MEAN, STD)
    if bilinear:
        transform.transforms[1].interpolation = type(transform.transforms[1].interpolation).BILINEAR
    ids = [f"{number:08}" for number in range(count)]
    dataset = published.PublishedDataset(old, ids, enlarged.labels_of(pack, count), transform)
    arms = {f"2019, {n} workers": epoch_of(workers_of(dataset, n)) for n in (2, 0)}
    augment = Augment.kernel(FILL, MEAN, STD)
    arms["Loader, raw"] = epoch_of(Loader(raw, BATCH, shuffle=True, augment=augment))
    arms["Loader, raw, channels_last"] = epoch_of(Loader(raw, BATCH, shuffle=True, augment=augment, channels_last=True))
    arms["Loader, the file of 2019"] = epoch_of(Loader(old, BATCH, shuffle=True, augment=augment))
    return arms


ROWS: dict[str, tuple[str, Callable[..., Arms]]] = {
    "5": ("uint8 batches from a raw pack", raw_arms),
    "6": ("uint8 batches from a zstd pack", zstd_arms),
    "7": ("uint8 batches from the file of 2019", gzip_arms),
    "8": ("flip, rotate (2019: nearest), normalise", lambda *a: augmented_arms(*a, bilinear=False)),
    "8b": ("flip, rotate (2019: bilinear), normalise", lambda *a: augmented_arms(*a, bilinear=True)),
}


def main() -> None:
    """Measure the rows that are asked for."""
    parser = measuring.parser(__doc__, quick="few images, two rounds")
    parser.add_argument("source", type=Path)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--images", type=int, default=3304)
    parser.add_argument("--scratch", type=Path, help="folder for the files that are made")
    options = parser.parse_args()
    count, rounds = (320, 2) if options.quick else (options.images, options.rounds)
    lines: list[measuring.Result] = []
    for row in options.rows:
        what, arms_of = ROWS[row]
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            arms = arms_of(enlarged.opened(options.source, Path(scratch)), Path(scratch), count)
            found = measuring.interleaved(arms, rounds=rounds)
        lines += measuring.results(
            found, row=row, what=what, unit="images/s", against=next(iter(arms)), packages=PACKAGES
        )
        measuring.show(lines[-len(arms) :])
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
