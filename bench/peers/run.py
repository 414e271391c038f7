"""Read shuffled uint8 batches with prebake and with its peers, in turn, from the same images.

python bench/peers/run.py PACK [--environments build/peers] [--rounds 5] [--images 3000] [--quick] [--csv OUT.csv]

Every arm (``arm_*.py``) has its own process and, where ``environments.sh`` made one, its own environment; arms whose
environment is not there are left out, saying so. Each arm writes its own format of the same images, reads them in each
of its settings, and is checked: every image once, unchanged, with its label, in batches of 32. Its best settings
(within 30 % of the best, by one turn) then take turns with the others, round by round, on two cores and from a warm
cache, while all other arms wait; of each arm the setting with the best median counts. A turn is whole epochs, one
after the other, for at least a second, after one that does not count. First epochs, with opening, are told apart, and
so are the writing (from memory) and the size of each format.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.store import Pack

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import measuring  # noqa: E402

if TYPE_CHECKING:
    import argparse

RAW = "prebake.Loader, raw"
NEAR = 0.7  # settings this near to the best of their arm are measured to the end


@dataclasses.dataclass(frozen=True)
class Arm:
    """One reader: its script with arguments, the environment it needs, and the folder of what it reads."""

    name: str
    script: str
    folder: str
    arguments: tuple[str, ...] = ()
    environment: str | None = None


ARMS = (
    Arm(RAW, "arm_prebake.py", "raw", ("raw",)),
    Arm("prebake.Loader, zstd", "arm_prebake.py", "zstd", ("zstd",)),
    Arm("FFCV", "arm_ffcv.py", "ffcv", environment="ffcv"),
    Arm("HF datasets, large_binary", "arm_datasets.py", "datasets", environment="readers"),
    Arm("LitData", "arm_litdata.py", "litdata", environment="readers"),
    Arm("WebDataset", "arm_webdataset.py", "webdataset", environment="readers"),
    Arm("npy memmap, np.take", "arm_memmap.py", "memmap", ("1",)),
    Arm("npy memmap, np.take, 2 threads", "arm_memmap.py", "memmap", ("2",)),
    Arm("h5py, dataset[i]", "arm_h5py.py", "raw"),
    Arm("DataLoader, prebake.PackDataset", "arm_prebake.py", "raw", ("dataset",)),
)


class Failed(Exception):
    """An arm ended."""


class Process:
    """An arm that waits for requests."""

    def __init__(self, arm: Arm, python: Path, scratch: Path) -> None:
        self.log = scratch / f"{arm.script}.log"
        command = [str(python), str(HERE / arm.script), *arm.arguments]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env={**os.environ, "TMPDIR": str(scratch)},
        )

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}, default=str) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{do}: {' | '.join(self.log.read_text().strip().splitlines()[-3:])}")
        return json.loads(line)

    def end(self) -> None:
        """Close its input, on which it ends."""
        self._process.stdin.close()
        self._process.wait(60)


@dataclasses.dataclass
class Candidate:
    """An arm in one of its settings, open."""

    arm: Arm
    setting: str
    process: Process
    versions: str
    first: float  # seconds of opening and the first epoch
    spread: float  # of the shuffled order, see serving.check
    rate: float  # images per second, before the rounds
    wrote: dict[str, float] | None  # seconds and bytes, where the arm has a format of its own


def bake(pack: Pack, count: int, target: Path) -> None:
    """Write images of the pack, each flipped and turned in up to eight ways so that all differ, as one array."""
    if count > 8 * len(pack):
        raise SystemExit(f"{count} images need a pack of {-(-count // 8)} images; {pack.name} has {len(pack)}")
    images = np.lib.format.open_memmap(target, "w+", np.uint8, (count, *pack.shape))
    for row in range(count):
        image, way = pack[row % len(pack)], row // len(pack)
        images[row] = np.rot90(image[:, ::-1] if way & 4 else image, way & 3)
    images.flush()


def interpreter(arm: Arm, environments: Path) -> Path | None:
    """Return the Python of an arm, ``None`` where its environment was not made."""
    python = environments / arm.environment / "bin" / "python" if arm.environment else Path(sys.executable)
    return python.absolute() if python.exists() else None


def candidates_of(arm: Arm, python: Path, scratch: Path, options: argparse.Namespace) -> list[Candidate]:
    """Let the arm write its format; open it in each of its settings, check it, and take a turn."""
    process = Process(arm, python, scratch)
    told, wrote = process.ask("tell"), None
    if told["writes"] and not (scratch / arm.folder).exists():
        (scratch / arm.folder).mkdir()
        wrote = process.ask("write", images=scratch / "images.npy", folder=scratch / arm.folder)
    found: list[Candidate] = []
    for setting in told["settings"][: 1 if options.quick else None]:
        process = Process(arm, python, scratch) if found else process
        first = process.ask("open", setting=setting, folder=scratch / arm.folder)["seconds"]
        spread = process.ask("check", images=scratch / "images.npy")["spread"]
        rate = _rate(process, options.turn)
        found.append(Candidate(arm, setting, process, told["versions"], first, spread, rate, wrote))
    return found


def prepare(arm: Arm, python: Path, scratch: Path, options: argparse.Namespace) -> list[Candidate]:
    """Find the arm's candidates; say what was found and end those that are not near the best."""
    tried = candidates_of(arm, python, scratch, options)
    best = max(one.rate for one in tried)
    for one in tried:
        print(
            f"{arm.name}, {one.setting}: {one.rate:.0f} img/s; first epoch {one.first:.2f} s;"
            f" shuffled {one.spread:.2f}",
            flush=True,
        )
        if one.rate < NEAR * best:
            one.process.end()
    return [one for one in tried if one.rate >= NEAR * best]


