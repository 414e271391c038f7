"""What must stay on one side of any split: the photographs of a patient, and all copies of a photograph."""

from __future__ import annotations

from collections.abc import Sequence

from prebake.duplicates import Duplicates, Joined

__all__ = ["together"]


def together(duplicates: Duplicates, *further: Sequence[str]) -> list[str]:
    """Join patients and clusters of duplicates: a patient whose photograph copies another patient's joins the two.

    Groups are known by their name, over all packs. Rows without a label join others too.

    Parameters
    ----------
    duplicates
        What :func:`prebake.duplicates.find_duplicates` found in the packs.
    further
        (N,) names that a table adds: rows of one name are joined too, ``""`` joins none.

    Returns
    -------
    list of str
        (N,) equal texts for rows that must stay together (the title of the first of them), as
        :func:`prebake.splits.holdout` and :func:`prebake.splits.stratified_folds` take them.
    """
    rows = duplicates.rows
    joined = Joined(len(rows))
    for names in (rows.groups, duplicates.names, *further):
        joined.join_equal(names)
    return [rows.titles[first] for first in joined.roots()]
