"""Does one photograph spoil others? Packs thousands that are broken in all ways, and checks what became of each.

Each must be in the pack, with the pixels that OpenCV gives in a process of its own, or be a failure with a reason; the
good ones among them must all be there; what a decoder does that crashes, hangs or takes all memory must be told as
that. Prints what it found, the time and the peak memory of all processes; ends with 1 where something does not hold.

python torture/poison.py [--files 5000] [--seed 0] [--workers 2] [--no-gigantic]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest import mock

import cv2
import hostile
import numpy as np
import poisons

import prebake
from prebake.packing import run
from prebake.packing.limits import own_memory
from prebake.recipe import Recipe

if TYPE_CHECKING:
    from prebake.store import Pack

SAMPLE_SECONDS = 0.05
KERNEL = Recipe.named("kernel", 32)


def main() -> int:
    """Write, pack, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000, help="how many that are broken by chance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deeds", type=int, default=2, help="how often a decoder crashes, hangs and so on in each way")
    parser.add_argument("--no-gigantic", action="store_true", help="without those that take gigabytes, minutes or both")
    parser.add_argument("--time-limit", type=float, default=20)
    parser.add_argument("--memory-limit", type=float, default=4)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "photographs")
        folder.mkdir()
        write(folder, options)
        start = time.monotonic()
        with Peak() as peak, mock.patch.object(run, "bake_part", hostile.bake_part):
            made = prebake.pack(
                folder,
                Path(scratch, "pack.h5"),
                recipe=KERNEL,
                workers=options.workers,
                on_error="skip",
                time_limit=options.time_limit,
                memory_limit=options.memory_limit,
                progress=sys.stderr.isatty(),
            )
        seconds = time.monotonic() - start
        problems = [*checked(made, folder), *too_much(peak, options.memory_limit)]
        shown(made, seconds, peak)
    for problem in problems:
        print(f"WRONG: {problem}")
    return bool(problems)


def write(folder: Path, options: argparse.Namespace) -> None:
    """Write all files."""
    poisons.write(folder, options.files, options.seed)
    good = poisons.originals(options.seed)[0].data
    marks = sorted([*hostile.DEEDS] * options.deeds)
    for number, mark in enumerate(marks):  # among the others
        name = mark.decode().replace(": ", "-")
        (folder / f"{number * options.files // len(marks):05d}-{name}.jpg").write_bytes(good + mark)
    if not options.no_gigantic:
        for name, data in poisons.gigantic().items():
            (folder / f"{options.files // 3:05d}-{name}").write_bytes(data)


# -- what must hold ---------------------------------------------------------------------------------------------------


def checked(made: Pack, folder: Path) -> list[str]:
    """Return what is wrong with the pack."""
    files = {path.stem: path for path in folder.iterdir()}
    failures = {failure.id: failure for failure in made.failures}
    problems = []
    if sorted([*made.ids, *failures]) != sorted(files):
        problems.append("not every photograph is in the pack or a failure, once")
    for name, failure in failures.items():
        problems += wrong_reason(name, files[name].read_bytes(), failure.reason)
    if damaged := made.verify():
        problems.append(f"damaged in the pack: {damaged}")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=quiet) as others:
        paths = [str(files[name]) for name in made.ids]
        for name, image in zip(made.ids, others.map(by_opencv, paths, chunksize=20), strict=True):
            if image is None or not np.array_equal(image, made[name]):
                problems.append(f"{name}: its pixels are not what OpenCV gives")
    return problems


def wrong_reason(name: str, data: bytes, reason: str) -> list[str]:
    """Return what is wrong with the reason of a failure."""
    if "-good" in name:
        return [f"{name} is good and was not baked: {reason}"]
    if len(reason) < 12 or not reason.isprintable():
        return [f"{name}: {reason!r} is no reason"]
    expected = next((words for mark, (_, words) in hostile.DEEDS.items() if data.endswith(mark)), None)
    if expected is None and "died" in reason:
        return [f"{name}: the decoder does not survive it: {reason}"]
    return [f"{name}: {reason!r} instead of {expected!r}"] if expected and expected not in reason else []


def too_much(peak: Peak, limit: float) -> list[str]:
    """Return what is wrong with the memory: a fifth of a second may pass before a process is ended."""
    return [f"{peak.gigabytes:.2f} GB at the peak"] if peak.gigabytes > limit + 1.5 else []


def quiet() -> None:
    """Keep to itself what libraries say of broken files."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def by_opencv(path: str) -> np.ndarray | None:
    """Decode with OpenCV alone, and bake; a PNG that lacks but a few bytes of its end mark with the mark made whole."""
    data = Path(path).read_bytes()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None and (end := data.rfind(b"IEND")) > 0:
        whole = data[: end - 4] + poisons.chunk(b"IEND", b"")
        image = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else KERNEL.apply(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).image


class Peak:
    """Looks at the memory of this process and all that descend from it, for as long as the block lasts."""

    def __init__(self) -> None:
        self.gigabytes, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        own = multiprocessing.current_process().pid
        while not self._done.wait(SAMPLE_SECONDS):
            children = (child.pid for child in multiprocessing.active_children())
            taken = sum(own_memory(number) for number in (own, *children) if number)
            self.gigabytes = max(self.gigabytes, taken / 1e9)


def shown(made: Pack, seconds: float, peak: Peak) -> None:
    """Print how many ended how."""
    total = len(made) + len(made.failures)
    print(f"{total:,} files in {seconds:.0f} s, {peak.gigabytes:.2f} GB at the peak of all processes")
    print(f"{len(made):,} baked, {len(made.failures):,} failures:")
    reasons = Counter(re.sub(r"\d+ x \d+", "W x H", failure.reason) for failure in made.failures)
    for reason, count in reasons.most_common():
        print(f"  {count:5,}  {reason}")
    over = [failure.id for failure in made.failures if "limit of" in failure.reason]
    print(f"over a limit: {', '.join(over)}")


if __name__ == "__main__":
    sys.exit(main())
