"""One call from runs and photographs to explanations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError, RunError
from prebake.explanation.gradcam import Ensemble
from prebake.explanation.results import Explanation, Explanations, Subject
from prebake.explanation.subjects import pack_subjects, photograph_subjects
from prebake.machine import usable_cores
from prebake.metrics import grade
from prebake.recipe.steps import ToleranceCrop
from prebake.runs import (
    CrossValidation,
    Run,
    common_recipe,
    common_size,
    common_thresholds,
    expand,
    open_run,
    require_recipe,
    require_size,
)
from prebake.store import Packs, is_pack, open_pack

if TYPE_CHECKING:
    from prebake.recipe import Recipe

__all__ = ["Runs", "as_runs", "explain", "explain_subjects", "explain_worst"]

Pathish = str | os.PathLike[str]
Runs = Pathish | Run | CrossValidation | Sequence[Pathish | Run | CrossValidation]


def explain(
    runs: Runs,
    source: Packs,
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
        A pack made with the recipe of the runs, or a pattern or list of such packs; or a folder, .zip, .tar or
        single photograph, baked by that recipe.
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
    recipe, _ = _shared(opened)
    with ThreadPoolExecutor(usable_cores(), "prebake-explain") as pool:
        if not isinstance(source, (str, os.PathLike)) or is_pack(source):
            pack = open_pack(source)
            require_recipe(opened[0], pack.recipe, pack.name)
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
    return explain_subjects(opened, subjects, device)


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
    return explain_subjects([opened], subjects[:count], device)


def as_runs(runs: Runs) -> list[Run]:
    """Open what was given and replace every cross-validation by the runs of its folds."""
    named = [runs] if isinstance(runs, str | os.PathLike | Run | CrossValidation) else list(runs)
    if not named:
        raise OptionError("no run to explain", expected="at least one run folder")
    return expand([open_run(one) for one in named])


def explain_subjects(runs: Sequence[Run], subjects: Sequence[Subject], device: str = "auto") -> Explanations:
    """Explain images that are at hand already.

    Parameters
    ----------
    runs
        Runs whose maps are averaged; they must share recipe and thresholds.
    subjects
        Images as the recipe of the runs bakes them, which is not checked beyond their size.
    device
        As in :func:`explain`.

    Raises
    ------
    RunError, RecipeMismatch
        As of :func:`explain`.
    """
    recipe, thresholds = _shared(runs)
    for subject in subjects:
        require_size(runs[0], subject.image.shape, "the images")
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


def _shared(runs: Sequence[Run]) -> tuple[Recipe | None, list[float]]:
    """Return recipe and thresholds of runs that can be explained together: their maps are averaged pixel by pixel."""
    recipe, thresholds = common_recipe(runs), common_thresholds(runs)
    common_size(runs)
    return recipe, thresholds
