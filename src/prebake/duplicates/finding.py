"""Find what is there more than once, over all packs, and join it into clusters."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from prebake.duplicates.hashes import close_pairs
from prebake.duplicates.likeness import similarity, sketch
from prebake.store import PackRows, Packs

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Duplicates", "Pair", "find_duplicates"]

Kind = Literal["file", "pixels", "near"]
BITS = 8  # hashes of copies differ in at most 7 (prebake.fundus.perceptual_hash)
ALIKE = 0.85  # correlation of copies: docs/splitting.md has the measurements
CHUNK = 4096  # pairs whose sketches are compared at once


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that show the same.

    Parameters
    ----------
    first, second
        Row numbers, the smaller first.
    kind
        ``"file"`` (the same bytes), ``"pixels"`` (the same baked image) or ``"near"`` (the same but for compression,
        size or exposure).
    similarity
        Of the baked images, as :func:`prebake.duplicates.similarity` has it; 1 for the same file or pixels.
    """

    first: int
    second: int
    kind: Kind
    similarity: float = 1.0


@dataclass(frozen=True)
class Duplicates:
    """What is there more than once in several packs.

    Parameters
    ----------
    rows
        The rows that were looked through.
    pairs
        As many pairs as join every cluster, none more: a cluster of four rows has three.
    """

    rows: PackRows
    pairs: tuple[Pair, ...]

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """(N,) int64: the first row of the cluster that each row is in; the row itself where it is alone."""
        joined = Joined(len(self.rows))
        for pair in self.pairs:
            joined.join(pair.first, pair.second)
        return joined.roots()

    @cached_property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """The rows of each cluster of two or more, in order."""
        members: dict[int, list[int]] = {}
        for row in np.flatnonzero(np.bincount(self.first, minlength=len(self.rows))[self.first] > 1).tolist():
            members.setdefault(int(self.first[row]), []).append(row)
        return tuple(map(tuple, members.values()))

    @property
    def names(self) -> list[str]:
        """The name of the cluster of each row (the title of its first row), ``""`` where the row is alone."""
        names = [""] * len(self.rows)
        for cluster in self.clusters:
            for row in cluster:
                names[row] = self.rows.titles[cluster[0]]
        return names

    @property
    def conflicts(self) -> tuple[tuple[int, ...], ...]:
        """The clusters whose rows have different labels (a missing label differs from none)."""
        labels = self.rows.labels
        return tuple(
            rows for rows in self.clusters if len({labels[row] for row in rows if labels[row] == labels[row]}) > 1
        )

    def table(self) -> pd.DataFrame:
        """Return a line for each pair: kind, similarity, and of both rows id_code, pack and label."""
        import pandas as pd  # noqa: PLC0415 - slow to load

        columns: dict[str, object] = {
            "kind": [pair.kind for pair in self.pairs],
            "similarity": [pair.similarity for pair in self.pairs],
        }
        for end, rows in (("", [p.first for p in self.pairs]), ("_2", [p.second for p in self.pairs])):
            columns[f"id_code{end}"] = [self.rows.ids[row] for row in rows]
            columns[f"pack{end}"] = [self.rows.names[self.rows.pack_of[row]] for row in rows]
            columns[f"label{end}"] = self.rows.labels[rows]
        return pd.DataFrame(columns)


class Joined:
    """Rows joined into clusters (union-find); a cluster is known by its smallest row."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, row: int) -> int:
        """Return the smallest row of the cluster that ``row`` is in."""
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

    def join(self, one: int, other: int) -> bool:
        """Join the clusters of two rows; return whether they were apart."""
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[high] = low
        return low != high

    def join_equal(self, keys: Sequence[Hashable]) -> list[tuple[int, int]]:
        """Join the rows that have equal keys (empty ones are not compared); return the pairs that were apart."""
        seen: dict[Hashable, int] = {}
        return [(seen[key], row) for row, key in enumerate(keys) if key and self.join(seen.setdefault(key, row), row)]

    def roots(self) -> NDArray[np.int64]:
        """Return (N,) int64: the smallest row of each row's cluster."""
        return np.fromiter(map(self.root, range(len(self._parent))), np.int64, len(self._parent))


