"""What is predicted: a pack or photographs, as ids, labels and batches of images that the runs can take."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import RunError
from prebake.prediction.images import Batch, pack_batches, photograph_batches
from prebake.recipe import require_allowed
from prebake.runs import require_recipe, require_size
from prebake.sources import survey
from prebake.store import Pack, Packs, is_pack, open_pack

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import numpy.typing as npt

    from prebake.recipe import Recipe
    from prebake.records import Failure
    from prebake.runs import Run

__all__ = ["Source", "open_source"]

Pathish = str | os.PathLike[str]

_log = logging.getLogger("prebake.prediction")


@dataclass(frozen=True)
class Source:
    """N photographs: ids, labels (N,) float32 (NaN where unknown), groups (``""`` where unknown), and their images.

    ``batches(batch_size, pool)`` gives the images, read or baked once, in order; ``left_out`` is what packing already
    left out.
    """

    ids: Sequence[str]
    labels: npt.NDArray[np.float32]
    groups: Sequence[str]
    left_out: Sequence[Failure]
    batches: Callable[[int, ThreadPoolExecutor], Generator[Batch]]


def open_source(source: Packs, recipe: Recipe | None, runs: Sequence[Run]) -> Source:
    """Open a pack or several, a folder, archive or photograph.

    Parameters
    ----------
    source
        What to predict.
    recipe
        The recipe of all runs; ``None`` where they do not know it.
    runs
        The runs that predict; at least one.

    Raises
    ------
    RecipeMismatch
        The images were, or would be, baked otherwise than a run needs.
    RunError, RecipeError, SourceError, PackError
        The runs cannot bake photographs (their recipe may call a function that is not allowed), or the source cannot
        be used.
    """
    if isinstance(source, (str, os.PathLike)) and not is_pack(source):
        return _of_photographs(source, recipe, runs)
    return _of_pack(open_pack(source), runs)


def _of_pack(pack: Pack, runs: Sequence[Run]) -> Source:
    for run in runs:
        require_recipe(run, pack.recipe, pack.name, do="predict on the photographs themselves")
        require_size(run, pack.shape, f"the images of {pack.name}")
    _warn_of_training_rows(pack, runs)
    return Source(pack.ids, pack.labels, pack.groups, pack.failures, partial(pack_batches, pack))


def _of_photographs(source: Pathish, recipe: Recipe | None, runs: Sequence[Run]) -> Source:
    if recipe is None:
        raise RunError(
            f"{runs[0].path} was trained on a pack that does not tell its recipe",
            expected="a pack to predict on: photographs cannot be baked without a recipe",
            do="bake the photographs as that pack was, and give the pack",
        )
    require_allowed(recipe.functions)
    for run in runs:
        require_size(run, (recipe.size, recipe.size, 3), f"the images that recipe {recipe.name} bakes")
    found = survey(source)
    if found.unlisted:
        shown = ", ".join(found.unlisted[:3]) + (", ..." if len(found.unlisted) > 3 else "")
        _log.warning(
            "%d photographs that the table beside them does not name are left out: %s", len(found.unlisted), shown
        )
    samples = found.samples
    return Source(
        [sample.id for sample in samples],
        np.array([np.nan if sample.label is None else sample.label for sample in samples], dtype=np.float32),
        [sample.group or "" for sample in samples],
        (),
        partial(photograph_batches, samples, recipe),
    )


def _warn_of_training_rows(pack: Pack, runs: Sequence[Run]) -> None:
    """Say so when labels of this pack were learnt from: agreement with them tells nothing."""
    if np.isnan(pack.labels).all():
        return
    learnt: set[str] = set()
    digests = {member.digest for member in pack.members}
    for run in runs:
        names = [known.get("name") for known in run.info["packs"] if known.get("digest") in digests]
        if names:
            table = run.split()
            learnt.update(table["id_code"][(table["part"] == "train") & table["pack"].isin(names)])
    if learnt:
        _log.warning(
            "%d of the %d photographs of %s were trained on: how well they are graded tells nothing "
            "(a cross-validation keeps honest predictions of them in its oof.csv)",
            len(learnt.intersection(pack.ids)),
            len(pack),
            pack.name,
        )
