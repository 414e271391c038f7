"""One call from runs and photographs to explanations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError, RecipeMismatch, RunError
from prebake.explanation.gradcam import Ensemble
from prebake.explanation.results import Explanation, Explanations, Subject
from prebake.explanation.subjects import pack_subjects, photograph_subjects
from prebake.metrics import grade
from prebake.recipe import require_same
from prebake.recipe.steps import ToleranceCrop
from prebake.runs import CrossValidation, Run, expand, open_run
from prebake.store import Pack, is_pack, open_pack

if TYPE_CHECKING:
    from prebake.recipe import Recipe

__all__ = ["Runs", "as_runs", "explain", "explain_worst"]

Pathish = str | os.PathLike[str]
Runs = Pathish | Run | CrossValidation | Sequence[Pathish | Run | CrossValidation]


def explain(
    runs: Runs,
    source: Pathish | Pack,
    *,
    ids: Sequence[str] | None = None,
    count: int = 16,
    photographs: Sequence[Pathish] | Pathish | None = None,
    device: str = "auto",
) -> Explanations:
    """Explain what a model says of photographs: Grad-CAM for the raw value, two-sided, in grades.

    Parameters
    ----------
    runs
        A run, a cross-validation (all its folds), or several: their maps are averaged, as predictions are. They must
        share recipe and thresholds.
    source
        A pack made with the recipe of the runs; or a folder, .zip, .tar or single photograph, baked by that recipe.
    ids
        What to explain. Without them ``count`` are chosen: all labels in turn, spread evenly over the source.
    count
        How many to choose when no ids are given.
    photographs
        Of a pack: the folders or archives that it was made of. Without them maps can only be drawn on baked images.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes what the machine has.

    Returns
    -------
    Explanations

    Raises
    ------
    RunError
        A model has no feature map (a plain vision transformer), or a run cannot be used.
    RecipeMismatch
        The pack, or one of the runs, was made with another recipe.
    PackFailures
        Photographs could not be baked.
    SourceError, PackError, OptionError
        The source, an id or an option cannot be used.

    Examples
    --------
    >>> import prebake
    >>> found = prebake.explain("run", "test_images/", count=4)               # doctest: +SKIP
    >>> found[0].map.shape, found[0].on_photograph().map.shape                # doctest: +SKIP
    ((256, 256), (797, 1200))
    """
    if count < 1:
        raise OptionError("count", expected="1 or more", got=count)
    opened = as_runs(runs)
    recipe, _ = _common(opened)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "prebake-explain") as pool:
        if isinstance(source, Pack) or is_pack(source):
            pack = source if isinstance(source, Pack) else open_pack(source)
            _require_fits(pack, recipe, opened[0])
            subjects = pack_subjects(pack, ids, count, photographs)
        elif photographs is not None:
            raise OptionError(
                f"{source} is no pack, so it needs no photographs beside it", do="leave --source out, or give a pack"
            )
        elif recipe is None:
            raise RunError(
                f"{opened[0].path} was trained on a pack that does not tell its recipe",
                expected="a pack: photographs cannot be baked without a recipe",
            )
        else:
            subjects = photograph_subjects(source, recipe, ids, count, pool)
    return _explained(opened, subjects, device)


def explain_worst(run: Pathish | Run, count: int | None = None, *, device: str = "auto") -> Explanations:
    """Explain the validation rows with the largest error, the worst first, from the pictures in the run folder alone.

    Parameters
    ----------
    run
        One run. Of a cross-validation give its folds one by one: each explains what it has not seen in training.
    count
        How many at most; all that the run keeps without it.
    device
        As in :func:`explain`.

    Returns
    -------
    Explanations, without photographs: draw them with :func:`overlay` on ``image``.
    """
    opened = run if isinstance(run, Run) else Run(run)
    worst = opened.worst()
    unknown = np.full((2, 3), np.nan)
    rows = zip(worst.ids, worst.labels.tolist(), worst.images, strict=True)
    subjects = [Subject(name, label, image, unknown) for name, label, image in rows]
    return _explained([opened], subjects[:count], device)


def as_runs(runs: Runs) -> list[Run]:
    """Open what was given and replace every cross-validation by the runs of its folds."""
    named = [runs] if isinstance(runs, str | os.PathLike | Run | CrossValidation) else list(runs)
    if not named:
        raise OptionError("no run to explain", expected="at least one run folder")
    return expand([open_run(one) for one in named])


def _explained(runs: Sequence[Run], subjects: Sequence[Subject], device: str) -> Explanations:
    recipe, thresholds = _common(runs)
    size = int(runs[0].info["input"]["size"])
    if any(subject.image.shape != (size, size, 3) for subject in subjects):
        got = next(subject.image.shape for subject in subjects if subject.image.shape != (size, size, 3))
        raise RecipeMismatch(f"the images do not fit {runs[0].path}", expected=f"{size}x{size}x3", got=got)
    if not subjects:
        return Explanations(())
    ensemble = Ensemble(runs, device)
    images, names = np.stack([subject.image for subject in subjects]), [subject.id for subject in subjects]
    raw, maps = ensemble.maps(images, names)
    spliced = recipe is not None and any(isinstance(step, ToleranceCrop) for step in recipe.steps)
    grades = grade(raw, thresholds)
    return Explanations(
        tuple(
            Explanation(subject, float(raw[n]), int(grades[n]), maps[n], ensemble.grid, len(runs), spliced)
            for n, subject in enumerate(subjects)
        )
    )


def _common(runs: Sequence[Run]) -> tuple[Recipe | None, list[float]]:
    """Return the recipe and thresholds that all runs share."""
    first = runs[0]
    for run in runs[1:]:
        if run.recipe is not None and first.recipe is not None:
            require_same(run.recipe, first.recipe, f"{run.path} (the other runs, as {first.path}, have the one needed)")
        elif run.recipe is not first.recipe:
            raise RecipeMismatch(f"{first.path} and {run.path} do not both know their recipe")
        for what, mine, other in (
            ("thresholds", run.info["thresholds"], first.info["thresholds"]),
            ("image size", run.info["input"]["size"], first.info["input"]["size"]),
        ):
            if mine != other:
                raise RunError(f"the runs differ in {what}: {run.path}", expected=f"{other}, as {first.path}", got=mine)
    return first.recipe, [float(cut) for cut in first.info["thresholds"]]


def _require_fits(pack: Pack, recipe: Recipe | None, run: Run) -> None:
    if pack.recipe is not None and recipe is not None:
        require_same(pack.recipe, recipe, f"the pack {pack.name}")
    elif (pack.recipe is None) != (recipe is None):
        raise RecipeMismatch(
            f"it cannot be checked that {pack.name} was baked as {run.path} needs it",
            expected=recipe.describe() if recipe else "a pack without a recipe, as the run was trained on",
            got=pack.recipe.describe() if pack.recipe else "a pack that does not tell its recipe",
        )
