"""The columns of an open pack, as arrays and lists; what a file of the 2019 kernel does not say is NaN, 0 or ""."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.errors import PackError, PackFormatError
from prebake.records import Failure
from prebake.store import layout

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Columns"]

NEAREST_OF = 2000  # ids that are looked through for the one that was meant


class Columns:
    """The columns of a pack.

    Parameters
    ----------
    path
        The pack, for messages.
    shape
        ``(N, H, W, C)``.
    ids
        The ids (N,), bytes in UTF-8.
    columns
        All columns as they stand in the file, or none of them.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], ids: NDArray[Any], columns: Mapping[str, NDArray[Any]]
    ) -> None:
        self.path = path
        self.columns = columns
        self._rows, self._channels = shape[0], shape[3]
        self._ids = ids
        for array in columns.values():
            array.flags.writeable = False

    @cached_property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return self._decoded(self._ids.tolist(), "id_code")

    @cached_property
    def groups(self) -> list[str]:
        """What must stay on one side of a split (the patient), ``""`` where unknown."""
        return self._text("group")

    @cached_property
    def sources(self) -> list[str]:
        """Names of the source datasets."""
        return self._text("source")

    @cached_property
    def splits(self) -> list[str]:
        """``"train"``, ``"test"``, ... as published, ``""`` where unknown."""
        return self._text("split")

    @cached_property
    def paths(self) -> list[str]:
        """``source/member`` of the photographs."""
        return self._text("path")

    @cached_property
    def source_digest(self) -> list[str]:
        """XXH3-128 of the encoded source files, 32 hexadecimal characters each."""
        return self._text("source_digest")

    @property
    def labels(self) -> NDArray[np.float32]:
        """Labels, float32 (N,), NaN where missing."""
        return self._numbers("label", np.nan)

    @property
    def width(self) -> NDArray[np.int32]:
        """Widths of the source photographs in pixels, int32 (N,)."""
        return self._numbers("width", 0)

    @property
    def height(self) -> NDArray[np.int32]:
        """Heights of the source photographs in pixels, int32 (N,)."""
        return self._numbers("height", 0)

    @property
    def to_source(self) -> NDArray[np.float64]:
        """Affine maps from baked to source pixel coordinates, float64 (N, 2, 3)."""
        return self._numbers("to_source", np.nan)

    @property
    def source_bytes(self) -> NDArray[np.int64]:
        """Sizes of the encoded source files, int64 (N,)."""
        return self._numbers("source_bytes", 0)

    @property
    def phash(self) -> NDArray[np.uint64]:
        """Perceptual hashes, uint64 (N,), 0 where there is none."""
        return self._numbers("phash", 0)

    @property
    def checksum(self) -> NDArray[np.uint64]:
        """XXH3-64 of the pixels, uint64 (N,)."""
        return self._numbers("checksum", 0)

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean of each channel, float32 (N, C), 0..255."""
        return self._numbers("mean", np.nan)

    @property
    def std(self) -> NDArray[np.float32]:
        """Standard deviation of each channel, float32 (N, C), 0..255."""
        return self._numbers("std", np.nan)

    def index_of(self, name: str) -> int:
        """Return the position of an id, in constant time; the error names the nearest id."""
        row = self._index.get(name)
        if row is None:
            raise PackError(f"{self.path.name}: no image with the id {name!r}", do=self._advice(name))
        if row < 0:
            raise PackError(f"{self.path.name}: the id {name!r} is there more than once", do="read by position instead")
        return row

    def table(self) -> pd.DataFrame:
        """Return the columns as a data frame, one row an image (not ``to_source``; ``mean_0`` is of channel 0)."""
        import pandas as pd  # noqa: PLC0415 - slow to load

        columns: dict[str, Any] = {
            "id_code": self.ids,
            "label": self.labels,
            "group": self.groups,
            "source": self.sources,
            "split": self.splits,
            "path": self.paths,
            "width": self.width,
            "height": self.height,
            "source_digest": self.source_digest,
            "source_bytes": self.source_bytes,
            "phash": self.phash,
            "checksum": self.checksum,
        }
        for name, values in (("mean", self.mean), ("std", self.std)):
            columns |= {f"{name}_{channel}": values[:, channel] for channel in range(self._channels)}
        return pd.DataFrame(columns)

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """What was in the input and is not in the pack."""
        columns = (self._text(f"{layout.FAILURES}/{column.name}", rows=0) for column in layout.FAILURE_COLUMNS)
        return tuple(Failure(*values) for values in zip(*columns, strict=True))

    @cached_property
    def _index(self) -> dict[str, int]:
        index = {name: row for row, name in enumerate(self.ids)}
        if len(index) != self._rows:
            index |= {name: -1 for name, count in Counter(self.ids).items() if count > 1}
        return index

    def _numbers(self, name: str, missing: float) -> NDArray[Any]:
        if self.columns:
            return self.columns[name]
        column = next(column for column in layout.COLUMNS if column.name == name)
        return np.full(column.shape(self._rows, self._channels), missing, column.dtype)

    def _text(self, name: str, rows: int | None = None) -> list[str]:
        if self.columns:
            return self._decoded(self.columns[name].tolist(), name)
        return [""] * (self._rows if rows is None else rows)

    def _decoded(self, values: Sequence[bytes], name: str) -> list[str]:
        try:
            return [value.decode() for value in values]
        except UnicodeDecodeError:
            raise PackFormatError(f"{self.path}: {name} is not UTF-8") from None

    def _advice(self, name: str) -> str:
        wanted = name.strip().rpartition("/")[2].casefold()
        some = [known for known in self.ids if wanted[:4] and wanted[:4] in known.casefold()][:NEAREST_OF]
        nearest = difflib.get_close_matches(name, some or self.ids[:NEAREST_OF], n=1, cutoff=0)
        return f"the nearest id is {nearest[0]!r}" if nearest else "the pack is empty"
