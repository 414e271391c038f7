"""Fill the tables of docs/performance.md from bench/results (make docs); a test compares the two.

A table stands between ``<!-- results: NAME -->`` and ``<!-- end -->``; what is between them is replaced by what
``bench/results/NAME.csv`` holds.
"""

from __future__ import annotations

import re
import runpy
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("performance.md")
BENCH = Path(__file__).parents[1] / "bench"
MEASURING = runpy.run_path(str(BENCH / "measuring.py"))
TABLE = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page() -> str:
    """Return the page with its tables filled."""
    return TABLE.sub(lambda found: found[1] + table(found[2]) + found[3], PAGE.read_text(encoding="utf-8"))


def table(name: str) -> str:
    """Return one results file as Markdown: a table for each thing that was measured, and what it was measured with."""
    lines = MEASURING["read"](BENCH / "results" / f"{name}.csv")
    parts = []
    for (row, what, unit, rounds), arms in groupby(lines, lambda one: (one.row, one.what, one.unit, one.rounds)):
        several = list(dict.fromkeys(arms))  # the arm that others are compared with may stand there several times
        first = several[0]
        compared = first.against != "-" and len(several) > 1
        what_counts = "photograph" if name == "fidelity" else "round"  # there each arm is measured once on each
        times = f"{rounds} {what_counts}{'s' * (rounds > 1)}"
        parts += [
            f"\n**{row}. {what}** ({first.cache} cache, {times})\n",
            f"| | {unit} | lowest ... highest |" + f" times {first.against} |" * compared,
            "|---|---:|---:|" + "---:|" * compared,
            *(line(arm, compared=compared) for arm in several),
        ]
    facts = dict.fromkeys(fact for one in lines for fact in (one.date, one.machine, *one.versions.split(", ")))
    return "\n".join([*parts, f"\nMeasured: {', '.join(facts)}."]) + "\n"


def line(arm: Any, *, compared: bool) -> str:
    """Return one arm as a line of a table."""
    spread = f"{number(arm.low)} ... {number(arm.high)}"
    return f"| {arm.arm} | {number(arm.median)} | {spread} |" + f" {arm.ratio:.3g} |" * compared


def number(value: float) -> str:
    """Return four significant digits, thousands separated."""
    digits = f"{value:.4g}"
    return f"{float(digits):,.0f}" if abs(value) >= 1000 else digits


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
