"""From raw values to grades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError

__all__ = ["DEFAULT_THRESHOLDS", "grade"]

DEFAULT_THRESHOLDS = (0.5, 1.5, 2.5, 3.5)
"""Raw values at or above the k-th (from 1) are grade k or worse: plain rounding, cut off at 0 and 4."""


def grade(raw: npt.ArrayLike, thresholds: Sequence[float] = DEFAULT_THRESHOLDS) -> npt.NDArray[np.int64]:
    """Turn raw values into grades: the number of thresholds that are not above the value.

    Parameters
    ----------
    raw
        (N,) finite raw values of a regression model.
    thresholds
        Strictly increasing; a value equal to a threshold belongs to the grade above it.

    Returns
    -------
    (N,) int64 in ``0..len(thresholds)``.

    Raises
    ------
    OptionError
        When a raw value is not finite (a model that diverged has no grade), or the thresholds do not increase.

    Examples
    --------
    >>> grade([-0.2, 0.5, 1.4, 9.0]).tolist()
    [0, 1, 1, 4]
    """
    cuts = np.asarray(thresholds, dtype=np.float64)
    if cuts.ndim != 1 or not cuts.size or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise OptionError("the thresholds cannot be used", expected="increasing numbers", got=list(thresholds))
    values = np.asarray(raw, dtype=np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise OptionError(
            f"{bad} of {values.size} raw values cannot be graded",
            expected="finite numbers",
            got="NaN or infinity: the model diverged",
            do="train again with a lower learning rate, or in 32-bit precision",
        )
    return np.searchsorted(cuts, values, side="right").astype(np.int64)
