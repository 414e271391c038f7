"""Folds over the rows of several packs: made, saved, loaded and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from prebake.duplicates import Duplicates, find_duplicates
from prebake.errors import SplitError
from prebake.files import write_text
from prebake.splits.balance import stratified_folds
from prebake.splits.table import COLUMNS, listed, match, read_table
from prebake.splits.together import together
from prebake.spreadsheets import csv_text
from prebake.store import PackRows, Packs

if TYPE_CHECKING:
    import os

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Folds", "make_folds"]


@dataclass(frozen=True)
class Folds:
    """Which fold each row of several packs is in.

    Parameters
    ----------
    duplicates
        What is there more than once in the packs, and the packs' rows.
    fold
        (N,) int64, -1 for a row that is in no fold.
    groups, clusters
        (N,) names of patients and of clusters of duplicates, ``""`` for none.

    Examples
    --------
    >>> folds = make_folds(["pack.h5"], folds=5, seed=0)          # doctest: +SKIP
    >>> folds.save("folds.csv")                                   # doctest: +SKIP
    >>> folds = Folds.load("folds.csv", ["pack.h5"])              # doctest: +SKIP
    >>> train, val = folds.train_rows(0), folds.val_rows(0)       # doctest: +SKIP
    """

    duplicates: Duplicates
    fold: NDArray[np.int64]
    groups: Sequence[str]
    clusters: Sequence[str]

    @property
    def rows(self) -> PackRows:
        """The rows of the packs, numbered through."""
        return self.duplicates.rows

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the folds, in order."""
        return tuple(np.unique(self.fold[self.fold >= 0]).tolist())

    @property
    def together(self) -> list[str]:
        """(N,) equal texts for rows that stay together: patients and duplicates, of the packs and of the table."""
        return together(self.duplicates, self.groups, self.clusters)

    def val_rows(self, fold: int) -> NDArray[np.int64]:
        """Return the rows of a fold, sorted."""
        if fold not in self.numbers:
            raise SplitError(f"there is no fold {fold}", expected=f"one of {', '.join(map(str, self.numbers))}")
        return np.flatnonzero(self.fold == fold)

    def train_rows(self, fold: int) -> NDArray[np.int64]:
        """Return the rows of all other folds, sorted."""
        return np.setdiff1d(np.flatnonzero(self.fold >= 0), self.val_rows(fold))

    def table(self) -> pd.DataFrame:
        """Return a line for each row of the packs: id_code, pack, label, group, cluster, fold (missing for none)."""
        import pandas as pd  # noqa: PLC0415 - slow to load

        rows = self.rows
        fold = pd.array(self.fold, dtype="Int64")
        fold[self.fold < 0] = pd.NA
        columns = (rows.ids, [rows.names[pack] for pack in rows.pack_of], rows.labels, self.groups, self.clusters, fold)
        return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))

    def counts(self) -> pd.DataFrame:
        """Return how many rows of each label (columns) each fold (index) has."""
        return self.table().groupby(["fold", "label"]).size().unstack(fill_value=0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV, whole or not at all."""
        write_text(Path(path), csv_text(self.table()))

    @classmethod
    def load(cls, path: str | os.PathLike[str], packs: Packs, *, use_test: bool = False) -> Self:
        """Read a table of folds, and check it against packs.

        A table with the columns ``id_code`` and ``fold`` is enough. A column ``pack`` is needed where packs share ids.
        Near-duplicates are looked for unless the table has a column ``cluster``, which then says what they are.

        Parameters
        ----------
        path
            The CSV file.
        packs
            Packs or paths.
        use_test
            Whether labelled rows of a published test set must be in the table too.

        Raises
        ------
        SplitError
            The table does not fit the packs, or puts on both sides what must stay together.
        """
        rows = PackRows.of(packs)
        table = read_table(Path(path))
        found, folds = match(table, rows)
        fold = np.full(len(rows), -1, dtype=np.int64)
        fold[found] = folds
        missing = np.setdiff1d(_usable(rows, use_test=use_test), found)
        if len(missing):
            raise SplitError(
                listed(f"{path} lacks labelled photographs", [rows.titles[row] for row in missing]),
                do="add a line for each; one with an empty fold leaves the photograph out",
            )
        duplicates = find_duplicates(rows, near="cluster" not in table.cells)
        names = {"group": list(rows.groups), "cluster": duplicates.names}
        for column, values in names.items():
            for row, text in zip(found.tolist(), table.cells.get(column, ()), strict=False):
                values[row] = text
        folds_ = cls(duplicates, fold, names["group"], names["cluster"])
        folds_.check()
        return folds_

    def check(self) -> None:
        """Refuse folds that separate what must stay together: a patient, a file, the same pixels, near-duplicates.

        Photographs that are in no fold join others too, as in :func:`make_folds`.

        Raises
        ------
        SplitError
            It names the photographs and their folds. Or there are fewer than two folds.
        """
        if len(self.numbers) < 2:
            raise SplitError("there is nothing to validate with", expected="at least two folds", got=self.numbers)
        problems: dict[tuple[int, int], str] = {}
        for what, names in (
            ("patient", self.rows.groups),
            ("patient", self.groups),
            ("duplicates of", self.duplicates.names),
            ("duplicates of", self.clusters),
        ):
            for one, other in self._separated(names):
                problems.setdefault((one, other), f"{what} {names[one]!r}: {self._places(one, other)}")
        if not problems:  # neighbours agree; what joins two photographs may itself be in no fold
            problems = {
                (one, other): f"joined by photographs that are in no fold: {self._places(one, other)}"
                for one, other in self._separated(self.together)
            }
        if problems:
            raise SplitError(
                listed("what must stay together is in different folds", [*problems.values()]),
                do="give them the same fold, leave the fold of all but one empty, or make the table anew: "
                "prebake split PACK... -o folds.csv",
            )

    def _places(self, one: int, other: int) -> str:
        titles = self.rows.titles
        return f"{titles[one]} is in fold {self.fold[one]}, {titles[other]} in fold {self.fold[other]}"

    def _separated(self, names: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield two rows of the same name and different folds, the first of each name and fold."""
        first: dict[str, int] = {}
        for row in np.flatnonzero(self.fold >= 0).tolist():
            name = names[row]
            if name and self.fold[first.setdefault(name, row)] != self.fold[row]:
                yield first[name], row


def make_folds(packs: Packs, *, folds: int = 5, seed: int = 0, use_test: bool = False) -> Folds:
    """Put the labelled rows of packs into folds: balanced in size and labels, patients and duplicates kept together.

    The same seed gives the same folds on every machine. They depend on ids, labels, patients and duplicates; not on
    the order of packs or rows, nor (as long as no two packs share an id) on what packs are called.

    Parameters
    ----------
    packs
        Packs or paths.
    folds
        How many, at least 2.
    seed
        Any integer from 0; another one gives another set of folds, for repeats.
    use_test
        Also use rows of a published test set that have labels.

    Raises
    ------
    SplitError
        No row has a label, or there are too few for so many folds.
    """
    rows = PackRows.of(packs)
    usable = _usable(rows, use_test=use_test)
    if not len(usable):
        raise SplitError(
            f"no photograph of {', '.join(rows.names)} can be in a fold",
            expected="photographs with labels that their source does not call test",
            do="pack again with --labels CSV, or use the published test set with --use-test",
        )
    duplicates = find_duplicates(rows)
    companions, titles = together(duplicates), rows.titles
    fold = np.full(len(rows), -1, dtype=np.int64)
    fold[usable] = stratified_folds(
        rows.labels[usable],
        [companions[row] for row in usable],
        [titles[row] for row in usable],
        folds=folds,
        seed=seed,
    )
    return Folds(duplicates, fold, rows.groups, duplicates.names)


def _usable(rows: PackRows, *, use_test: bool) -> NDArray[np.int64]:
    """Return the rows that have a label and are not of a published test set, unless that is asked for."""
    test = np.array([split == "test" for split in rows.splits], dtype=np.bool_)
    return np.flatnonzero(~np.isnan(rows.labels) & (use_test | ~test))
