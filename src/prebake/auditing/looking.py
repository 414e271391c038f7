"""Which rows are looked at together for shortcuts, and which sides are compared for shifts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prebake.auditing.guessing import guess_grades, guess_sides
from prebake.auditing.result import Shift, Shortcuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.auditing.features import Feature
    from prebake.store import PackRows

__all__ = ["find_shifts", "find_shortcuts"]

EVERYTHING = "all photographs"


def find_shortcuts(rows: PackRows, features: Sequence[Feature], groups: Sequence[str]) -> tuple[Shortcuts, ...]:
    """Let each feature guess the grades: of all photographs, and of each source alone where there are several."""
    labelled = ~np.isnan(rows.labels)
    scopes = {EVERYTHING: labelled}
    sources = np.array(_sources(rows))
    if len(set(sources.tolist())) > 1:
        scopes |= {str(source): labelled & (sources == source) for source in _in_order(sources)}
    found = []
    for scope, mask in scopes.items():
        chosen = np.flatnonzero(mask)
        labels = rows.labels[chosen].astype(np.float64)
        known = _of(rows, features, chosen)
        clues = guess_grades(known, labels, _at(groups, chosen), _at(rows.titles, chosen))
        found.append(Shortcuts(scope, len(chosen), clues))
    return tuple(found)


def find_shifts(rows: PackRows, features: Sequence[Feature], groups: Sequence[str]) -> tuple[Shift, ...]:
    """Let each feature tell published splits, packs and sources from each other.

    Of more than two, each is told from all others. Sides that are the same photographs again are left out.
    """
    found, seen = [], set()
    for what, one, other, side in _sides(rows):
        known = side >= 0
        mask = side[known] == 1
        shape = (known.tobytes(), min(mask.tobytes(), (~mask).tobytes()))
        if shape in seen:
            continue
        seen.add(shape)
        chosen = np.flatnonzero(known)
        usable = _of(rows, features, chosen)
        clues = guess_sides(usable, mask, _at(groups, chosen), _at(rows.titles, chosen))
        counts = int(mask.sum()), int((~mask).sum())
        found.append(Shift(what, one, other, counts, clues))
    return tuple(found)


def _sides(rows: PackRows) -> Iterator[tuple[str, str, str, NDArray[np.int64]]]:
    """Yield what is compared, the names of both sides, and (N,) 1 for the one side, 0 the other, -1 for neither."""
    packs = [rows.set_names[pack] for pack in rows.pack_of.tolist()]
    for what, values in (("split", rows.splits), ("pack", packs), ("source", _sources(rows))):
        names = np.array(values)
        known = [str(name) for name in _in_order(names) if name]
        if len(known) < 2:
            continue
        for one in known[: 1 if len(known) == 2 else None]:
            other = known[1] if len(known) == 2 else "the others"
            yield what, one, other, np.where(names == "", -1, names == one).astype(np.int64)


def _in_order(names: NDArray[np.str_]) -> list[str]:
    return list(dict.fromkeys(names.tolist()))


def _sources(rows: PackRows) -> list[str]:
    """Return the source of each row; the name of its pack where the pack does not tell."""
    sources = [source for pack in rows.packs for source in pack.sources]
    return [source or rows.set_names[pack] for source, pack in zip(sources, rows.pack_of.tolist(), strict=True)]


def _at(names: Sequence[str], chosen: NDArray[np.int64]) -> list[str]:
    return [names[row] for row in chosen.tolist()]


def _of(rows: PackRows, features: Sequence[Feature], chosen: NDArray[np.int64]) -> list[Feature]:
    recipes = {rows.packs[pack].recipe_digest for pack in np.unique(rows.pack_of[chosen]).tolist()}
    return [feature.take(chosen, mixed=len(recipes) > 1) for feature in features]