def find_duplicates(packs: Packs, *, near: bool = True) -> Duplicates:
    """Find the photographs that are there more than once, within and across packs.

    The same file is known by its digest. The same pixels and near-duplicates are looked for among packs of the same
    recipe: by checksum, and by perceptual hash (at most 8 of 64 bits differ) with the images themselves compared
    before a pair counts (:func:`similarity` of at least 0.85). Turned and mirrored copies are not found. The two eyes
    of a patient are no duplicates. Files of the 2019 kernel tell no digests: nothing is found in them.

    Parameters
    ----------
    packs
        Packs or paths.
    near
        Look for near-duplicates too, which reads images; everything else takes the columns alone.

    Examples
    --------
    >>> found = find_duplicates(["train.h5", "test.h5"])          # doctest: +SKIP
    >>> found.table()                                             # doctest: +SKIP
    """
    rows = PackRows.of(packs)
    joined = Joined(len(rows))
    digests = [digest for pack in rows.packs for digest in pack.source_digest]
    pairs = [Pair(one, other, "file") for one, other in joined.join_equal(digests)]
    pixels = [
        (pack.recipe_digest, checksum) if pack.recipe_digest else None
        for pack in rows.packs
        for checksum in pack.checksum.tolist()
    ]
    pairs += [Pair(one, other, "pixels") for one, other in joined.join_equal(pixels)]
    if near:
        recipes = np.array([pack.recipe_digest for pack in rows.packs])[rows.pack_of]
        hashes = np.concatenate([pack.phash for pack in rows.packs])
        for recipe in np.unique(recipes[recipes != ""]):
            comparable = np.flatnonzero((recipes == recipe) & (hashes != 0))
            _, places = np.unique(joined.roots()[comparable], return_index=True)
            pairs += _near(rows, comparable[places], hashes, joined)
    return Duplicates(rows, tuple(pairs))


def _near(rows: PackRows, members: NDArray[np.int64], hashes: NDArray[np.uint64], joined: Joined) -> Iterator[Pair]:
    """Find near-duplicates among ``members``: hashes first, then sketches, then the images."""
    sketches = Sketches(rows, members)
    for found in close_pairs(hashes[members], BITS):
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            for one, other in members[chunk[sketches.correlation(chunk) >= ALIKE]].tolist():
                if joined.root(one) != joined.root(other):
                    value = similarity(_image(rows, one), _image(rows, other))
                    if value >= ALIKE:
                        joined.join(one, other)
                        yield Pair(one, other, "near", round(value, 4))


class Sketches:
    """The sketches of rows, each made when it is first needed."""

    def __init__(self, rows: PackRows, members: NDArray[np.int64]) -> None:
        self._rows, self._members = rows, members
        self._known = np.zeros(len(members), np.bool_)
        self._vectors: NDArray[np.float32] | None = None

    def correlation(self, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (P,) correlations of pairs (P, 2) of positions in ``members``."""
        positions = np.unique(pairs)
        for position in positions[~self._known[positions]].tolist():
            vector = sketch(_image(self._rows, int(self._members[position])))
            if self._vectors is None:
                self._vectors = np.empty((len(self._members), len(vector)), np.float32)
            self._vectors[position] = vector
            self._known[position] = True
        if self._vectors is None:
            return np.empty(0, np.float32)
        one, other = self._vectors[pairs[:, 0]], self._vectors[pairs[:, 1]]
        return np.asarray((one * other).sum(axis=1), dtype=np.float32)


def _image(rows: PackRows, row: int) -> NDArray[np.uint8]:
    pack, index = rows.place(row)
    return pack[index]
