"""What is said of packs: what they hold, that one is finished, and how its photographs went into folds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prebake.files import human_bytes
from prebake.terminal.layout import aligned, counted, photographs

if TYPE_CHECKING:
    from pathlib import Path

    from prebake.splits import Folds
    from prebake.store import Pack

__all__ = ["facts", "packed", "repaired", "split", "verified"]


def facts(summary: Mapping[str, object]) -> str:
    """Lay out facts as aligned ``name  value`` lines; longer lists go below their name, an entry a line."""
    summary = {name: value for name, value in summary.items() if f"{name}_text" not in summary}
    width = max(map(len, summary))
    lines = []
    for name, value in summary.items():
        title = f"{name.removesuffix('_text').replace('_', ' '):<{width}}"
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{title}  {len(value):,}", *("  " + "  ".join(map(str, entry.values())) for entry in value)]
        else:
            lines.append(f"{title}  {_shown(value)}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(entry)}" for name, entry in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "-" if value in (None, "") else str(value)


def packed(pack: Pack, output: Path) -> str:
    """Sum up a finished pack in two lines: what it holds, and what can be done with it."""
    height, width, _ = pack.shape
    recipe = pack.recipe.name if pack.recipe is not None else "unknown"
    size = human_bytes(pack.file_bytes)
    name = shlex.quote(str(output))
    if len(pack.members) > 1:
        size += f" in {len(pack.members):,} files"
    lines = [f"{output}: {len(pack):,} images {height}x{width}, recipe {recipe}, {pack.codec}, {size}, verified"]
    if pack.failures:
        lines.append(f"{photographs(len(pack.failures))} could not be baked; prebake info {name} lists them")
    lines.append(f"next: prebake show {name} -o grid.png    prebake train {name} -o run")
    return "\n".join(lines)


def repaired(ids: Sequence[str], path: Path) -> str:
    """Say which images were baked again."""
    if not ids:
        return f"{path}: nothing is damaged, and nothing was written"
    shown = ", ".join(ids[:10]) + (", ..." if len(ids) > 10 else "")
    return f"{path}: baked {counted(len(ids), 'damaged image')} again, verified: {shown}"


def verified(pack: Pack, given: Sequence[str]) -> str:
    """Say that nothing is damaged."""
    what = ", ".join(map(str, given)) if len(given) <= 3 else f"{len(given):,} packs"
    return f"{what}: all {len(pack):,} images and their columns are as they were written"


def split(folds: Folds, output: Path) -> str:
    """Show how many photographs and labels each fold has, what was kept together, and what is in no fold."""
    counts = folds.counts()
    lines = [["fold", "photographs", *(f"label {label:g}" for label in counts.columns)]]
    for fold, row in zip(folds.numbers, counts.to_numpy().tolist(), strict=True):
        lines.append([str(fold), f"{sum(row):,}", *(f"{count:,}" for count in row)])
    title = f"{output}: {photographs(int(counts.to_numpy().sum()))} in {len(counts)} folds"
    return "\n".join([title, *aligned(lines), *_kept(folds)])


def _kept(folds: Folds) -> list[str]:
    """Say what was kept together, and how many photographs are in no fold."""
    found, inside = folds.duplicates, folds.fold >= 0
    patients = {group for group, used in zip(folds.groups, inside, strict=True) if group and used}
    lines = [f"kept together: {counted(len(patients), 'patient')}"] if patients else []
    if found.clusters:
        kinds = [pair.kind for pair in found.pairs]
        names = {"file": "identical file", "pixels": "identical pixels", "near": "near-duplicate"}
        pairs = ", ".join(f"{name} {kinds.count(kind):,}" for kind, name in names.items() if kind in kinds)
        rows, clusters = sum(map(len, found.clusters)), counted(len(found.clusters), "cluster")
        lines.append(f"kept together: {photographs(rows)} in {clusters} of duplicates (pairs: {pairs})")
    if found.conflicts:
        shown = [" = ".join(f"{found.rows.titles[row]}" for row in rows) for rows in found.conflicts[:5]]
        more = len(found.conflicts) - len(shown)
        lines.append(f"different labels: {', '.join(shown)}" + (f" and {more:,} more clusters" if more else ""))
    if not inside.all():
        lines.append(f"in no fold: {photographs(int((~inside).sum()))} without a label or of a published test set")
    return lines
