"""Opening a large pack, finding ids in it, and the first batch, each in a process of its own. Row 12.

python bench/opening.py [--rows 100000] [--rounds 5] [--quick] [--scratch DIR] [--csv OUT.csv]

The packs are made first: images of 16 x 16, because only their number counts, about 500 bytes a row and codec. Files
are in the page cache, and modules are imported before the clock starts; imports have a line of their own.
"""

from __future__ import annotations

import functools
import multiprocessing
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import measuring
import numpy as np

from prebake.store import CODECS, Header, Pack, PackWriter, Row

SIDE, DIFFERENT, LOOKUPS, BATCH = 16, 64, 1000, 32
BARE = "gzip as in 2019"
IMPORTS = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
PACKAGES = ("numpy", "h5py", "torch", "cramjam", "deflate")


def name_of(number: int) -> str:
    """Return the id of a row; as wide as those of the photographs of 2019."""
    return f"{number:012x}"


def write_pack(path: Path, count: int, codec: str) -> Path:
    """Write a pack of ``count`` small images."""
    header = Header('{"name":"small"}', "0" * 32, SIDE, codec, {})
    images = some_images()
    with PackWriter(path, header, images.shape[1:], count) as writer:
        for number in range(count):
            name = name_of(number)
            row = Row(
                id=name, label=float(number % 5), group=name[:8], source="small", split="train",
                path=f"images/{name}.png", width=4288, height=2848, to_source=np.eye(2, 3),
                source_digest="0" * 32, source_bytes=1, phash=number,
            )  # fmt: skip
            writer.add(row, images[number % DIFFERENT])
    return path


def write_as_in_2019(path: Path, count: int) -> Path:
    """Write the same images as the published kernel did, with nothing but ids beside them."""
    images = some_images()
    with h5py.File(path, "w") as file:
        shape = images.shape[1:]
        data = file.create_dataset("images", (count, *shape), "u1", chunks=(1, *shape), compression="gzip")
        for number in range(count):
            data[number] = images[number % DIFFERENT]
        file["id_code"] = np.array([name_of(number).encode() for number in range(count)])
    return path


def some_images() -> np.ndarray:
    """Return a few images that compress a little, uint8 (DIFFERENT, SIDE, SIDE, 3)."""
    return np.random.default_rng(0).integers(0, 40, (DIFFERENT, SIDE, SIDE, 3), np.uint8)


def open_with_prebake(path: Path) -> float:
    """Return the seconds of opening."""
    start = time.perf_counter()
    Pack(path)
    return time.perf_counter() - start


def open_with_h5py(path: Path) -> float:
    """Return the seconds that h5py takes for the places of all images and all columns; it checks nothing."""
    start = time.perf_counter()
    with h5py.File(path) as file:
        images, places = file["images"], array("Q")
        if images.chunks:
            images.id.chunk_iter(lambda info: places.extend((info[0][0], *info[1:])))
        np.array(places, np.uint64).reshape(-1, 4)
        for name, found in file.items():
            if name != "images" and isinstance(found, h5py.Dataset):
                found[()]
    return time.perf_counter() - start


def find_ids(path: Path, *, first: bool) -> float:
    """Return the microseconds of one ``index_of``: the first, or of a thousand after it."""
    pack = Pack(path)
    names = [name_of(number) for number in np.random.default_rng(1).integers(0, len(pack), LOOKUPS).tolist()]
    start = time.perf_counter()
    pack.index_of(names[0])
    if first:
        return 1e6 * (time.perf_counter() - start)
    start = time.perf_counter()
    for name in names:
        pack.index_of(name)
    return 1e6 * (time.perf_counter() - start) / LOOKUPS


def first_batch(path: Path) -> float:
    """Return the seconds from an open pack to its first shuffled batch."""
    import torch  # noqa: F401 - imported before the clock starts, and only here

    from prebake import Loader

    pack = Pack(path)
    start = time.perf_counter()
    with Loader(pack, BATCH, shuffle=True) as loader:
        next(iter(loader))
        return time.perf_counter() - start


def imports(what: str) -> float:
    """Return the seconds of importing in a new interpreter."""
    return float(subprocess.run([sys.executable, "-c", IMPORTS.format(what)], check=True, capture_output=True).stdout)


def in_new_process(work: Callable[[Path], float], path: Path) -> float:
    """Call ``work`` in a process that has done nothing but import this module."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, path).result()


def measured(scratch: Path, count: int, rounds: int) -> list[measuring.Result]:
    """Make the packs and measure all there is to measure."""
    files = {codec: write_pack(scratch / f"{codec}.h5", count, codec) for codec in CODECS}
    files[BARE] = write_as_in_2019(scratch / "2019.h5", count)
    tenth = write_pack(scratch / "tenth.h5", count // 10, "raw")
    lines: list[measuring.Result] = []

    def add(what: str, unit: str, arms: dict[str, Callable[[], float]]) -> None:
        found = measuring.interleaved(arms, rounds=rounds)
        against = next(iter(arms))
        lines.extend(measuring.results(found, row="12", what=what, unit=unit, against=against, packages=PACKAGES))
        measuring.show(lines[-len(arms) :])

    def arm(work: Callable[[Path], float], path: Path) -> Callable[[], float]:
        return functools.partial(in_new_process, work, path)

    for name, path in files.items():
        add(
            f"open {count} rows, {name}",
            "s",
            {"h5py": arm(open_with_h5py, path), "prebake": arm(open_with_prebake, path)},
        )
    add("imports", "s", {name: functools.partial(imports, name) for name in ("numpy, h5py", "prebake; prebake.open")})
    sizes = {f"{count // 10} rows": tenth, f"{count} rows": files["raw"]}
    for what, first in (("index_of, the first", True), (f"index_of, {LOOKUPS} more", False)):
        look = functools.partial(find_ids, first=first)
        add(what, "us", {name: arm(look, path) for name, path in sizes.items()})
    add(f"first batch of {count} rows", "s", {name: arm(first_batch, path) for name, path in files.items()})
    return lines


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="5,000 rows, 1 round")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--scratch", type=Path, help="folder for the files that are made")
    options = parser.parse_args()
    count, rounds = (5_000, 1) if options.quick else (options.rows, options.rounds)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        lines = measured(Path(scratch), count, rounds)
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
