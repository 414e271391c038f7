"""What is on the page: every value the template shows, from the files of one run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.report import background, commands, findings
from prebake.report.result import Result
from prebake.report.words import duration, if_there, number
from prebake.version import __version__

if TYPE_CHECKING:
    from prebake.runs import Run

__all__ = ["content"]


def content(run: Run) -> dict[str, Any]:
    """Return everything that ``page.html`` shows of a run."""
    found = if_there(run, "validation.csv", lambda: Result.of(run))
    result = found if found is not None and found.labels.size and found.finite else None
    history = if_there(run, "metrics.csv", run.metrics)
    matrix = result.matrix if result else None
    return {
        "version": __version__,
        "name": run.name,
        "headline": _headline(run, result),
        "lead": _lead(run),
        "missing": _missing(run, found),
        "result": findings.headline_numbers(run, result) if result else None,
        "matrix": findings.confusion_table(matrix, result) if matrix and result else None,
        "grades_summary": findings.grades_summary(result) if result else "",
        "dots": findings.dots(result) if matrix and result else None,
        "dots_note": findings.dots_note(result) if result else "",
        "photos": findings.photos(run) if result else [],
        "training": background.training(run, history),
        "data": background.data(run),
        "settings": background.settings(
            run,
            [
                ("Train the same again, into another folder", commands.again(run)),
                ("Grade other photographs", commands.predict(run)),
                ("Write this report again", commands.report(run)),
            ],
        ),
    }


def _headline(run: Run, result: Result | None) -> str:
    if result is None:
        return f"{run.info['model']}: no validation result yet"
    kappa = result.numbers["kappa"]
    return f"{run.info['model']} reaches kappa {number(kappa)}" if math.isfinite(kappa) else f"{run.info['model']}"


def _lead(run: Run) -> str:
    info = run.info
    trained, kept = info.get("n_train"), info.get("n_val")
    words = f"A {info['model']} that grades photographs, "
    words += f"trained on {trained:,} of them and checked on {kept:,} others" if trained and kept else "in training"
    if info.get("seconds"):
        words += f", in {duration(float(info['seconds']))}"
    return words + "."


def _missing(run: Run, result: Result | None) -> list[str]:
    notes = []
    if not run.complete:
        notes.append(
            "This training has not ended. What is below is how far it has come; give its command again to go on."
        )
    if result is None or not result.labels.size:
        notes.append("There are no validation predictions in this run, so there is no result to show.")
    elif not result.finite:
        bad = int((~np.isfinite(result.raw)).sum())
        notes.append(
            f"The model gives {bad:,} of {len(result.raw):,} photographs no number (NaN or infinity): it diverged. "
            "Train again with a lower learning rate, or in 32-bit precision."
        )
    elif not (run.path / "worst.npz").is_file():
        notes.append("The pictures of the largest errors (worst.npz) are not in this run.")
    return notes
