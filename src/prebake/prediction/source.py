"""What is predicted: a pack or photographs, as ids, labels and batches of images that the runs can take."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import RecipeMismatch, RunError
from prebake.prediction.images import Batch, pack_batches, photograph_batches
from prebake.recipe import require_same
from prebake.sources import survey
from prebake.store import Pack, open_pack

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import numpy.typing as npt

    from prebake.recipe import Recipe
    from prebake.records import Failure
    from prebake.runs import Run

__all__ = ["Source", "open_source"]

Pathish = str | os.PathLike[str]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

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


def open_source(source: Pathish | Pack, recipe: Recipe | None, runs: Sequence[Run]) -> Source:
    """Open a pack, folder, archive or photograph.

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
    RunError, SourceError, PackError
        The runs cannot bake photographs, or the source cannot be used.
    """
    if isinstance(source, Pack) or _is_pack(source):
        return _of_pack(source if isinstance(source, Pack) else open_pack(source), recipe, runs)
    return _of_photographs(source, recipe, runs)


def _of_pack(pack: Pack, recipe: Recipe | None, runs: Sequence[Run]) -> Source:
    for run in runs:
        _require_fits(pack, recipe, run)
    _warn_of_training_rows(pack, runs)
    return Source(pack.ids, pack.labels, pack.groups, pack.failures, partial(pack_batches, pack))


def _of_photographs(source: Pathish, recipe: Recipe | None, runs: Sequence[Run]) -> Source:
    if recipe is None:
        raise RunError(
            f"{runs[0].path} was trained on a pack that does not tell its recipe",
            expected="a pack to predict on: photographs cannot be baked without a recipe",
            do="bake the photographs as that pack was, and give the pack",
        )
    for run in runs:
        _require_size(run, (recipe.size, recipe.size, 3), f"the images that recipe {recipe.name} bakes")
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


def _is_pack(source: Pathish) -> bool:
    path = Path(source)
    if not path.is_file():
        return path.suffix.lower() in (".h5", ".hdf5")
    with path.open("rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def _require_fits(pack: Pack, recipe: Recipe | None, run: Run) -> None:
    if pack.recipe is not None and recipe is not None:
        require_same(pack.recipe, recipe, f"the pack {pack.name}")
    elif (pack.recipe is None) != (recipe is None):
        raise RecipeMismatch(
            f"it cannot be checked that {pack.name} was baked as {run.path} needs it",
            expected=recipe.describe() if recipe else "a pack without a recipe, as the run was trained on",
            got=pack.recipe.describe() if pack.recipe else "a pack that does not tell its recipe",
            do="predict on the photographs themselves" if recipe else None,
        )
    _require_size(run, pack.shape, f"the images of {pack.name}")


def _require_size(run: Run, shape: tuple[int, ...], what: str) -> None:
    size = run.info["input"]["size"]
    if shape != (size, size, 3):
        raise RecipeMismatch(f"{what} do not fit {run.path}", expected=f"{size}x{size}x3", got=shape)


def _warn_of_training_rows(pack: Pack, runs: Sequence[Run]) -> None:
    """Say so when labels of this pack were learnt from: agreement with them tells nothing."""
    if np.isnan(pack.labels).all():
        return
    learnt: set[str] = set()
    digest = pack.digest
    for run in runs:
        names = [known.get("name") for known in run.info["packs"] if known.get("digest") == digest]
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
