"""One side of a comparison: predictions with labels, from wherever they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from prebake.errors import OptionError
from prebake.metrics import Judged
from prebake.runs import CrossValidation, Run, open_run
from prebake.spreadsheets import as_written

if TYPE_CHECKING:
    import os

__all__ = ["Side", "open_side"]

_TEXT = ("id_code", "pack", "group")
_NUMBERS = ("label", "raw", "fold")


@dataclass(frozen=True)
class Side:
    """Predictions with labels, and what speaks against judging by them.

    Parameters
    ----------
    name
        What to call it.
    judged
        The predictions.
    warning
        Why they may look better than they are; empty where nothing is known to be wrong.
    """

    name: str
    judged: Judged
    warning: str = ""


def open_side(source: str | os.PathLike[str] | Run | CrossValidation, name: str = "") -> Side:
    """Read a run (its validation photographs), a cross-validation (out of fold), or a CSV of predictions with labels.

    Parameters
    ----------
    source
        The folder or the file; a CSV needs ``id_code``, ``label`` and ``raw``, and may have ``group``, ``fold``,
        ``pack``.
    name
        What to call it; its path without one.

    Raises
    ------
    RunError
        The folder is no complete run or cross-validation.
    OptionError
        The CSV is no table of predictions with labels.
    """
    if not isinstance(source, Run | CrossValidation) and Path(source).is_file():
        warning = f"{name or source} does not tell what its model learned from: that must not be these photographs"
        return Side(name or str(source), _read(Path(source)), warning)
    opened = open_run(source)
    name = name or str(opened.path)
    learned = _learned_from(opened)
    warning = f"the model of {name} learned from {learned:,} of the photographs that it is judged on" if learned else ""
    return Side(name, opened.judged(), warning)


def _read(path: Path) -> Judged:
    empty = {name: [""] for name in _NUMBERS}
    try:
        # Text is text whatever it looks like ("NA", "0709652336e2"); only an empty number is missing.
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=empty)
        for name in {*_TEXT} & {*table.columns}:
            table[name] = table[name].map(as_written)
        return Judged.from_frame(table)
    except (OSError, ValueError, OptionError) as error:
        raise OptionError(
            f"{path} cannot be compared: {error}",
            do="name a run, a cross-validation, or what prebake predict wrote of photographs with labels",
        ) from error


def _learned_from(opened: Run | CrossValidation) -> int:
    """Return how many photographs were learned from by the very model that they judge."""
    if isinstance(opened, CrossValidation):
        return sum(map(_learned_from, opened.members))
    split, said = opened.split(), opened.validation()
    learned = set(_keys(split[split["part"] == "train"]))
    return sum(key in learned for key in _keys(said))


def _keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["pack"], table["id_code"], strict=True))
