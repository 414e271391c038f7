"""Close pairs of hashes: exactly those that comparing all with all finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prebake.duplicates import hashes as module
from prebake.duplicates.hashes import close_pairs

if TYPE_CHECKING:
    import pytest


def everything(hashes: np.ndarray, within: int) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= within
    ]


def found(hashes: np.ndarray, within: int) -> list[tuple[int, int]]:
    return [tuple(pair) for pairs in close_pairs(hashes, within) for pair in pairs.tolist()]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4), st.integers(0, 2**32), st.integers(0, 12))
def test_every_close_pair_is_found_once(centres: list[int], seed: int, within: int) -> None:
    rng = np.random.default_rng(seed)
    flips = [sum(1 << int(bit) for bit in rng.integers(0, 64, rng.integers(0, 10))) for _ in range(40)]
    hashes = np.array([centres[n % len(centres)] ^ (flip % 2**64) for n, flip in enumerate(flips)], np.uint64)
    assert sorted(found(hashes, within)) == everything(hashes, within)


def test_more_hashes_than_a_tile_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 3)
    hashes = np.array([n % 7 for n in range(20)], np.uint64)
    assert sorted(found(hashes, 1)) == everything(hashes, 1)


def test_no_hash_and_one_hash_have_no_pairs() -> None:
    assert found(np.empty(0, np.uint64), 8) == []
    assert found(np.array([5], np.uint64), 8) == []
