"""Who sees which row when: pure functions of the seed, the epoch and the numbers of ranks and rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prebake.augment import random_words

__all__ = ["rank_share", "shuffled", "step_bounds"]

_ORDER_STREAM = 1


def shuffled(rows: npt.NDArray[np.int64], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the rows in the order of one epoch: sorted by 64 random bits that each row draws for itself.

    Every order is as likely as any other. Leaving rows out does not change the order of those that remain.

    Examples
    --------
    >>> shuffled(np.arange(6), seed=0, epoch=1).tolist()
    [2, 1, 4, 5, 3, 0]
    """
    words = random_words(seed, epoch, rows, _ORDER_STREAM)
    return rows[np.argsort((words[0] << np.uint64(32)) | words[1], kind="stable")]


def step_bounds(start: int, count: int, batch_size: int, world_size: int, *, drop_last: bool) -> list[int]:
    """Cut positions ``start`` ... ``count`` of an epoch into steps that all ranks take together.

    A step holds ``batch_size * world_size`` positions. What is left at the end is a smaller step; where it is too small
    to give every rank a row, it goes to the step before (some ranks then have one row more than ``batch_size``). With
    ``drop_last`` it is left out.

    Returns
    -------
    The n + 1 bounds of n steps, ascending; empty where there is no step.

    Examples
    --------
    >>> step_bounds(0, 10, batch_size=2, world_size=2, drop_last=False)
    [0, 4, 8, 10]
    >>> step_bounds(0, 9, batch_size=2, world_size=2, drop_last=False)
    [0, 4, 9]
    >>> step_bounds(0, 9, batch_size=2, world_size=2, drop_last=True)
    [0, 4, 8]
    """
    step = batch_size * world_size
    bounds = [*range(start, count, step), count]
    tail = (count - start) % step
    if tail and drop_last:
        bounds.pop()
    elif 0 < tail < world_size and len(bounds) > 2:
        del bounds[-2]
    return bounds if len(bounds) > 1 else []


def rank_share(start: int, stop: int, rank: int, world_size: int) -> slice:
    """Return the positions of one rank within a step: contiguous, and within one of those of any other rank.

    Examples
    --------
    >>> rank_share(10, 15, rank=0, world_size=2), rank_share(10, 15, rank=1, world_size=2)
    (slice(10, 13, None), slice(13, 15, None))
    """
    each, more = divmod(stop - start, world_size)
    first = start + rank * each + min(rank, more)
    return slice(first, first + each + (rank < more))
