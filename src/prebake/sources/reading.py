"""The bytes of one file out of a folder, a .zip or a .tar, here or elsewhere."""

# file descriptors and plain strings, for they are read by the hundred thousand
# ruff: noqa: PTH118, PTH123
from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from prebake.errors import SourceError
from prebake.remote import DENIED, as_url, in_order, look, prepare, read
from prebake.sources.containers import BROKEN, UNTOLD, URL

if TYPE_CHECKING:
    from prebake.records import Sample
    from prebake.remote import Found

__all__ = ["MAX_BYTES", "read_ahead", "read_bytes", "read_member"]

Piece = Callable[[int, int], bytes]
"""Reads so many bytes from a place on: of ``pread``, fewer where the file ends."""

MAX_BYTES = 2**30
"""A file larger than this (1 GiB encoded) is not read: it is no photograph, whatever its name."""

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT 6.3.10, section 4.3.7
_BLOCK = 1 << 18
_ROOM = 1024  # for the header of a member, and for what deflate adds to bytes that it cannot make fewer
AHEAD, AHEAD_BYTES = 8, 64 << 20  # photographs that are asked for before they are needed, where they lie elsewhere


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
    return read_member(sample.root, sample.member, sample.size, sample.stamp, f"{sample.id} ({sample.place})")


@contextlib.contextmanager
def read_ahead(samples: Sequence[Sample]) -> Iterator[Callable[[Sample], bytes]]:
    """Give what reads these photographs, one after the other, in their order: :func:`read_bytes`, where they lie here.

    Of those that lie elsewhere a few are read ahead, in threads. Errors are raised when it is a photograph's turn; what
    reads URLs of that kind is loaded first, and raises :class:`MissingExtra` where it is not installed.

    Examples
    --------
    >>> with read_ahead(samples) as read:  # doctest: +SKIP
    ...     for sample in samples:
    ...         data = read(sample)
    """
    elsewhere = [url for root in {sample.root for sample in samples} if (url := as_url(root)) is not None]
    if not elsewhere:
        yield read_bytes
        return
    for url in elsewhere:
        prepare(url)
    ahead = in_order(read_bytes, samples, lambda sample: sample.size, most=AHEAD, heaviest=AHEAD_BYTES)
    with contextlib.closing(ahead):
        yield lambda _: next(ahead)()


def read_member(root: str, member: str, size: int, stamp: str, what: str) -> bytes:
    """Read one listed file; ``what`` names it in errors. See :func:`read_bytes`."""
    kind, *place = stamp.split(":")
    if size == BROKEN:
        raise SourceError(f"{what} is a link that leads nowhere")
    if size > MAX_BYTES:
        raise SourceError(f"{what} is too large to be a photograph", expected=f"at most {MAX_BYTES} bytes", got=size)
    elsewhere = as_url(root) is not None
    try:
        if elsewhere:
            return _read_elsewhere(root, member, size, stamp)
        if kind == "file":
            return _read_file(os.path.join(root, member), size)
        descriptor = os.open(root, os.O_RDONLY)
        try:
            if os.fstat(descriptor).st_mtime_ns != int(place[0]):
                raise _Changed("the archive was written to")
            return _read_archived(partial(_pread, descriptor), kind, place, size)
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
        do = DENIED if elsewhere and isinstance(error, PermissionError) else None
        raise SourceError(f"{what} cannot be read: {error.strerror or error}", do=do) from error


def _read_file(path: str, size: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        found = os.fstat(file.fileno()).st_size
        if found != size:
            raise _Changed(f"it had {size} bytes and has {found}")
        return _read_exactly(partial(_pread, file.fileno()), size, 0)


def _pread(descriptor: int, size: int, offset: int) -> bytes:
    return os.pread(descriptor, size, offset)


def _read_elsewhere(root: str, member: str, size: int, stamp: str) -> bytes:
    """Read what a URL means with one request, and ask with another whether it still is what was listed.

    In this order: what is the same afterwards was the same when it was read.
    """
    kind, version, *place = stamp.split(":")
    url = f"{root}/{member}" if kind == URL else root
    try:
        data = read(url, 0, size) if kind == URL else _read_part(url, kind, ["", *place], size)
    except (OSError, _Changed):
        with contextlib.suppress(OSError):
            _require_same(look(url, attempts=1), version)
        raise
    _require_same(look(url), version)
    return data


def _require_same(now: Found, version: str) -> None:
    if not version.startswith(UNTOLD) and now.version != version:
        raise _Changed("the server has another version of it")


def _read_part(url: str, kind: str, place: Sequence[str], size: int) -> bytes:
    """Read a member of an archive out of one piece that is large enough, as a rule."""
    start = int(place[1])
    ahead = read(url, start, size + _ROOM, upto=True)

    def piece(size: int, offset: int) -> bytes:
        inside = ahead[offset - start : offset - start + size]
        return inside or read(url, offset, size, upto=True)

    return _read_archived(piece, kind, place, size)


def _read_archived(piece: Piece, kind: str, place: Sequence[str], size: int) -> bytes:
    if kind == "tar":
        return _read_exactly(piece, size, int(place[1]))
    return _read_zipped(piece, int(place[1]), size, int(place[2], 16))


def _read_exactly(piece: Piece, size: int, offset: int) -> bytes:
    """Read without moving the file position; most files come in one piece."""
    data = piece(size, offset)
    if len(data) == size:
        return data
    pieces = [data]
    missing = size - len(data)
    while missing and pieces[-1]:
        pieces.append(piece(missing, offset + size - missing))
        missing -= len(pieces[-1])
    if missing:
        raise _Changed(f"it ends {missing} bytes early")
    return b"".join(pieces)


def _read_zipped(piece: Piece, offset: int, size: int, crc: int) -> bytes:
    """Read the member whose local header lies at ``offset``."""
    header = _read_exactly(piece, _LOCAL_HEADER.size, offset)
    signature, _, _, method, _, _, _, _, _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        raise _Changed("no member of the archive starts where it did")
    start = offset + _LOCAL_HEADER.size + name_length + extra_length
    data = _inflate(piece, start, size) if method else _read_exactly(piece, size, start)
    if zlib.crc32(data) != crc:
        raise _Changed("its checksum in the archive does not match its bytes")
    return data


def _inflate(piece: Piece, offset: int, size: int) -> bytes:
    """Inflate until the stream ends, but never past ``size`` bytes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces = []
    room = size + 1
    try:
        while not inflater.eof and room:
            data = piece(_BLOCK, offset)
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