def compared(candidates: Sequence[Candidate], options: argparse.Namespace) -> list[measuring.Result]:
    """Let the candidates take turns; return lines of the best setting of each arm."""
    turns = {
        number: functools.partial(_rate, one.process, seconds=options.turn) for number, one in enumerate(candidates)
    }
    rates = measuring.interleaved(turns, rounds=options.rounds)
    best: dict[str, int] = {}
    for number in sorted(rates, key=lambda number: statistics.median(rates[number])):
        best[candidates[number].arm.name] = number
    chosen = {arm.name: best[arm.name] for arm in ARMS if arm.name in best}
    steady = {name: rates[number] for name, number in chosen.items()}
    first = {name: [candidates[number].first] for name, number in chosen.items()}
    wrote = {name: candidates[number].wrote for name, number in chosen.items() if candidates[number].wrote}
    lines = []
    for what, unit, found in (
        ("uint8 batches of 32, shuffled: steady epochs", "img/s", steady),
        ("uint8 batches of 32, shuffled: first epoch, with opening", "s", first),
        ("writing the format from memory", "s", {name: [told["seconds"]] for name, told in wrote.items()}),
        ("the format on disk", "MB", {name: [told["bytes"] / 1e6] for name, told in wrote.items()}),
    ):
        for line in measuring.results(found, row="9", what=what, unit=unit, against=RAW):
            one = candidates[chosen[line.arm]]
            lines.append(dataclasses.replace(line, arm=f"{line.arm} ({one.setting})", versions=one.versions))
    return lines


def _rate(process: Process, seconds: float) -> float:
    return process.ask("turn", seconds=seconds)["rate"]


def main() -> None:
    """Prepare every arm, compare them, and print a table."""
    parser = measuring.parser(__doc__, quick="640 images, 3 rounds of short turns, one setting of each")
    parser.add_argument("pack", type=Path)
    parser.add_argument("--environments", type=Path, default=Path("build/peers"))
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--turn", type=float, default=1.0, help="seconds that a turn takes at least")
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds, options.turn = 640, 3, 0.2

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        bake(Pack(options.pack), options.images, scratch / "images.npy")
        candidates = []
        for arm in ARMS:
            python = interpreter(arm, options.environments)
            if python is None:
                print(f"left out: {arm.name}: {options.environments / arm.environment} was not made by environments.sh")
                continue
            try:
                candidates += prepare(arm, python, scratch, options)
            except Failed as failure:
                print(f"left out: {arm.name}: {failure}")
        for one in candidates:
            stack.callback(one.process.end)
        lines = compared(candidates, options)
    measuring.show(lines)
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
