"""The recipes that come with prebake, by name."""

from __future__ import annotations

from prebake.recipe.steps import Decode, Resize, Step, SubtractAverage, ToleranceCrop

__all__ = ["NAMES", "named_steps"]

GRAY = (128, 128, 128)
BLACK = (0, 0, 0)


def _kernel(size: int) -> tuple[tuple[Step, ...], tuple[int, int, int]]:  # noqa: ARG001
    return (Decode(), ToleranceCrop(7), Resize("linear"), SubtractAverage(10.0)), GRAY


def _resize(size: int) -> tuple[tuple[Step, ...], tuple[int, int, int]]:  # noqa: ARG001
    return (Decode(OVERSAMPLING), Resize("area")), BLACK


OVERSAMPLING = 1.5

_NAMED = {"kernel": _kernel, "resize": _resize}

NAMES = tuple(_NAMED)


def named_steps(name: str, size: int) -> tuple[tuple[Step, ...], tuple[int, int, int]]:
    """Return the steps and the fill value of a recipe in :data:`NAMES`."""
    return _NAMED[name](size)
