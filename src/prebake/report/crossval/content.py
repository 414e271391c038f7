"""What is on the page of a cross-validation: every value the template shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.errors import RunError
from prebake.metrics import DEFAULT_THRESHOLDS
from prebake.report import background, commands
from prebake.report import findings as shared
from prebake.report.crossval import findings, folds
from prebake.report.crossval.audited import audited
from prebake.report.crossval.gallery import gallery
from prebake.report.crossval.packs import Found, Sources
from prebake.report.crossval.result import OutOfFold
from prebake.report.words import number
from prebake.runs import THRESHOLDS
from prebake.version import __version__

if TYPE_CHECKING:
    import os

    from prebake.runs import CrossValidation

__all__ = ["content"]


def content(
    cv: CrossValidation, sources: Sequence[str | os.PathLike[str]] | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Return everything that ``crossval.html`` shows.

    Parameters
    ----------
    cv
        Complete or not.
    sources
        Where the photographs are; without it they are looked for beside the packs.
    device
        Where Grad-CAM is computed.

    Raises
    ------
    RunError
        No fold has begun.
    """
    if not cv.begun():
        raise RunError(
            f"there is nothing to report of {cv.path}: no fold has begun",
            do="give its prebake cv command again",
        )
    found, packs = OutOfFold.of(cv), Found.of(cv)
    return {
        "version": __version__,
        "name": cv.name,
        "headline": _headline(found),
        "lead": _lead(found),
        "missing": _missing(found),
        **(_judged(found, packs, Sources.of(sources), device) if len(found.judged) else dict.fromkeys(PARTS)),
        "folds": folds.scores(found) if len(found.judged) else None,
        "training": folds.curves(cv),
        "audit": audited(packs),
        "data": {
            "labels": folds.counts(found),
            "packs": background.packs(cv),
            "recipe": background.recipe_of(cv),
        },
        "settings": background.settings(cv, _commands(cv)),
        "fitted": _fitted(cv),
    }


PARTS = ("result", "grades", "screening", "calibration", "referral", "photos")


def _judged(found: OutOfFold, packs: Found, sources: Sources, device: str) -> dict[str, Any]:
    """Return the parts that speak of predictions."""
    result, matrix = found.result, found.result.matrix
    return {
        "result": {
            **findings.headline(found),
            "sentences": findings.in_short(found),
            "notes": findings.trust(found),
        },
        "grades": {
            "summary": shared.grades_summary(result),
            "matrix": shared.confusion_table(matrix, result),
            "dots": shared.dots(result),
            "dots_note": shared.dots_note(result),
            "recalls": findings.recalls(found),
        }
        if matrix
        else None,
        "screening": findings.screening(found),
        "calibration": findings.calibration(found),
        "referral": findings.referral(found),
        "photos": gallery(found, packs, sources, device),
    }


def _headline(found: OutOfFold) -> str:
    model = found.cv.config.model
    if not len(found.judged):
        return f"{model}: no fold is complete yet"
    kappa = found.summary.kappa
    if not math.isfinite(kappa):
        return f"{model}, cross-validated"
    return f"{model} reaches kappa {number(kappa)} on photographs it has not seen"


def _lead(found: OutOfFold) -> str:
    cv = found.cv
    words = (
        f"The photographs were dealt into {len(cv.folds)} parts. {len(cv.folds)} models were trained, each on all "
        "parts but one, and each graded the part that it had not seen"
    )
    if cv.repeats > 1:
        words += f"; all of that {cv.repeats} times, with other parts each time"
    return f"{words}. What is below is about these grades."


def _missing(found: OutOfFold) -> list[str]:
    cv, notes = found.cv, []
    if found.without:
        names = ", ".join(f"{path.relative_to(cv.path).as_posix()} ({why})" for path, why in found.without.items())
        count, total = len(found.without), len(cv.folds) * cv.repeats
        notes.append(
            f"{count} of {total} folds {'is' if count == 1 else 'are'} missing here: {names}. "
            "What is below is about the photographs of the others; give the prebake cv command again to go on."
        )
    elif not found.whole:
        notes.append(
            "All folds are trained, but the cross-validation was not closed: give the prebake cv command again."
        )
    return notes


def _commands(cv: CrossValidation) -> list[tuple[str, list[str]]]:
    packed = [("Bake the photographs again", commands.pack(cv))] if cv.recipe is not None else []
    return [
        *packed,
        ("Cross-validate the same again, into another folder", commands.cross_validate(cv)),
        ("Fit thresholds, and see whether they help", commands.thresholds(cv)),
        ("Audit the packs, with pictures", commands.audit(cv)),
        ("Grade other photographs, by the mean of all models", commands.predict(cv)),
        ("Write this report again", commands.report(cv)),
    ]


def _fitted(cv: CrossValidation) -> dict[str, Any] | None:
    """Return fitted thresholds beside the default ones, and whether they help; ``None`` where none were fitted."""
    if not (cv.path / THRESHOLDS).exists():
        return None
    fitted = cv.fitted()
    names = [f"{step}|{step + 1}" for step in range(len(fitted.thresholds))]
    default = DEFAULT_THRESHOLDS
    rows = [("default", default), ("fitted", fitted.thresholds)]
    sentence = fitted.sentence[:1].upper() + fitted.sentence[1:]
    return {
        "names": names,
        "rows": [(name, [number(cut, 3) for cut in np.asarray(cuts).tolist()]) for name, cuts in rows],
        "sentence": sentence,
    }
