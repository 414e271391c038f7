"""Merge packs: encoded images are copied as they are, in the order asked for; same rows, same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.errors import PackDamaged, PackError, PackFormatError
from prebake.store import layout
from prebake.store.checksums import checksum
from prebake.store.reader import Pack
from prebake.store.writer import PackFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.records import Failure, Sample

__all__ = ["merge_packs"]

BLOCK_BYTES = 1 << 20
OPEN = 8  # inputs open at a time
SAID_BY_SOURCES = ("label", "group", "source", "split", "path")


def merge_packs(
    inputs: Sequence[tuple[Path, Sequence[int]]],
    target: Path,
    header: layout.Header,
    failures: Sequence[Failure] = (),
    *,
    samples: Sequence[Sample] | None = None,
    check: bool = True,
) -> None:
    """Write a pack of rows of other packs.

    A few inputs are open at a time, and a few images are in memory. An image is decoded and encoded again only where
    its input has another codec.

    Parameters
    ----------
    inputs
        Packs and the positions to take from each, in the order they shall have.
    target
        Where to write; what is there is overwritten. Move it to its final name afterwards.
    header
        What the new pack says of all images. The recipe must be that of the inputs.
    failures
        What is not in the pack.
    samples
        What the sources say of the rows now, one for each: their label, group, source, split and path replace those
        of the inputs.
    check
        Decode each image on the way and compare it with its checksum.

    Raises
    ------
    PackDamaged
        Images do not match their checksums; ``target`` is then not complete.
    PackFormatError
        An input has another recipe or image shape than the first, or is a file of the 2019 kernel.
    PackError
        An id comes twice.
    """
    target, total = Path(target), sum(len(rows) for _, rows in inputs)
    file: PackFile | None = None
    gathered: list[dict[str, NDArray[Any]]] = []
    written, done = 0, False
    opened = lru_cache(maxsize=OPEN)(Pack)  # many short runs of rows may alternate between few packs
    try:
        for path, positions in inputs:
            pack = opened(path)
            rows = [pack.row(position) for position in positions]
            if file is None:
                file = PackFile(target, header, pack.shape, total)
            _require_same(pack, file)
            _copy(pack, rows, file, written, check=check)
            gathered.append({column.name: pack.columns[column.name][rows] for column in layout.COLUMNS})
            written += len(rows)
        if file is None:
            file = PackFile(target, header, (header.size, header.size, 3), 0)
        columns = {
            column.name: _joined(column, [part[column.name] for part in gathered], file) for column in layout.COLUMNS
        }
        if samples is not None:
            columns |= _said_by(samples, total)
        _require_unique(columns[layout.IDS], failures, target)
        file.finish(columns, failures)
        done = True
    finally:
        if file is not None and not done:
            file.abandon()


def _require_same(pack: Pack, file: PackFile) -> None:
    if pack.recipe_json is None:
        raise PackFormatError(
            f"{pack.path}: has no recipe and no checksums (a file of the 2019 kernel), it cannot be merged",
            do="pack its photographs again: prebake pack SOURCE... -o OUT.h5",
        )
    if pack.recipe_json != file.header.recipe_json:
        raise PackFormatError(
            f"{pack.path}: was baked with another recipe", expected=file.header.recipe_json, got=pack.recipe_json
        )
    if pack.shape != file.shape:
        raise PackFormatError(f"{pack.path}: has images of another shape", expected=file.shape, got=pack.shape)


def _copy(pack: Pack, rows: Sequence[int], file: PackFile, start: int, *, check: bool) -> None:
    """Copy images of one pack to the rows from ``start`` on; all that are damaged are named at once."""
    same = pack.codec == file.codec.name
    block = max(1, BLOCK_BYTES // int(np.prod(pack.shape))) if same and file.codec.filter_id is None else 1
    damaged: list[str] = []
    for first in range(0, len(rows), block):
        some = rows[first : first + block]
        data: bytes | NDArray[np.uint8] | None = pack.encoded(some[0]) if same and file.codec.filter_id else None
        if check or data is None:
            try:
                images = pack.read(some)
            except PackDamaged as error:
                damaged += error.ids
                continue
            if check:
                pairs = zip(some, images, strict=True)
                damaged += [pack.ids[row] for row, image in pairs if checksum(image) != pack.checksum[row]]
            if data is None:
                data = images if file.codec.filter_id is None else file.codec.encode(images[0])
        file.write(start + first, data)
    if damaged:
        shown = ", ".join(damaged[:10]) + (", ..." if len(damaged) > 10 else "")
        raise PackDamaged(f"{pack.path}: {len(damaged)} damaged images: {shown}", damaged, do="bake them again")


def _joined(column: layout.Column, parts: Sequence[NDArray[Any]], file: PackFile) -> NDArray[Any]:
    """Join a column of all inputs; text becomes as wide as its longest value, as if it had been written at once."""
    if not parts:
        return np.empty(column.shape(0, file.shape[2]), "S1" if column.dtype == "S" else column.dtype)
    joined = np.concatenate(parts)
    if column.dtype != "S":
        return joined
    return joined.astype(f"S{max(int(np.strings.str_len(joined).max(initial=0)), 1)}")


def _said_by(samples: Sequence[Sample], rows: int) -> dict[str, NDArray[Any]]:
    """Return the columns that come from the sources, not from the photographs."""
    if len(samples) != rows:
        raise PackError("samples and rows do not belong together", expected=f"{rows} samples", got=len(samples))
    columns = {column.name: column for column in layout.COLUMNS}
    return {name: columns[name].array([getattr(sample, name) for sample in samples], 0) for name in SAID_BY_SOURCES}


def _require_unique(ids: NDArray[np.bytes_], failures: Sequence[Failure], target: Path) -> None:
    counted = Counter([*ids.tolist(), *(failure.id.encode() for failure in failures)])
    twice = [name.decode() for name, count in counted.items() if count > 1]
    if twice:
        shown = ", ".join(twice[:10]) + (", ..." if len(twice) > 10 else "")
        raise PackError(f"{target}: {len(twice)} ids come twice: {shown}", expected="ids that are unique")
