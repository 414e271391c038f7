"""The commands that make a run again and use it: lists of words, quoted as a shell takes them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prebake.runs import Run

__all__ = ["again", "predict", "report"]


def again(run: Run) -> list[str]:
    """Return the command that trains the same once more, from nothing, into a folder beside the run."""
    words = ["prebake", "train", *(str(pack["path"]) for pack in run.info["packs"])]
    words += ["-o", f"{run.path}-again", "--preset", run.config.base, *_options(run.config.changes())]
    return [shlex.quote(word) for word in words]


def predict(run: Run) -> list[str]:
    """Return the command that grades other photographs with the run."""
    return ["prebake", "predict", shlex.quote(str(run.path)), "PHOTOGRAPHS", "-o", "predictions.csv"]


def report(run: Run) -> list[str]:
    """Return the command that writes the report."""
    return ["prebake", "report", shlex.quote(str(run.path))]


def _options(changes: Mapping[str, object]) -> list[str]:
    words = []
    for name, value in changes.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"{option}={str(value).lower()}")
        elif isinstance(value, list | tuple):
            words += [option, *(str(entry) for entry in value)]
        elif value is not None:
            words += [option, str(value)]
    return words
