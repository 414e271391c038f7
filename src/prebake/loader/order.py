"""Who sees which row when: pure functions of the seed, the epoch and the numbers of ranks and rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prebake.augment import random_words
from prebake.errors import OptionError

__all__ = ["QuasiRandom", "quasi_shuffled", "rank_share", "shuffled", "step_bounds"]

_ORDER_STREAM = 1
_BLOCK_STREAM = 2


@dataclass(frozen=True)
class QuasiRandom:
    """An order that is nearly random, and kind to a slow disk.

    Blocks of neighbouring rows are shuffled; then the rows of each ``window`` blocks that follow one another are
    shuffled among themselves. So an epoch reads long stretches of the file, a window of them at a time, and a batch
    holds rows of up to ``window`` places. It is less random than a shuffle: rows of one block are never further apart
    than a window, in any epoch. Where neighbouring rows are alike (sorted by label, by camera), choose small blocks and
    many of them, or no quasi-random order.

    Parameters
    ----------
    block
        Rows in a block: how much is read in one piece.
    window
        Blocks that are mixed with one another. About two windows of images at a time are wanted in memory.

    Raises
    ------
    OptionError
        A number below 1.
    """

    block: int = 32
    window: int = 32

    def __post_init__(self) -> None:
        for name in ("block", "window"):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"quasi-random order: {name} out of range", expected="at least 1", got=getattr(self, name)
                )

    def __str__(self) -> str:
        return f"quasi-random, block {self.block}, window {self.window}"


def shuffled(rows: npt.NDArray[np.int64], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the rows in the order of one epoch: sorted by 64 random bits that each row draws for itself.

    Every order is as likely as any other. Leaving rows out does not change the order of those that remain.

    Examples
    --------
    >>> shuffled(np.arange(6), seed=0, epoch=1).tolist()
    [2, 1, 4, 5, 3, 0]
    """
    return rows[np.argsort(_keys(rows, seed, epoch, _ORDER_STREAM), kind="stable")]


def quasi_shuffled(
    rows: npt.NDArray[np.int64], seed: int, epoch: int, quasi: QuasiRandom
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows in the :class:`QuasiRandom` order of one epoch, and the position at which each window ends.

    Examples
    --------
    >>> order, ends = quasi_shuffled(np.arange(12), seed=0, epoch=0, quasi=QuasiRandom(block=2, window=3))
    >>> order.tolist(), ends.tolist()
    ([11, 10, 8, 7, 6, 9, 2, 4, 0, 5, 3, 1], [6, 12])
    """
    blocks, block_of = np.unique(rows // quasi.block, return_inverse=True)
    places = np.empty(len(blocks), np.int64)
    places[np.argsort(_keys(blocks, seed, epoch, _BLOCK_STREAM), kind="stable")] = np.arange(len(blocks))
    windows = places[block_of] // quasi.window
    order = np.lexsort((_keys(rows, seed, epoch, _ORDER_STREAM), windows))
    return rows[order], np.cumsum(np.bincount(windows))


def _keys(numbers: npt.NDArray[np.int64], seed: int, epoch: int, stream: int) -> npt.NDArray[np.uint64]:
    """Return 64 random bits for each number."""
    high, low, *_ = random_words(seed, epoch, numbers, stream)
    keys: npt.NDArray[np.uint64] = (high << np.uint64(32)) | low
    return keys


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
