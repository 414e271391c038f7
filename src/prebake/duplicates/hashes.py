"""Pairs of 64-bit hashes that differ in few bits, found without comparing all with all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["close_pairs"]

TILE = 512  # hashes on one side of a comparison: 512 x 512 numbers are 2 MB


def close_pairs(hashes: NDArray[np.uint64], within: int) -> Iterator[NDArray[np.int64]]:
    """Find the pairs of hashes that differ in at most ``within`` bits, each once.

    The 64 bits are cut into ``within + 1`` bands: hashes that differ in ``within`` bits agree in at least one band
    (Manku, Jain and Das Sarma, 2007), so only hashes that share a band are compared, tile by tile.

    Parameters
    ----------
    hashes
        (N,) uint64.
    within
        Bits, from 0 to 62.

    Yields
    ------
    numpy.ndarray
        (P, 2) int64, the smaller position first.

    Examples
    --------
    >>> list(close_pairs(np.array([0, 3, 0xFFFF], np.uint64), 2))
    [array([[0, 1]])]
    """
    masks = _bands(within + 1)
    for number, mask in enumerate(masks):
        keys = hashes & mask
        order = np.argsort(keys, kind="stable")
        ends = np.flatnonzero(np.diff(keys[order])) + 1
        for rows in np.split(order, ends):
            for left, right in _tiles(rows):
                pairs = _close(hashes, left, right, within)
                known = _share_a_band(hashes, pairs, masks[:number])
                if not known.all():
                    yield np.sort(pairs[~known], axis=1)


def _bands(count: int) -> list[np.uint64]:
    """Return masks that cut 64 bits into ``count`` bands of nearly the same width."""
    cuts = np.linspace(0, 64, count + 1).round().astype(int).tolist()
    return [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(cuts)]


def _tiles(rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut all pairs of ``rows`` into tiles; where both sides are the same rows, they are the same object."""
    parts = [rows[start : start + TILE] for start in range(0, len(rows), TILE)] if len(rows) > 1 else []
    for number, left in enumerate(parts):
        for right in parts[number:]:
            yield left, right


def _close(
    hashes: NDArray[np.uint64], left: NDArray[np.int64], right: NDArray[np.int64], within: int
) -> NDArray[np.int64]:
    """Return the close pairs of one tile, (P, 2)."""
    close = np.bitwise_count(hashes[left][:, None] ^ hashes[right][None, :]) <= within
    if left is right:
        close = np.triu(close, 1)
    first, second = np.nonzero(close)
    return np.stack([left[first], right[second]], axis=1)


def _share_a_band(hashes: NDArray[np.uint64], pairs: NDArray[np.int64], masks: list[np.uint64]) -> NDArray[np.bool_]:
    """Tell which pairs agree in one of the bands ``masks``: they were found there."""
    differ = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
    known = np.zeros(len(pairs), np.bool_)
    for mask in masks:
        known |= differ & mask == 0
    return known
