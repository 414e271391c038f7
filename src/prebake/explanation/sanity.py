"""Whether maps show what the model has learnt: with random weights they must look different (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from prebake.explanation.explaining import as_runs
from prebake.explanation.gradcam import Ensemble

if TYPE_CHECKING:
    import numpy.typing as npt

    from prebake.explanation.explaining import Runs
    from prebake.explanation.results import Explanation, Explanations

__all__ = ["LIMIT", "SanityCheck", "rank_correlation", "sanity_check"]

LIMIT = 0.5
"""Mean absolute rank correlation below which maps of trained and random weights count as different."""


@dataclass(frozen=True)
class SanityCheck:
    """How much maps of the trained model resemble those of the same model with random weights.

    Parameters
    ----------
    correlation
        Mean absolute Spearman rank correlation over all pairs of maps, 0 ... 1; NaN where every random map is flat.
    photographs
        Number of photographs compared.
    draws
        How often weights were drawn for each.
    """

    correlation: float
    photographs: int
    draws: int

    @property
    def passed(self) -> bool:
        """Whether the maps react to the weights."""
        return self.correlation < LIMIT

    @property
    def sentence(self) -> str:
        """The result in one line."""
        over = f"over {self.photographs} photographs and {self.draws} draws of random weights"
        if np.isnan(self.correlation):
            return f"sanity check undecided: the maps of random weights are flat ({over})"
        if self.passed:
            return (
                f"sanity check passed: the maps depend on what was learnt "
                f"(rank correlation with maps of random weights {self.correlation:.2f}, below {LIMIT}; {over})"
            )
        return (
            f"sanity check failed: random weights give much the same maps, do not rely on them "
            f"(rank correlation {self.correlation:.2f}, expected below {LIMIT}; {over})"
        )


def sanity_check(
    runs: Runs, explanations: Explanations | Sequence[Explanation], *, draws: int = 3, device: str = "auto"
) -> SanityCheck:
    """Compare maps with those of the same networks with random weights: an edge detector would not notice.

    Parameters
    ----------
    runs
        The runs that were explained.
    explanations
        What :func:`prebake.explain` gave; about eight are enough.
    draws
        How often all weights are drawn anew; always the same ones.
    device
        As in :func:`prebake.explain`.

    Examples
    --------
    >>> sanity_check("run", explain("run", "pack.h5")).passed                # doctest: +SKIP
    True
    """
    opened, rows = as_runs(runs), list(explanations)
    images, ids = np.stack([row.image for row in rows]), [row.id for row in rows]
    found: list[float] = []
    for draw in range(draws):
        _, maps = Ensemble(opened, device, random=draw).maps(images, ids)
        found += [rank_correlation(row.map, random) for row, random in zip(rows, maps, strict=True)]
    known = np.abs([value for value in found if not np.isnan(value)])
    return SanityCheck(float(known.mean()) if len(known) else float("nan"), len(rows), draws)


def rank_correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return Spearman's rank correlation of two maps; NaN where one is flat."""
    ranks = [pd.Series(values.ravel()).rank().to_numpy() for values in (one, other)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
