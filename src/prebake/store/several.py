"""The rows of several packs, one after another, each with a name that no other row has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prebake.errors import OptionError, PackError, RecipeMismatch
from prebake.machine import allow_open_files
from prebake.store.naming import expand, member_of, pattern_of
from prebake.store.reader import Pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PackRows", "Packs", "publishing_mark"]


@dataclass(frozen=True)
class PackRows:
    """The rows of several packs, numbered through: row ``i`` of pack ``k`` is row ``i + rows of all packs before k``.

    Parameters
    ----------
    packs
        Open packs. They may be of different recipes.

    Raises
    ------
    OptionError
        There is no pack.
    """

    packs: tuple[Pack, ...]

    def __post_init__(self) -> None:
        if not self.packs:
            raise OptionError("no pack given", expected="at least one", do="prebake pack SOURCE -o PACK.h5")

    @classmethod
    def of(cls, packs: Packs, *, repeated: bool = False) -> PackRows:
        """Open packs that are given as paths or patterns; rows of packs are returned as they are.

        Raises
        ------
        OptionError
            A pack is given twice, and may not be ``repeated``.
        PackError
            A pack cannot be opened, or files do not belong together.
        """
        if isinstance(packs, PackRows):
            return packs
        several = [packs] if isinstance(packs, (Pack, str, os.PathLike)) else packs
        listed = [one if isinstance(one, Pack) else expand(one) for one in several]
        _allow(sum(len(one) for one in listed if not isinstance(one, Pack)))
        rows = cls(tuple(pack for one in listed for pack in (one.members if isinstance(one, Pack) else map(Pack, one))))
        _require_one_packing(rows.packs)
        path, times = Counter(pack.path.resolve() for pack in rows.packs).most_common(1)[0]
        if times > 1 and not repeated:
            raise OptionError(f"the pack {path} is given {times} times", expected="every pack once")
        return rows

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each pack: the file's without ending, and as many folders before it as tell the packs apart.

        Examples
        --------
        ``2015/train.h5`` and ``2019/train.h5`` are ``2015/train`` and ``2019/train``; alone, each is ``train``.
        """
        return tuple(distinct_names([pack.path for pack in self.packs]))

    @cached_property
    def pack_of(self) -> NDArray[np.int64]:
        """(N,) int64: the number of the pack that holds each row."""
        return np.repeat(np.arange(len(self.packs)), [len(pack) for pack in self.packs])

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all rows."""
        return [name for pack in self.packs for name in pack.ids]

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """(N,) float32, NaN where there is none."""
        return np.concatenate([np.asarray(pack.labels, np.float32) for pack in self.packs])

    @cached_property
    def groups(self) -> list[str]:
        """What must stay on one side of a split (the patient), ``""`` where unknown."""
        return [name for pack in self.packs for name in pack.groups]

    @cached_property
    def splits(self) -> list[str]:
        """``"train"``, ``"test"``, ... as published, ``""`` where unknown."""
        return [name for pack in self.packs for name in pack.splits]

    @cached_property
    def titles(self) -> list[str]:
        """A text for each row that no other row has: its id; where ids are shared, ``2015/train:10_left``.

        As long as ids differ, titles do not depend on what the packs are called or in which order they are given.
        """
        times = Counter(self.ids)
        return [
            name if times[name] == 1 else f"{self.names[pack]}:{name}"
            for name, pack in zip(self.ids, self.pack_of.tolist(), strict=True)
        ]

    def place(self, row: int) -> tuple[Pack, int]:
        """Return the pack that holds a row, and its row there."""
        number = int(self.pack_of[row])
        return self.packs[number], int(row - self.starts[number])

    def read(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Read the images of rows, all of them from 0 on, into ``out``, uint8 (B, H, W, C), C-contiguous."""
        numbers = self.pack_of[rows]
        indices = rows - self.starts[numbers]
        for number, index, image in zip(numbers.tolist(), indices.tolist(), out, strict=True):
            self.packs[number]._read_into(index, image)

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Tell the system that the images of rows will be read soon."""
        numbers = self.pack_of[rows]
        for number in np.unique(numbers).tolist():
            self.packs[number].advise(rows[numbers == number] - self.starts[number])

    def require_alike(self) -> None:
        """Refuse packs that were baked with different recipes, or hold images of different shapes.

        Raises
        ------
        RecipeMismatch, PackError
            Both packs are named.
        """
        for pack in self.packs[1:]:
            _require_alike(pack, self.packs[0])

    @cached_property
    def set_names(self) -> tuple[str, ...]:
        """A name for each pack that all files of one set share; that of :attr:`names` where a pack is of no set.

        Examples
        --------
        ``2015-00000-of-00002.h5``, ``2015-00001-of-00002.h5`` and ``2019.h5`` are ``2015``, ``2015`` and ``2019``.
        """
        targets = [(found.target if (found := member_of(pack.path)) else pack.path) for pack in self.packs]
        different = list(dict.fromkeys(targets))
        names = dict(zip(different, distinct_names(different), strict=True))
        return tuple(names[target] for target in targets)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(K + 1,) int64: the row that each pack begins with, and the number of all rows."""
        return np.cumsum([0, *(len(pack) for pack in self.packs)])


