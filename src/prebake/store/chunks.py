"""Where the chunks of a dataset lie: their tree is read at once; HDF5 lists the chunks of what is indexed otherwise.

HDF5 itself calls back into Python for every chunk, which took most of the time of opening a pack, and it follows nodes
that lead back to themselves until the process dies. So a tree that is found and is not sound is refused, not handed to
HDF5; it is found in every file of ours and of 2019.
"""

from __future__ import annotations

import os
import struct
from array import array
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["chunk_count", "chunk_table"]

# The HDF5 File Format Specification 3.0 calls these: superblock II.A, object header IV.A.1.a, data layout message
# IV.A.2.i, version 1 B-tree nodes III.A.1 with keys for chunked raw data.
SUPERBLOCK = b"\x89HDF\r\n\x1a\n\0"  # signature and version 0
NOWHERE = 2**64 - 1  # the address of what was never written
FAN_OUT = 64  # children of a node: twice the 32 of every file with a superblock of version 0
LAYOUT_MESSAGE = 8
ENTRY = np.dtype([("size", "<u4"), ("mask", "<u4"), ("place", "<u8", (5,)), ("child", "<u8")])
NODE = np.dtype(
    [
        ("signature", "S4"),
        ("kind", "u1"),
        ("level", "u1"),
        ("used", "<u2"),
        ("siblings", "<u8", (2,)),
        ("entries", ENTRY, (FAN_OUT,)),
    ]
)


def chunk_table(images: h5py.h5d.DatasetID) -> NDArray[np.uint64]:
    """Return first row, filter mask, offset and size of every chunk, uint64 (M, 4), in no particular order.

    Parameters
    ----------
    images
        A dataset of four dimensions in chunks of one row. What the file says of the chunks is not checked.

    Raises
    ------
    ValueError
        The tree of the chunks is damaged.
    """
    entries = _from_tree(images)
    if entries is None:
        return _from_hdf5(images)
    if entries["place"][:, 1:].any():
        raise ValueError("a chunk that does not begin with an image")
    fields = (entries["place"][:, 0], entries["mask"], entries["child"], entries["size"])
    return np.stack([field.astype(np.uint64) for field in fields], axis=1)


def chunk_count(images: h5py.h5d.DatasetID) -> int:
    """Return the number of chunks of a dataset of four dimensions; ValueError as :func:`chunk_table`."""
    entries = _from_tree(images)
    return images.get_num_chunks() if entries is None else len(entries)


def _from_hdf5(images: h5py.h5d.DatasetID) -> NDArray[np.uint64]:
    found = array("Q")

    def note(info: h5py.h5d.StoreInfo) -> None:
        position, mask, offset, size = info
        found.extend((position[0], mask, offset, size))

    images.chunk_iter(note)
    return np.array(found, np.uint64).reshape(-1, 4)


def _from_tree(images: h5py.h5d.DatasetID) -> NDArray[Any] | None:
    """Go down the version 1 B-tree of the chunks, level by level; ``None``: the index is of another kind."""
    handle = h5py.h5i.get_file_id(images).get_vfd_handle()
    root, end = _root(images, handle), os.fstat(handle).st_size - NODE.itemsize
    if root is None:
        return None
    if root == NOWHERE:
        return np.empty(0, ENTRY)
    addresses, level = np.array([root], np.uint64), None
    while True:
        ordered = np.sort(addresses)
        apart = (np.diff(ordered) >= NODE.itemsize).all()  # so nodes never take more memory than the file
        if len(ordered) == 0 or not apart or ordered[-1] > end:
            raise ValueError("the tree of the chunks leads nowhere")
        # Not from the mapped file: nodes lie far apart, and a page fault takes longer than a call.
        read = b"".join([os.pread(handle, NODE.itemsize, address) for address in addresses.tolist()])
        nodes = np.frombuffer(read, NODE)
        level = nodes["level"][0] if level is None else level - 1
        fits = (nodes["signature"] == b"TREE") & (nodes["kind"] == 1) & (nodes["level"] == level)
        if not (fits & (nodes["used"] <= FAN_OUT)).all():
            raise ValueError("a node in the tree of the chunks is damaged")
        entries = nodes["entries"][np.arange(FAN_OUT) < nodes["used"][:, None]]
        if level == 0:
            return entries
        addresses = entries["child"]


def _root(images: h5py.h5d.DatasetID, handle: int) -> int | None:
    """Return the address of the root of the tree, from the data layout message in the dataset's object header."""
    start = os.pread(handle, 32, 0)
    sizes, base = start[13:15], start[24:32]
    if not start.startswith(SUPERBLOCK) or sizes != b"\x08\x08" or base != bytes(8):
        return None
    header = os.pread(handle, 65_536, h5py.h5g.get_objinfo(images).objno[0])
    if len(header) < 16 or header[0] != 1:
        return None
    end = min(16 + int.from_bytes(header[8:12], "little"), len(header))
    chunk = images.get_create_plist().get_chunk()
    message = struct.Struct(f"<BBBQ{len(chunk) + 1}I")
    place = 16
    while place + 8 + message.size <= end:
        kind, size = struct.unpack_from("<HH", header, place)
        if kind == LAYOUT_MESSAGE:
            version, sort, rank, root, *sides = message.unpack_from(header, place + 8)
            known = (version, sort, rank, sides) == (3, 2, len(chunk) + 1, [*chunk, 1])
            return int(root) if known else None
        place += 8 + size
    return None
