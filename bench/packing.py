"""Pack photographs with prebake and as published in 2019, alternating in one run; print the ratio.

python bench/packing.py FOLDER [--photographs 60] [--rounds 5] [--recipes kernel ben crop] [--csv OUT.csv]
"""

from __future__ import annotations

import argparse
import csv
import platform
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import h5py

import prebake
from prebake.bench import published

KINDS = {".jpg", ".jpeg", ".png"}


def seconds_of(work, *arguments, **options) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print one line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=["kernel", "ben", "crop"])
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()

    every = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in KINDS)
    photographs = every[:: max(1, len(every) // options.photographs)][: options.photographs]
    times: dict[str, list[float]] = {name: [] for name in ["published", *options.recipes]}
    with tempfile.TemporaryDirectory() as scratch:
        links = Path(scratch) / "photographs"
        links.mkdir()
        for path in photographs:
            (links / path.name).symlink_to(path.resolve())
            path.read_bytes()  # the same warm cache for both sides
        for turn in range(options.rounds):
            for name, taken in times.items():
                target = Path(scratch) / f"{name}-{turn}.h5"
                if name == "published":
                    taken.append(seconds_of(published.pack, sorted(links.iterdir()), target))
                else:
                    taken.append(seconds_of(prebake.pack, [links], target, recipe=name, workers=2, progress=False))
    median = {name: statistics.median(taken) for name, taken in times.items()}
    versions = f"Python {platform.python_version()}, OpenCV {cv2.__version__}, h5py {h5py.__version__}"
    counts = [len(photographs), options.rounds]
    rows = [
        [name, *counts, f"{seconds:.2f}", f"{median['published'] / seconds:.2f}", versions]
        for name, seconds in median.items()
    ]
    header = ["recipe", "photographs", "rounds", "median_seconds", "times_faster", "versions"]
    for row in [header, *rows]:
        print("  ".join(f"{cell!s:>14}" for cell in row))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main()
