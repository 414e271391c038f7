"""Several packs as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError, PackError, RecipeMismatch
from prebake.recipe import require_same
from prebake.store import Pack

__all__ = ["JoinedPacks", "Packs", "choose_rows"]

Packs = Pack | str | os.PathLike[str] | Sequence[Pack | str | os.PathLike[str]]


class JoinedPacks:
    """Packs of the same shape and recipe, their rows numbered through.

    Parameters
    ----------
    packs
        A pack or a path, or several.

    Attributes
    ----------
    packs
        The open packs.
    shape
        (H, W, C) of every image.
    labels
        (N,) float32, NaN where there is none.

    Raises
    ------
    RecipeMismatch
        Two packs were baked with different recipes.
    PackError
        Two packs hold images of different shapes.
    """

    def __init__(self, packs: Packs) -> None:
        several = [packs] if isinstance(packs, (Pack, str, os.PathLike)) else list(packs)
        if not several:
            raise OptionError("no pack given", expected="at least one", do="prebake pack SOURCE -o PACK.h5")
        self.packs = tuple(pack if isinstance(pack, Pack) else Pack(Path(pack)) for pack in several)
        first = self.packs[0]
        for pack in self.packs[1:]:
            _require_alike(pack, first)
        self.shape: tuple[int, int, int] = first.shape
        self.labels = np.concatenate([np.asarray(pack.labels, np.float32) for pack in self.packs])
        self._starts = np.cumsum([0, *(len(pack) for pack in self.packs)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def locate(self, row: int) -> tuple[Pack, int]:
        """Return the pack that holds a row, and the row's index there."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.packs[number], int(row - self._starts[number])

    def id_of(self, row: int) -> str:
        """Return the id of the image in a row."""
        pack, index = self.locate(row)
        return str(pack.ids[index])

    def read(self, rows: npt.NDArray[np.int64], out: npt.NDArray[np.uint8]) -> None:
        """Read the images of rows into ``out``, (len(rows), H, W, C) uint8, C-contiguous; safe in threads.

        Raises
        ------
        PackDamaged
            An image cannot be decoded; it is named.
        """
        if len(self.packs) == 1:
            self.packs[0].read(rows, out=out)
            return
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        indices = rows - self._starts[numbers]
        for number, index, image in zip(numbers, indices, out, strict=True):
            self.packs[number].read_into(index, image)

    def advise(self, rows: npt.NDArray[np.int64]) -> None:
        """Tell the system that the images of rows will be read soon."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            self.packs[number].advise(rows[numbers == number] - self._starts[number])

    def read_into(self, row: int, out: npt.NDArray[np.uint8]) -> None:
        """Read one image into ``out``, (H, W, C) uint8, C-contiguous; safe in threads; errors as in :meth:`read`."""
        pack, index = self.locate(row)
        pack.read_into(index, out)


def choose_rows(rows: npt.ArrayLike | None, count: int) -> npt.NDArray[np.int64]:
    """Return row numbers (n,) from ``None`` (all), numbers, or a mask (count,) of bool; each at most once.

    Raises
    ------
    OptionError
        A row that is not there, or twice, or a mask of another length.
    """
    if rows is None:
        return np.arange(count)
    chosen = np.asarray(rows)
    if chosen.dtype == np.bool_:
        if chosen.shape != (count,):
            raise OptionError("rows: a mask must have one value for each row", expected=(count,), got=chosen.shape)
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or (len(chosen) and not np.issubdtype(chosen.dtype, np.integer)):
        raise OptionError("rows must be whole numbers or a mask", got=f"{chosen.dtype}, shape {chosen.shape}")
    chosen = chosen.astype(np.int64)
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < count):
        wrong = chosen[(chosen < 0) | (chosen >= count)][0]
        raise OptionError("rows: no such row", expected=f"0 ... {count - 1}", got=int(wrong))
    values, times = np.unique(chosen, return_counts=True)
    if len(values) < len(chosen):
        raise OptionError("rows: every row at most once", got=f"row {values[times > 1][0]} more than once")
    return chosen


def _require_alike(pack: Pack, first: Pack) -> None:
    if pack.recipe_digest != first.recipe_digest:
        if pack.recipe is not None and first.recipe is not None:
            require_same(pack.recipe, first.recipe, pack.name)
        expected, got = ("not told" if recipe is None else recipe.describe() for recipe in (first.recipe, pack.recipe))
        raise RecipeMismatch(
            f"{pack.name} was baked with another recipe than {first.name}", expected=expected, got=got, do="pack again"
        )
    if pack.shape != first.shape:
        raise PackError(
            f"{pack.name} and {first.name} cannot be loaded together: their images differ in shape",
            expected=first.shape,
            got=pack.shape,
            do="pack both with the same recipe and --size",
        )
