"""Rows 1 to 4: packing with prebake against the published preprocessing, two processes each; the share of decoding.

The photographs are read once before, so both sides find them in the cache. Row 4 is measured in this process on one
thread: seconds inside ``prebake.decode.decode`` over all seconds that a worker spends on its parts, which are reading,
digest, decoding, recipe, encoding, checksums, writing and syncing the part and its receipt; planning, merging and
verifying, which the driver does, do not count.

python bench/packing.py FOLDER [--photographs 60] [--png 60] [--copies 1] [--recipes kernel ben crop] [--rounds 5]
                               [--quick] [--csv OUT.csv]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import measuring
from enlarged import links

import prebake
from prebake import recipe
from prebake.bench import published
from prebake.memory import keep_memory

ROWS = {"kernel": "1", "ben": "3", "crop": "3"}
KINDS = {".jpg", ".jpeg", ".png"}
PACKAGES = ("opencv-python-headless", "kornia-rs", "h5py")


class Inline(Executor):
    """Does at once what it is given, and counts the seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` now."""
        future: Future[Any] = Future()
        start = time.perf_counter()
        future.set_result(fn(*args, **kwargs))
        self.seconds += time.perf_counter() - start
        return future


class Arms:
    """What is compared on one folder of photographs; each call packs to a new file."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch, self.turn = folder, scratch, 0
        self.photographs = sorted(folder.iterdir())

    def target(self) -> Path:
        """Return a file that is not there yet, the one before removed."""
        (self.scratch / f"{self.turn}.h5").unlink(missing_ok=True)
        self.turn += 1
        return self.scratch / f"{self.turn}.h5"

    def published(self) -> int:
        """Pack the published way."""
        published.pack(self.photographs, self.target(), processes=2)
        return len(self.photographs)

    def prebake(self, name: str) -> int:
        """Pack with a recipe."""
        prebake.pack([self.folder], self.target(), recipe=name, workers=2, progress=False)
        return len(self.photographs)

    def share(self) -> float:
        """Return the per cent of the time of recipe ``kernel`` that is spent inside the decoders."""
        inside, whole, decode = 0.0, Inline(), recipe.decode

        def timed(*args: Any, **options: Any) -> Any:
            nonlocal inside
            start = time.perf_counter()
            try:
                return decode(*args, **options)
            finally:
                inside += time.perf_counter() - start

        with mock.patch.object(recipe, "decode", timed):
            prebake.pack([self.folder], self.target(), recipe="kernel", workers=2, executor=whole, progress=False)
        return 100 * inside / whole.seconds


def chosen(folder: Path, count: int) -> list[Path]:
    """Return so many photographs, evenly spread."""
    every = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    return [every[index * len(every) // count] for index in range(count)] if count < len(every) else every


def as_png(photographs: Sequence[Path], folder: Path) -> Path:
    """Write PNG copies of the photographs into a folder."""
    folder.mkdir()
    for path in photographs:
        cv2.imwrite(str(folder / f"{path.stem}.png"), cv2.imread(str(path)))
    return folder


def measured(arms: Arms, recipes: Sequence[str], rows: dict[str, str], rounds: int) -> list[measuring.Result]:
    """Measure one folder."""
    kind = arms.photographs[0].suffix.upper().strip(".")
    what = f"packing {len(arms.photographs)} {kind}, 2 processes"
    calls = {name: partial(measuring.rate, partial(arms.prebake, name)) for name in recipes}
    found = measuring.interleaved({"published": partial(measuring.rate, arms.published), **calls}, rounds=rounds)
    lines = []
    for name in recipes:
        pair = {arm: found[arm] for arm in ("published", name)}
        lines += measuring.results(
            pair, row=rows[name], what=what, unit="photographs/s", against="published", packages=PACKAGES
        )
    if "kernel" not in recipes:
        return lines
    shares = measuring.interleaved({"inside the decoders": arms.share}, rounds=rounds, warmup=0)
    return lines + measuring.results(
        shares, row="4", what=f"share of packing {kind} with kernel, 1 thread", unit="%",
        against="inside the decoders", packages=PACKAGES,
    )  # fmt: skip


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="8 photographs of each kind, 1 round")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", type=int, default=60, help="JPEGs as they are; 0: none")
    parser.add_argument("--png", type=int, default=60, help="PNG copies, made in a temporary folder; 0: none")
    parser.add_argument("--copies", type=int, default=1, help="how many links to each JPEG are packed")
    parser.add_argument("--recipes", nargs="+", choices=ROWS, default=list(ROWS), help="for JPEGs")
    options = parser.parse_args()
    if options.quick:
        options.photographs, options.png, options.rounds = 8, 8, 1
    cv2.setNumThreads(1)
    keep_memory()  # as worker processes do, for row 4
    lines = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if options.photographs:
            photographs = chosen(options.folder, options.photographs)
            for path in photographs:
                path.read_bytes()
            arms = Arms(links(photographs, options.copies, scratch / "photographs"), scratch)
            lines += measured(arms, options.recipes, ROWS, options.rounds)
        if options.png:
            arms = Arms(as_png(chosen(options.folder, options.png), scratch / "png"), scratch)
            lines += measured(arms, ("kernel",), {"kernel": "2"}, options.rounds)
    measuring.show(lines)
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
