"""Texts of any length, out of the global heap of a file: one flipped bit there, and HDF5 does not come to an end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ELEMENT_BYTES", "variable_texts"]

# The HDF5 File Format Specification 3.0 calls these: variable-length data VIII.B, global heap III.E.
ELEMENT = struct.Struct("<IQI")  # length, address of the collection, number of the object in it
COLLECTION, OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<HHIQ")
ELEMENT_BYTES = ELEMENT.size
MOST_BYTES = 1 << 30  # of all texts: a million of them may be one and the same of a megabyte


def variable_texts(file: NDArray[np.uint8], start: int, count: int) -> NDArray[Any]:
    """Return the texts, bytes (count,), whose references lie at ``start``.

    Parameters
    ----------
    file
        The mapped file.
    start, count
        Where the references begin, and how many there are.

    Raises
    ------
    ValueError
        References or heap are damaged.
    """
    collections: dict[int, dict[int, bytes]] = {}
    left, found = len(file), np.empty(count, object)
    lengths = file[start : start + count * ELEMENT.size].reshape(-1, ELEMENT.size)[:, :4].copy().view("<u4")
    if int(lengths.sum(dtype=np.uint64)) > MOST_BYTES:
        raise ValueError("texts that are too long for ids")
    for place, (length, address, number) in enumerate(
        ELEMENT.iter_unpack(file[start : start + count * ELEMENT.size].data)
    ):
        if length and address not in collections:
            objects, size = _collection(file, address)
            collections[address] = objects
            left -= size
            if left < 0:
                raise ValueError("collections of the heap overlap")
        text = collections[address].get(number) if length else b""
        if text is None or len(text) != length:
            raise ValueError("a text that is not in the heap")
        found[place] = text
    return found


def _collection(file: NDArray[np.uint8], address: int) -> tuple[dict[int, bytes], int]:
    """Return the objects of a collection by number, and its size."""
    head = file[address : address + COLLECTION.size].tobytes() if address < len(file) else b""
    signature, version, size = COLLECTION.unpack(head) if len(head) == COLLECTION.size else (b"", 0, 0)
    if (signature, version) != (b"GCOL", 1) or not COLLECTION.size <= size <= len(file) - address:
        raise ValueError("a collection of the heap is damaged")
    data, at, objects = file[address : address + size].tobytes(), COLLECTION.size, {}
    while at + OBJECT.size <= size:
        number, _, _, length = OBJECT.unpack_from(data, at)
        if number == 0:  # what is free, up to the end
            break
        if length > size - at - OBJECT.size:
            raise ValueError("an object of the heap is damaged")
        objects[number] = data[at + OBJECT.size : at + OBJECT.size + length]
        at += OBJECT.size + -(-length // 8) * 8
    return objects, size
