"""How one image is stored: raw, zstd or gzip, each a frozen dataclass that knows its HDF5 filter."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar, Protocol

import cramjam
import deflate
import numpy as np
from numpy.typing import NDArray

from prebake.errors import OptionError

__all__ = ["CODECS", "Codec", "Gzip", "Raw", "Zstd", "codec_named"]

CODECS = ("raw", "zstd", "gzip")

Pixels = NDArray[np.uint8]


class Codec(Protocol):
    """What turns one image into the bytes of its HDF5 chunk and back."""

    name: ClassVar[str]

    @property
    def filter_id(self) -> int | None:
        """Number of the HDF5 filter; ``None`` for pixels that are stored as they are, in one contiguous dataset."""

    @property
    def filter_options(self) -> tuple[int, ...]:
        """Values that HDF5 keeps with the filter."""

    def encode(self, image: Pixels) -> bytes:
        """Return the encoded bytes of a C-contiguous image."""

    def decode(self, data: Pixels, out: Pixels) -> bool:
        """Decode ``data`` into all of C-contiguous ``out``; ``False`` when it does not decode to exactly that size.

        The global interpreter lock is released while decoding.
        """


@dataclass(frozen=True, slots=True)
class Raw:
    """Pixels as they are: read at the speed of memory."""

    name: ClassVar[str] = "raw"
    filter_id: ClassVar[int | None] = None
    filter_options: ClassVar[tuple[int, ...]] = ()

    def encode(self, image: Pixels) -> bytes:
        """Return the pixels."""
        return image.tobytes()

    def decode(self, data: Pixels, out: Pixels) -> bool:
        """Copy the pixels."""
        if data.nbytes != out.nbytes:
            return False
        np.copyto(out.reshape(-1), data)
        return True


@dataclass(frozen=True, slots=True)
class Zstd:
    """Zstandard, one frame an image (HDF5 filter 32015; plain h5py reads it after ``import hdf5plugin``)."""

    name: ClassVar[str] = "zstd"
    filter_id: ClassVar[int | None] = 32015
    level: int = 1

    @property
    def filter_options(self) -> tuple[int, ...]:
        """The level."""
        return (self.level,)

    def encode(self, image: Pixels) -> bytes:
        """Return one zstd frame that states its content size."""
        return bytes(cramjam.zstd.compress(image.reshape(-1).data, self.level))

    def decode(self, data: Pixels, out: Pixels) -> bool:
        """Decode the frame straight into ``out``."""
        if _zstd_content_size(data) != out.nbytes:
            return False
        try:
            return int(cramjam.zstd.decompress_into(data.data, out.reshape(-1).data)) == out.nbytes
        except cramjam.DecompressionError:
            return False


@dataclass(frozen=True, slots=True)
class Gzip:
    """Deflate in a zlib wrapper (HDF5 filter 1): slower and larger than zstd, read by everything."""

    name: ClassVar[str] = "gzip"
    filter_id: ClassVar[int | None] = 1
    level: int = 2

    @property
    def filter_options(self) -> tuple[int, ...]:
        """The level."""
        return (self.level,)

    def encode(self, image: Pixels) -> bytes:
        """Return one zlib stream."""
        return zlib.compress(image.data, self.level)

    def decode(self, data: Pixels, out: Pixels) -> bool:
        """Decode the stream; its own checksum (Adler-32) is checked on the way."""
        try:
            # No more than fits is ever decoded: a stream that is too long is an error, and a bomb stays small.
            pixels = deflate.zlib_decompress(data.data, out.nbytes)
        except deflate.DeflateError:
            return False
        if len(pixels) != out.nbytes:
            return False
        np.copyto(out.reshape(-1), np.frombuffer(pixels, np.uint8))
        return True


_BY_NAME: dict[str, Codec] = {codec.name: codec for codec in (Raw(), Zstd(), Gzip())}


def codec_named(name: str) -> Codec:
    """Return the codec of a name out of :data:`CODECS`.

    Examples
    --------
    >>> codec_named("zstd").filter_id
    32015
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise OptionError("unknown codec", expected=", ".join(CODECS), got=repr(name)) from None


def _zstd_content_size(data: Pixels) -> int | None:
    """Return the content size that the first frame states (RFC 8878, section 3.1.1.1), ``None`` if it states none."""
    head = data[:18].tobytes()
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = head[4]
    single_segment, size_flag = descriptor >> 5 & 1, descriptor >> 6
    start = 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3]
    length = (1 if single_segment else 0, 2, 4, 8)[size_flag]
    if not length or len(head) < start + length:
        return None
    return int.from_bytes(head[start : start + length], "little") + (256 if length == 2 else 0)
