"""A million rows in a thousand packs against the same rows in one: opening, memory, an epoch's order, the first batch.

python bench/many_packs.py [--rows 1000000] [--packs 1000] [--side 8] [--rounds 3] [--quick] [--folder DIR] [--csv CSV]

The packs are made first: images of 8 x 8, because only their number counts, about 700 bytes a row; --side 256 for what
loading costs with images as they are. Files are in the page cache, and modules are imported before the clock starts.
Each time and each peak is of a process of its own.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import measuring
import numpy as np

from prebake.store import Header, PackWriter, Row, file_names, open_pack, pattern_of

BATCH, BATCHES = 256, 100
PACKAGES = ("numpy", "h5py", "torch")


def write(path: Path, numbers: range, side: int) -> None:
    """Write a pack of images, unless it is there."""
    if path.exists():
        return
    image, header = np.zeros((side, side, 3), np.uint8), Header('{"name":"small"}', "0" * 32, side, "raw", {})
    with PackWriter(path, header, image.shape, len(numbers)) as writer:
        for number in numbers:
            name = f"{number:012x}"
            row = Row(
                id=name, label=float(number % 5), group=name[:10], source="small", split="train",
                path=f"images/{name}.png", width=4288, height=2848, to_source=np.eye(2, 3),
                source_digest="0" * 32, source_bytes=1, phash=number,
            )  # fmt: skip
            writer.add(row, image)


def opening(path: Path) -> dict[str, float]:
    """Open, ask for ids and labels, and find an id; return seconds and megabytes."""
    start = time.perf_counter()
    pack = open_pack(path)
    opened = time.perf_counter()
    memory = peak()
    ids, labels = pack.ids, pack.labels
    listed = time.perf_counter()
    pack[ids[len(labels) // 2]]
    found = time.perf_counter()
    return {
        "open, s": opened - start,
        "peak memory when open, MB": memory,
        "ids and labels, s": listed - opened,
        "first image by id, s": found - listed,
        "peak memory with ids, MB": peak(),
    }


def loading(path: Path) -> dict[str, float]:
    """Begin a shuffled epoch, and take a hundred batches; return seconds and images a second."""
    import torch  # noqa: F401 - imported before the clock starts, and only here

    from prebake import Loader

    pack = open_pack(path)
    start = time.perf_counter()
    with Loader(pack, BATCH, shuffle=True, threads=2) as loader:
        batches = itertools.chain.from_iterable(loader for _ in itertools.count())  # epoch after epoch
        next(batches)
        first = time.perf_counter()
        count = sum(len(labels) for _, labels in itertools.islice(batches, BATCHES))
        done = time.perf_counter()
    return {
        "first batch, s": first - start,
        "images/s": count / (done - first),
        "peak memory with torch, MB": peak(),
    }


def peak() -> float:
    """Return the most memory that this process has had, in megabytes; mapped files count as far as they were read."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def in_new_process(work: Callable[[Path], dict[str, float]], path: Path) -> dict[str, float]:
    """Call ``work`` in a process that has done nothing but import this module."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, path).result()


def make(folder: Path, count: int, packs: int, side: int) -> dict[str, Path]:
    """Make the packs, and return what opens them."""
    folder.mkdir(exist_ok=True)
    one, many = folder / "one.h5", folder / "many.h5"
    write(one, range(count), side)
    share = count // packs
    for number, path in enumerate(file_names(many, packs)):
        write(path, range(number * share, (number + 1) * share), side)
    return {"one pack": one, f"{packs} packs": pattern_of(many)}


def measured(arms: dict[str, Path], count: int, rounds: int) -> list[measuring.Result]:
    """Measure all there is to measure."""
    lines: list[measuring.Result] = []
    for work in (opening, loading):
        kept: dict[str, list[dict[str, float]]] = {name: [] for name in arms}

        def arm(name: str, work: Callable[[Path], dict[str, float]] = work, kept: dict = kept) -> float:
            kept[name].append(in_new_process(work, arms[name]))
            return 0.0

        measuring.interleaved({name: functools.partial(arm, name) for name in arms}, rounds=rounds, warmup=0)
        for what in kept["one pack"][0]:
            found = {name: [each[what] for each in values] for name, values in kept.items()}
            title, _, unit = what.rpartition(", ")
            lines += measuring.results(
                found,
                row="many",
                what=f"{title or 'shuffled loading'}, {count} rows",
                unit=unit,
                against="one pack",
                packages=PACKAGES,
            )
            measuring.show(lines[-len(arms) :])
    return lines


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="5,000 rows in 50 packs, 1 round", rounds=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--packs", type=int, default=1_000)
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where the packs are made, 1.5 GB, and found again the next time")
    parser.add_argument("--only-make", action="store_true", help="make the packs, and measure another time")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.packs, options.rounds = 5_000, 50, 1
    with tempfile.TemporaryDirectory() as scratch:
        arms = make(options.folder or Path(scratch), options.rows, options.packs, options.side)
        if not options.only_make:
            measuring.write(measured(arms, options.rows, options.rounds), options.csv)


if __name__ == "__main__":
    main()
