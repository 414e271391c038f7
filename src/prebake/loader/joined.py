"""Several packs as one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.store import PackRows, Packs

__all__ = ["JoinedPacks", "choose_rows"]


class JoinedPacks:
    """Packs of the same shape and recipe, read as one; their rows are numbered through. A pack may come several times.

    Parameters
    ----------
    packs
        A pack, a path or a pattern, or several.

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
        self._rows = PackRows.of(packs, repeated=True)
        self.packs, self.labels = self._rows.packs, self._rows.labels
        self._rows.require_alike()
        self.shape: tuple[int, int, int] = self.packs[0].shape

    def __len__(self) -> int:
        return len(self._rows)

    def id_of(self, row: int) -> str:
        """Return the id of the image in a row."""
        pack, index = self._rows.place(row)
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
        else:
            self._rows.read(rows, out)

    def advise(self, rows: npt.NDArray[np.int64]) -> None:
        """Tell the system that the images of rows will be read soon."""
        self._rows.advise(rows)

    def read_into(self, row: int, out: npt.NDArray[np.uint8]) -> None:
        """Read one image into ``out``, (H, W, C) uint8, C-contiguous; safe in threads; errors as in :meth:`read`."""
        pack, index = self._rows.place(row)
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
