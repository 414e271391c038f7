"""Write packs: images in order first, then the columns, the mark of completeness last. Same rows, same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from prebake.errors import MissingExtra, PackError
from prebake.files import atomic_path
from prebake.store import layout
from prebake.store.checksums import checksum, pixel_statistics
from prebake.store.codecs import codec_named
from prebake.store.fallback import HDF5_ERRORS, has_filter
from prebake.store.sink import Sink
from prebake.version import __version__

if TYPE_CHECKING:
    from types import TracebackType

    from prebake.records import Failure

__all__ = ["PackFile", "PackWriter"]

Pixels = NDArray[np.uint8]


class PackFile:
    """The HDF5 side of writing: a file for exactly ``rows`` images, which :meth:`finish` makes a pack.

    Parameters
    ----------
    path
        Where to write; what is there is overwritten. Whoever calls moves it to its final name.
    header
        What the pack says of all images.
    shape
        ``(H, W, C)``.
    rows
        Number of images.
    """

    def __init__(self, path: Path, header: layout.Header, shape: layout.Shape, rows: int) -> None:
        if tuple(shape[:2]) != (header.size, header.size) or len(shape) != 3 or shape[2] < 1:
            raise PackError(f"{path}: shape of the images", expected=f"({header.size}, {header.size}, C)", got=shape)
        self.path, self.header, self.shape, self.rows = path, header, shape, rows
        self.codec = codec_named(header.codec)
        nbytes = rows * int(np.prod(shape))
        # The threshold is such that the raw pixels are aligned, and hardly anything else.
        alignment = {"alignment_threshold": max(nbytes, 1), "alignment_interval": layout.ALIGNMENT}
        options = alignment if self.codec.filter_id is None else {}
        self._sink = Sink(path)
        try:
            self._file = h5py.File(self._sink, "w", libver=("earliest", "v110"), **options)
            self._set("format", layout.FORMAT)
            self._set("format_version", layout.FORMAT_VERSION)
            self._set("needs", layout.NEEDS)
            self._images = self._create_images()
        except HDF5_ERRORS as error:
            self._sink.close()
            self._sink.check(error)

    def _create_images(self) -> h5py.h5d.DatasetID:
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_obj_track_times(False)
        create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        if self.codec.filter_id is None:
            create.set_layout(h5py.h5d.CONTIGUOUS)
            create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        else:
            if not has_filter(self.codec.filter_id):
                raise MissingExtra(f"HDF5 lacks the filter of {self.codec.name}", do="pip install --upgrade hdf5plugin")
            create.set_chunk((1, *self.shape))
            create.set_filter(self.codec.filter_id, h5py.h5z.FLAG_MANDATORY, self.codec.filter_options)
        space = h5py.h5s.create_simple((self.rows, *self.shape))
        return h5py.h5d.create(self._file.id, layout.IMAGES.encode(), h5py.h5t.STD_U8LE, space, create)

    def write(self, row: int, data: bytes | Pixels) -> None:
        """Write an encoded image; with the raw codec also several images that follow one another, (B, H, W, C)."""
        try:
            if self.codec.filter_id is not None:
                self._images.write_direct_chunk((row, 0, 0, 0), data)
            else:
                images = np.frombuffer(data, np.uint8).reshape(-1, *self.shape)
                space = self._images.get_space()
                space.select_hyperslab((row, 0, 0, 0), images.shape)
                self._images.write(h5py.h5s.create_simple(images.shape), space, images)
        except HDF5_ERRORS as error:
            self._sink.check(error)
        self._sink.check()

    def read(self, row: int) -> bytes | Pixels:
        """Return what was written as image ``row``."""
        if self.codec.filter_id is not None:
            return bytes(self._images.read_direct_chunk((row, 0, 0, 0))[1])
        return np.asarray(h5py.Dataset(self._images)[row])

    def finish(
        self, columns: Mapping[str, NDArray[Any]], failures: Sequence[Failure], written_by: str | None = None
    ) -> None:
        """Write columns, failures and attributes, the mark ``complete`` last, and close.

        Parameters
        ----------
        columns
            All of :data:`prebake.store.layout.COLUMNS`, with ``rows`` values each.
        failures
            What is not in the pack, in the order of the input.
        written_by
            What the pack says that it was written by; without it, these versions.
        """
        failed = {
            f"{layout.FAILURES}/{column.name}": layout.text_array(
                [getattr(failure, column.name) for failure in failures], f"{column.name} of a failure"
            )
            for column in layout.FAILURE_COLUMNS
        }
        texts = {
            "recipe": self.header.recipe_json,
            "recipe_digest": self.header.recipe_digest,
            "codec": self.header.codec,
            "extra": self.header.extra_json,
            "written_by": _versions() if written_by is None else written_by,
        }
        try:
            for column in layout.COLUMNS:
                self._write_column(column.name, columns[column.name])
            for name, array in failed.items():
                self._write_column(name, array)
            for name, value in texts.items():
                self._set(name, value)
            digest = layout.columns_digest(texts, (self.rows, *self.shape), {**columns, **failed})
            self._set("columns_digest", digest)
            self._file.flush()
            self._sink.check()
            self._set("complete", 1)
        except HDF5_ERRORS as error:
            self._sink.check(error)
        finally:
            self.abandon()
        self._sink.check()

    def abandon(self) -> None:
        """Close without the mark: readers refuse the file."""
        try:
            self._file.close()
        except HDF5_ERRORS as error:
            self._sink.check(error)
        finally:
            self._sink.close()

    def _write_column(self, name: str, array: NDArray[Any]) -> None:
        text = array.dtype.kind == "S"
        dtype = h5py.string_dtype("utf-8", array.dtype.itemsize) if text else array.dtype
        dataset = self._file.create_dataset(name, array.shape, dtype, track_times=False)
        if array.size:
            dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array), mtype=dataset.id.get_type())

    def _set(self, name: str, value: str | int) -> None:
        if isinstance(value, int):
            self._file.attrs.create(name, value, dtype="<i8")
            return
        data = value.encode()
        if len(data) > layout.MAX_ATTRIBUTE_BYTES:
            raise PackError(
                f"{self.path}: {name} is too long for a pack",
                expected=f"up to {layout.MAX_ATTRIBUTE_BYTES} bytes",
                got=f"{len(data)} bytes",
            )
        self._file.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", max(len(data), 1)))


class PackWriter:
    """Write a pack, one image after the other, with no more than one image in memory.

    As a context manager it ends with :meth:`close`; when the block raises, with an incomplete file that readers refuse.

    Parameters
    ----------
    path
        Where to write; what is there is overwritten. Move it to its final name once it is closed.
    header
        What the pack says of all images.
    shape
        ``(H, W, C)``.
    capacity
        Largest number of images. Fewer may come; the file is then written a second time, for exactly as many.

    Examples
    --------
    >>> import tempfile
    >>> header = layout.Header('{"name":"resize"}', "0" * 32, size=8, codec="zstd")
    >>> row = layout.Row("a", 2.0, None, "", "", "a.png", 80, 80, ((10, 0, 4.5), (0, 10, 4.5)), "0" * 32, 321, 0)
    >>> path = Path(tempfile.mkdtemp()) / "pack.h5"
    >>> with PackWriter(path, header, (8, 8, 3), capacity=1) as writer:
    ...     writer.add(row, np.zeros((8, 8, 3), np.uint8))
    >>> with h5py.File(path) as file:
    ...     file["images"].shape, file["id_code"].asstr()[0]
    ((1, 8, 8, 3), 'a')
    """

    def __init__(self, path: Path | str, header: layout.Header, shape: layout.Shape, capacity: int) -> None:
        self._file = PackFile(Path(path), header, shape, capacity)
        self._rows: list[layout.Row] = []
        self._measured: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]] = []
        self._failures: list[Failure] = []
        self._ids: set[str] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif not self._closed:
            self._closed = True
            self._file.abandon()

    def add(self, row: layout.Row, image: Pixels) -> None:
        """Write the next image, uint8 (H, W, C), and its row."""
        file = self._file
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != tuple(file.shape):
            got = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
            raise PackError(f"{row.id}: image of the wrong kind", expected=f"uint8 {file.shape}", got=got)
        self._know(row.id)
        if len(self._rows) == file.rows:
            raise PackError(f"{file.path}: more images than its capacity", expected=file.rows, got=row.id)
        image = np.ascontiguousarray(image)
        file.write(len(self._rows), image if file.codec.filter_id is None else file.codec.encode(image))
        self._measured.append((checksum(image), *pixel_statistics(image)))
        self._rows.append(row)

    def fail(self, failure: Failure) -> None:
        """Note a photograph that could not be baked."""
        self._know(failure.id)
        self._failures.append(failure)

    def close(self) -> None:
        """Write the columns and mark the pack complete."""
        if self._closed:
            return
        self._closed = True
        try:
            if len(self._rows) == self._file.rows:
                self._file.finish(self._columns(), self._failures)
            else:
                self._write_again()
        finally:
            self._file.abandon()

    def _write_again(self) -> None:
        """Write the file a second time, for exactly as many images as have come."""
        with atomic_path(self._file.path) as path:
            shorter = PackFile(path, self._file.header, self._file.shape, len(self._rows))
            try:
                for row in range(shorter.rows):
                    shorter.write(row, self._file.read(row))
                shorter.finish(self._columns(), self._failures)
            finally:
                shorter.abandon()

    def _know(self, name: str) -> None:
        if self._closed:
            raise PackError(f"{self._file.path}: closed, nothing can be added", got=name)
        if name in self._ids:
            raise PackError(f"{self._file.path}: the id {name!r} comes twice", expected="ids that are unique")
        self._ids.add(name)

    def _columns(self) -> dict[str, NDArray[Any]]:
        rows, channels = self._rows, self._file.shape[2]
        said = ("label", "group", "source", "split", "path")
        found = ("width", "height", "source_digest", "source_bytes", "phash")
        values: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in said + found}
        values["id_code"] = [row.id for row in rows]
        values["to_source"] = [np.asarray(row.to_source, np.float64) for row in rows]
        values["checksum"], values["mean"], values["std"] = (
            [measured[place] for measured in self._measured] for place in range(3)
        )
        return {column.name: column.array(values[column.name], channels) for column in layout.COLUMNS}


def _versions() -> str:
    """Name what wrote a pack, without telling of the machine."""
    from importlib.metadata import version  # noqa: PLC0415 - slow to load

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "cramjam", "h5py"))
    return f"prebake {__version__} ({libraries}, HDF5 {h5py.version.hdf5_version})"
