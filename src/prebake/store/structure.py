"""Open the HDF5 side of a pack once, distrust it, note where every image lies, and close it again."""

from __future__ import annotations

import math
import mmap
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import h5py
import numpy as np

from prebake.errors import PackDamaged, PackError, PackFormatError, PrebakeError
from prebake.store import layout
from prebake.store.chunks import chunk_table
from prebake.store.codecs import Codec, Gzip, Raw, Zstd
from prebake.store.fallback import HARMLESS, HDF5_ERRORS, SHUFFLE, filters_of, has_filter, require_no_bomb
from prebake.store.heap import ELEMENT_BYTES, variable_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Structure", "read_structure"]


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Where everything lies.

    Parameters
    ----------
    buffer
        The mapped file, uint8.
    shape
        ``(N, H, W, C)``.
    codec
        How the images are stored; ``None`` when all of them are read through HDF5.
    offsets, sizes
        int64 (N,): encoded bytes of each image. Size 0: this one is read through HDF5.
    pixels
        All images as one view into the file, uint8 (N, H, W, C), when they are raw and contiguous.
    attributes, columns
        Checked against their digest; both empty for a bare file, which has nothing but ``images`` and ``id_code``.
    ids
        Bytes (N,), in UTF-8.
    """

    buffer: NDArray[np.uint8]
    shape: tuple[int, int, int, int]
    codec: Codec | None
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pixels: NDArray[np.uint8] | None
    attributes: Mapping[str, str]
    columns: Mapping[str, NDArray[Any]]
    ids: NDArray[Any]


def read_structure(path: Path) -> Structure:
    """Read everything but the images of a pack.

    Raises
    ------
    PackError
        There is no such file.
    PackFormatError
        It is not a pack, or not complete, or of a newer format, or has parts outside of itself.
    PackDamaged
        It is a pack, but its structure or its columns are damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PackFormatError(f"{path}: not a pack", expected="an HDF5 file", got="a folder or a device")
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise PackError(f"{path}: there is no such file", do="prebake pack SOURCE... -o OUT.h5") from None
    except PermissionError:
        raise PackError(f"{path}: no permission to read it") from None
    except HDF5_ERRORS as error:
        raise PackFormatError(
            f"{path}: not a pack, or cut short", expected="an HDF5 file", got=_one_line(error)
        ) from None
    try:
        with file:
            # The handle that HDF5 has open is mapped, so both see the same file whatever happens to its name.
            handle = file.id.get_vfd_handle()
            mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
            return _Opened(path, file, np.frombuffer(mapped, np.uint8)).structure()
    except HDF5_ERRORS as error:
        raise PackDamaged(
            f"{path}: the HDF5 structure is damaged: {_one_line(error)}", do="pack again, or restore a copy"
        ) from None


