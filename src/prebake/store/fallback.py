"""What only HDF5 itself can do: filters that are not ours, and images behind them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HDF5_ERRORS", "filters_of", "has_filter", "read_through_hdf5"]

# What h5py makes of the errors of libhdf5 on a file whose structure is damaged.
HDF5_ERRORS = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def has_filter(number: int) -> bool:
    """Tell whether HDF5 has a filter, if need be after loading those of hdf5plugin."""
    if not h5py.h5z.filter_avail(number):
        import hdf5plugin  # noqa: F401, PLC0415 - registers its filters, and is slow to load
    return bool(h5py.h5z.filter_avail(number))


def filters_of(create: h5py.h5p.PropDCID) -> list[int]:
    """Return the numbers of a dataset's filters, in order."""
    return [create.get_filter(position)[0] for position in range(create.get_nfilters())]


def read_through_hdf5(buffer: NDArray[np.uint8], name: str, row: int, out: NDArray[np.uint8]) -> None:
    """Read one image that only HDF5 can decode into ``out``, uint8 (H, W, C): slow, one thread at a time, never wrong.

    The file is opened anew from the mapped memory and closed again, so nothing of HDF5 crosses a fork, and a file
    that has been replaced since is still the one that was opened.
    """
    with h5py.File(_Mapped(buffer), "r") as file:
        images = file[name]
        for number in filters_of(images.id.get_create_plist()):
            has_filter(number)
        images.read_direct(out, np.s_[row])


class _Mapped(io.RawIOBase):
    """A mapped file as a file object."""

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        super().__init__()
        self._buffer, self._position = buffer, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._buffer)}[whence]
        return self._position

    def readinto(self, target: Any) -> int:
        data = self._buffer[self._position : self._position + len(target)]
        memoryview(target)[: len(data)] = data.data
        self._position += len(data)
        return len(data)
