"""One packing into several files, each a complete pack: they are made one after the other, and published together.

Which photographs go into which file follows from their order, the size of images and the limit alone, so the files are
the same whatever happened on the way. A finished file waits in the work folder until all are there: until then the
files of before stay what they were, and images are taken out of them.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import OptionError, PackError
from prebake.files import digest, human_bytes, sync_folder
from prebake.packing.job import ROW_BYTES, Job
from prebake.packing.plan import SET, open_target
from prebake.store import MOST_FILES, Pack, file_names, member_of, publishing_mark

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from prebake.packing.folder import WorkFolder
    from prebake.packing.options import PackOptions
    from prebake.packing.plan import Plan
    from prebake.recipe import Recipe
    from prebake.records import Sample
    from prebake.store import Header

__all__ = ["SetJob", "rows_in_file"]

LOG = logging.getLogger(__name__)
FILE_BYTES = 250_000  # of a file, beside its rows: attributes, and the index of images
NUMBERS = 400  # bytes of one row that are no text, generously
TEXTS = ("id", "group", "source", "split", "path")


class SetJob(Job):
    """One packing into several files.

    Parameters
    ----------
    target
        What their names are made of.
    work, options, recipe, samples
        As for :class:`Job`.

    Attributes
    ----------
    files
        The files, in order.

    Raises
    ------
    OptionError
        No image fits into a file of that size, or there would be too many files.
    """

    def __init__(
        self, target: Path, work: WorkFolder, options: PackOptions, recipe: Recipe, samples: Sequence[Sample]
    ) -> None:
        super().__init__(target, work, options, recipe, samples)
        self.rows = rows_in_file(options.file_bytes, recipe.size, samples)
        count = math.ceil(len(samples) / self.rows)
        if count > MOST_FILES:
            raise OptionError(
                "max_pack_size", expected=f"a size that gives at most {MOST_FILES:,} files", got=f"{count:,} files"
            )
        self.files = file_names(target, count)
        self.shares = [self.plan.part(number * self.rows, (number + 1) * self.rows) for number in range(count)]
        self.whole: dict[int, Path] = {}

    def _do(self, executor: Executor | None) -> None:
        for path in self.files:
            open_target(path)  # or refuse what must not be overwritten, before any work
        choice = self._recall(self._earlier())
        if self.options.codec == "auto":
            self._settle_codec(choice, executor)
        if self.plan.missing():
            self._check_space(self._images_at_once())
        header = replace(self.header, extra={**self.header.extra, SET: self._identity()})
        for number in range(len(self.files)):
            self._until_whole(partial(self._make, number, header, executor))
        self._check_failures()
        self._publish()
        self._remove_stale()
        self._tidy()

    def _images_at_once(self) -> int:
        """Return how many images are on the disk at most: all files, and the parts of one."""
        open_ones = [len(share.samples) for share in self.shares if share.missing()]
        return sum(open_ones) + max(open_ones, default=0)

    def _earlier(self) -> Iterator[Pack]:
        """Give the packs that may hold what this one needs: files of before, one file, what an ended run has made."""
        for path in (self.target, *self._numbered(), *sorted(self.work.path.glob("ready-*.h5"))):
            if (pack := _opened(path)) is not None and pack.recipe_json is not None:
                yield pack

    def _numbered(self) -> list[Path]:
        """Return all files that have a name of this set, of any number of files."""
        found = ((path, member_of(path)) for path in self.target.parent.iterdir())
        return sorted(path for path, member in found if member is not None and member.target == self.target)

    def _identity(self) -> str:
        """Return what the files of this set have in common, and those of another division do not."""
        said = (self.header.recipe_digest, self.header.codec, str(self.rows), *(s.id for s in self.plan.samples))
        return digest("\0".join(said).encode())

    def _make(self, number: int, header: Header, executor: Executor | None) -> None:
        """See to it that a file is finished, at its place or in the work folder."""
        share, target = self.shares[number], self.files[number]
        self._bake_missing(share, executor)
        if share.failures() and self.options.on_error == "fail":
            return  # all others are baked first
        for path in (target, *sorted(self.work.path.glob(f"ready-{number:05d}-*.h5"))):
            if (pack := _opened(path)) is not None and share.is_what(pack, header):
                self.whole[number] = path
                return
        ready = self.work.path / f"ready-{number:05d}-{secrets.token_hex(4)}.h5"  # others may yet be taken from
        used = {path for path, _ in share.rows()}
        self._write(share, header, ready)
        share.moved(ready)
        self.whole[number] = ready
        self._drop(used, share, number)

    def _drop(self, used: set[Path], share: Plan, number: int) -> None:
        """Remove the parts that are in a finished file, so that the disk does not hold everything twice."""
        ids = {sample.id for sample in share.samples}
        self.work.remember({name: share.outcomes[name] for name in ids}, f"known-{number:05d}")
        for path in used:
            if path.parent != self.work.parts:
                continue
            with Pack(path) as part:
                inside = ids.issuperset(part.ids)
            if inside:  # not where an ended run has cut other parts
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink()

    def _publish(self) -> None:
        """Move the finished files to their places; until all are there, a mark keeps them from being read as one."""
        moves = [(path, self.files[number]) for number, path in self.whole.items() if path != self.files[number]]
        mark = publishing_mark(self.target)
        if moves:
            mark.touch()
            sync_folder(mark.parent)
        for path, place in moves:
            path.replace(place)
        sync_folder(self.target.parent)
        mark.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        """Remove the files of an earlier packing into another number of files, and nothing else."""
        for path in set(self._numbered()).difference(self.files):
            if (pack := _opened(path)) is not None and SET in pack.extra:
                path.unlink()
            else:
                LOG.warning("%s is not of this set, but has a name like it; it stays where it is", path)


def rows_in_file(limit: int, size: int, samples: Sequence[Sample]) -> int:
    """Return how many images go into a file of at most ``limit`` bytes, whatever codec it has.

    Raises
    ------
    OptionError
        None does.
    """
    texts = sum(max((len((getattr(s, name) or "").encode()) for s in samples), default=0) for name in TEXTS)
    pixels = size * size * 3
    row = pixels + pixels // 255 + max(ROW_BYTES, NUMBERS + texts)  # what cannot be compressed becomes a little longer
    rows = (limit - FILE_BYTES) // row
    if rows < 1:
        raise OptionError(
            "max_pack_size",
            expected=f"at least {human_bytes(FILE_BYTES + row)}, which one image of {size} x {size} may take",
            got=human_bytes(limit),
        )
    return rows


def _opened(path: Path) -> Pack | None:
    try:
        return Pack(path)
    except PackError:
        return None
