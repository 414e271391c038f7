"""The result half of the page: kappa with its interval, grade by grade, and the largest errors as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prebake.metrics import grade
from prebake.report import figures
from prebake.report.pictures import data_uri
from prebake.report.words import NOTHING, best_epoch, if_there, number, percent

if TYPE_CHECKING:
    from markupsafe import Markup

    from prebake.report.result import Matrix, Result
    from prebake.runs import Run

__all__ = [
    "confusion_table",
    "dots",
    "dots_note",
    "grades_summary",
    "headline_numbers",
    "kappa_facts",
    "photos",
    "tile",
]

JPEG_QUALITY = 88
DR_SCALE = (
    "For diabetic retinopathy on the international clinical scale the grades read: 0 none, 1 mild, 2 moderate, "
    "3 severe, 4 proliferative. The run itself does not say what its labels mean."
)
ONLY = "The interval covers only the choice of validation photographs."


def headline_numbers(run: Run, result: Result) -> dict[str, Any]:
    """Return kappa with its interval, the tiles beside it, what it means and how far to trust it."""
    numbers = result.numbers
    hits = int((result.misses == 0).sum())
    near = int((result.misses <= 1).sum())
    count = int(numbers["n"])
    return {
        "n": f"{count:,}",
        **kappa_facts(numbers["kappa"], numbers["low"], numbers["high"], result.reasons.get("kappa", "")),
        "tiles": [
            tile("Graded as labelled", percent(hits / count), f"{hits:,} of {count:,} (accuracy)"),
            tile("At most one grade off", percent(near / count), f"{near:,} of {count:,}"),
            tile("Mean absolute error", number(numbers["mae"]), "grades, of the raw value"),
            tile("Best epoch", best_epoch(run) or NOTHING, f"of {run.config.epochs}"),
        ],
        "notes": _trust(run, result),
    }


def kappa_facts(kappa: float, low: float, high: float, reason: str, marks: Sequence[float] = ()) -> dict[str, Any]:
    """Return kappa with its interval in words and on a scale, and what kappa means.

    Parameters
    ----------
    kappa, low, high
        NaN where undefined; ``reason`` then says why.
    marks
        Kappas of parts, drawn beside it as dots.
    """
    if not math.isfinite(kappa):
        interval = f"Undefined: {reason}."
    elif math.isfinite(low):
        interval = f"95\N{NO-BREAK SPACE}% interval {number(low)} to {number(high)}"
    else:
        interval = "Too few photographs for an interval."
    scale = ""
    if math.isfinite(kappa):
        title = f"Kappa {number(kappa)}. {interval}"
        scale = figures.interval_scale(kappa, low, high, title=title, marks=marks)
    return {
        "kappa": number(kappa),
        "interval": interval,
        "scale": scale,
        "meaning": (
            "Kappa says how far the grades agree with the labels beyond what chance would give: 1 is perfect, 0 is "
            "chance, and a miss by two grades weighs four times a miss by one."
        ),
    }


def tile(name: str, value: object, note: str) -> dict[str, str]:
    """Return one of the large numbers beside kappa."""
    return {"name": name, "value": str(value), "note": note}


def _trust(run: Run, result: Result) -> list[str]:
    count = len(result.labels)
    by = "highest validation kappa" if run.config.monitor == "val_kappa" else "lowest validation loss"
    notes = [
        f"The best epoch was chosen on these same photographs ({by}), which flatters the numbers a little.",
        f"One training on one split: another split or another seed gives other numbers. {ONLY}",
    ]
    if any(result.groups):
        groups = len({name for name in result.groups if name}) + result.groups.count("")
        notes.append(
            f"Groups (patients) were kept on one side of the split; the interval draws {groups:,} groups whole."
        )
    else:
        notes.append(
            "The photographs name no patients, so two eyes of one patient may lie on both sides of the split, which "
            "flatters the numbers; the interval draws photographs one by one."
        )
    if count < 200:
        notes.append(f"{count:,} photographs are few: expect the kappa of other photographs anywhere in the interval.")
    return notes


def grades_summary(result: Result) -> str:
    """Say how many photographs are badly off."""
    if result.matrix is None:
        return ""
    far = int((result.misses >= 2).sum())
    if not far:
        return "No photograph is two or more grades off."
    return f"{far:,} of {len(result.labels):,} photographs {'is' if far == 1 else 'are'} two or more grades off."


def confusion_table(matrix: Matrix, result: Result) -> dict[str, Any]:
    """Return the rows and cells of the confusion matrix as the template draws them, and what must be said of it."""
    rows = []
    for label, (counts, shares) in enumerate(zip(matrix.counts, matrix.shares, strict=True)):
        cells = [
            _cell(int(count), float(share), hit=label == column)
            for column, (count, share) in enumerate(zip(counts, shares, strict=True))
        ]
        rows.append({"name": str(label), "cells": cells, "total": f"{counts.sum():,}"})
    notes = []
    if matrix.absent:
        absent = ", ".join(map(str, matrix.absent))
        notes.append(f"No {result.what} has label {absent}: nothing is known here about grading those.")
    if len(matrix.counts) == 5 and len(result.thresholds) == 4:
        notes.append(DR_SCALE)
    return {"names": [str(label) for label in range(len(matrix.counts))], "rows": rows, "notes": notes}


def _cell(count: int, share: float, *, hit: bool) -> dict[str, str]:
    styles = ["hit"] if hit else []
    if not count:
        styles.append("zero")
    heat = 0.1 + 0.9 * share if count else 0.0
    return {
        "count": f"{count:,}",
        "share": percent(share) if count else "",
        "heat": f"{heat:.2f}",
        "style": " ".join(styles),
    }


def dots(result: Result) -> Markup:
    """Draw raw values against labels."""
    title = f"Every {result.what}: raw value against label. {grades_summary(result)}"
    return figures.strip(result.labels, result.raw, result.thresholds, title=title)


def dots_note(result: Result) -> str:
    """Explain that drawing."""
    cuts = ", ".join(f"{cut:g}" for cut in result.thresholds)
    return f"Upwards the raw value the model gives, cut into grades at the dotted lines ({cuts})."


def photos(run: Run) -> list[dict[str, str]]:
    """Return the largest errors, the worst first, each picture as a data URI."""
    worst = if_there(run, "worst.npz", run.worst)
    if worst is None:
        return []
    photos = []
    grades = grade(worst.raw, run.info["thresholds"])
    for image, identity, label, raw, predicted in zip(
        worst.images, worst.ids, worst.labels, worst.raw, grades, strict=True
    ):
        off = float(raw - label)
        photos.append(
            {
                "id": identity,
                "image": data_uri(image, JPEG_QUALITY),
                "side": str(image.shape[1]),
                "label": f"{label:g}",
                "grade": str(predicted),
                "raw": number(float(raw)),
                "off": f"{number(abs(off))} too {'high' if off > 0 else 'low'}",
                "alt": f"Photograph {identity}: label {label:g}, graded {predicted}",
            }
        )
    return photos
