"""The commands that make a run or a cross-validation again and use it: lists of words, quoted as a shell takes them."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.runs import FOLDS, RECIPE
from prebake.store import member_of, pattern_of

if TYPE_CHECKING:
    from prebake.runs import CrossValidation, Run

__all__ = ["again", "audit", "cross_validate", "pack", "predict", "report", "thresholds"]


def again(run: Run) -> list[str]:
    """Return the command that trains the same once more, from nothing, into a folder beside the run."""
    words = ["prebake", "train", *_packs(run)]
    words += ["-o", f"{run.path}-again", *run.config.options()]
    return [shlex.quote(word) for word in words]


def cross_validate(cv: CrossValidation) -> list[str]:
    """Return the command that cross-validates the same once more, from nothing, into a folder beside it.

    Folds that were not made by the command itself are those that the folder keeps.
    """
    folds = str(len(cv.folds)) if cv.info.get("made") else str(cv.path / FOLDS)
    words = ["prebake", "cv", *_packs(cv)]
    words += ["-o", f"{cv.path}-again", "--folds", folds]
    words += ["--repeats", str(cv.repeats)] if cv.repeats > 1 else []
    return [shlex.quote(word) for word in [*words, *cv.config.options()]]


def pack(cv: CrossValidation) -> list[str]:
    """Return the command that bakes the photographs again, by the very recipe that the folder keeps."""
    paths = [Path(path) for path in _paths(cv)]
    targets = {member.target if (member := member_of(path)) else path for path in paths}
    target = str(targets.pop()) if len(targets) == 1 else "PACK.h5"
    size = ["--max-pack-size", "SIZE"] if len(paths) > 1 and target != "PACK.h5" else []
    words = ["prebake", "pack", "PHOTOGRAPHS", "-o", shlex.quote(_no_option(target))]
    return [*words, "--recipe", shlex.quote(str(cv.path / RECIPE)), *size]


def thresholds(cv: CrossValidation) -> list[str]:
    """Return the command that fits thresholds."""
    return ["prebake", "thresholds", shlex.quote(str(cv.path))]


def audit(cv: CrossValidation) -> list[str]:
    """Return the command that audits the packs, with a page of its own."""
    return ["prebake", "audit", *map(shlex.quote, _packs(cv)), "-o", "audit.html"]


def _packs(folder: Run | CrossValidation) -> list[str]:
    """Return the paths of the packs, a pattern for all files of a set; none of them is an option to a command."""
    paths = [Path(path) for path in _paths(folder)]
    members = {path: member for path in paths if (member := member_of(path))}
    files = Counter(member.target for member in members.values())
    whole = {path: member.target for path, member in members.items() if files[member.target] == member.count}
    words = [pattern_of(whole[path]) if path in whole else path for path in paths]
    return [_no_option(str(word)) for word in dict.fromkeys(words)]


def _paths(folder: Run | CrossValidation) -> list[str]:
    return [str(pack.get("path", "PACK.h5")) for pack in folder.info["packs"]]


def _no_option(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def predict(run: Run | CrossValidation) -> list[str]:
    """Return the command that grades other photographs with the run."""
    return ["prebake", "predict", shlex.quote(str(run.path)), "PHOTOGRAPHS", "-o", "predictions.csv"]


def report(run: Run | CrossValidation) -> list[str]:
    """Return the command that writes the report."""
    return ["prebake", "report", shlex.quote(str(run.path))]
