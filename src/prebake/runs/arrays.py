"""Arrays out of an ``.npz`` of a stranger: nothing is unpickled, and no memory is taken for what is not there."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_arrays"]

# What zipfile, zlib and numpy make of bytes that are no such file.
_DAMAGED = (
    *(ArithmeticError, EOFError, LookupError, OSError, RuntimeError, SyntaxError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def read_arrays(path: Path, names: Sequence[str], most_bytes: int) -> list[NDArray[Any]]:
    """Read arrays by name.

    :func:`numpy.load` takes memory for the shape that a member claims before it reads it, and a member may claim
    anything; here both are compared first.

    Parameters
    ----------
    path
        The file.
    names
        The arrays, as :func:`numpy.savez` was given them.
    most_bytes
        What they may take together.

    Raises
    ------
    ValueError
        The file is damaged, lacks one of them, one holds Python objects, or they are larger than that.
    """
    arrays, left = [], most_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                info = archive.getinfo(f"{name}.npy")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{name} is compressed in a way that numpy does not write")
                with archive.open(info) as member:
                    arrays.append(_array(member, min(left, info.file_size)))
                left -= arrays[-1].nbytes
    except _DAMAGED as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return arrays


def _array(member: IO[bytes], most_bytes: int) -> NDArray[Any]:
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"version {version} of the array format, which prebake does not write")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(member)
    nbytes = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or by_columns or min(shape, default=0) < 0:
        raise ValueError(f"an array of type {dtype} and shape {shape}")
    if nbytes > most_bytes:
        raise ValueError(f"an array that claims {nbytes} bytes where there can be {most_bytes}")
    data = member.read(nbytes)
    if len(data) != nbytes:
        raise ValueError(f"an array that claims {nbytes} bytes and has {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape)
