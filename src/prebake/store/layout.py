"""Pack format 1 in code: names, dtypes and shapes of everything in a pack, and what a header and a row must be.

``docs/format.md`` says the same in words, for those who write a reader of their own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from prebake.errors import PackError, PackFormatError
from prebake.store.codecs import codec_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "FAILURE_COLUMNS", "FORMAT", "FORMAT_VERSION", "Column", "Header", "Row"]

FORMAT = "prebake pack"
FORMAT_VERSION = 1
NEEDS = "0.1.0"  # the first version of prebake that reads FORMAT_VERSION
IMAGES = "images"
IDS = "id_code"
FAILURES = "failures"
ALIGNMENT = 4096  # raw pixels start on a page
MAX_IMAGE_BYTES = 1 << 30  # one image; a shape that claims more is a lie or a mistake
MAX_ATTRIBUTE_BYTES = 60_000  # HDF5 keeps an attribute within 64 KB of its object's header

Shape = tuple[int, int, int]
Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Column:
    """One dataset beside the images: row ``i`` belongs to image ``i``.

    Parameters
    ----------
    name
        Name of the dataset; also the name of the attribute of :class:`prebake.store.Pack` unless that says otherwise.
    dtype
        Little-endian numpy dtype; ``"S"`` is fixed-length UTF-8, null padded, as wide as the longest value.
    tail
        Shape of one value; ``"C"`` stands for the number of channels.
    """

    name: str
    dtype: str
    tail: tuple[int | str, ...] = ()

    def shape(self, rows: int, channels: int) -> tuple[int, ...]:
        """Return the shape of the dataset."""
        return (rows, *(channels if size == "C" else int(size) for size in self.tail))

    def array(self, values: Sequence[Any], channels: int) -> NDArray[Any]:
        """Return the dataset of these values; ``None`` is ``""`` in text and NaN in numbers."""
        if self.dtype == "S":
            return text_array([value or "" for value in values], self.name)
        known = [math.nan if value is None else value for value in values]
        return np.array(known, self.dtype).reshape(self.shape(len(values), channels))


# In the order in which they are written and enter the digest.
COLUMNS = (
    Column(IDS, "S"),
    Column("label", "<f4"),
    Column("group", "S"),
    Column("source", "S"),
    Column("split", "S"),
    Column("path", "S"),
    Column("width", "<i4"),
    Column("height", "<i4"),
    Column("to_source", "<f8", (2, 3)),
    Column("source_digest", "S"),
    Column("source_bytes", "<i8"),
    Column("phash", "<u8"),
    Column("checksum", "<u8"),
    Column("mean", "<f4", ("C",)),
    Column("std", "<f4", ("C",)),
)
FAILURE_COLUMNS = (Column("id", "S"), Column("path", "S"), Column("reason", "S"))

# Text attributes of the root group, in the order in which they are written and enter the digest.
TEXT_ATTRIBUTES = ("recipe", "recipe_digest", "codec", "extra", "written_by")


@dataclass(frozen=True, slots=True)
class Header:
    """What a pack says of all its images.

    Parameters
    ----------
    recipe_json
        The recipe as canonical JSON.
    recipe_digest
        Its digest, 32 hexadecimal characters.
    size
        Side of the square images, in pixels.
    codec
        ``"raw"``, ``"zstd"`` or ``"gzip"``.
    extra
        Free text by name, such as ``codec_reason``. Part of the file's bytes: nothing that differs from run to run.
    """

    recipe_json: str
    recipe_digest: str
    size: int
    codec: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        codec_named(self.codec)
        json_object(self.recipe_json, "the recipe of a pack")
        if not re.fullmatch(r"[0-9a-f]{32}", self.recipe_digest):
            raise PackFormatError(
                "the recipe digest of a pack", expected="32 hexadecimal characters", got=repr(self.recipe_digest)
            )
        if self.size < 1:
            raise PackFormatError("the image size of a pack", expected="at least 1 pixel", got=self.size)
        for name, value in self.extra.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise PackFormatError("extra entries of a pack must be text", got=f"{name!r}: {value!r}")

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str], size: int) -> Header:
        """Return the header that a file states; :class:`prebake.errors.PrebakeError` when it cannot be one."""
        extra = json_object(attributes["extra"], "extra of a pack")
        return cls(attributes["recipe"], attributes["recipe_digest"], size, attributes["codec"], extra)

    @property
    def extra_json(self) -> str:
        """``extra`` as canonical JSON."""
        return canonical_json(dict(self.extra))


@dataclass(frozen=True, slots=True)
class Row:
    """What a pack says of one image; checksum, mean and standard deviation are computed from its pixels.

    Parameters
    ----------
    id
        Unique in the pack, not empty.
    label, group, source, split, path
        As in :class:`prebake.records.Sample`; ``None`` and ``""`` stand for "not known".
    width, height
        Size of the source photograph in pixels, after its EXIF orientation.
    to_source
        Affine (2, 3): pixel centre ``(x, y)`` of the baked image -> pixel coordinates in the source photograph.
    source_digest
        XXH3-128 of the encoded source file, 32 hexadecimal characters.
    source_bytes
        Its size in bytes.
    phash
        64-bit perceptual hash, 0 where there is none.
    """

    id: str
    label: float | None
    group: str | None
    source: str
    split: str
    path: str
    width: int
    height: int
    to_source: Matrix | NDArray[np.float64]
    source_digest: str
    source_bytes: int
    phash: int

    def __post_init__(self) -> None:
        if not self.id:
            raise PackError(f"{self.path or 'a row'}: an image must have an id", got="an empty id")
        for name in ("id", "group", "source", "split", "path"):
            require_text(getattr(self, name) or "", f"{self.id!r}: {name}")
        if np.shape(self.to_source) != (2, 3):
            raise PackError(f"{self.id}: to_source has the wrong shape", expected=(2, 3), got=np.shape(self.to_source))
        if not re.fullmatch(r"[0-9a-f]{32}", self.source_digest):
            raise PackError(
                f"{self.id}: source_digest", expected="32 hexadecimal characters", got=repr(self.source_digest)
            )
        if self.label is not None and not math.isfinite(self.label):
            raise PackError(f"{self.id}: the label is not a finite number", expected="a number or None", got=self.label)
        for name, limit in (("width", 2**31), ("height", 2**31), ("source_bytes", 2**63), ("phash", 2**64)):
            value = getattr(self, name)
            if not 0 <= value < limit:
                raise PackError(f"{self.id}: {name} is out of range", expected=f"0 to {limit - 1}", got=value)


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object in a text; ``what`` names it in errors."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackFormatError(f"{what} must be JSON", got=error) from None
    if not isinstance(value, dict):
        raise PackFormatError(f"{what} must be a JSON object", got=type(value).__name__)
    return value


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def require_text(value: str, what: str) -> bytes:
    """Return text in UTF-8; refuse what a null-padded column cannot hold."""
    if "\0" in value:
        raise PackError(f"{what} cannot hold a zero character", got=repr(value))
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise PackError(f"{what} is not valid text", got=repr(value), do="rename it to valid UTF-8") from None


def text_array(values: Sequence[str], what: str) -> NDArray[np.bytes_]:
    """Return text as a fixed-length, null-padded UTF-8 array (N,), as wide as its longest value and at least 1."""
    encoded = [require_text(value, what) for value in values]
    return np.array(encoded, dtype=f"S{max(1, *map(len, encoded))}" if encoded else "S1")


def columns_digest(attributes: Mapping[str, str], shape: tuple[int, ...], columns: Mapping[str, NDArray[Any]]) -> str:
    """Return the XXH3-128 over everything a pack says apart from its pixels.

    Parameters
    ----------
    attributes
        The text attributes, all of :data:`TEXT_ATTRIBUTES`.
    shape
        ``(N, H, W, C)``.
    columns
        All of :data:`COLUMNS`, and those of the failures as ``failures/id`` and so on.

    Returns
    -------
    str
        32 hexadecimal characters.

    Notes
    -----
    For each text attribute the line ``name=value``; the line ``images=N,H,W,C``; for each column the line
    ``name=dtype,size,size,...`` followed by its bytes. Every line ends with a line feed, and ``dtype`` is numpy's
    little-endian name, such as ``<f4`` or ``S12``.
    """
    state = xxhash.xxh3_128()
    for name in TEXT_ATTRIBUTES:
        state.update(f"{name}={attributes[name]}\n".encode())
    state.update(f"images={','.join(map(str, shape))}\n".encode())
    for name in (*(column.name for column in COLUMNS), *(f"{FAILURES}/{column.name}" for column in FAILURE_COLUMNS)):
        array = columns[name]
        state.update(f"{name}={dtype_name(array.dtype)},{','.join(map(str, array.shape))}\n".encode())
        state.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return str(state.hexdigest())


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return ``S12`` for text of 12 bytes, ``<f4`` and the like for numbers."""
    return f"S{dtype.itemsize}" if dtype.kind == "S" else dtype.newbyteorder("<").str
