"""Loading from the disk: the Loader with and without asking ahead, and in quasi-random order, with nothing in memory.

python bench/cold.py SOURCE [--codecs raw zstd] [--quick] [--rounds 5] [--images 3304] [--share 1]
                            [--scratch DIR] [--csv OUT.csv]

SOURCE is a pack, or a folder of photographs that is baked first; its images are turned and mirrored until there are
enough. Before each epoch the file is put out of the page cache, and it is checked that it is. What lies below (the
cache of a disk, or of the machine that a virtual disk is on) cannot be emptied from here: read "disk" so.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import enlarged
import measuring
import numpy as np

from prebake import Loader, Pack
from prebake.loader import QuasiRandom

BATCH = 32
PACKAGES = ("numpy", "torch", "h5py")


def in_memory(path: Path) -> float:
    """Return the share of a file that is in the page cache."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        pages = np.zeros(-(-len(mapped) // mmap.PAGESIZE), np.uint8)
        view = ctypes.c_char.from_buffer(mapped)
        ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(len(mapped)), ctypes.c_void_p(pages.ctypes.data)
        )
        del view
    return float((pages & 1).mean())


def evict(path: Path) -> None:
    """Put a file out of the page cache; it must not be mapped."""
    gc.collect()
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if (share := in_memory(path)) > 0.01:
        raise SystemExit(f"{path}: {share:.0%} of it stays in memory; this file system cannot be measured cold")


def bytes_read() -> int:
    """Return how many bytes this process has had fetched from disks."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("read_bytes:"):
            return int(line.split()[1])
    raise SystemExit("this system does not tell how much is read from disks")


def disk(path: Path) -> str:
    """Say what is known of the disk below a file."""
    device = path.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not block.exists():
        return "a file system without a disk of its own (network, overlay, memory)"
    block = block.resolve()
    queue = next((folder / "queue" for folder in (block, block.parent) if (folder / "queue").exists()), block)

    def told(name: str) -> str:
        file = queue / name
        return file.read_text(encoding="ascii").strip() if file.exists() else "?"

    kind = {"0": "does not turn", "1": "turns"}.get(told("rotational"), "unknown kind")
    virtual = ", virtual: the host may hold it in memory" if block.name.startswith(("vd", "xvd")) else ""
    return f"{block.name}, {kind}{virtual}; kernel reads {told('read_ahead_kb')} kB around a fault"


def plain_reading(path: Path) -> int:
    """Read a file from its beginning to its end."""
    with path.open("rb", buffering=0) as file:
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass
    return len(Pack(path))


def epoch(path: Path, share: float, *, shuffle: bool | QuasiRandom, advise: bool = True, random: bool = False) -> int:
    """Take one epoch of uint8 batches; ``random`` tells the system not to read around what is asked for."""
    pack = Pack(path)
    rows = np.random.default_rng(0).random(len(pack)) < share
    if random:
        pack._mapped.madvise(mmap.MADV_RANDOM)
    with (
        contextlib.nullcontext() if advise else mock.patch.object(Pack, "advise"),
        Loader(pack, BATCH, rows=rows, shuffle=shuffle) as loader,
    ):
        return sum(len(labels) for _, labels in loader)


def cold(path: Path, work: Callable[[], int], read: list[float]) -> Callable[[], float]:
    """Return an arm that evicts first; it notes the bytes that each image took."""

    def arm() -> float:
        evict(path)
        before, count = bytes_read(), 0

        def counted() -> int:
            nonlocal count
            count = work()
            return count

        found = measuring.rate(counted)
        read.append((bytes_read() - before) / count / 1000)
        return found

    return arm


def main() -> None:
    """Measure."""
    parser = measuring.parser(__doc__, quick="few images, two rounds")
    parser.add_argument("source", type=Path)
    parser.add_argument("--codecs", nargs="+", default=["raw", "zstd"])
    parser.add_argument("--images", type=int, default=3304)
    parser.add_argument("--share", type=float, default=1.0, help="share of the images that are taken, far apart")
    parser.add_argument("--scratch", type=Path, help="folder for the files that are made, on the disk to measure")
    options = parser.parse_args()
    count, rounds = (640, 2) if options.quick else (options.images, options.rounds)
    quasi = QuasiRandom(block=32, window=8)
    lines: list[measuring.Result] = []
    for codec in options.codecs:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            path = enlarged.write_pack(
                enlarged.opened(options.source, Path(scratch)), Path(scratch) / "pack.h5", count, codec
            )
            seen = disk(path)
            work = {
                "shuffled, not asked ahead": lambda path=path: epoch(path, options.share, shuffle=True, advise=False),
                "shuffled": lambda path=path: epoch(path, options.share, shuffle=True),
                "shuffled, MADV_RANDOM too": lambda path=path: epoch(path, options.share, shuffle=True, random=True),
                "quasi-random": lambda path=path: epoch(path, options.share, shuffle=quasi),
                "in order": lambda path=path: epoch(path, options.share, shuffle=False),
                "read() of the file": lambda path=path: plain_reading(path),
            }
            read: dict[str, list[float]] = {name: [] for name in work}
            arms = {name: cold(path, arm, read[name]) for name, arm in work.items()}
            found = measuring.interleaved(arms, rounds=rounds)
        shared = {"against": next(iter(work)), "cache": "cold", "packages": PACKAGES}
        lines += measuring.results(found, row="cold", what=f"{codec} from {seen}", unit="images/s", **shared)
        measured = {name: values[-rounds:] for name, values in read.items()}
        lines += measuring.results(measured, row="cold", what=f"{codec} read from disk", unit="kB an image", **shared)
        print(seen)
        measuring.show(lines[-2 * len(work) :])
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
