"""Packs whose images are compared with their checksums when they are read: always, or the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.loader.joined import JoinedPacks
from prebake.store.checksums import checksum

if TYPE_CHECKING:
    from prebake.store import Packs

__all__ = ["CheckedPacks", "Verify"]

Verify = bool | Literal["first"]


class CheckedPacks(JoinedPacks):
    """Packs read as one, with a memory of which images have yet to be compared with their checksums.

    Parameters
    ----------
    packs
        A pack or a path, or several.
    verify
        ``True``: every image whenever it is read; ``"first"``: each when it is first read; ``False``: none.

    Raises
    ------
    OptionError
        Another ``verify``; or a pack has no checksums.
    """

    def __init__(self, packs: Packs, verify: Verify) -> None:
        super().__init__(packs)
        if verify not in (True, False, "first"):
            raise OptionError("unknown verify", expected="True, False or 'first'", got=repr(verify))
        bare = [pack for pack in self.packs if not pack.columns]
        if verify and bare:
            raise OptionError(
                f"{bare[0].path} has no checksums: it is a file of the 2019 kernel",
                do="pack its photographs: prebake pack SOURCE... -o OUT.h5; or read it without verify",
            )
        self._once = verify == "first"
        self._due = np.full(len(self), bool(verify))
        self._checksums = np.concatenate([pack.checksum for pack in self.packs])

    def read(self, rows: npt.NDArray[np.int64], out: npt.NDArray[np.uint8]) -> None:
        """Read images as :meth:`JoinedPacks.read`, and compare those that are due."""
        super().read(rows, out)
        for place in np.flatnonzero(self._due[rows]).tolist():
            self._compare(int(rows[place]), out[place])

    def read_into(self, row: int, out: npt.NDArray[np.uint8]) -> None:
        """Read one image as :meth:`JoinedPacks.read_into`, and compare it where it is due."""
        super().read_into(row, out)
        if self._due[row]:
            self._compare(row, out)

    def _compare(self, row: int, image: npt.NDArray[np.uint8]) -> None:
        if checksum(image) != self._checksums[row]:
            pack, index = self._rows.place(row)
            pack.check(index, image)  # raises
        if self._once:
            self._due[row] = False
