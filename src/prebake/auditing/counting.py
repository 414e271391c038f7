"""What is only counted: labels by pack, source and split, patients, what the packs lack."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from prebake.auditing.result import PackFacts, Part, Patients
from prebake.store import member_of, pattern_of

if TYPE_CHECKING:
    from pathlib import Path

    from prebake.store import Pack, PackRows

__all__ = ["all_parts", "pack_facts", "patients"]


def pack_facts(rows: PackRows) -> tuple[PackFacts, ...]:
    """Return what each pack is, and what could not be baked into it; the files of one set are one pack."""
    members: dict[str, list[Pack]] = {}
    for name, pack in zip(rows.set_names, rows.packs, strict=True):
        members.setdefault(name, []).append(pack)
    return tuple(
        PackFacts(
            name=name,
            path=str(_path(packs[0].path)),
            photographs=sum(map(len, packs)),
            shape=packs[0].shape,
            recipe=str(packs[0].recipe_dict.get("name", "")),
            failures=tuple(failure for pack in packs for failure in pack.failures),
        )
        for name, packs in members.items()
    )


def _path(path: Path) -> Path:
    member = member_of(path)
    return path if member is None else pattern_of(member.target)


def all_parts(rows: PackRows) -> tuple[Part, ...]:
    """Return how many photographs of each label there are in each pack, source and split."""
    sources = [source for pack in rows.packs for source in pack.sources]
    names = [rows.set_names[pack] for pack in rows.pack_of.tolist()]
    keys = list(zip(names, sources, rows.splits, strict=True))
    members: dict[tuple[str, str, str], list[int]] = {}
    for row, key in enumerate(keys):
        members.setdefault(key, []).append(row)
    parts = []
    for key, part in members.items():
        labels = rows.labels[part]
        values, counts = np.unique(labels[~np.isnan(labels)], return_counts=True)
        counted = dict(zip(values.tolist(), counts.tolist(), strict=True))
        parts.append(Part(*key, len(part), counted, len(part) - sum(counted.values())))
    return tuple(parts)


def patients(rows: PackRows) -> Patients:
    """Count patients, their photographs, and those who are in more than one split."""
    times = Counter(group for group in rows.groups if group)
    splits: dict[str, set[str]] = {}
    for group, split in zip(rows.groups, rows.splits, strict=True):
        if group and split:
            splits.setdefault(group, set()).add(split)
    return Patients(
        count=len(times),
        unknown=len(rows) - sum(times.values()),
        photographs=dict(sorted(Counter(times.values()).items())),
        across=tuple(sorted(group for group, names in splits.items() if len(names) > 1)),
    )
