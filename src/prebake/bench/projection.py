"""From what one photograph takes to what all take: arithmetic, nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Cost", "break_even", "costs", "parts_of_an_epoch"]

EPOCHS, FOLDS = 10, 5


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of the table: what is done, and the seconds it takes each way (``None``: not measured, or not done)."""

    what: str
    seconds: Mapping[str, float | None]


def costs(ways: Mapping[str, tuple[float | None, float | None]]) -> list[Cost]:
    """Make the table of 2019: packing, one epoch, 10 epochs, 5 folds of 10 epochs.

    Parameters
    ----------
    ways
        By way: seconds of packing all photographs, and of one epoch over all of them. Packing is done once, for all
        epochs and all folds; a way without it starts at once.

    Examples
    --------
    >>> [cost.seconds["a"] for cost in costs({"a": (500.0, 35.0)})]
    [500.0, 35.0, 850.0, 2250.0]
    """
    lines = [("packing", 1, 0), ("one epoch", 0, 1)]
    lines += [
        (f"packing and {EPOCHS} epochs", 1, EPOCHS),
        (f"packing and {FOLDS} folds of {EPOCHS} epochs", 1, FOLDS * EPOCHS),
    ]
    return [
        Cost(what, {name: _sum(packing, epoch, packs, epochs) for name, (packing, epoch) in ways.items()})
        for what, packs, epochs in lines
    ]


def _sum(packing: float | None, epoch: float | None, packs: int, epochs: int) -> float | None:
    if not epochs:
        return packing
    return None if epoch is None else packs * (packing or 0.0) + epochs * epoch


def break_even(packing: float, before: float, after: float, count: int) -> float:
    """Return the number of epochs after which packing has paid.

    Parameters
    ----------
    packing
        Seconds of packing all photographs.
    before, after
        Seconds for each photograph in an epoch, without and with the pack.
    count
        Photographs.

    Returns
    -------
    Up to 1: it pays within the first epoch. ``inf``: an epoch with the pack takes no less time.

    Examples
    --------
    >>> break_even(500.0, before=0.2, after=0.01, count=1000)
    2.6315789473684212
    """
    saved = (before - after) * count
    return packing / saved if saved > 0 else math.inf


def parts_of_an_epoch(stages: Mapping[str, float], whole: float, step: float) -> dict[str, float]:
    """Share the time of an epoch out among its stages.

    The step of the model keeps the time it takes alone; what the epoch took beyond that is what waiting for images
    cost, and the stages share it in proportion to their time on one core.

    Parameters
    ----------
    stages
        Seconds on one core for each photograph.
    whole
        Seconds for each photograph in an epoch, as it ran.
    step
        Seconds for each photograph of the step alone; 0: no model.

    Returns
    -------
    Seconds for each photograph by stage, ``step`` last where there is one; together ``whole``.

    Examples
    --------
    >>> parts_of_an_epoch({"read": 1.0, "decode": 3.0}, whole=12.0, step=10.0)
    {'read': 0.5, 'decode': 1.5, 'step': 10.0}
    """
    step = min(step, whole)
    total = sum(stages.values())
    parts = {name: (whole - step) * seconds / total if total else 0.0 for name, seconds in stages.items()}
    return parts | ({"step": step} if step else {})
