"""The other half of the page: how the model was trained, on what, with which settings, and the commands."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from prebake.config import TrainConfig
from prebake.report import figures
from prebake.report.drawing import nice_ticks
from prebake.report.result import counts_by_label
from prebake.report.words import NOTHING, best_epoch, duration, if_there, short

if TYPE_CHECKING:
    import pandas as pd

    from prebake.runs import CrossValidation, Run

__all__ = ["data", "packs", "recipe_of", "settings", "training"]

RECIPES = {
    "kernel": "the published 2019 preprocessing: dark borders cut off, local average subtracted",
    "graham": "the 2015 winner's preprocessing: scaled to one radius, local average subtracted, rim masked",
    "ben": "field of view fitted, shape kept, local average subtracted without a halo at the rim",
    "crop": "field of view fitted, shape kept, colours as photographed",
    "resize": "resized, nothing else",
}


def training(run: Run, history: pd.DataFrame | None) -> dict[str, Any]:
    """Return the curves, the numbers behind them, and a sentence."""
    if history is None or history.empty:
        return {"summary": "No epoch has ended yet.", "charts": [], "columns": [], "rows": []}
    epochs = [int(epoch) for epoch in history["epoch"]]
    best = best_epoch(run)
    columns = {name: history[name].to_numpy(dtype=np.float64) for name in history.columns if name != "epoch"}
    losses = [
        figures.Line("training", "train", columns["train_loss"]),
        figures.Line("validation", "val", columns["val_loss"]),
    ]
    charts = [
        {
            "name": "Loss",
            "svg": figures.curves(epochs, losses, title=f"Loss over {len(epochs)} epochs", best=best),
            "note": f"Lower is better ({run.config.loss}). Validation rising while training falls means overfitting.",
        }
    ]
    kappa = columns.get("val_kappa")
    if kappa is not None and np.isfinite(kappa).any():
        ticks = nice_ticks(min(0.0, float(np.nanmin(kappa))), 1.0)
        line = figures.Line("validation", "val", kappa)
        chart = figures.curves(epochs, [line], title=f"Kappa over {len(epochs)} epochs", best=best, ticks=ticks)
        note = "Higher is better; 1 is perfect." + _gaps(kappa)
        charts.append({"name": "Quadratic weighted kappa", "svg": chart, "note": note})
    rows = [[str(epoch), *(short(values[row]) for values in columns.values())] for row, epoch in enumerate(epochs)]
    return {
        "summary": _training_summary(run, epochs),
        "charts": charts,
        "columns": ["epoch", *(name.replace("_", " ") for name in columns)],
        "rows": rows,
    }


def _gaps(kappa: npt.NDArray[np.float64]) -> str:
    gaps = int((~np.isfinite(kappa)).sum())
    return f" Undefined in {gaps} of the epochs (gaps): every prediction was one and the same grade." if gaps else ""


def _training_summary(run: Run, epochs: Sequence[int]) -> str:
    words = f"{len(epochs)} of {run.config.epochs} epoch{'s' * (run.config.epochs != 1)}"
    if run.info.get("seconds"):
        words += f" in {duration(float(run.info['seconds']))}"
    if (share := run.waiting()) is not None:
        words += f", {share:.1%} of it waiting for data"
    if run.info.get("precision"):
        words += f", precision {run.info['precision']}"
    best = best_epoch(run)
    return f"{words}. The weights of epoch {best} are the ones kept as best." if best is not None else f"{words}."


def data(run: Run) -> dict[str, Any]:
    """Return the packs, how many photographs of each label are where, and the recipe."""
    split = if_there(run, "split.csv", run.split)
    labels = counts_by_label(split) if split is not None else []
    size = run.info["input"]["size"]
    summary = f"Baked once to {size} \N{MULTIPLICATION SIGN} {size} pixels, then split by label."
    if left := run.info.get("n_unlabelled"):
        summary += f" {left:,} photographs" if left > 1 else " 1 photograph"
        summary += f" without a label take{'s' * (left == 1)} no part."
    if run.info.get("n_test"):
        summary += f" {run.info['n_test']:,} photographs of the published test set were kept out."
    return {
        "summary": summary,
        "labels": labels,
        "packs": packs(run),
        "recipe": recipe_of(run),
    }


def packs(folder: Run | CrossValidation) -> list[dict[str, str]]:
    """Return name, rows and digest of each pack."""
    return [
        {"name": p.get("name", ""), "rows": f"{p.get('rows', 0):,}", "digest": str(p.get("digest", ""))[:12]}
        for p in folder.info["packs"]
    ]


def recipe_of(folder: Run | CrossValidation) -> dict[str, Any] | None:
    """Return the steps of the recipe in words, and all of it as JSON; ``None`` where it is not known."""
    recipe = folder.recipe
    if recipe is None:
        return None
    plain = recipe.to_dict()
    steps = []
    for step in plain["steps"]:
        values = ", ".join(f"{key} {_value(value)}" for key, value in step.items() if key not in ("step", "version"))
        steps.append({"name": str(step["step"]).replace("_", " "), "says": values})
    return {
        "name": recipe.name,
        "words": RECIPES.get(recipe.name, "a recipe of your own"),
        "steps": steps,
        "digest": recipe.digest[:12],
        "json": json.dumps(plain, indent=2, ensure_ascii=False),
    }


def settings(folder: Run | CrossValidation, given: Sequence[tuple[str, list[str]]]) -> dict[str, Any]:
    """Return commands (``given``, each with its title), the configuration and the versions."""
    config = folder.config
    changes = config.changes()
    helps = {field.name: field.metadata.get("help", "") for field in dataclasses.fields(TrainConfig)}
    rows = [{"name": name, "value": _value(value), "help": helps[name]} for name, value in config.to_dict().items()]
    count = len(changes)
    return {
        "summary": f"Preset {config.base}"
        + (f", with {count} change{'s' * (count != 1)}." if count else ", unchanged."),
        "commands": [{"title": title, "words": words} for title, words in given],
        "changes": [row for row in rows if row["name"] in changes],
        "all": rows,
        "versions": [
            *((name, str(folder.info[name])) for name in ("created", "finished", "device") if name in folder.info),
            *((name, str(value)) for name, value in folder.info["versions"].items()),
        ],
    }


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(f"{entry:g}" for entry in value)
    if isinstance(value, float):
        return f"{value:g}"
    return NOTHING if value is None else str(value)
