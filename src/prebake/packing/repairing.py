"""Repair a pack: the images that do not match their checksums are baked again from the photographs they came from.

The work folder, its lock and the workers are those of packing. What comes out has the bytes of the pack before it was
damaged, is verified beside it, and then takes its place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import PackDamaged, PackError, PackFailures, PackFormatError, TableError
from prebake.files import check_space
from prebake.packing.folder import WorkFolder
from prebake.packing.options import PackOptions, PathLike
from prebake.packing.plan import Plan, made_by, parts_of
from prebake.packing.run import run_tasks
from prebake.packing.worker import Task, digest_of
from prebake.progress import progress as progress_bar
from prebake.recipe import Recipe, require_allowed
from prebake.sources import scan
from prebake.store import Pack, member_of, mend_pack, not_of_the_format

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = ["repair"]

ROW_BYTES = 1000  # the columns of one image, generously


def repair(  # noqa: PLR0913 - one keyword for each option of the command line
    pack: PathLike,
    sources: PathLike | Sequence[PathLike],
    *,
    labels: PathLike | None = None,
    layout: str = "auto",
    workers: int | None = None,
    time_limit: float = 60,
    memory_limit: float | None = None,
    progress: bool = True,
) -> list[str]:
    """Bake the damaged images of a pack again from its sources; all else stays as it is.

    With the versions of libraries that the pack was made with, the result has the bytes it had before it was damaged;
    with others, its content. It is written beside the pack and verified before it takes its place: interrupted or
    killed at any moment, the pack is what it was, and the same call can be made again.

    Parameters
    ----------
    pack
        The pack. Its structure and columns must be whole.
    sources
        What it was packed from, as it was given then. Photographs are found by id or path, and must have the bytes that
        they had then, by digest.
    labels, layout
        As for :func:`prebake.packing.pack`: they decide on ids. Labels in the pack stay what they are.
    workers
        Processes that bake; all usable cores without it.
    time_limit, memory_limit
        As for :func:`prebake.packing.pack`; what is over them could not be baked.
    progress
        Whether to show progress (on a terminal only).

    Returns
    -------
    list of str
        The ids of the images that were baked again, in the order of the pack; empty where nothing is damaged: then
        nothing was written.

    Raises
    ------
    prebake.errors.PackDamaged, prebake.errors.PackFormatError
        More than images is damaged, or it is no pack of ours: it must be packed again.
    prebake.errors.TableError
        Photographs of damaged images are not in the sources, or have changed since they were packed (``.problems``).
    prebake.errors.PackFailures
        They could not be baked.
    prebake.errors.RecipeError
        The recipe calls a function that was not allowed (:func:`prebake.recipe.allow_function`).
    prebake.errors.PackError
        They come out other than they were packed; or others have put into the file what would be lost.
    prebake.errors.PackLocked
        Another process packs to this pack, or repairs it.

    Examples
    --------
    >>> import prebake
    >>> prebake.repair("pack.h5", ["photographs"])  # doctest: +SKIP
    ['0a09aa7356c0']
    """
    options = PackOptions(
        labels=labels,
        layout=layout,
        workers=workers,
        time_limit=time_limit,
        memory_limit=memory_limit,
        progress=progress,
    )
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    target = Path(os.path.realpath(pack))
    if not target.is_file():
        raise PackError(f"{target}: there is no such pack", do="prebake pack SOURCE... -o OUT.h5")
    member = member_of(target)
    of_set = contextlib.nullcontext() if member is None else WorkFolder.held(member.target)
    with of_set, WorkFolder.held(target) as work, _going_on(target):
        job = _Repair(_opened(target), work, options)
        rows = job.damaged(job.pack)
        if rows:
            job.run(rows, sources)
        return [job.pack.ids[row] for row in rows]


@contextlib.contextmanager
def _going_on(target: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{target} is what it was; run the same command again")
        raise


def _opened(target: Path) -> Pack:
    """Open what is to be repaired, or say why that is not possible."""
    again = f"move {target} away and pack again: prebake pack SOURCE... -o {target}; or restore a copy"
    try:
        pack = Pack(target)
        _ = pack.header
    except (PackDamaged, PackFormatError) as error:
        kind, got = type(error), f" ({error.got})" if error.got is not None else ""
        raise kind(
            f"{error.what}{got}; only images can be baked again, not what the pack says of them", do=again
        ) from error
    if foreign := not_of_the_format(pack):
        raise PackError(
            f"{target} holds what repairing would lose",
            expected="only what prebake has written",
            got=", ".join(foreign),
            do="copy it to another file, delete it from this one (h5py: del file[NAME]), and repair",
        )
    return pack


@dataclass(frozen=True)
class _Repair:
    """One repair under its lock."""

    pack: Pack
    work: WorkFolder
    options: PackOptions

    def damaged(self, pack: Pack) -> list[int]:
        """Return the rows whose images do not match their checksums."""
        with progress_bar("verifying", len(pack), enabled=self.options.progress) as bar:
            return [pack.index_of(name) for name in pack.verify(bar)]

    def run(self, rows: Sequence[int], sources: Sequence[PathLike]) -> None:
        """Bake the images of rows, write the pack, verify it, publish it."""
        header, target = self.pack.header, self.pack.path
        check_space(self.work.path, target.stat().st_size + len(rows) * (header.size**2 * 3 + ROW_BYTES))
        samples = scan(sources, labels=self.options.labels, layout=self.options.layout)
        plan = self._bake(_photographs(self.pack, rows, samples))
        images = {row: plan.places[self.pack.ids[row]] for row in rows}
        parts = {place.pack: Pack(place.pack) for place in images.values()}
        mended = {row: (parts[place.pack], place.row) for row, place in images.items()}
        _require_same(self.pack, mended)
        merged = self.work.merged
        try:
            mend_pack(self.pack, merged, mended)
            with Pack(merged) as made:
                if made.digest != self.pack.digest or self.damaged(made):
                    raise PackDamaged(f"{merged} is not what was written: the disk or the memory is failing")
            shutil.copymode(target, merged)
            self.work.publish(target)
        finally:
            merged.unlink(missing_ok=True)
        for part in parts:
            part.unlink(missing_ok=True)
            part.with_suffix(".json").unlink(missing_ok=True)

    def _bake(self, samples: Sequence[Sample]) -> Plan:
        plan, header, workers = Plan(samples), self.pack.header, self.options.processes
        made, functions = made_by(header), Recipe.from_json(header.recipe_json).functions
        require_allowed(functions)
        plan.take_receipts(self.work.receipts(made), self.work, failed_too=False)
        if missing := plan.missing():
            run = str(self.work.begin_run())
            parts = parts_of(missing, workers)
            tasks = [Task(part, header, made, str(self.work.parts), run, functions) for part in parts]
            with progress_bar("baking", len(missing), enabled=self.options.progress) as bar:
                run_tasks(tasks, None, workers, self.options.limits, bar, lambda receipt: plan.add(receipt, self.work))
        if failures := plan.failures():
            raise PackFailures(
                f"{len(failures)} of {len(samples)} damaged images could not be baked again; the pack is what it was",
                failures,
                do="see the reasons above",
            )
        return plan


def _photographs(pack: Pack, rows: Sequence[int], samples: Sequence[Sample]) -> list[Sample]:
    """Return the photographs of rows, under the ids that the pack has, with the bytes that were packed."""
    by_id, by_path = {sample.id: sample for sample in samples}, {sample.path: sample for sample in samples}
    found: list[Sample] = []
    problems: list[str] = []
    for row in rows:
        name, wanted = pack.ids[row], pack.source_digest[row]
        maybe = {s.path: s for s in (by_id.get(name), by_path.get(pack.paths[row])) if s is not None}
        digests = {digest_of(sample): sample for sample in maybe.values()}
        if wanted in digests:
            found.append(replace(digests[wanted], id=name))
        elif maybe:
            got = ", ".join(digest or "it cannot be read" for digest in digests)
            problems.append(f"{name} ({', '.join(maybe)}) has changed: digest {wanted} when packed, now {got}")
        else:
            problems.append(f"{name} ({pack.paths[row]}) is not in the sources")
    if problems:
        raise TableError(
            f"{pack.path}: not all of the {len(rows)} damaged images can be baked again",
            problems,
            do="give the sources as they were when the pack was made; for a pack of what they are now, "
            f"prebake pack SOURCE... -o {pack.path}",
        )
    return found


def _require_same(pack: Pack, mended: Mapping[int, tuple[Pack, int]]) -> None:
    other = [pack.ids[row] for row, (part, place) in mended.items() if part.checksum[place] != pack.checksum[row]]
    if other:
        shown = ", ".join(other[:10]) + (f", ... ({len(other)} in all)" if len(other) > 10 else "")
        raise PackError(
            f"{pack.path}: images come out other than they were packed: {shown}",
            expected=f"the pixels that these versions gave: {pack.written_by}",
            got=f"others: {next(iter(mended.values()))[0].written_by}",
            do="repair it with the versions that packed it, restore a copy, or pack all again to another file",
        )
