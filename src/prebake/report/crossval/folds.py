"""How the folds went: a table of all, and their curves over the epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.report import figures
from prebake.report.drawing import nice_ticks
from prebake.report.words import NOTHING, best_epoch, duration, number, short

if TYPE_CHECKING:
    import pandas as pd

    from prebake.report.crossval.result import OutOfFold
    from prebake.runs import CrossValidation, Run

__all__ = ["counts", "curves", "fold_name", "scores"]

COLOURS = 6  # folds that have a colour and a name of their own; more are drawn alike
CHARTS = (
    ("val_loss", "Validation loss", "Lower is better; thin grey lines are the training loss of each fold."),
    ("val_kappa", "Validation kappa", "Higher is better; 1 is perfect."),
)


def fold_name(cv: CrossValidation, repeat: int, fold: int) -> str:
    """Return what a fold is called: its number, after that of its repeat where there are several."""
    return f"{repeat}/{fold}" if cv.repeats > 1 else str(fold)


def scores(found: OutOfFold) -> dict[str, Any]:
    """Return a line for each fold, those that say nothing too, and how far they lie apart."""
    cv, summary = found.cv, found.summary
    there = {(score.repeat, score.fold): score for score in summary.folds}
    rows = []
    for repeat, fold, path in cv.places():
        name, score = fold_name(cv, repeat, fold), there.get((repeat, fold))
        if score is None:
            rows.append([name, found.without[path], *[NOTHING] * 3])
            continue
        kappa = number(score.kappa) if math.isfinite(score.kappa) else "undefined"
        rows.append([name, f"{score.photographs:,}", str(score.best_epoch), kappa, number(score.mae)])
    kappas = [score.kappa for score in summary.folds if math.isfinite(score.kappa)]
    notes = ["MAE: mean absolute error of raw values, in grades."]
    if len(kappas) > 1:
        notes.append(
            f"Kappa of the folds: {number(min(kappas))} to {number(max(kappas))}, "
            f"mean {number(float(np.mean(kappas)))}, standard deviation {number(float(np.std(kappas, ddof=1)))}."
        )
    if cv.repeats > 1:
        each = ", ".join(number(kappa) for kappa in summary.repeats)
        notes.append(
            f"Each repeat by itself: kappa {each}; the mean of a photograph's values: {number(summary.kappa)}."
        )
    return {"rows": rows, "notes": notes, "summary": _summary(cv)}


def _summary(cv: CrossValidation) -> str:
    runs = cv.begun()
    seconds = sum(float(run.info.get("seconds") or 0) for run in runs.values())
    epochs = cv.config.epochs
    words = f"{len(cv.folds) * cv.repeats} models, up to {epochs} epoch{'s' * (epochs != 1)} each"
    waits = [share for run in runs.values() if run.complete and (share := run.waiting()) is not None]
    if seconds:
        words += f", {duration(seconds)} of training in all"
    if waits:
        words += f", {max(waits):.1%} of it at most waiting for data"
    return f"{words}. Dots mark the epoch of each fold whose weights were kept."


def curves(cv: CrossValidation) -> dict[str, Any]:
    """Return loss and kappa of every fold over the epochs, and the table of all epochs."""
    table = cv.curves()
    if table.empty:
        return {"charts": [], "columns": [], "rows": []}
    epochs = sorted({int(epoch) for epoch in table["epoch"]})
    runs = cv.begun()
    charts = []
    for column, name, note in CHARTS:
        if column not in table.columns or not np.isfinite(table[column]).any():
            continue
        lines = [_line(cv, key, run, table, epochs, column) for key, run in runs.items()]
        ticks = None
        if column == "val_loss":
            behind = [_line(cv, key, run, table, epochs, "train_loss") for key, run in runs.items()]
            lines = [*(figures.Line("", "train faint", line.values) for line in behind), *lines]
        else:
            ticks = nice_ticks(min(0.0, float(np.nanmin(table[column]))), 1.0)
        title = f"{name} of {len(runs)} folds over {len(epochs)} epochs"
        chart = figures.curves(epochs, lines, title=title, best=None, ticks=ticks)
        charts.append({"name": name, "svg": chart, "note": note})
    names = [column for column in table.columns if column not in ("repeat", "fold", "epoch")]
    rows = [
        [fold_name(cv, int(row["repeat"]), int(row["fold"])), str(int(row["epoch"])), *(short(row[n]) for n in names)]
        for _, row in table.iterrows()
    ]
    return {"charts": charts, "columns": ["fold", "epoch", *(each.replace("_", " ") for each in names)], "rows": rows}


def _line(
    cv: CrossValidation, key: tuple[int, int], run: Run, table: pd.DataFrame, epochs: list[int], column: str
) -> figures.Line:
    repeat, fold = key
    own = table[(table["repeat"] == repeat) & (table["fold"] == fold)].set_index("epoch")[column]
    values = own.reindex(epochs).to_numpy(dtype=np.float64)
    few = len(cv.folds) * cv.repeats <= COLOURS
    place, best = cv.folds.index(fold) + (repeat - 1) * len(cv.folds), best_epoch(run)
    name = f"fold {fold_name(cv, repeat, fold)}" if few else ""
    return figures.Line(name, f"f{place}" if few else "many", values, epochs.index(best) if best in epochs else None)


def counts(found: OutOfFold) -> dict[str, Any]:
    """Return how many photographs of each label the folds that are complete hold, a line for each fold."""
    table = found.table.assign(repeat=found.repeats)
    if table.empty:
        return {"names": [], "rows": []}
    cross = table.groupby(["repeat", "fold", "label"]).size().unstack(fill_value=0)
    rows = [
        {"name": fold_name(found.cv, *key), "counts": [f"{count:,}" for count in [*line, sum(line)]]}
        for key, line in zip(cross.index.tolist(), cross.to_numpy().tolist(), strict=True)
    ]
    if found.cv.repeats == 1:
        totals = cross.sum().tolist()
        rows.append({"name": "all", "counts": [f"{count:,}" for count in [*totals, sum(totals)]]})
    return {"names": [*(f"{label:g}" for label in cross.columns), "all"], "rows": rows}
