"""The largest errors out of fold: which they are, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import PrebakeError
from prebake.metrics import grade

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from prebake.records import Sample
    from prebake.report.crossval.packs import Found, Sources
    from prebake.report.crossval.result import OutOfFold
    from prebake.runs import Run, Worst

__all__ = ["COUNT", "Photo", "largest_errors", "with_pictures"]

COUNT = 12


@dataclass(frozen=True, eq=False)
class Photo:
    """One photograph, what was said of it, and by whom.

    Parameters
    ----------
    id, pack
        Its name, and that of the pack it is in.
    label, raw, grade
        The truth; what the models that had not seen it say on average, and the grade that makes.
    folds
        Repeat and fold of each of these models.
    image
        (S, S, 3) uint8 RGB as baked; ``None`` where neither pack nor run holds it.
    to_source
        As in :class:`prebake.explanation.Subject`.
    sample, digest
        The photograph itself, ``None`` where it was not found, and its digest when it was baked.
    """

    id: str
    pack: str
    label: float
    raw: float
    grade: int
    folds: tuple[tuple[int, int], ...]
    image: npt.NDArray[np.uint8] | None = None
    to_source: npt.NDArray[np.float64] = field(default_factory=lambda: np.full((2, 3), np.nan))
    sample: Sample | None = None
    digest: str = ""


def largest_errors(found: OutOfFold, count: int = COUNT) -> list[Photo]:
    """Return the photographs whose raw value is farthest from the label, the worst first, without pictures."""
    judged = found.judged
    rows = found.table.assign(repeat=found.repeats)
    rows = rows[rows["label"].notna()]
    names = rows.drop_duplicates(["pack", "id_code"])[["pack", "id_code"]].itertuples(index=False)
    keys = [(str(name.pack), str(name.id_code)) for name in names]
    order = np.argsort(-np.abs(judged.raw - judged.labels), kind="stable")[:count]
    grades = grade(judged.raw)
    return [
        Photo(
            keys[row][1],
            keys[row][0],
            float(judged.labels[row]),
            float(judged.raw[row]),
            int(grades[row]),
            _folds(rows, keys[row]),
        )
        for row in order.tolist()
    ]


def _folds(rows: pd.DataFrame, key: tuple[str, str]) -> tuple[tuple[int, int], ...]:
    own = rows[(rows["pack"] == key[0]) & (rows["id_code"] == key[1])]
    return tuple(zip(own["repeat"].astype(int).tolist(), own["fold"].astype(int).tolist(), strict=True))


def with_pictures(
    photos: Sequence[Photo], runs: dict[tuple[int, int], Run], packs: Found, sources: Sources
) -> tuple[list[Photo], list[str]]:
    """Add baked images, from the packs or what the runs keep of their worst, and the photographs that are found.

    Returns
    -------
    The same photographs in the same order, and what went wrong on the way, a sentence each.
    """
    done, notes = {photo: photo for photo in photos}, []
    for name, pack in packs.packs.items():
        own = [photo for photo in photos if photo.pack == name and photo.id in pack]
        rows = [pack.index_of(photo.id) for photo in own]
        samples, problem = sources.samples(pack, rows)
        notes += [problem] if problem else []
        for photo, row, sample in zip(own, rows, samples, strict=True):
            place = np.asarray(pack.to_source[row], np.float64)
            done[photo] = replace(
                photo, image=pack[row], to_source=place, sample=sample, digest=pack.source_digest[row]
            )
    kept: dict[tuple[int, int], Worst | None] = {}
    for photo in photos:
        if done[photo].image is None:
            done[photo] = replace(photo, image=_kept(photo, runs, kept))
    return [done[photo] for photo in photos], notes


def _kept(
    photo: Photo, runs: dict[tuple[int, int], Run], kept: dict[tuple[int, int], Worst | None]
) -> npt.NDArray[np.uint8] | None:
    """Return the image from the worst pictures of a run that validated the photograph, if one keeps it."""
    for fold in photo.folds:
        if fold not in kept:
            kept[fold] = _worst(runs[fold])
        worst = kept[fold]
        if worst is not None and photo.id in worst.ids:
            place = worst.ids.index(photo.id)
            if worst.labels[place] == photo.label:
                return np.asarray(worst.images[place])
    return None


def _worst(run: Run) -> Worst | None:
    try:
        return run.worst()
    except PrebakeError:
        return None