@dataclass(frozen=True, slots=True)
class _Opened:
    path: Path
    file: h5py.File
    buffer: NDArray[np.uint8]

    def structure(self) -> Structure:
        if self.file.userblock_size:
            self.refuse("a user block in front of the file")
        if self.has_attribute("format"):
            return self.pack()
        if any(self.has_attribute(name) for name in (*layout.TEXT_ATTRIBUTES, "format_version", "complete")):
            raise PackFormatError(
                f"{self.path}: the pack is not complete, or damaged", got="no attribute 'format'", do="pack again"
            )
        return self.bare()

    def pack(self) -> Structure:
        if self.text("format") != layout.FORMAT:
            self.refuse(f"format {self.text('format')!r}")
        if (version := self.integer("format_version")) > layout.FORMAT_VERSION:
            raise PackFormatError(
                f"{self.path}: a pack of a newer format, needs prebake >= {self.text('needs')}",
                expected=f"format version up to {layout.FORMAT_VERSION}",
                got=version,
                do=f"pip install --upgrade 'prebake>={self.text('needs')}'",
            )
        if not self.has_attribute("complete") or self.integer("complete") != 1:
            raise PackFormatError(
                f"{self.path}: the pack is not complete: what wrote it did not come to its end",
                do="run the same prebake pack command again",
            )
        attributes = {name: self.text(name) for name in (*layout.TEXT_ATTRIBUTES, "columns_digest")}
        images = self.dataset(self.file.id, layout.IMAGES)
        rows, channels = self.image_shape(images)[0], images.shape[3]
        columns = {column.name: self.column(self.file.id, column, rows, channels) for column in layout.COLUMNS}
        failures = self.group(layout.FAILURES)
        failed = self.dataset(failures, "id").shape[0]
        for column in layout.FAILURE_COLUMNS:
            columns[f"{layout.FAILURES}/{column.name}"] = self.column(failures, column, failed, channels)
        found = layout.columns_digest(attributes, images.shape, columns)
        if found != attributes["columns_digest"]:
            raise PackDamaged(
                f"{self.path}: ids, labels, recipe or other columns are damaged: their digest does not match",
                do="pack again, or restore a copy",
            )
        try:
            layout.Header.from_attributes(attributes, images.shape[1])
        except PrebakeError as error:
            self.refuse(error.what)
        return self.locate(images, attributes, columns, columns[layout.IDS])

    def bare(self) -> Structure:
        """Read a file of the 2019 kernel: only ``images`` and ``id_code``."""
        for name in (layout.IMAGES, layout.IDS):
            if not self.file.id.links.exists(name.encode()):
                self.refuse(f"no dataset '{name}'")
        images = self.dataset(self.file.id, layout.IMAGES)
        rows = self.image_shape(images)[0]
        ids = self.dataset(self.file.id, layout.IDS)
        if ids.shape != (rows,):
            self.refuse(f"{layout.IDS} of shape {ids.shape} beside {rows} images")
        stored = self.stored(ids)
        # Deflate packs at most 1032 to 1: what claims to be more than that is not there.
        text = ids.dtype.kind == "S" or h5py.check_string_dtype(ids.dtype) is not None
        if not text or rows * ids.dtype.itemsize > min(1100 * stored, 1 << 32):
            self.refuse(f"{layout.IDS} of type {ids.dtype} in {stored} bytes")
        return self.locate(images, {}, {}, self.bare_ids(ids) if rows else np.empty(0, "S1"))

    def bare_ids(self, ids: h5py.h5d.DatasetID) -> NDArray[Any]:
        """Read fixed-length text with HDF5, and text of any length out of the heap, which HDF5 may not get through."""
        if ids.dtype.kind == "S":
            self.require_filters(ids.get_create_plist())
            require_no_bomb(ids, [range(ids.shape[0])], self.buffer)
            return np.asarray(h5py.Dataset(ids)[()])
        if ids.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
            self.refuse(f"{layout.IDS}, text of any length, in chunks")
        rows, start, stored = ids.shape[0], ids.get_offset(), ids.get_storage_size()
        if start is None or stored != rows * ELEMENT_BYTES or start + stored > len(self.buffer):
            raise PackDamaged(f"{self.path}: ids lie beyond the end of the file: it was cut short", do="pack again")
        return variable_texts(self.buffer, start, rows)

    def locate(
        self, images: h5py.h5d.DatasetID, attributes: Mapping[str, str], columns: Mapping[str, Any], ids: NDArray[Any]
    ) -> Structure:
        """Find where each image lies, and how it is stored."""
        shape, create = self.image_shape(images), images.get_create_plist()
        rows, pixels = shape[0], None
        codec: Codec | None = None
        if create.get_layout() == h5py.h5d.CONTIGUOUS:
            codec, pixels = Raw(), self.contiguous(images, shape, np.dtype(np.uint8))
            nbytes, start = math.prod(shape[1:]), images.get_offset() if rows else 0
            offsets, sizes = start + np.arange(rows, dtype=np.int64) * nbytes, np.full(rows, nbytes, np.int64)
            return Structure(self.buffer, shape, codec, offsets, sizes, pixels, attributes, columns, ids)
        bit = 0
        if create.get_layout() == h5py.h5d.CHUNKED:
            chunk = create.get_chunk()
            if chunk == (1, *shape[1:]):
                codec, bit = self.known_codec(create)
            if codec is None:
                expected = math.prod(-(-size // part) for size, part in zip(shape, chunk, strict=True))
                if (found := len(np.unique(chunk_table(images)[:, :4], axis=0))) != expected:
                    self.unfinished(expected, found)
        if codec is not None:
            offsets, sizes = self.chunks(images, shape, bit)
            return Structure(self.buffer, shape, codec, offsets, sizes, pixels, attributes, columns, ids)
        self.require_filters(create)
        none = np.zeros(rows, np.int64)
        return Structure(self.buffer, shape, None, none, none, None, attributes, columns, ids)

    def require_filters(self, create: h5py.h5p.PropDCID) -> None:
        """Refuse filters that are not known, and compressions in one another: ten bytes could be a gigabyte."""
        numbers = filters_of(create)
        if missing := [number for number in numbers if not has_filter(number)]:
            self.refuse(f"data behind HDF5 filter {missing[0]}, which is not installed")
        if sum(number not in HARMLESS for number in numbers) > 1:
            self.refuse("data behind several compressions, one in the other")

    def stored(self, dataset: h5py.h5d.DatasetID) -> int:
        """Return how many bytes of the file a dataset takes. HDF5 would go through its chunks without looking."""
        if dataset.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
            return int(chunk_table(dataset)[:, -1].sum())
        return int(dataset.get_storage_size())

    def image_shape(self, images: h5py.h5d.DatasetID) -> tuple[int, int, int, int]:
        shape = images.shape
        if images.dtype != np.uint8 or len(shape) != 4:
            self.refuse(f"images of type {images.dtype} and shape {shape}")
        rows, height, width, channels = shape
        if min(height, width, channels) < 1 or height * width * channels > layout.MAX_IMAGE_BYTES:
            self.refuse(f"images of shape {shape}")
        return rows, height, width, channels

    def known_codec(self, create: h5py.h5p.PropDCID) -> tuple[Codec | None, int]:
        """Return how to decode a chunk, ``None`` when only HDF5 knows, and the bit of its filter in a chunk's mask."""
        filters, bit = [], 0
        for position in range(create.get_nfilters()):
            number, _, options, _ = create.get_filter(position)
            if number == SHUFFLE and options[:1] == (1,):
                continue  # shuffling the bytes of one-byte values leaves them where they are
            filters.append(number)
            bit = 1 << position
        known: dict[tuple[int | None, ...], Codec] = {(): Raw(), (Gzip.filter_id,): Gzip(), (Zstd.filter_id,): Zstd()}
        return known.get(tuple(filters)), bit

    def chunks(
        self, images: h5py.h5d.DatasetID, shape: Sequence[int], bit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return offset and size of each image's chunk.

        Size 0 stands for a chunk that was not encoded: it is read through HDF5.
        """
        rows, nbytes = shape[0], math.prod(shape[1:])
        table = chunk_table(images) if rows else np.empty((0, 7), np.uint64)
        if len(table) < rows:
            self.unfinished(rows, len(table))
        row, *within, mask, offset, size = table.T
        end = np.uint64(len(self.buffer))
        bad_index = len(row) != rows or (np.sort(row) != np.arange(rows, dtype=np.uint64)).any() or np.any(within)
        # HDF5 would read past the end of a chunk that is not encoded and smaller than an image.
        encoded = mask & np.uint64(bit) == 0
        if bad_index or (~encoded & (size != nbytes)).any():
            raise PackDamaged(f"{self.path}: the chunk index is damaged", do="pack again, or restore a copy")
        if ((size < 1) | (size > end) | (offset > end - np.minimum(size, end))).any():
            raise PackDamaged(f"{self.path}: images lie beyond the end of the file: it was cut short", do="pack again")
        order = np.argsort(offset, kind="stable")
        if (np.diff(offset[order]) < size[order][:-1]).any():
            raise PackDamaged(f"{self.path}: images overlap: the chunk index is damaged", do="pack again")
        offsets, sizes = np.empty(rows, np.int64), np.empty(rows, np.int64)
        offsets[row.astype(np.int64)] = offset.astype(np.int64)
        sizes[row.astype(np.int64)] = np.where(encoded, size, 0).astype(np.int64)
        return offsets, sizes

    def unfinished(self, expected: int, found: int) -> NoReturn:
        raise PackFormatError(
            f"{self.path}: the file is not complete: images were never written",
            expected=f"{expected} chunks",
            got=found,
            do="pack again",
        )

    def column(self, group: Any, column: layout.Column, rows: int, channels: int) -> NDArray[Any]:
        found = self.dataset(group, column.name)
        shape, dtype = column.shape(rows, channels), found.dtype
        if found.shape != shape or (dtype.kind if column.dtype == "S" else dtype.str) != column.dtype:
            self.refuse(f"'{column.name}' of type {dtype} and shape {found.shape}")
        return self.contiguous(found, shape, np.dtype(dtype.str)).copy()

    def contiguous(self, found: h5py.h5d.DatasetID, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return a contiguous dataset as a view into the file."""
        count = math.prod(shape)
        if count == 0:
            return np.empty(shape, dtype)
        if found.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
            self.refuse("a column that is not contiguous")
        start, nbytes = found.get_offset(), count * dtype.itemsize
        if start is None or start < 0 or start + nbytes > len(self.buffer):
            raise PackDamaged(f"{self.path}: data lie beyond the end of the file: it was cut short", do="pack again")
        return self.buffer[start : start + nbytes].view(dtype).reshape(shape)

    def dataset(self, group: Any, name: str) -> h5py.h5d.DatasetID:
        self.inside(group, name)
        found = h5py.h5d.open(group, name.encode())
        create = found.get_create_plist()
        if create.get_layout() == h5py.h5d.VIRTUAL or create.get_external_count():
            self.refuse(f"'{name}' keeps its data in other files (virtual dataset or external storage)")
        return found

    def group(self, name: str) -> h5py.h5g.GroupID:
        self.inside(self.file.id, name)
        return h5py.h5g.open(self.file.id, name.encode())

    def inside(self, group: Any, name: str) -> None:
        if not group.links.exists(name.encode()):
            self.refuse(f"no '{name}'")
        if group.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            self.refuse(f"'{name}' is a link to elsewhere")

    def has_attribute(self, name: str) -> bool:
        return bool(h5py.h5a.exists(self.file.id, name.encode()))

    def text(self, name: str) -> str:
        value = self.attribute(name, lambda dtype: dtype.kind == "S" and dtype.itemsize <= layout.MAX_ATTRIBUTE_BYTES)
        return bytes(value[()]).decode()

    def integer(self, name: str) -> int:
        return int(self.attribute(name, lambda dtype: dtype.kind in "iu")[()])

    def attribute(self, name: str, fits: Callable[[np.dtype[Any]], bool]) -> NDArray[Any]:
        found = h5py.h5a.open(self.file.id, name.encode())
        if found.shape != () or not fits(found.dtype):
            self.refuse(f"attribute '{name}' of type {found.dtype} and shape {found.shape}")
        value = np.zeros((), np.dtype(found.dtype.str))
        found.read(value, mtype=found.get_type())
        return value

    def refuse(self, got: str) -> NoReturn:
        raise PackFormatError(
            f"{self.path}: not a pack that can be read",
            expected="a pack of prebake, or a file with 'images' uint8 (N, H, W, C) and 'id_code' (N,)",
            got=got,
            do="prebake pack SOURCE... -o OUT.h5",
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
