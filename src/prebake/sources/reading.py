"""The bytes of one file out of a folder, a .zip or a .tar."""

# file descriptors and plain strings, for they are read by the hundred thousand
# ruff: noqa: PTH118, PTH123
from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

from prebake.errors import SourceError
from prebake.sources.containers import BROKEN

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = ["MAX_BYTES", "read_bytes", "read_member"]

MAX_BYTES = 2**30
"""A file larger than this (1 GiB encoded) is not read: it is no photograph, whatever its name."""

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT 6.3.10, section 4.3.7
_BLOCK = 1 << 18


class _Changed(Exception):
    """The file is not what it was when the source was listed."""


def read_bytes(sample: Sample) -> bytes:
    """Read the encoded bytes of a photograph, as they lie in the folder or archive.

    Safe in threads and across forks: nothing is kept open between calls.

    Parameters
    ----------
    sample
        A sample of :func:`prebake.sources.scan`.

    Raises
    ------
    SourceError
        The photograph is gone, cannot be read, or is no longer what was listed: another size, another archive, or
        (in a .zip) another checksum. The message carries id and path.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from prebake.sources import read_bytes, scan
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "eye.jpg").write_bytes(b"not yet decoded")
    >>> read_bytes(scan(folder)[0])
    b'not yet decoded'
    """
    what = f"{sample.id} ({os.path.join(sample.root, sample.member)})"
    return read_member(sample.root, sample.member, sample.size, sample.stamp, what)


def read_member(root: str, member: str, size: int, stamp: str, what: str) -> bytes:
    """Read one listed file; ``what`` names it in errors. See :func:`read_bytes`."""
    kind, *place = stamp.split(":")
    if size == BROKEN:
        raise SourceError(f"{what} is a link that leads nowhere")
    if size > MAX_BYTES:
        raise SourceError(f"{what} is too large to be a photograph", expected=f"at most {MAX_BYTES} bytes", got=size)
    try:
        if kind == "file":
            return _read_file(os.path.join(root, member), size)
        descriptor = os.open(root, os.O_RDONLY)
        try:
            if os.fstat(descriptor).st_mtime_ns != int(place[0]):
                raise _Changed("the archive was written to")
            if kind == "tar":
                return _read_exactly(descriptor, int(place[1]), size)
            return _read_zipped(descriptor, int(place[1]), size, int(place[2], 16))
        finally:
            os.close(descriptor)
    except _Changed as change:
        raise SourceError(
            f"{what} has changed since it was listed: {change}",
            do="run the same command again when nothing writes to it",
        ) from None
    except FileNotFoundError:
        raise SourceError(
            f"{what} is gone: it was there when the source was listed",
            do="put it back, or run the command again without it",
        ) from None
    except OSError as error:
        raise SourceError(f"{what} cannot be read: {error.strerror or error}") from error


def _read_file(path: str, size: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        found = os.fstat(file.fileno()).st_size
        if found != size:
            raise _Changed(f"it had {size} bytes and has {found}")
        return _read_exactly(file.fileno(), 0, size)


def _read_exactly(descriptor: int, offset: int, size: int) -> bytes:
    """Read without moving the file position; most files come in one piece."""
    data = os.pread(descriptor, size, offset)
    if len(data) == size:
        return data
    pieces = [data]
    missing = size - len(data)
    while missing and pieces[-1]:
        pieces.append(os.pread(descriptor, missing, offset + size - missing))
        missing -= len(pieces[-1])
    if missing:
        raise _Changed(f"it ends {missing} bytes early")
    return b"".join(pieces)


def _read_zipped(descriptor: int, offset: int, size: int, crc: int) -> bytes:
    """Read the member whose local header lies at ``offset``."""
    header = _read_exactly(descriptor, offset, _LOCAL_HEADER.size)
    signature, _, _, method, _, _, _, _, _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        raise _Changed("no member of the archive starts where it did")
    start = offset + _LOCAL_HEADER.size + name_length + extra_length
    data = _inflate(descriptor, start, size) if method else _read_exactly(descriptor, start, size)
    if zlib.crc32(data) != crc:
        raise _Changed("its checksum in the archive does not match its bytes")
    return data


def _inflate(descriptor: int, offset: int, size: int) -> bytes:
    """Inflate until the stream ends, but never past ``size`` bytes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces = []
    room = size + 1
    try:
        while not inflater.eof and room:
            data = os.pread(descriptor, _BLOCK, offset)
            if not data:
                raise _Changed("the archive is cut short")
            offset += len(data)
            pieces.append(inflater.decompress(data, room))
            room -= len(pieces[-1])
    except zlib.error as error:
        raise _Changed(f"its bytes in the archive are damaged ({error})") from None
    if room != 1:
        raise _Changed(f"it has not the {size} bytes that the archive's directory tells")
    return b"".join(pieces)
