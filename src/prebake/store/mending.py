"""Write a pack once more with some of its images taken from elsewhere: all else stays what it was, to the byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import h5py

from prebake.errors import PackDamaged
from prebake.store import layout
from prebake.store.writer import PackFile

if TYPE_CHECKING:
    from pathlib import Path

    from prebake.store.reader import Pack

__all__ = ["mend_pack", "not_of_the_format"]

ATTRIBUTES = ("format", "format_version", "needs", *layout.TEXT_ATTRIBUTES, "columns_digest", "complete")
DATASETS = (layout.IMAGES, *(column.name for column in layout.COLUMNS), layout.FAILURES)


def mend_pack(pack: Pack, target: Path, images: Mapping[int, tuple[Pack, int]]) -> None:
    """Write ``pack`` to ``target``, which is overwritten, with other images in some rows.

    Columns and header are those of ``pack``, so with the same HDF5 library the bytes are those that it had when it was
    written, if the images are the same. Nothing is compared with checksums.

    Parameters
    ----------
    pack
        A pack of ours.
    target
        Where to write. Move it to its final name once it is verified.
    images
        For a row, the pack and the row there that its image is to be taken from, of the same codec and shape.

    Raises
    ------
    PackDamaged
        The file no longer says where an image lies.
    """
    file = PackFile(target, pack.header, pack.shape, len(pack))
    try:
        for row in range(len(pack)):
            source, place = images.get(row, (pack, row))
            if (data := source.encoded(place)) is None:
                raise PackDamaged(f"{source.path}: the chunk index is damaged", do="pack again, or restore a copy")
            file.write(row, data)
        file.finish(pack.columns, pack.failures, written_by=pack.written_by)
    finally:
        file.abandon()


def not_of_the_format(pack: Pack) -> list[str]:
    """Return the names of what others have put into a pack, and what :func:`mend_pack` would lose."""
    names: list[bytes] = []
    with h5py.File(pack.path, "r", locking=False) as file:
        file.id.links.iterate(
            names.append
        )  # len(file) would follow nodes beside one another, which may lead in circles
        return sorted({name.decode() for name in names} - {*DATASETS}) + sorted({*file.attrs} - {*ATTRIBUTES})
