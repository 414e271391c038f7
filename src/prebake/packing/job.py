"""One packing under its lock: find what is done, bake what is missing, merge, verify, publish."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import PackDamaged, PackFailures
from prebake.files import check_space
from prebake.packing.codec_choice import SHARE, CodecChoice, CodecFacts, choose_codec
from prebake.packing.plan import Plan, made_by, open_target, parts_of
from prebake.packing.probe import machine_memory, measured, spread
from prebake.packing.run import run_tasks
from prebake.packing.surroundings import versions
from prebake.packing.worker import Task
from prebake.progress import Progress, progress
from prebake.store import CODECS, Header, Pack, merge_packs

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from prebake.packing.folder import WorkFolder
    from prebake.packing.options import PackOptions
    from prebake.recipe import Recipe
    from prebake.records import Sample

__all__ = ["Job"]

LOG = logging.getLogger(__name__)
ROW_BYTES = 1000  # the columns of one image, generously


class Job:
    """One packing.

    Parameters
    ----------
    target
        The pack to write.
    work
        Its work folder, held.
    options, recipe
        What was asked for.
    samples
        What goes in, in order.
    """

    def __init__(
        self, target: Path, work: WorkFolder, options: PackOptions, recipe: Recipe, samples: Sequence[Sample]
    ) -> None:
        self.target, self.work, self.options = target, work, options
        codec = "zstd" if options.codec == "auto" else options.codec  # until it is chosen
        self.share = 1 if codec == "raw" else SHARE
        self.header = Header(recipe.to_json(), recipe.digest, recipe.size, codec)
        self.functions = recipe.functions
        self.made_by = made_by(self.header)
        self.plan = Plan(samples)

    def run(self, executor: Executor | None) -> None:
        """Do it all; afterwards the target is complete, verified and up to date."""
        with self._going_on():
            self._do(executor)

    def _do(self, executor: Executor | None) -> None:
        before = open_target(self.target)
        choice = self._recall(() if before is None else (before,))
        if self.options.codec == "auto":
            self._settle_codec(choice, executor)

        def make() -> None:
            self._bake_missing(self.plan, executor)
            self._check_failures()
            if before is None or not self.plan.is_what(before, self.header):
                self._write(self.plan, self.header, self.target)

        self._until_whole(make)
        self._tidy()

    def _until_whole(self, make: Callable[[], None]) -> None:
        """Make a file; again where images that were baked before turn out to be damaged, which are then baked again."""
        forgotten: set[str] = set()
        while True:
            try:
                return make()
            except PackDamaged as damaged:
                if not damaged.ids or forgotten.issuperset(damaged.ids):
                    raise
                LOG.warning("%d images were damaged on the disk; they are baked again", len(damaged.ids))
                forgotten.update(damaged.ids)
                self.plan.forget(damaged.ids)

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt as interrupt:
            done, total = len(self.plan.outcomes), len(self.plan.samples)
            interrupt.add_note(
                f"{done} of {total} photographs are done; run the same command again to go on from there"
            )
            raise

    def _bar(self, what: str, total: int, done: int = 0) -> Progress:
        return progress(what, total, initial=done, enabled=self.options.progress)

    def _recall(self, earlier: Iterable[Pack]) -> CodecChoice | None:
        """Find what is baked already, in packs that are there and in finished parts; return the codec of the packs."""
        skip = self.options.on_error == "skip"
        receipts = list(self.work.receipts(self.made_by))
        known = self.work.known()
        known |= {outcome.id: outcome for receipt in receipts for outcome in receipt.outcomes}
        doubtful, choice = [], None
        for pack in earlier:
            if pack.recipe_digest == self.header.recipe_digest:
                doubtful += self.plan.take_pack(pack, known, failed_too=skip)
                if choice is None and pack.codec in CODECS:
                    choice = CodecChoice(pack.codec, pack.extra.get("codec_reason", "as the pack was before"), SHARE)
        self.plan.take_receipts(receipts, self.work, failed_too=skip)
        doubtful = [entry for entry in doubtful if entry[0].id not in self.plan.outcomes]
        if doubtful:
            with self._bar("comparing", len(doubtful)) as bar:
                self.plan.compare(doubtful, bar)
        return choice

    def _settle_codec(self, before: CodecChoice | None, executor: Executor | None) -> None:
        """Stay with the codec of the pack that is there, or with what an interrupted run has chosen; else choose one.

        So neither memory that has become less nor a disk that parts have filled makes anything be done again.
        """
        if before is not None:
            choice = before
        elif (kept := self.work.choice(self.made_by)) is not None:
            choice = kept
        else:
            choice = choose_codec(self._facts(executor))
        self.header = replace(self.header, codec=choice.codec, extra={"codec_reason": choice.reason})
        self.share = 1 if choice.codec == "raw" else choice.share
        if self.plan.missing():
            self._check_space(self._images_at_once())
            self.work.keep_choice(choice, self.made_by)

    def _images_at_once(self) -> int:
        """Return how many images are on the disk at most: in the pack, and in parts."""
        return len(self.plan.samples) + len(self.plan.missing())

    def _facts(self, executor: Executor | None) -> CodecFacts:
        """Find out what the choice of the codec depends on; where that takes it, bake a few of the photographs."""
        samples, plan = self.plan.samples, self.plan
        pixels = len(samples) * self.header.size**2 * 3
        facts = CodecFacts(pixels, machine_memory(), shutil.disk_usage(self.work.path).free)
        if not facts.needs_measuring:
            return facts
        probe = spread(samples)
        few = [sample for sample in probe if sample.id not in plan.outcomes]
        with self._bar("sampling", len(few)) as bar:
            self._bake(few, executor, bar)
        images = []
        for sample in probe:
            if place := plan.places.get(sample.id):
                with contextlib.suppress(PackDamaged):  # it is found again when parts are merged
                    images.append(Pack(place.pack)[place.row])
        return measured(facts, images, self.work.path)

    def _bake_missing(self, plan: Plan, executor: Executor | None) -> None:
        """Bake what is missing in a plan, which is of all samples or of some."""
        missing = plan.missing()
        if missing:
            self._check_space(len(plan.samples) + len(missing))
            with self._bar("packing", len(self.plan.samples), len(self.plan.outcomes)) as bar:
                self._bake(missing, executor, bar)

    def _bake(self, samples: Sequence[Sample], executor: Executor | None, bar: Progress) -> None:
        if not samples:
            return
        run, workers = str(self.work.begin_run()), self.options.processes
        told = "" if executor is None else versions()
        tasks = [
            Task(part, self.header, self.made_by, str(self.work.parts), run, self.functions, told)
            for part in parts_of(samples, workers)
        ]
        limits = self.options.limits
        run_tasks(tasks, executor, workers, limits, bar, lambda receipt: self.plan.add(receipt, self.work))

    def _check_space(self, images: int) -> None:
        image = self.header.size**2 * 3 * self.share + ROW_BYTES
        check_space(self.work.path, int(images * image))

    def _check_failures(self) -> None:
        failures, total = self.plan.failures(), len(self.plan.samples)
        if len(failures) == total:
            raise PackFailures(f"none of the {total} photographs could be baked", failures, do="see the reasons above")
        if failures and self.options.on_error == "fail":
            raise PackFailures(
                f"{len(failures)} of {total} photographs could not be baked; {self.target} is not written",
                failures,
                do="repair or remove them, or leave them out with --on-error skip; then run the same command again: "
                "the others are done and are not baked again",
            )

    def _write(self, plan: Plan, header: Header, target: Path) -> None:
        """Merge what is baked, verify it, and move it to its place."""
        merged, samples = self.work.merged, plan.baked()
        self._check_space(len(samples))
        try:
            merge_packs(plan.rows(), merged, header, plan.failures(), samples=samples, check=False)
            with self._bar("verifying", len(samples)) as bar, Pack(merged) as pack:
                damaged = pack.verify(bar)
            if damaged:
                raise PackDamaged(f"{merged}: {len(damaged)} images are not as they were baked", damaged)
            self.work.publish(target)
        finally:
            merged.unlink(missing_ok=True)

    def _tidy(self) -> None:
        self.work.remember(self.plan.outcomes)
        self.work.clear()
