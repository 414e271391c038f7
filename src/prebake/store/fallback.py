"""What only HDF5 itself can do: filters that are not ours, and images behind them."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import deflate
import h5py
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HARMLESS", "HDF5_ERRORS", "SHUFFLE", "filters_of", "has_filter", "read_through_hdf5", "require_no_bomb"]

# What h5py makes of the errors of libhdf5 on a file whose structure is damaged.
HDF5_ERRORS = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)

DEFLATE, SHUFFLE, FLETCHER32 = range(1, 4)
OWN = (*range(1, 7), 32000)  # the filters of HDF5 itself, and lzf of h5py
HARMLESS = (SHUFFLE, FLETCHER32)  # what they give is as large as what they are given, but for a checksum
CHECKSUM = 4  # bytes


def has_filter(number: int) -> bool:
    """Tell whether HDF5, h5py or hdf5plugin brings a filter.

    HDF5 is not asked for any other: it would look for a library of that number in its folders of plugins, and run it.
    """
    if number not in OWN:
        import hdf5plugin  # noqa: PLC0415 - registers its filters, and is slow to load

        if number not in hdf5plugin.FILTERS.values():
            return False
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
        require_no_bomb(images.id, [range(row, row + 1), *map(range, images.shape[1:])], buffer)
        images.read_direct(out, np.s_[row])


def require_no_bomb(dataset: h5py.h5d.DatasetID, region: Sequence[range], buffer: NDArray[np.uint8]) -> None:
    """Refuse deflated chunks that hold more than a chunk: HDF5 takes memory for all of it, a thousand times their size.

    Parameters
    ----------
    dataset
        A dataset with known filters.
    region
        What will be read of it, a range for each dimension.
    buffer
        The file.

    Raises
    ------
    ValueError
        A chunk of the region is of that kind, or damaged.
    """
    create = dataset.get_create_plist()
    numbers = filters_of(create)
    if DEFLATE not in numbers or create.get_layout() != h5py.h5d.CHUNKED:
        return
    chunk, bit = create.get_chunk(), 1 << numbers.index(DEFLATE)
    most = math.prod(chunk) * dataset.dtype.itemsize + CHECKSUM
    after = CHECKSUM * numbers[numbers.index(DEFLATE) :].count(FLETCHER32)
    starts = [range(part.start // side * side, part.stop, side) for part, side in zip(region, chunk, strict=True)]
    for place in itertools.product(*starts):
        found = dataset.get_chunk_info_by_coord(place)
        if found.byte_offset is None or found.filter_mask & bit:
            continue
        data = buffer[found.byte_offset : found.byte_offset + max(found.size - after, 0)]
        try:
            deflate.zlib_decompress(data.data, most)
        except deflate.DeflateError as error:
            raise ValueError(f"the chunk at {place} does not inflate to the size of a chunk: {error}") from None


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
