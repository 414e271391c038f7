"""Measuring in turn: every arm once a round, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prebake.bench.result import Spread

if TYPE_CHECKING:
    from prebake.progress import Progress

__all__ = ["LONG_ENOUGH", "ROUNDS", "SECONDS", "at_least", "in_turn"]

ROUNDS, FEWEST = 5, 2
SECONDS = 150.0
LONG_ENOUGH = 2.0
"""Seconds that one measurement should take, so that starting and stopping do not count."""


def in_turn(arms: Mapping[str, Callable[[], float]], bar: Progress, *, seconds: float = SECONDS) -> dict[str, Spread]:
    """Call every arm once a round; up to 5 rounds, at least 2, as long as one more is expected to end in time.

    Parameters
    ----------
    arms
        Each returns seconds for each photograph.
    bar
        Is updated by 1 after each call.
    seconds
        For all rounds together.
    """
    found: dict[str, list[float]] = {name: [] for name in arms}
    start = time.perf_counter()
    for turn in range(ROUNDS):
        passed = time.perf_counter() - start
        if turn >= FEWEST and passed * (turn + 1) / turn > seconds:
            break
        for name, arm in arms.items():
            found[name].append(arm())
            bar.update(1)
    return {name: Spread.of(values) for name, values in found.items()}


def at_least(fewest: int, expected: float, most: int = 20_000) -> int:
    """Return how many photographs to measure with: ``fewest``, or more where these would be done too soon.

    Parameters
    ----------
    fewest
        In any case.
    expected
        Seconds for each photograph, about.
    most
        In no case more than these or ``fewest``.
    """
    return max(fewest, min(most, math.ceil(LONG_ENOUGH / max(expected, 1e-9))))
