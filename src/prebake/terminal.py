"""What commands print: plain text that reads well in a terminal, in a log and through a pipe."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prebake.files import human_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from prebake.demo import Demonstration
    from prebake.prediction import Predictions
    from prebake.runs import Run
    from prebake.splits import Folds
    from prebake.store import Pack

__all__ = ["complain", "demonstrated", "facts", "packed", "predicted", "say", "show_notes", "split", "trained"]


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str, *, first: str = "error") -> None:
    """Write an error to standard error, its first word in red on a terminal."""
    plain = not sys.stderr.isatty() or "NO_COLOR" in os.environ
    sys.stderr.write(f"{first}: {text}\n" if plain else f"\x1b[1;31m{first}:\x1b[0m {text}\n")


class _Notes(logging.Handler):
    """Writes what the modules log to the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"note: {record.getMessage()}\n")


def show_notes() -> None:
    """Show what the user should know although nothing is wrong: warnings of the loggers below ``prebake``."""
    log = logging.getLogger("prebake")
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes(logging.WARNING))


def facts(summary: Mapping[str, object]) -> str:
    """Lay out facts as aligned ``name  value`` lines; longer lists go below their name, an entry a line."""
    summary = {name: value for name, value in summary.items() if f"{name}_text" not in summary}
    width = max(map(len, summary))
    lines = []
    for name, value in summary.items():
        title = f"{name.removesuffix('_text').replace('_', ' '):<{width}}"
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{title}  {len(value):,}", *("  " + "  ".join(map(str, entry.values())) for entry in value)]
        else:
            lines.append(f"{title}  {_shown(value)}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(entry)}" for name, entry in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "-" if value in (None, "") else str(value)


def _photographs(count: int) -> str:
    return f"{count:,} photograph" + ("s" if count != 1 else "")


def packed(pack: Pack, output: Path) -> str:
    """Sum up a finished pack in two lines: what it holds, and what can be done with it."""
    height, width, _ = pack.shape
    recipe = pack.recipe.name if pack.recipe is not None else "unknown"
    size = human_bytes(output.stat().st_size)
    lines = [f"{output}: {len(pack):,} images {height}x{width}, recipe {recipe}, {pack.codec}, {size}, verified"]
    if pack.failures:
        lines.append(f"{_photographs(len(pack.failures))} could not be baked; prebake info {output} lists them")
    lines.append(f"next: prebake show {output} -o grid.png    prebake train {output} -o run")
    return "\n".join(lines)


def split(folds: Folds, output: Path) -> str:
    """Show how many photographs and labels each fold has, what was kept together, and what is in no fold."""
    counts = folds.counts()
    lines = [["fold", "photographs", *(f"label {label:g}" for label in counts.columns)]]
    for fold, row in zip(folds.numbers, counts.to_numpy().tolist(), strict=True):
        lines.append([str(fold), f"{sum(row):,}", *(f"{count:,}" for count in row)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines]
    title = f"{output}: {_photographs(int(counts.to_numpy().sum()))} in {len(counts)} folds"
    return "\n".join([title, *text, *_kept(folds)])


def _kept(folds: Folds) -> list[str]:
    """Say what was kept together, and how many photographs are in no fold."""
    found, inside = folds.duplicates, folds.fold >= 0
    patients = {group for group, used in zip(folds.groups, inside, strict=True) if group and used}
    lines = [f"kept together: {len(patients):,} patients"] if patients else []
    if found.clusters:
        kinds = [pair.kind for pair in found.pairs]
        names = {"file": "identical files", "pixels": "identical pixels", "near": "near-duplicates"}
        pairs = ", ".join(f"{kinds.count(kind):,} {name}" for kind, name in names.items() if kind in kinds)
        rows = sum(map(len, found.clusters))
        lines.append(f"kept together: {_photographs(rows)} in {len(found.clusters):,} clusters of duplicates ({pairs})")
    if found.conflicts:
        shown = [" = ".join(f"{found.rows.titles[row]}" for row in rows) for rows in found.conflicts[:5]]
        more = len(found.conflicts) - len(shown)
        lines.append(f"different labels: {', '.join(shown)}" + (f" and {more:,} more clusters" if more else ""))
    if not inside.all():
        lines.append(f"in no fold: {_photographs(int((~inside).sum()))} without a label or of a published test set")
    return lines


def trained(run: Run) -> str:
    """Sum up a finished run: its best epoch and what can be done with it."""
    best = run.best()
    return (
        f"{run.path}: best epoch {best['epoch']:.0f} of {len(run.metrics())}, validation loss {best['val_loss']:.4f}, "
        f"kappa {best['val_kappa']:.3f}{_waited(run)}\n"
        f"next: prebake report {run.path}    prebake predict {run.path} PHOTOGRAPHS -o predictions.csv"
    )


def _waited(run: Run) -> str:
    share = run.waiting()
    return "" if share is None else f"; waited for data {share:.1%} of the time"


def predicted(predictions: Predictions, output: Path) -> str:
    """Sum up predictions: how many of each grade, and what could not be read."""
    table = predictions.table()
    counts = table["diagnosis"].value_counts().sort_index()
    lines = [f"{output}: {_photographs(len(table))}; " + ", ".join(f"grade {g}: {n:,}" for g, n in counts.items())]
    if predictions.failures:
        lines.append(f"{_photographs(len(predictions.failures))} could not be read:")
        lines += [f"  - {failure.id}  ({failure.path}): {failure.reason}" for failure in predictions.failures]
    return "\n".join(lines)


def demonstrated(result: Demonstration) -> str:
    """Say where the results of the demonstration lie."""
    return f"open this in a browser: {result.report}"
