"""Where the tree of a dataset's chunks begins: the data layout message, out of the bytes of its object header.

HDF5 does not tell that address, and whoever walks the tree with care needs it. Object headers of both versions are
read, with their continuation blocks. HDF5 has opened the dataset before, so what is not understood here is of a kind
that neither prebake nor h5py writes: it is refused.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import h5py

if TYPE_CHECKING:
    from h5py.h5d import DatasetID

__all__ = ["tree_root"]

# The HDF5 File Format Specification 3.0 calls these: superblock II.A, object headers IV.A.1, data layout message
# IV.A.2.i, object header continuation message IV.A.2.q.
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SIZES_AND_BASE = {0: (13, 24), 2: (9, 12), 3: (9, 12)}  # by version of the superblock: where these fields are
CONTINUATION, LAYOUT = 16, 8  # types of messages
TREE_LAYOUT = 3  # version of the message that means a version 1 B-tree; later ones have other indexes
CHUNKED = 2
MOST_BYTES = 1 << 20  # of an object header; continuations may lead in circles


def tree_root(dataset: DatasetID, handle: int) -> int | None:
    """Return the address of the root of the version 1 B-tree of a chunked dataset; ``None``: its index is a later kind.

    Parameters
    ----------
    dataset
        The dataset.
    handle
        Descriptor of its file.

    Raises
    ------
    ValueError
        The file or the object header is damaged, or of a kind that is not known here.
    """
    _require_known_file(handle)
    chunk = dataset.get_create_plist().get_chunk()
    fields = struct.Struct(f"<BBBQ{len(chunk) + 1}I")
    for kind, message in _messages(handle, h5py.h5g.get_objinfo(dataset).objno[0]):
        if kind != LAYOUT:
            continue
        version, sort = message[:2]
        if version > TREE_LAYOUT and sort == CHUNKED:
            return None
        if version != TREE_LAYOUT or sort != CHUNKED or len(message) < fields.size:
            raise ValueError(f"a data layout of version {version}, which neither prebake nor h5py writes")
        _, _, rank, root, *sides = fields.unpack_from(message)
        if (rank, sides) != (len(chunk) + 1, [*chunk, dataset.dtype.itemsize]):
            raise ValueError("the data layout is damaged")
        return int(root)
    raise ValueError("an object header without a data layout")


def _require_known_file(handle: int) -> None:
    start = os.pread(handle, 48, 0).ljust(48, b"\0")
    sizes, base = SIZES_AND_BASE.get(start[8], (0, 0))
    if not start.startswith(SIGNATURE) or start[sizes : sizes + 2] != b"\x08\x08" or start[base : base + 8] != bytes(8):
        raise ValueError(f"a superblock of version {start[8]} of a kind that neither prebake nor h5py writes")


def _messages(handle: int, address: int) -> Iterator[tuple[int, bytes]]:
    """Give type and data of each message of an object header, block by block."""
    start, head = os.pread(handle, 64, address), struct.Struct("<HH4x")
    if start.startswith(b"OHDR\2"):
        flags = start[5]
        head = struct.Struct("<BHx2x" if flags & 4 else "<BHx")
        place, width = 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1), 1 << (flags & 3)
        blocks = [(address + place + width, int.from_bytes(start[place : place + width], "little"))]
    else:
        blocks = [(address + 16, int.from_bytes(start[8:12], "little") if start[:1] == b"\1" else 0)]
    left = MOST_BYTES
    for place, length in blocks:
        left -= length
        block = os.pread(handle, length, place) if left > 0 else b""
        at = 4 if block.startswith(b"OCHK") else 0
        while at + head.size <= len(block):
            kind, size = head.unpack_from(block, at)
            message = block[at + head.size : at + head.size + size]
            at += head.size + size
            if kind == CONTINUATION and len(message) >= 16:
                blocks.append(struct.unpack_from("<QQ", message))
            elif len(message) >= 2:
                yield kind, message
