"""What is explained: images of a pack, or photographs baked for it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError, PackError, PackFailures
from prebake.explanation.results import Subject
from prebake.files import digest
from prebake.recipe import require_allowed
from prebake.records import Failure, Sample
from prebake.show import choose_rows, find_photographs
from prebake.sources import read_bytes, survey

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from prebake.recipe import Recipe
    from prebake.store import Pack

__all__ = ["pack_subjects", "photograph_subjects"]

Pathish = str | os.PathLike[str]


def pack_subjects(
    pack: Pack, ids: Sequence[str] | None, count: int, photographs: Sequence[Pathish] | Pathish | None
) -> list[Subject]:
    """Read images of a pack, with their photographs where the sources are given."""
    if len(pack) == 0:
        raise PackError(f"{pack.name} holds no image", do="prebake info PACK shows what failed")
    rows = [pack.index_of(name) for name in ids] if ids else choose_rows(pack.labels, count)
    samples: Sequence[Sample | None] = [None] * len(rows)
    if photographs is not None:
        samples = find_photographs(pack, rows, photographs)
    return [
        Subject(
            pack.ids[row],
            float(pack.labels[row]),
            pack[row],
            np.asarray(pack.to_source[row], np.float64),
            sample,
            pack.source_digest[row],
        )
        for row, sample in zip(rows, samples, strict=True)
    ]


def photograph_subjects(
    source: Pathish, recipe: Recipe, ids: Sequence[str] | None, count: int, pool: Executor
) -> list[Subject]:
    """Bake photographs, only those that are explained.

    Raises
    ------
    PackFailures
        Some could not be baked; all are tried first.
    RecipeError
        The recipe calls a function that is not allowed.
    """
    require_allowed(recipe.functions)
    samples = survey(source).samples
    labels = np.array([np.nan if sample.label is None else sample.label for sample in samples], np.float32)
    chosen = _named(samples, ids) if ids else [samples[row] for row in choose_rows(labels, count)]

    def bake(sample: Sample) -> Subject | Failure:
        try:
            data = read_bytes(sample)
            baked = recipe.bake(data)
        except Exception as error:  # noqa: BLE001 - a recipe of the user may raise whatever it likes
            return Failure.of(sample, error)
        label = float("nan") if sample.label is None else float(sample.label)
        return Subject(sample.id, label, baked.image, baked.to_source, sample, digest(data))

    done = list(pool.map(bake, chosen))
    failures = [one for one in done if isinstance(one, Failure)]
    if failures:
        raise PackFailures(
            f"{len(failures)} of {len(chosen)} photographs could not be read or baked, so nothing was explained",
            failures,
            do="look at these files, or name others with --ids",
        )
    return [one for one in done if isinstance(one, Subject)]


def _named(samples: Sequence[Sample], ids: Sequence[str]) -> list[Sample]:
    known = {sample.id: sample for sample in samples}
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name, list(known)[:10_000], n=1, cutoff=0)
            raise OptionError(
                f"there is no photograph with the id {name!r}", do=f"the nearest id is {near[0]!r}" if near else None
            )
    return [known[name] for name in ids]
