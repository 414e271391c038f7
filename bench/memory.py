"""Row 11: does the peak of memory depend on how many photographs are packed? The whole process tree, at its highest.

python bench/memory.py PHOTOGRAPHS [--count 60] [--tiny 200] [--rounds 3] [--recipe crop] [--quick] [--csv OUT.csv]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import measuring
import numpy as np
from enlarged import links

PACK = """
import sys, prebake
source, target, recipe, size = sys.argv[1:]
prebake.pack([source], target, recipe=recipe, size=int(size), workers=2)
"""
SAMPLE_SECONDS = 0.02
PACKAGES = ("numpy", "h5py", "opencv-python-headless")


def main() -> None:
    """Measure, print and write."""
    parser = measuring.parser(__doc__, quick="8 photographs, 10 tiny ones, 1 round", rounds=3)
    parser.add_argument("photographs", type=Path, help="a folder of photographs, below which all .jpg are taken")
    parser.add_argument("--count", type=int, default=60, help="how many are packed once and, as links, ten times")
    parser.add_argument("--tiny", type=int, default=200, help="how many generated ones, and a hundred times as many")
    parser.add_argument("--recipe", default="crop")
    options = parser.parse_args()
    if options.quick:
        options.count, options.tiny, options.rounds = 8, 10, 1
    found = sorted(options.photographs.rglob("*.jpg"))[: options.count]
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        arms = {
            f"{times}x": partial(both, links(found, times, folder / f"real-{times}"), options.recipe, 256)
            for times in (1, 10)
        }
        lines += measured(arms, f"packing {len(found)} photographs", options.rounds)
        drawn = tiny(options.tiny, folder / "drawn")
        arms = {
            f"{times}x": partial(both, links(drawn, times, folder / f"tiny-{times}"), "resize", 8)
            for times in (1, 10, 100)
        }
        lines += measured(arms, f"packing {len(drawn)} tiny images", options.rounds)
    measuring.show(lines)
    measuring.write(lines, options.csv)


def measured(arms: dict[str, Callable[[], list[float]]], what: str, rounds: int) -> list[measuring.Result]:
    """Give three lines for each arm: the tree with the file pages it maps, and without; and the driver without."""
    kinds = ["peak with mapped files", "peak", "peak of the driver"]
    peaks = {name: [] for name in arms}
    measuring.interleaved(
        {name: partial(kept, arm, peaks[name]) for name, arm in arms.items()}, rounds=rounds, warmup=0
    )
    lines = []
    for place, kind in enumerate(kinds):
        found = {name: [peak[place] for peak in values] for name, values in peaks.items()}
        lines += measuring.results(found, row="11", what=f"{kind}, {what}", unit="MB", against="1x", packages=PACKAGES)
    return lines


def kept(arm: Callable[[], list[float]], peaks: list[list[float]]) -> float:
    """Call an arm that measures several things at once, and keep them."""
    peaks.append(arm())
    return peaks[-1][0]


def tiny(count: int, folder: Path) -> list[Path]:
    """Draw small images."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = [folder / f"{number:05d}.png" for number in range(count)]
    for path in paths:
        cv2.imwrite(str(path), random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    return paths


def both(source: Path, recipe: str, size: int) -> list[float]:
    """Pack in a process of its own; return three peaks in MB, see :func:`measured`."""
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        process = subprocess.Popen([sys.executable, "-c", PACK, source, f"{scratch}/out.h5", recipe, str(size)])
        peaks = [0.0, 0.0, 0.0]
        while process.poll() is None:
            now = {number: memory(number) for number in tree(process.pid)}
            sums = [sum(value[0] for value in now.values()), sum(value[1] for value in now.values())]
            peaks = [max(pair) for pair in zip(peaks, [*sums, now.get(process.pid, (0, 0))[1]], strict=True)]
            time.sleep(SAMPLE_SECONDS)
        if process.returncode:
            raise SystemExit("packing failed")
    return peaks


def tree(root: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory(process: int) -> tuple[float, float]:
    """Return what a process takes in MB: shared pages by their share; the same without pages of files."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    kilobytes = {line.split(":")[0]: float(line.split()[1]) for line in text.splitlines()[1:]}
    return kilobytes.get("Pss", 0) * 1.024e-3, kilobytes.get("Pss_Anon", 0) * 1.024e-3


if __name__ == "__main__":
    main()
