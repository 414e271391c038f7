"""The commands that make a run again and use it: lists of words, quoted as a shell takes them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prebake.runs import Run

__all__ = ["again", "predict", "report"]


def again(run: Run) -> list[str]:
    """Return the command that trains the same once more, from nothing, into a folder beside the run."""
    words = ["prebake", "train", *(str(pack["path"]) for pack in run.info["packs"])]
    words += ["-o", f"{run.path}-again", *run.config.options()]
    return [shlex.quote(word) for word in words]


def predict(run: Run) -> list[str]:
    """Return the command that grades other photographs with the run."""
    return ["prebake", "predict", shlex.quote(str(run.path)), "PHOTOGRAPHS", "-o", "predictions.csv"]


def report(run: Run) -> list[str]:
    """Return the command that writes the report."""
    return ["prebake", "report", shlex.quote(str(run.path))]
