"""Does a flipped bit go unseen? Flips bits all over packs, one at a time, and opens each file in a process of its own.

python torture/flips.py [PACK...] [--flips 1000] [--seed 0] [--time-limit 20]

Without packs: one for each codec, of drawn photographs, and a file as the 2019 kernel wrote it, which has no checksums.
A third of the flips goes into pixels, a third into columns, a third into the rest, the structure of the HDF5 file.

The file must be refused, or verify must name the images that have changed and no others, or nothing may be changed of
what a reader sees: pixels, columns, header, failures, all compared with those of the whole file. A process that dies,
takes longer than the limit, or ends with an error that is not prebake's is wrong, and so is a change that is not told.
Where nothing changed, plain h5py is asked too: does it fail, or see something else? Prints a table; ends with 1 where
something is wrong.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - plain h5py needs it for zstd
import numpy as np

import prebake
from prebake.errors import PackDamaged, PackFormatError
from prebake.files import digest
from prebake.fundus_art import generate
from prebake.store import CODECS, Pack

FORK = multiprocessing.get_context("fork")  # everything is loaded once; no thread runs here
REGIONS = ("pixels", "columns", "structure")
WRONG = ("not told", "named wrongly", "crash", "hang", "error")
OUTCOMES = ("refused", "image named", "nothing changed", "h5py fails", "h5py differs", *WRONG)


@dataclass(frozen=True)
class View:
    """What a reader sees of a pack: a digest of each image by id (empty where it cannot be read), and of all else."""

    images: dict[str, str]
    rest: str


def view(pack: Pack) -> View:
    """Look at everything."""
    pixels = []
    for row in range(len(pack)):
        try:
            pixels.append(digest(pack[row].tobytes()))
        except PackDamaged:
            pixels.append("")
    columns = [(name, array.dtype.str, array.shape, digest(array.tobytes())) for name, array in pack.columns.items()]
    header = (pack.shape, pack.codec, pack.recipe_json, pack.recipe_digest, pack.extra, pack.written_by)
    rest = repr((header, pack.ids, pack.groups, pack.labels.tolist(), pack.failures, columns))
    return View(dict(zip(pack.ids, pixels, strict=True)), digest(rest.encode()))


def look(path: Path) -> tuple[str, list[str], View | None]:
    """Open a pack; return what came of it, the images that verify names, and what there is to see."""
    try:
        pack = Pack(path)
        return "opened", pack.verify(), view(pack)
    except (PackFormatError, PackDamaged):
        return "refused", [], None


def plain(path: Path) -> str:
    """Return a digest of what h5py reads of images and columns."""
    found: list[Any] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, it: found.append((name, str(it[()].tolist()))) if hasattr(it, "shape") else None)
    return digest(repr(found).encode())


def alone(work: Callable[[Path], Any], path: Path, seconds: float) -> tuple[str, Any]:
    """Call ``work`` in a process of its own; return ``"done"`` and what it gave, or ``crash``, ``hang``, ``error``."""
    ours, theirs = FORK.Pipe(duplex=False)

    def answer() -> None:
        try:
            theirs.send(("done", work(path)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is not what a reader may raise
            theirs.send(("error", f"{type(error).__name__}: {error}"))

    process = FORK.Process(target=answer)
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(seconds) else ("hang", None)
    except EOFError:
        found = ("crash", None)
    process.kill()
    process.join()
    ours.close()
    return found


def judge(whole: View, found: tuple[str, Any], *, has_checksums: bool) -> str:
    """Return one of :data:`OUTCOMES`."""
    how, what = found
    if how != "done":
        return how
    state, named, seen = what
    if state == "refused":
        return "refused"
    if not has_checksums:  # then only the streams' own checksums tell; other changes cannot be known
        return "image named" if named else "nothing changed" if seen == whole else "not told"
    changed = {name for name, image in seen.images.items() if image != whole.images.get(name)}
    if seen.rest != whole.rest or changed - {*named}:
        return "not told"
    if {*named} - changed:
        return "named wrongly"
    return "image named" if named else "nothing changed"


def regions(path: Path) -> dict[str, np.ndarray]:
    """Return the bytes of each region of a pack, as positions in the file."""
    kind = np.full(path.stat().st_size, REGIONS.index("structure"), np.uint8)
    with h5py.File(path) as file:

        def mark(_: str, found: object) -> None:
            if isinstance(found, h5py.Dataset) and found.id.get_offset() is not None:
                kind[found.id.get_offset() :][: found.id.get_storage_size()] = REGIONS.index("columns")

        file.visititems(mark)
    with Pack(path) as pack:
        for row, start in enumerate(pack._open.offsets.tolist()):
            kind[start : start + len(pack.encoded(row))] = REGIONS.index("pixels")
    return {name: np.flatnonzero(kind == number) for number, name in enumerate(REGIONS)}


def torture(path: Path, flips: int, seed: int, seconds: float) -> tuple[dict[str, Counter[str]], list[str]]:
    """Flip bits of one pack; return the outcomes by region, and a line for each that is wrong or that h5py sees."""
    rng, data, places = np.random.default_rng(seed), path.read_bytes(), regions(path)
    whole, read = view(Pack(path)), plain(path)
    has_checksums = bool(Pack(path).columns)
    counts: dict[str, Counter[str]] = {name: Counter() for name in REGIONS}
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder) / path.name
        for number in range(flips):
            region = REGIONS[number % len(REGIONS)]
            place, bit = int(rng.choice(places[region])), int(rng.integers(8))
            damaged.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            found = alone(look, damaged, seconds)
            where = f"{path.name}, {region}, byte {place}, bit {bit}"
            outcome = judge(whole, found, has_checksums=has_checksums)
            if outcome in WRONG and (has_checksums or outcome != "not told"):
                lines.append(f"WRONG: {where}: {outcome} {found[1] or ''}")
            if outcome == "nothing changed" and (other := alone(plain, damaged, seconds)) != ("done", read):
                outcome = "h5py differs" if other[0] == "done" else "h5py fails"
                lines.append(f"{outcome}, prebake sees nothing changed: {where}")
            counts[region][outcome] += 1
    return counts, lines


def drawn(folder: Path) -> list[Path]:
    """Pack drawn photographs with each codec, and write them as the 2019 kernel did."""
    logging.getLogger("prebake").setLevel(logging.ERROR)
    generate(folder / "drawings", count=24)
    paths = []
    for codec in CODECS:
        paths.append(folder / f"{codec}.h5")
        prebake.pack(folder / "drawings", paths[-1], recipe="crop", size=64, codec=codec, progress=False)
    pack, path = Pack(paths[0]), folder / "kernel-2019.h5"
    with h5py.File(path, "w") as file:
        chunks = {"chunks": (1, *pack.shape), "compression": "gzip", "compression_opts": 2}
        file.create_dataset("images", data=pack.read(range(len(pack))), **chunks)
        file["id_code"] = pack.ids
    return [*paths, path]


def main(arguments: Sequence[str] | None = None) -> int:
    """Torture each pack and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path, nargs="*")
    parser.add_argument("--flips", type=int, default=1000, help="in each pack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=20, help="seconds for each file")
    options = parser.parse_args(arguments)
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'':28}" + "".join(f"{outcome:>16}" for outcome in OUTCOMES))
        for path in options.packs or drawn(Path(folder)):
            counts, more = torture(path, options.flips, options.seed, options.time_limit)
            lines += more
            for region, found in counts.items():
                line = "".join(f"{found[outcome] or '-':>16}" for outcome in OUTCOMES)
                print(f"{path.name:18}{region:10}{line}", flush=True)
    for line in lines:
        print(line[:500])
    wrong = sum(line.startswith("WRONG") for line in lines)
    print(f"{wrong} wrong; a file of the 2019 kernel has no checksums: what is not told of it is not wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
