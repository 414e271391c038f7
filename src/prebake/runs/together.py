"""What several runs must agree on to be used together, and what images must be for a run to take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from prebake.errors import RecipeMismatch, RunError
from prebake.recipe import require_same

if TYPE_CHECKING:
    from prebake.recipe import Recipe
    from prebake.runs.run import Run

__all__ = ["common_recipe", "common_size", "common_thresholds", "require_recipe", "require_size"]

_T = TypeVar("_T")


def common_recipe(runs: Sequence[Run]) -> Recipe | None:
    """Return the recipe that all runs share; ``None`` where none of them knows its own.

    Raises
    ------
    RecipeMismatch
        Two have different recipes, or one knows its own and another does not.
    """
    first = runs[0].recipe
    for run in runs[1:]:
        recipe = run.recipe
        if first is not None and recipe is not None:
            require_same(recipe, first, f"{run.path} (the other runs, as {runs[0].path}, have the one needed)")
        elif recipe is not first:
            raise RecipeMismatch(f"{runs[0].path} and {run.path} do not both know their recipe")
    return first


def common_thresholds(runs: Sequence[Run]) -> list[float]:
    """Return the thresholds that all runs share.

    Raises
    ------
    RunError
        They differ.
    """
    problem = "the runs turn raw values into grades differently"
    return _common(runs, lambda run: [float(cut) for cut in run.info["thresholds"]], problem)


def common_size(runs: Sequence[Run]) -> int:
    """Return the side in pixels of the images that all runs take.

    Raises
    ------
    RunError
        They differ.
    """
    return _common(runs, lambda run: int(run.info["input"]["size"]), "the runs differ in image size")


def require_recipe(run: Run, found: Recipe | None, name: str, *, do: str | None = None) -> None:
    """Refuse a pack that was not, or may not have been, baked as a run needs it.

    Parameters
    ----------
    run
        The run.
    found, name
        The recipe of the pack (``None`` where it does not tell it), and what the pack is called.
    do
        What to do next where the run knows its recipe and the pack does not.

    Raises
    ------
    RecipeMismatch
        The recipes differ, or only one of the two is known.
    """
    needed = run.recipe
    if found is not None and needed is not None:
        require_same(found, needed, f"the pack {name}")
    elif found is not needed:
        raise RecipeMismatch(
            f"it cannot be checked that {name} was baked as {run.path} needs it",
            expected=needed.describe() if needed else "a pack without a recipe, as the run was trained on",
            got=found.describe() if found else "a pack that does not tell its recipe",
            do=do if needed else None,
        )


def require_size(run: Run, shape: tuple[int, ...], what: str) -> None:
    """Refuse images, called ``what``, whose shape is not the (S, S, 3) that a run takes.

    Raises
    ------
    RecipeMismatch
        They have another shape.
    """
    size = run.info["input"]["size"]
    if shape != (size, size, 3):
        raise RecipeMismatch(f"{what} do not fit {run.path}", expected=f"{size}x{size}x3", got=shape)


def _common(runs: Sequence[Run], value: Callable[[Run], _T], problem: str) -> _T:
    first = value(runs[0])
    for run in runs[1:]:
        other = value(run)
        if other != first:
            expected = f"{first}, as {runs[0].path}"
            raise RunError(f"{problem}: {run.path}", expected=expected, got=other, do="take each run by itself")
    return first
