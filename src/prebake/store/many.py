"""Many packs as one, opened by a pattern or a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from prebake.errors import PackDamaged
from prebake.progress import progress
from prebake.remote import as_url
from prebake.store.naming import expand
from prebake.store.reader import Pack, Pixels
from prebake.store.several import PackRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.store.several import Packs

__all__ = ["ManyPacks", "open_pack", "verify_pack"]


class ManyPacks(Pack):
    """Packs of one recipe as one pack: the rows of the second follow those of the first. Made by :func:`open_pack`.

    All that :class:`Pack` has it has for all rows; columns are joined when they are first asked for. An id that several
    packs have is refused by id, and read by position.

    Parameters
    ----------
    rows
        The packs, at least one.
    path
        What messages call them all: a pattern, or the first path.

    Attributes
    ----------
    members : tuple of Pack
        The packs.
    codec : str
        Theirs; where they differ, all of them with commas between.

    Raises
    ------
    RecipeMismatch
        Two of them were baked with different recipes; both are named.
    PackError
        Two of them hold images of different shapes.
    """

    def __init__(self, rows: PackRows, path: Path) -> None:
        rows.require_alike()
        first = rows.packs[0]
        self.path, self.shape = path, first.shape
        self.codec = ", ".join(sorted({pack.codec for pack in rows.packs}))
        self.columns = _Joined(rows.packs)
        self._packs, self._attributes = rows, first._attributes
        self._rows, self._channels = len(rows), self.shape[2]

    def __repr__(self) -> str:
        height, width, channels = self.shape
        count = len(self.members)
        return f"ManyPacks({str(self.path)!r}: {self._rows} images {height}x{width}x{channels} in {count} packs)"

    def __reduce__(self) -> tuple[Callable[..., Pack], tuple[Any, ...]]:
        return _again, (self.members, self.path)

    @property
    def members(self) -> tuple[Pack, ...]:
        """The packs."""
        return self._packs.packs

    @property
    def file_bytes(self) -> int:
        """Size of all files."""
        return sum(pack.file_bytes for pack in self.members)

    def close(self) -> None:
        """Let go of the files; columns that were read stay usable, images do not."""
        for pack in self.members:
            pack.close()

    def read(self, indices: Sequence[int] | NDArray[Any] | slice, out: Pixels | None = None) -> Pixels:
        """Read images by position, as :meth:`Pack.read`."""
        rows = self._positions(indices)
        out = self._fitting(out, (len(rows), *self.shape))
        self._packs.read(rows, out)
        return out

    def check(self, index: SupportsIndex, image: Pixels) -> None:
        """Compare an image that was read with its checksum, as :meth:`Pack.check`."""
        pack, row = self._packs.place(self.row(index))
        pack.check(row, image)

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Tell the system that images (B,) will be read soon."""
        self._packs.advise(rows)

    def encoded(self, index: SupportsIndex) -> Pixels | None:
        """Return the bytes of one image as they lie in its file, as :meth:`Pack.encoded`."""
        pack, row = self._packs.place(self.row(index))
        return pack.encoded(row)

    def _read_into(self, row: int, out: Pixels) -> None:
        pack, index = self._packs.place(row)
        pack._read_into(index, out)

    @cached_property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return self._packs.ids

    @cached_property
    def extra(self) -> dict[str, str]:
        """Free text by name, as far as all packs say the same."""
        told = [pack.extra.items() for pack in self.members]
        return dict(sorted(set(told[0]).intersection(*told[1:])))


class _Joined(Mapping[str, "NDArray[Any]"]):
    """The columns of several packs, each joined when it is first asked for; none where the packs have none."""

    def __init__(self, packs: Sequence[Pack]) -> None:
        self._packs = packs
        self._done: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._done:
            joined = np.concatenate([pack.columns[name] for pack in self._packs])
            joined.flags.writeable = False
            self._done[name] = joined
        return self._done[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packs[0].columns)

    def __len__(self) -> int:
        return len(self._packs[0].columns)


def _again(packs: tuple[Pack, ...], path: Path) -> ManyPacks:
    return ManyPacks(PackRows(packs), path)


def open_pack(path: Packs) -> Pack:
    """Open a pack, or a file of the 2019 kernel, for reading: see :class:`Pack`.

    Parameters
    ----------
    path
        A path or URL; or a pattern as ``"eyes-*.h5"``, or several paths, which are then one: see :class:`ManyPacks`.
        What a URL means is fetched first, once (docs/remote.md).

    Raises
    ------
    PackError
        A pack cannot be opened, no file matches, or files of a set are missing.
    RecipeMismatch
        Two packs were baked with different recipes.

    Examples
    --------
    >>> pack = open_pack("eyes-*.h5")                         # doctest: +SKIP
    >>> len(pack), pack["000c1434d8d7"].shape                 # doctest: +SKIP
    (88702, (256, 256, 3))
    """
    if isinstance(path, Pack):
        return path
    if isinstance(path, (str, os.PathLike)):
        files = expand(path)
        if len(files) == 1:
            return Pack(files[0])
        pattern = Path(path).absolute() if as_url(path) is None else files[0].with_name(Path(path).name)
        return ManyPacks(PackRows.of(files), pattern)
    if isinstance(path, Sequence) and len(path) == 1:
        return open_pack(path[0])
    rows = PackRows.of(path)
    return rows.packs[0] if len(rows.packs) == 1 else ManyPacks(rows, rows.packs[0].path)


def verify_pack(path: Packs) -> Pack:
    """Open one pack or many, check every image, with a progress bar, and return it.

    Raises
    ------
    PackDamaged
        Some images do not match their checksums; ``.ids`` names them. Or the structure or the columns are damaged.
    """
    pack = open_pack(path)
    with progress("verifying", len(pack)) as bar:
        found = {member.path: ids for member in pack.members if (ids := member.verify(bar))}
    if found:
        damaged = [name for ids in found.values() for name in ids]
        shown = ", ".join(damaged[:10]) + (f", ... ({len(damaged)} in all)" if len(damaged) > 10 else "")
        files = "" if len(pack.members) == 1 else f" (in {', '.join(file.name for file in found)})"
        raise PackDamaged(
            f"{pack.path}: {len(damaged)} of {len(pack)} images are damaged{files}: {shown}",
            damaged,
            do="; ".join(f"prebake repair {file} SOURCE..." for file in [*found][:3])
            + " bakes only these again; or restore a copy",
        )
    return pack
