"""Clusters of copies as an audit lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prebake.auditing.result import Copies, Copy, label_or_none

if TYPE_CHECKING:
    from prebake.duplicates import Duplicates, Pair

__all__ = ["all_copies"]


def all_copies(found: Duplicates) -> tuple[Copies, ...]:
    """Return every cluster of copies, those with different labels first, then in the order of rows."""
    pairs: dict[int, list[Pair]] = {}
    for pair in found.pairs:
        pairs.setdefault(int(found.first[pair.first]), []).append(pair)
    conflicts = set(found.conflicts)
    clusters = []
    for cluster in found.clusters:
        joined = pairs[cluster[0]]
        clusters.append(
            Copies(
                kinds=tuple(sorted({pair.kind for pair in joined})),
                similarity=min(pair.similarity for pair in joined),
                members=tuple(_copy(found, row) for row in cluster),
                conflict=cluster in conflicts,
            )
        )
    return tuple(sorted(clusters, key=lambda copies: (not copies.conflict, copies.members[0].row)))


def _copy(found: Duplicates, row: int) -> Copy:
    rows = found.rows
    label = label_or_none(float(rows.labels[row]))
    return Copy(row, rows.ids[row], rows.set_names[int(rows.pack_of[row])], label, rows.splits[row], rows.groups[row])