Packs = PackRows | Pack | str | os.PathLike[str] | Sequence[Pack | str | os.PathLike[str]]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of different paths that tell them apart, without the ending of the file.

    Examples
    --------
    >>> distinct_names([Path("/a/2015/train.h5"), Path("/a/2019/train.h5"), Path("/a/test.h5")])
    ['2015/train', '2019/train', 'test']
    """
    parts = [(*path.parent.parts, path.stem) for path in paths]
    lengths = [1] * len(paths)
    while True:
        names = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        times = Counter(names)
        longer = [
            min(length + (times[name] > 1), len(part)) for part, name, length in zip(parts, names, lengths, strict=True)
        ]
        if longer == lengths:  # nothing is shared, or only the ending differs: a.h5 and a.hdf5 in one folder
            return [path.name if times[name] > 1 else name for path, name in zip(paths, names, strict=True)]
        lengths = longer


def _allow(files: int) -> None:
    """Make room for so many open files: each pack is mapped, and stays open."""
    if (most := allow_open_files(files)) < files:
        raise PackError(
            f"{files:,} packs cannot be open at once",
            expected=f"a limit of open files that leaves room for {files:,}",
            got=f"room for {most:,}",
            do="raise the limit (ulimit -Hn), or pack into fewer files: --max-pack-size",
        )


def publishing_mark(target: Path) -> Path:
    """Return the file, in the work folder of a set, that is there while its files take their places."""
    return target.with_name(f".{target.name}.prebake") / "publishing"


def _require_one_packing(packs: Sequence[Pack]) -> None:
    """Refuse files that have the names of one set and are of different ones: photographs would be there twice, or not.

    Such a mixture is what an update leaves that was ended while it moved files to their places. Where the photographs
    are the same and only their contents have changed, the mark that it has left tells of it.
    """
    first: dict[Path, Pack] = {}
    several: set[Path] = set()
    for pack in packs:
        if (member := member_of(pack.path)) is None:
            continue
        before = first.setdefault(member.target, pack)
        if pack.extra.get("set") != before.extra.get("set"):
            raise PackError(
                f"{pattern_of(member.target)}: {before.path.name} and {pack.path.name} were not packed together",
                do="run the same prebake pack command again",
            )
        if pack is not before:
            several.add(member.target)
    for target in several:
        if publishing_mark(target).exists():
            raise PackError(
                f"{pattern_of(target)}: some files may be of an earlier packing than others",
                got="a packing that was ended while it moved them to their places, or that does so now",
                do="run the same prebake pack command again",
            )


def _require_alike(pack: Pack, first: Pack) -> None:
    if pack.recipe_digest != first.recipe_digest:
        from prebake.recipe import require_same  # noqa: PLC0415 - loads OpenCV

        if pack.recipe is not None and first.recipe is not None:
            require_same(pack.recipe, first.recipe, f"{pack.path} (beside {first.path})")
        expected, got = ("not told" if recipe is None else recipe.describe() for recipe in (first.recipe, pack.recipe))
        raise RecipeMismatch(
            f"{pack.path} was baked with another recipe than {first.path}", expected=expected, got=got, do="pack again"
        )
    if pack.shape != first.shape:
        raise PackError(
            f"{pack.path} and {first.path} cannot be loaded together: their images differ in shape",
            expected=first.shape,
            got=pack.shape,
            do="pack both with the same recipe and --size",
        )
