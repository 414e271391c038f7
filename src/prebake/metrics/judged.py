"""Predictions with labels: what every judgement works on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from prebake.errors import OptionError
from prebake.metrics.checks import Floats, Ints, columns
from prebake.metrics.draws import members

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Judged", "cross_folds"]

PARTS = 5
"""Parts for cross-fitting where the predictions name no folds."""


@dataclass(frozen=True)
class Judged:
    """Predictions of photographs whose label is known.

    Parameters
    ----------
    ids
        (N,) names of the photographs, each once.
    labels
        (N,) float64, finite; grades are whole numbers from 0.
    raw
        (N,) float64, finite: what the regression model says.
    groups
        (N,) names of what belongs together (the patient, or patient and duplicates); ``""`` is a group of its own.
        Empty: every photograph is.
    folds
        (N,) int64, the fold whose model made the prediction; empty where there are none. A group is in one fold.

    Raises
    ------
    OptionError
        When lengths differ, an id repeats, a number is not finite, or a group is in more than one fold.

    Examples
    --------
    >>> judged = Judged(("a", "b"), np.array([0.0, 2.0]), np.array([0.3, 1.8]), groups=("p", "p"))
    >>> len(judged), judged.members.tolist()
    (2, [0, 0])
    """

    ids: tuple[str, ...]
    labels: Floats
    raw: Floats
    groups: tuple[str, ...] = ()
    folds: Ints | tuple[()] = ()

    def __post_init__(self) -> None:
        labels, raw = columns(self.labels, self.raw)
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "raw", raw)
        for name, column in (("ids", self.ids), ("groups", self.groups), ("folds", self.folds)):
            if len(column) != len(labels) and (len(column) or name == "ids"):
                raise OptionError(f"the {name} do not fit the labels", expected=f"{len(labels)}", got=len(column))
        if len(set(self.ids)) != len(self.ids):
            name, times = Counter(self.ids).most_common(1)[0]
            raise OptionError(
                "a photograph is predicted more than once", expected="each id once", got=f"{name}, {times}x"
            )
        if len(self.folds):
            self._check_folds()

    def _check_folds(self) -> None:
        folds = np.asarray(self.folds)
        if (folds != np.floor(folds)).any():
            raise OptionError("a fold is no whole number", expected="0, 1, ...")
        folds = folds.astype(np.int64)
        object.__setattr__(self, "folds", folds)
        order = np.argsort(self.members, kind="stable")
        group, fold = self.members[order], folds[order]
        torn = np.flatnonzero((group[1:] == group[:-1]) & (fold[1:] != fold[:-1]))
        if torn.size:
            raise OptionError(
                f"the group {self.groups[order[torn[0]]]} is in more than one fold",
                expected="one fold for all photographs of a group",
                do="make the folds with prebake split",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def members(self) -> Ints:
        """(N,) number of the group of each photograph, from 0 without gaps."""
        return members(self.groups, len(self.ids))

    @property
    def group_count(self) -> int:
        """Number of groups."""
        return int(self.members.max()) + 1 if len(self) else 0

    def take(self, rows: Ints) -> Self:
        """Return the photographs of these row numbers, in this order."""
        return type(self)(
            tuple(self.ids[row] for row in rows),
            self.labels[rows],
            self.raw[rows],
            tuple(self.groups[row] for row in rows) if self.groups else (),
            np.asarray(self.folds, dtype=np.int64)[rows] if len(self.folds) else (),
        )

    @classmethod
    def from_frame(cls, table: pd.DataFrame) -> Self:
        """Take the rows of a table that have a label.

        Parameters
        ----------
        table
            ``id_code``, ``label`` and ``raw``; ``group``, ``fold`` and ``pack`` where it has them. Where an id occurs
            more than once, the pack is put before it.

        Raises
        ------
        OptionError
            When a column is missing, a fold is empty, or as of :class:`Judged`.

        Examples
        --------
        >>> import pandas as pd
        >>> Judged.from_frame(pd.DataFrame({"id_code": ["007", "b"], "label": [1, None], "raw": [0.8, 0.1]})).ids
        ('007',)
        """
        missing = [name for name in ("id_code", "label", "raw") if name not in table.columns]
        if missing:
            raise OptionError(
                "the predictions lack columns",
                expected="id_code, label, raw [group, fold, pack]",
                got=", ".join(map(str, table.columns)),
                do=f"add {', '.join(missing)}",
            )
        table = table[table["label"].notna()]
        ids = table["id_code"].astype(str)
        if ids.duplicated().any() and "pack" in table.columns:
            ids = table["pack"].astype(str) + "/" + ids
        if table["raw"].isna().any():
            raise OptionError("a photograph has a label but no prediction", got=ids[table["raw"].isna()].iloc[0])
        folds: Ints | tuple[()] = ()
        if "fold" in table.columns and table["fold"].notna().any():
            if table["fold"].isna().any():
                raise OptionError("a photograph has no fold", got=ids[table["fold"].isna()].iloc[0])
            folds = table["fold"].to_numpy()
        groups = table["group"].fillna("").astype(str) if "group" in table.columns else ()
        labels, raw = (table[name].to_numpy(dtype=np.float64) for name in ("label", "raw"))
        return cls(tuple(ids), labels, raw, tuple(groups), folds)


def cross_folds(judged: Judged, seed: int = 0) -> Ints:
    """Return the parts for cross-fitting: the folds, or where there are none the groups dealt out by their worst label.

    Returns
    -------
    (N,) int64; a group is in one part.
    """
    if len(judged.folds):
        return np.asarray(judged.folds, dtype=np.int64)
    worst = np.full(judged.group_count, -np.inf)
    np.maximum.at(worst, judged.members, judged.labels)
    mixed = np.random.default_rng(seed).permutation(judged.group_count)
    dealt = mixed[np.argsort(worst[mixed], kind="stable")]
    part = np.empty(judged.group_count, dtype=np.int64)
    part[dealt] = np.arange(judged.group_count) % PARTS
    return part[judged.members]
