"""What is already baked, what has to be baked, and where the images of the new pack come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from prebake.errors import PackError, PackFormatError
from prebake.files import digest
from prebake.packing.folder import Outcome, Receipt, WorkFolder, seen
from prebake.packing.worker import digest_of
from prebake.records import Failure
from prebake.store import FORMAT_VERSION, Header, Pack
from prebake.version import __version__

if TYPE_CHECKING:
    from prebake.progress import Progress
    from prebake.records import Sample

__all__ = ["SET", "Place", "Plan", "made_by", "open_target", "parts_of"]

PART_SIZE = 64
SET = "set"  # what the files of one set have in common, in their ``extra``
PARTS_PER_WORKER = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where the image of one photograph lies: a row of a pack, which may be a part."""

    pack: Path
    row: int


@dataclass
class Plan:
    """The new pack in the making.

    Attributes
    ----------
    samples
        What goes into it, in order.
    places
        id -> where its image lies, for all that are baked.
    outcomes
        id -> what is known of its source, for all that are baked or have failed.
    """

    samples: Sequence[Sample]
    places: dict[str, Place] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Plan:
        """Return the plan of some of the samples; what becomes known of them is known to both."""
        return Plan(self.samples[start:stop], self.places, self.outcomes)

    def missing(self) -> list[Sample]:
        """Return what has to be baked."""
        return [sample for sample in self.samples if sample.id not in self.outcomes]

    def failures(self) -> list[Failure]:
        """Return what could not be baked, in input order."""
        found = ((sample, self.outcomes.get(sample.id)) for sample in self.samples)
        return [
            Failure(sample.id, sample.path, outcome.reason) for sample, outcome in found if outcome and outcome.reason
        ]

    def baked(self) -> list[Sample]:
        """Return what goes into the pack as images, in input order."""
        return [sample for sample in self.samples if sample.id in self.places]

    def rows(self) -> list[tuple[Path, list[int]]]:
        """Return where the images lie, in input order, runs out of one file joined."""
        places = (self.places[sample.id] for sample in self.baked())
        return [(path, [place.row for place in run]) for path, run in groupby(places, key=lambda place: place.pack)]

    def take_receipts(self, receipts: Iterable[Receipt], work: WorkFolder, *, failed_too: bool) -> None:
        """Take over what finished parts hold of the samples whose sources are as they were.

        Parameters
        ----------
        receipts
            Of the parts.
        work
            Where they lie.
        failed_too
            Whether a photograph that failed stays failed, or is baked again. One whose bytes could not even be read is
            always tried again.
        """
        now = {sample.id: seen(sample) for sample in self.samples}
        for receipt in receipts:
            for outcome, place in _places(receipt, work):
                if now.get(outcome.id) != outcome.seen or outcome.id in self.places:
                    continue
                if place is not None or (failed_too and outcome.digest):
                    self._put(outcome, place)

    def add(self, receipt: Receipt, work: WorkFolder) -> None:
        """Add a part that was just made."""
        for outcome, place in _places(receipt, work):
            self._put(outcome, place)

    def take_pack(
        self, pack: Pack, known: Mapping[str, Outcome], *, failed_too: bool
    ) -> list[tuple[Sample, Outcome, Place]]:
        """Take over the images and failures of an earlier pack whose sources still look as they did.

        Parameters
        ----------
        pack
            The earlier pack, baked with the same recipe.
        known
            What was last seen of the sources, see :meth:`prebake.packing.folder.WorkFolder.known`.
        failed_too
            As for :meth:`take_receipts`.

        Returns
        -------
        list
            What may have changed or not, for :meth:`compare`: sample, outcome if it has not, place of the image.
        """

        def unchanged(sample: Sample) -> Outcome | None:
            before = known.get(sample.id)
            return before if before and before.digest and before.seen == seen(sample) else None

        doubtful = []
        for row, name in enumerate(pack.ids):
            if (sample := self._by_id.get(name)) is None:
                continue
            before, place = unchanged(sample), Place(pack.path, row)
            outcome = Outcome(name, seen(sample), str(pack.source_digest[row]))
            if before and before.digest == outcome.digest:
                self._put(outcome, place)
            elif sample.size == pack.source_bytes[row]:
                doubtful.append((sample, outcome, place))
        for failure in pack.failures if failed_too else ():
            sample = self._by_id.get(failure.id)
            before = unchanged(sample) if sample else None
            if before and before.reason and before.reason == failure.reason:
                self._put(before)
        return doubtful

    @cached_property
    def _by_id(self) -> dict[str, Sample]:
        return {sample.id: sample for sample in self.samples}

    def compare(self, doubtful: Iterable[tuple[Sample, Outcome, Place]], bar: Progress) -> None:
        """Take over the images of an earlier pack whose sources have the same bytes, by digest."""
        threads = ThreadPoolExecutor(4)
        try:
            open_ones = [entry for entry in doubtful if entry[0].id not in self.outcomes]
            digests = threads.map(digest_of, (sample for sample, _, _ in open_ones))
            for (_, outcome, place), found in zip(open_ones, digests, strict=True):
                if found == outcome.digest:
                    self._put(outcome, place)
                bar.update(1)
        finally:
            threads.shutdown(cancel_futures=True)

    def _put(self, outcome: Outcome, place: Place | None = None) -> None:
        self.outcomes[outcome.id] = outcome
        if place is not None:
            self.places[outcome.id] = place

    def forget(self, ids: Iterable[str]) -> None:
        """Bake these again."""
        for name in ids:
            self.places.pop(name, None)
            self.outcomes.pop(name, None)

    def moved(self, path: Path) -> None:
        """Take note that the images of this plan lie in a file of their own now, in order."""
        self.places.update({sample.id: Place(path, row) for row, sample in enumerate(self.baked())})

    def is_what(self, pack: Pack, header: Header) -> bool:
        """Tell whether a pack already is what this plan would give; its images are not read."""
        baked = self.baked()
        digests = [self.outcomes[sample.id].digest for sample in baked]
        if self.missing() or pack.ids != [sample.id for sample in baked] or pack.source_digest != digests:
            return False
        if pack.recipe_digest != header.recipe_digest or pack.extra.get(SET) != header.extra.get(SET):
            return False
        told = zip(pack.labels.tolist(), pack.groups, pack.sources, pack.splits, pack.paths, strict=True)
        if any(_differs(sample, *facts) for sample, facts in zip(baked, told, strict=True)):
            return False
        return pack.codec == header.codec and tuple(self.failures()) == pack.failures


