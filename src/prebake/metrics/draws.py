"""The bootstrap: how often each group counts in each draw, shared by every number that is computed from the draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError

if TYPE_CHECKING:
    from prebake.metrics.checks import Floats, Ints

__all__ = ["Bootstrap", "members", "outside_noise"]

CELLS = 1 << 19
"""Numbers held at once for each intermediate result: 4 MB, which stays in the caches."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: percentiles over draws of whole groups, with replacement.

    Photographs of one patient (and copies of a photograph) resemble each other; drawing them one by one makes intervals
    too narrow, so whole groups are drawn (cluster bootstrap; Field and Welsh, 2007). The same seed and the same groups
    give the same draws, so that numbers of two sets of predictions are compared in pairs.

    Parameters
    ----------
    level
        Share of draws between the two ends of an interval.
    samples
        Number of draws.
    seed
        Of the draws.

    Examples
    --------
    >>> chunks = list(Bootstrap(samples=3).weights(np.ones(4, dtype=np.int64)))
    >>> chunks[0].shape, chunks[0].sum(axis=1).tolist()
    ((3, 4), [4.0, 4.0, 4.0])
    """

    level: float = 0.95
    samples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.samples < 1:
            raise OptionError(
                "no such interval", expected="level in 0..1, samples >= 1", got=f"{self.level}, {self.samples}"
            )

    def weights(self, times: Ints, width: int = 0) -> Iterator[Floats]:
        """Yield the draws in chunks: how often each group counts.

        Parameters
        ----------
        times
            (G,) how many groups each entry stands for: groups with the same contents are interchangeable and may be
            given as one.
        width
            Numbers a draw that the caller holds at once, where it is more than G; chunks are made accordingly.

        Yields
        ------
        (D, G) float64 whole numbers, every row with the sum of ``times``; all D together are ``samples``.
        """
        rng = np.random.default_rng(self.seed)
        entries, total = len(times), int(times.sum())
        few = entries * 4 < total  # a binomial for each entry is cheaper than a number for each group
        entry_of = np.repeat(np.arange(entries), times)
        step = max(1, CELLS // max(entries, width, 1 if few else total))
        for start in range(0, self.samples, step):
            count = min(step, self.samples - start)
            if few:
                yield rng.multinomial(total, times / total, size=count).astype(np.float64)
                continue
            picked = entry_of[rng.integers(total, size=(count, total))]
            picked += np.arange(count)[:, None] * entries
            yield np.bincount(picked.ravel(), minlength=count * entries).reshape(count, entries).astype(np.float64)

    def values(self, score: Callable[[Floats], dict[str, Floats]], times: Ints, width: int = 0) -> dict[str, Floats]:
        """Return what ``score`` gives for every draw, name -> (samples,); it is called with :meth:`weights`."""
        chunks = [score(weights) for weights in self.weights(times, width)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def ends(self, values: Floats) -> tuple[float, float]:
        """Return the lower and upper end of the interval of a number from its (samples,) values.

        Draws in which it is undefined (NaN) are left out; both ends are NaN when more than half are.
        """
        known = values[np.isfinite(values)]
        if known.size * 2 < values.size:
            return float("nan"), float("nan")
        low, high = np.quantile(known, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)


def members(groups: Sequence[str] | None, rows: int) -> Ints:
    """Return the number of the group of each row, (rows,) int64 from 0 without gaps.

    ``""`` is a group of its own, as is every row without groups.

    Examples
    --------
    >>> members(["b", "a", "", "b", ""], 5).tolist()
    [1, 0, 2, 1, 3]
    """
    if groups is None or not len(groups):
        return np.arange(rows, dtype=np.int64)
    if len(groups) != rows:
        raise OptionError("the groups do not fit the labels", expected=f"{rows} groups", got=len(groups))
    names = np.asarray(groups, dtype=object)
    named = np.array([bool(name) for name in groups])
    numbers = np.empty(rows, dtype=np.int64)
    found, numbers[named] = np.unique(names[named].astype(str), return_inverse=True)
    numbers[~named] = len(found) + np.arange(int((~named).sum()))
    return numbers


def outside_noise(low: float, high: float) -> bool:
    """Whether an interval of a difference leaves out 0; an interval that is not there (NaN) does not."""
    return low > 0 or high < 0
