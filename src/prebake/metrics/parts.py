"""Numbers as functions of how often each group counts: the form in which the bootstrap takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prebake.metrics.agreement import confusion, kappa_of_confusion

if TYPE_CHECKING:
    from prebake.metrics.checks import Floats, Ints
    from prebake.metrics.judged import Judged

__all__ = ["Part", "error_part", "grade_part", "grouped", "joined", "share", "undefined_part"]


@dataclass(frozen=True)
class Part:
    """Some numbers of one set of predictions.

    Parameters
    ----------
    score
        (D, G) weights of groups -> name -> (D,) values, NaN where undefined. With every weight 1 it gives the numbers
        of the predictions as they are.
    counts
        name -> the number of photographs that the number is about.
    reasons
        name -> why the number is undefined on the predictions as they are; only names of which that is so.
    width
        Numbers a draw that ``score`` holds at once.
    """

    score: Callable[[Floats], dict[str, Floats]]
    counts: dict[str, int]
    reasons: dict[str, str]
    width: int = 0


def grouped(judged: Judged, contents: Floats) -> Floats:
    """Add up (N, M) contents of photographs to (G, M) contents of their groups."""
    order = np.argsort(judged.members, kind="stable")
    starts = np.searchsorted(judged.members[order], np.arange(judged.group_count))
    return np.asarray(np.add.reduceat(contents[order], starts, axis=0), dtype=np.float64)


def share(counts: Floats, totals: Floats) -> Floats:
    """Divide; NaN where the total is 0."""
    return np.asarray(
        np.divide(counts, totals, out=np.full(np.shape(counts), np.nan), where=totals > 0), dtype=np.float64
    )


def joined(parts: Sequence[Part]) -> Part:
    """Put numbers together, to be computed from the same draws."""

    def score(weights: Floats) -> dict[str, Floats]:
        return {name: values for part in parts for name, values in part.score(weights).items()}

    return Part(
        score,
        {name: count for part in parts for name, count in part.counts.items()},
        {name: reason for part in parts for name, reason in part.reasons.items()},
        max(part.width for part in parts),
    )


def undefined_part(names: Sequence[str], count: int, reason: str) -> Part:
    """Numbers that are all undefined, for the same reason."""

    def score(weights: Floats) -> dict[str, Floats]:
        return dict.fromkeys(names, np.full(len(weights), np.nan))

    return Part(score, dict.fromkeys(names, count), dict.fromkeys(names, reason))


def error_part(judged: Judged) -> Part:
    """Mean absolute and mean squared error of the raw values."""
    miss = judged.raw - judged.labels
    contents = grouped(judged, np.stack([np.ones(len(judged)), np.abs(miss), miss**2], axis=1))

    def score(weights: Floats) -> dict[str, Floats]:
        n, absolute, squared = (weights @ contents).T
        return {"mae": share(absolute, n), "mse": share(squared, n)}

    return Part(score, dict.fromkeys(("mae", "mse"), len(judged)), {})


def grade_part(judged: Judged, grades: Ints, classes: int) -> Part:
    """Kappa, accuracy, and the recall and precision of every grade."""
    labels = judged.labels.astype(np.int64)
    cells = np.zeros((len(judged), classes * classes))
    cells[np.arange(len(judged)), labels * classes + grades] = 1
    contents = grouped(judged, cells)

    def score(weights: Floats) -> dict[str, Floats]:
        matrix = (weights @ contents).reshape(-1, classes, classes)
        right = np.diagonal(matrix, axis1=1, axis2=2)
        found = {"kappa": kappa_of_confusion(matrix), "accuracy": share(right.sum(axis=1), matrix.sum(axis=(1, 2)))}
        recall, precision = share(right, matrix.sum(axis=2)), share(right, matrix.sum(axis=1))
        found |= {f"recall_{grade}": recall[:, grade] for grade in range(classes)}
        return found | {f"precision_{grade}": precision[:, grade] for grade in range(classes)}

    matrix = confusion(labels, grades, classes)
    counts = {"kappa": len(judged), "accuracy": len(judged)}
    counts |= {f"recall_{grade}": int(matrix[grade].sum()) for grade in range(classes)}
    counts |= {f"precision_{grade}": int(matrix[:, grade].sum()) for grade in range(classes)}
    reasons = {f"recall_{grade}": f"no photograph has label {grade}" for grade in range(classes)}
    reasons |= {f"precision_{grade}": f"no photograph is given grade {grade}" for grade in range(classes)}
    reasons["kappa"] = f"every label and every prediction is grade {labels[0]}"
    absent = {name for name, count in counts.items() if not count}
    if (labels == labels[0]).all() and (grades == labels[0]).all():
        absent.add("kappa")
    return Part(score, counts, {name: reasons[name] for name in reasons if name in absent}, classes * classes)
