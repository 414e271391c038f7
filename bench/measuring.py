"""How everything here is measured: arms in turn, in one run, medians; results with versions and machine beside them."""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Result:
    """One arm of one comparison: a line of a results file.

    ``row`` is the number in the table of docs/performance.md; ``median``, ``low`` and ``high`` are over the rounds, in
    ``unit``; ``ratio`` is how many times as good as the arm ``against`` (for rates the quotient, for times its
    inverse), the median of the ratios round by round; ``cache`` is ``warm`` or ``cold``.
    """

    row: str
    what: str
    arm: str
    unit: str
    median: float
    low: float
    high: float
    rounds: int
    ratio: float
    against: str
    cache: str
    date: str
    machine: str
    versions: str


def parser(about: str | None, *, quick: str, rounds: int | None = 5) -> argparse.ArgumentParser:
    """Return a parser with the options of all scripts; their docstring is the help.

    ``quick`` says what ``--quick`` measures; ``rounds`` is how many there are unless told (None: the script has none).
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--csv", type=Path)
    return made


def rate(work: Callable[[], int]) -> float:
    """Call ``work``, which returns how many things it did; return things per second."""
    start = time.perf_counter()
    count = work()
    return count / (time.perf_counter() - start)


def interleaved(arms: Mapping[str, Callable[[], float]], *, rounds: int = 5, warmup: int = 1) -> dict[str, list[float]]:
    """Call every arm in turn, round by round, after rounds that do not count; return what each gave."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(-warmup, rounds):
        for name, arm in arms.items():
            value = arm()
            if turn >= 0:
                found[name].append(value)
    return found


def results(
    found: Mapping[str, Sequence[float]],
    *,
    row: str,
    what: str,
    unit: str,
    against: str,
    cache: str = "warm",
    packages: Sequence[str] = (),
) -> list[Result]:
    """Make a line of each arm. ``unit`` that ends in ``/s`` is a rate: more is better; of all others less is."""
    faster = unit.endswith("/s")
    lines = []
    for arm, values in found.items():
        pairs = list(zip(values, found[against], strict=True))
        ratio = statistics.median(mine / theirs if faster else theirs / mine for mine, theirs in pairs)
        spread = [float(f"{value:.4g}") for value in (statistics.median(values), min(values), max(values))]
        lines.append(
            Result(
                row=row,
                what=what,
                arm=arm,
                unit=unit,
                median=spread[0],
                low=spread[1],
                high=spread[2],
                rounds=len(values),
                ratio=float(f"{ratio:.3g}"),
                against=against,
                cache=cache,
                date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
                machine=machine(),
                versions=versions(packages),
            )
        )
    return lines


def versions(packages: Sequence[str] = ()) -> str:
    """Name Python and the packages with their versions."""
    found = [f"Python {platform.python_version()}"]
    found += [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return ", ".join(found)


def machine() -> str:
    """Name processor, usable cores and memory."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def show(lines: Sequence[Result]) -> None:
    """Print the results."""
    for line in lines:
        spread = f"{line.median:>10.4g} ({line.low:.4g} ... {line.high:.4g}) {line.unit}"
        print(
            f"{line.row:>4}  {line.what[:44]:<44}  {line.arm[:36]:<36} {spread:<42} {line.ratio:>6.3g} x {line.against}"
        )


def write(lines: Sequence[Result], path: Path | None) -> None:
    """Write results as CSV, where a file is asked for."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Result)])
        table.writeheader()
        table.writerows(asdict(line) for line in lines)


def read(path: Path) -> list[Result]:
    """Read what :func:`write` wrote."""
    numbers = {"median": float, "low": float, "high": float, "rounds": int, "ratio": float}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Result(**{name: numbers.get(name, str)(value) for name, value in line.items()})
            for line in csv.DictReader(file)
        ]
