"""Read packs at the speed of memory: the file is mapped, images are copied or decoded into the caller's buffer."""

from __future__ import annotations

import json
import mmap
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np
import xxhash
from numpy.typing import NDArray

from prebake.errors import PackDamaged, PackError, PackFormatError
from prebake.store import layout
from prebake.store.checksums import checksum
from prebake.store.columns import Columns
from prebake.store.fallback import HDF5_ERRORS, read_through_hdf5
from prebake.store.structure import Structure, read_structure

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from prebake.progress import Progress
    from prebake.recipe import Recipe

__all__ = ["Pack"]

Pixels = NDArray[np.uint8]


class Pack(Columns):
    """A pack that is open for reading.

    No HDF5 handle is alive once it is constructed: threads may read the same pack at once, a process may fork, and a
    pickled pack is its path (opened anew, and refused if another pack has taken its place). A pack that is replaced
    while it is open stays the old one until it is opened again.

    Parameters
    ----------
    path
        A pack, or a file of the 2019 kernel (only ``images`` and ``id_code``; what that does not say is NaN, 0 or "").

    Attributes
    ----------
    path : Path
    shape : tuple of int
        ``(H, W, C)`` of one image.
    codec : str
        ``"raw"``, ``"zstd"``, ``"gzip"``; ``"hdf5"`` where only HDF5 itself can decode the file, slowly.
    columns : mapping of str to ndarray
        The columns as they stand in the file (see docs/format.md); empty for a file of the 2019 kernel.

    Raises
    ------
    PackFormatError
        Not a pack, not complete, or of a newer format.
    PackDamaged
        Its structure, ids, labels or other columns are damaged. Damage of pixels is found by :meth:`verify`.

    Examples
    --------
    >>> pack = Pack("pack.h5")                              # doctest: +SKIP
    >>> len(pack), pack.shape, pack.ids[0]                  # doctest: +SKIP
    (3662, (256, 256, 3), '000c1434d8d7')
    >>> pack["000c1434d8d7"].dtype, pack.read([0, 2]).shape  # doctest: +SKIP
    (dtype('uint8'), (2, 256, 256, 3))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        absolute = Path(path).absolute()
        structure = read_structure(absolute)
        super().__init__(absolute, structure.shape, structure.ids, structure.columns)
        self._structure: Structure | None = structure
        self._attributes = structure.attributes
        self.shape: layout.Shape = structure.shape[1:]
        self.codec = structure.codec.name if structure.codec else "hdf5"

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        height, width, channels = self.shape
        return f"Pack({str(self.path)!r}: {self._rows} images {height}x{width}x{channels}, {self.codec})"

    def __reduce__(self) -> tuple[Callable[..., Pack], tuple[Any, ...]]:
        return _reopen, (str(self.path), self._attributes.get("columns_digest", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; columns that were read stay usable, images do not."""
        self._structure = None

    def __getitem__(self, key: SupportsIndex | str) -> Pixels:
        """Return a copy of one image, uint8 (H, W, C), by position (negative ones count from the end) or by id."""
        row = self.index_of(key) if isinstance(key, str) else self.row(key)
        out = np.empty(self.shape, np.uint8)
        self._read_into(row, out)
        return out

    def __iter__(self) -> Iterator[Pixels]:
        """Go through the images in order."""
        return (self[row] for row in range(self._rows))

    def __contains__(self, name: object) -> bool:
        """Tell whether there is an image with this id."""
        return name in self._index

    def row(self, index: SupportsIndex) -> int:
        """Return a position as a number from 0 to N - 1; negative ones count from the end."""
        row = operator.index(index)
        if not -self._rows <= row < self._rows:
            raise IndexError(f"{self.path.name}: no image {row}, there are {self._rows}")
        return row % self._rows

    def read(self, indices: Sequence[int] | NDArray[Any] | slice, out: Pixels | None = None) -> Pixels:
        """Read images by position.

        Parameters
        ----------
        indices
            Positions (negative ones count from the end), a slice, or a boolean array (N,).
        out
            Where to put them, uint8 (B, H, W, C), C-contiguous; ``None``: a new array.

        Returns
        -------
        ndarray
            ``out``, uint8 (B, H, W, C).

        Raises
        ------
        IndexError, TypeError
            ``indices`` are not positions in this pack.
        PackError
            ``out`` does not fit.
        PackDamaged
            An image does not decode.
        """
        rows = self._positions(indices)
        out = self._fitting(out, (len(rows), *self.shape))
        structure = self._open
        if structure.pixels is not None:
            np.take(structure.pixels, rows, axis=0, out=out, mode="clip")  # checked above; "raise" would buffer
            return out
        for position, row in enumerate(rows.tolist()):
            self._read_into(row, out[position])
        return out

    def read_into(self, index: SupportsIndex, out: Pixels) -> None:
        """Read one image into ``out``, uint8 (H, W, C), C-contiguous. Threads may do so at the same time."""
        self._read_into(self.row(index), self._fitting(out, self.shape))

    def check(self, index: SupportsIndex, image: Pixels) -> None:
        """Compare an image that was read, uint8 (H, W, C), C-contiguous, with its checksum.

        Raises
        ------
        PackDamaged
            They do not match. A file of the 2019 kernel has no checksums, and nothing is raised.
        """
        row = self.row(index)
        if self.columns and checksum(image) != self.checksum[row]:
            raise self._damaged(row, "its pixels do not match their checksum")

    def _read_into(self, row: int, out: Pixels) -> None:
        structure = self._open
        if structure.pixels is not None:
            np.copyto(out, structure.pixels[row])
            return
        size = int(structure.sizes[row])
        if size and structure.codec is not None:
            start = int(structure.offsets[row])
            if not structure.codec.decode(structure.buffer[start : start + size], out):
                raise self._damaged(row, "does not decode")
            return
        try:
            read_through_hdf5(structure.buffer, layout.IMAGES, row, out)
        except HDF5_ERRORS as error:
            raise self._damaged(row, f"HDF5 cannot decode it: {error}") from None

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Tell the system that images (B,) will be read soon: what is not in memory is fetched meanwhile.

        Neighbours are asked for in one piece. Does nothing where the system takes no advice.
        """
        structure, mapped = self._open, self._mapped
        rows = rows[structure.sizes[rows] > 0]
        if not len(rows) or not hasattr(mapped, "madvise"):
            return
        for start, stop in stretches(structure.offsets[rows], structure.sizes[rows]):
            mapped.madvise(mmap.MADV_WILLNEED, start, stop - start)

    def encoded(self, index: SupportsIndex) -> Pixels | None:
        """Return the bytes of one image as they lie in the file, a view; ``None`` where only HDF5 can decode them."""
        row, structure = self.row(index), self._open
        start, size = int(structure.offsets[row]), int(structure.sizes[row])
        return structure.buffer[start : start + size] if size else None

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return self.path.stem

    @property
    def members(self) -> tuple[Pack, ...]:
        """The packs that this one is: itself, or those of :class:`~prebake.store.ManyPacks`."""
        return (self,)

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe that the images were baked with; ``None`` where the file does not say."""
        from prebake.recipe import Recipe  # noqa: PLC0415 - loads OpenCV

        text = self._attributes.get("recipe")
        return None if text is None else Recipe.from_json(text)

    @cached_property
    def recipe_dict(self) -> dict[str, Any]:
        """The recipe as plain data, ``{}`` where the file does not say."""
        return dict(json.loads(self._attributes.get("recipe", "{}")))

    @property
    def recipe_json(self) -> str | None:
        """The recipe as it stands in the file."""
        return self._attributes.get("recipe")

    @property
    def recipe_digest(self) -> str:
        """The recipe's digest, ``""`` where the file does not say."""
        return self._attributes.get("recipe_digest", "")

    @cached_property
    def header(self) -> layout.Header:
        """What the pack says of all its images; a file of the 2019 kernel says nothing.

        Raises
        ------
        PackFormatError
            It is such a file, or its images are stored otherwise than it says.
        """
        if not self.columns:
            raise PackFormatError(
                f"{self.path}: has no recipe and no checksums (a file of the 2019 kernel)",
                do="pack its photographs: prebake pack SOURCE... -o OUT.h5",
            )
        header = layout.Header.from_attributes(self._attributes, self.shape[0])
        if header.codec != self.codec:
            raise PackFormatError(
                f"{self.path}: other tools have stored its images anew", expected=header.codec, got=self.codec
            )
        return header

    @property
    def fill(self) -> tuple[int, int, int]:
        """Colour of the background, which a rotation in training fills with."""
        red, green, blue = self.recipe_dict.get("fill", (0, 0, 0))
        return int(red), int(green), int(blue)

    @cached_property
    def extra(self) -> dict[str, str]:
        """Free text by name, such as ``codec_reason``."""
        return dict(json.loads(self._attributes.get("extra", "{}")))

    @property
    def written_by(self) -> str:
        """Versions of what wrote the pack, ``""`` where unknown."""
        return self._attributes.get("written_by", "")

    @cached_property
    def digest(self) -> str:
        """Identity of the content, 32 hexadecimal characters: pixels, ids, labels, groups, sources, splits, recipe.

        The codec and what wrote the pack do not enter. It takes no reading of images, except for a file of the 2019
        kernel, which has no checksums.
        """
        state = xxhash.xxh3_128()
        state.update(json.dumps([self._rows, *self.shape, self.recipe_dict], sort_keys=True).encode())
        for texts in (self.ids, self.groups, self.sources, self.splits):
            state.update("\0".join(texts).encode() + b"\0\0")
        state.update(self.labels.tobytes())
        if self.columns:
            state.update(self.checksum.tobytes())
        else:
            for image in self:
                state.update(image.reshape(-1).data)
        return str(state.hexdigest())

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Decode every image and compare it with its checksum; return the ids of the damaged ones.

        A file of the 2019 kernel has no checksums: there it is found whether each image decodes (gzip has its own
        checksum). Ids, labels and all other columns were checked on opening.

        Parameters
        ----------
        progress
            Is updated by 1 after each image.
        """
        damaged, out = [], np.empty(self.shape, np.uint8)
        for row in range(self._rows):
            try:
                self._read_into(row, out)
                self.check(row, out)
            except PackDamaged:
                damaged.append(self.ids[row])
            if progress is not None:
                progress.update(1)
        return damaged

    @property
    def _open(self) -> Structure:
        if self._structure is None:
            raise PackError(f"{self.path}: the pack is closed", do="open it again: prebake.open(path)")
        return self._structure

    @property
    def _mapped(self) -> mmap.mmap:
        file: mmap.mmap = self._open.buffer.base.obj  # type: ignore[union-attr] # numpy keeps a memoryview of it
        return file

    def _positions(self, indices: Sequence[int] | NDArray[Any] | slice) -> NDArray[np.intp]:
        if isinstance(indices, slice):
            return np.arange(self._rows)[indices]
        rows = np.asarray(indices)
        if rows.size == 0 and rows.ndim == 1:
            return np.empty(0, np.intp)
        if rows.ndim != 1 or rows.dtype.kind not in "iub":
            raise TypeError(f"positions must be whole numbers (B,), not {rows.dtype} {rows.shape}; for ids: index_of")
        if rows.dtype.kind == "b":
            if len(rows) != self._rows:
                raise IndexError(f"{self.path.name}: a mask of {len(rows)} for {self._rows} images")
            return np.flatnonzero(rows)
        low, high = int(rows.min()), int(rows.max())
        if low < -self._rows or high >= self._rows:
            raise IndexError(f"{self.path.name}: no image {low if low < 0 else high}, there are {self._rows}")
        rows = rows.astype(np.intp)
        return np.where(rows < 0, rows + self._rows, rows) if low < 0 else rows

    def _fitting(self, out: Pixels | None, shape: tuple[int, ...]) -> Pixels:
        if out is None:
            return np.empty(shape, np.uint8)
        if not isinstance(out, np.ndarray) or out.dtype != np.uint8 or out.shape != shape or not out.flags.carray:
            got = f"{getattr(out, 'dtype', type(out).__name__)} {getattr(out, 'shape', '')}"
            raise PackError("out does not fit", expected=f"uint8 {shape}, C-contiguous, writable", got=got)
        return out

    def _damaged(self, row: int, why: str) -> PackDamaged:
        name = self.ids[row]
        return PackDamaged(f"{self.path}: image {name} is damaged: {why}", [name], do=f"prebake verify {self.path}")


def stretches(offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the bytes of images that lie anywhere, from whole pages on, as few stretches (start, stop), ascending.

    Examples
    --------
    >>> stretches(np.array([20_000, 5_000, 4_096]), np.array([300, 3_000, 904]))
    [(4096, 8000), (16384, 20300)]
    """
    order = np.argsort(offsets)
    starts = offsets[order] // mmap.PAGESIZE * mmap.PAGESIZE
    stops = offsets[order] + sizes[order]
    apart = np.flatnonzero(starts[1:] > stops[:-1])
    return list(zip(starts[np.r_[0, apart + 1]].tolist(), stops[np.r_[apart, -1]].tolist(), strict=True))


def _reopen(path: str, columns_digest: str) -> Pack:
    pack = Pack(path)
    if pack._attributes.get("columns_digest", "") != columns_digest:
        raise PackError(f"{path}: another pack has taken its place since it was opened", do="open it again")
    return pack