def _differs(sample: Sample, label: float, group: str, source: str, split: str, path: str) -> bool:
    """Tell whether a label, group, source, split or path is another than beside the image."""
    same_label = math.isnan(label) if sample.label is None else label == _float32(sample.label)
    return not same_label or (sample.group or "", sample.source, sample.split, sample.path) != (
        group,
        source,
        split,
        path,
    )


def _float32(value: float) -> float:
    return float(np.float32(value))


def _places(receipt: Receipt, work: WorkFolder) -> Iterator[tuple[Outcome, Place | None]]:
    """Give the outcomes of a part, with the place of the image where there is one."""
    row, part = 0, work.part(receipt.name)
    for outcome in receipt.outcomes:
        yield outcome, None if outcome.reason else Place(part, row)
        row += not outcome.reason


def made_by(header: Header) -> str:
    """Return a digest of what turns photographs into images: parts that were made otherwise are not used.

    The codec is not of that: where it is another, images are decoded and encoded again when parts are merged.
    """
    how = (header.recipe_json, str(header.size), str(FORMAT_VERSION), __version__, cv2.__version__)
    return digest("\n".join(how).encode())


def parts_of(samples: Sequence[Sample], workers: int) -> list[tuple[Sample, ...]]:
    """Cut the samples into parts: small enough that all workers have work until the end."""
    size = min(PART_SIZE, max(4, math.ceil(len(samples) / (PARTS_PER_WORKER * workers))))
    return [tuple(samples[start : start + size]) for start in range(0, len(samples), size)]


def open_target(target: Path) -> Pack | None:
    """Open the pack that is already there; ``None`` where nothing is.

    Raises
    ------
    PackFormatError
        Something else is there, which must not be overwritten.
    """
    if not target.exists():
        return None
    way_out = f"move {target} away, or choose another target with -o"
    try:
        pack = Pack(target)
    except PackError as error:
        raise PackFormatError(
            f"{target} exists and is not overwritten: {error.what}", got=error.got, do=way_out
        ) from error
    if pack.recipe_json is None:
        raise PackFormatError(f"{target} exists and is not overwritten: it was not made by prebake", do=way_out)
    return pack
