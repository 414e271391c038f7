"""Where the chunks of a dataset lie: their tree is read at once; HDF5 lists the chunks of what is indexed otherwise.

HDF5 itself calls back into Python for every chunk, which took most of the time of opening a pack, and it follows nodes
that lead back to themselves until the process dies. So no tree is handed to HDF5 that was not found to be sound, and
indexes of other kinds, which neither prebake nor the 2019 kernel wrote, only in a process of their own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from prebake.store.listing import chunks_by_hdf5
from prebake.store.object_header import tree_root

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["chunk_table"]

# The HDF5 File Format Specification 3.0, III.A.1: version 1 B-tree nodes with keys for chunked raw data.
NOWHERE = 2**64 - 1  # the address of what was never written
FAN_OUT = 64  # children of a node: twice the 32 of every file that h5py writes


def chunk_table(dataset: h5py.h5d.DatasetID) -> NDArray[np.uint64]:
    """Return place, filter mask, offset and size of every chunk, uint64 (M, dimensions + 3), in no particular order.

    Parameters
    ----------
    dataset
        A chunked dataset. What the file says of the chunks is not checked.

    Raises
    ------
    ValueError
        The index of the chunks is damaged, or of a kind that is not known.
    """
    handle = h5py.h5i.get_file_id(dataset).get_vfd_handle()
    root = tree_root(dataset, handle)
    if root is None:
        return chunks_by_hdf5(dataset, handle)
    rank = len(dataset.shape)
    if root == NOWHERE:
        return np.empty((0, rank + 3), np.uint64)
    entries = _leaves(handle, root, _node(rank))
    if entries["place"][:, rank:].any():
        raise ValueError("a chunk that does not begin with a value")
    fields = [*entries["place"][:, :rank].T, entries["mask"], entries["child"], entries["size"]]
    return np.stack([field.astype(np.uint64) for field in fields], axis=1)


def _node(rank: int) -> np.dtype[Any]:
    """Return how a node lies in the file, in a tree of so many dimensions."""
    entry = np.dtype([("size", "<u4"), ("mask", "<u4"), ("place", "<u8", (rank + 1,)), ("child", "<u8")])
    head = [("signature", "S4"), ("kind", "u1"), ("level", "u1"), ("used", "<u2"), ("siblings", "<u8", (2,))]
    return np.dtype([*head, ("entries", entry, (FAN_OUT,))])


def _leaves(handle: int, root: int, node: np.dtype[Any]) -> NDArray[Any]:
    """Go down the tree, level by level, and return the entries of all leaves."""
    end = os.fstat(handle).st_size - node.itemsize
    addresses, level = np.array([root], np.uint64), None
    while True:
        ordered = np.sort(addresses)
        apart = (np.diff(ordered) >= node.itemsize).all()  # so nodes never take more memory than the file
        if len(ordered) == 0 or not apart or ordered[-1] > end:
            raise ValueError("the tree of the chunks leads nowhere")
        # Not from the mapped file: nodes lie far apart, and a page fault takes longer than a call.
        read = b"".join([os.pread(handle, node.itemsize, address) for address in addresses.tolist()])
        nodes = np.frombuffer(read, node)
        level = nodes["level"][0] if level is None else level - 1
        fits = (nodes["signature"] == b"TREE") & (nodes["kind"] == 1) & (nodes["level"] == level)
        if not (fits & (nodes["used"] <= FAN_OUT)).all():
            raise ValueError("a node in the tree of the chunks is damaged")
        entries = nodes["entries"][np.arange(FAN_OUT) < nodes["used"][:, None]]
        if level == 0:
            return entries
        addresses = entries["child"]
