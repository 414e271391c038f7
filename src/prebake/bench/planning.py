"""What packing very many photographs would take, from rates measured on a few of the user's own."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.bench.codecs import codec_speeds
from prebake.bench.disk import cold_speed
from prebake.bench.photographs import time_photographs
from prebake.bench.sampling import choose
from prebake.bench.stages import BAKING
from prebake.errors import OptionError
from prebake.files import scratch_folder
from prebake.machine import usable_cores
from prebake.packing import PackOptions
from prebake.packing.probe import machine_memory
from prebake.progress import progress as progress_bar
from prebake.sources import read_bytes, scan
from prebake.store import Header, Pack, PackWriter, Row, merge_packs

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from prebake.bench.result import CodecSpeed
    from prebake.recipe import Recipe

__all__ = ["ROW_MEMORY", "Packing", "Plan", "Rates", "Task", "plan"]

ROW_MEMORY = 1400  # bytes that packing keeps in memory for each photograph, as bench/memory.py measures
MERGE_BYTES = 48 << 20  # of pixels that are merged to time it
MERGES = 3


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured here.

    Parameters
    ----------
    sampled
        Photographs that were baked.
    photograph_bytes
        Mean size of a file.
    bake
        Seconds on one core to decode and bake a photograph, without reading and encoding.
    codecs
        Size and speed of each codec on the baked images.
    merge
        By codec, seconds to merge an image into the pack and to check it there.
    read_speed
        Bytes a second that the photographs are read with, all workers together; ``None`` where it is unknown.
    """

    sampled: int
    photograph_bytes: float
    bake: float
    codecs: tuple[CodecSpeed, ...]
    merge: dict[str, float]
    read_speed: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """One part of the work, and its seconds; ``None`` where a rate is missing."""

    name: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Packing:
    """Packing with one codec.

    Parameters
    ----------
    codec
        Its name.
    pack_bytes
        Of the finished pack; while it is merged, its parts take as much again.
    tasks
        Reading and baking, which go on at the same time, then merging.
    epoch
        Seconds in which this machine decodes all images once, on all its cores, were they in memory.
    streaming
        Seconds in which the storage gives the pack once; ``None`` where its speed is unknown.
    """

    codec: str
    pack_bytes: float
    tasks: tuple[Task, ...]
    epoch: float
    streaming: float | None

    @property
    def seconds(self) -> float:
        """From begin to end, of what is known."""
        reading, baking, merging = (task.seconds or 0.0 for task in self.tasks)
        return max(reading, baking) + merging

    @property
    def bottleneck(self) -> Task:
        """What takes longest."""
        return max(self.tasks, key=lambda task: task.seconds or 0.0)

    @property
    def shards(self) -> int:
        """Into how many packs to divide the work, side by side, so that merging takes no longer than the rest."""
        reading, baking, merging = (task.seconds or 0.0 for task in self.tasks)
        return max(1, math.ceil(merging / max(reading, baking))) if max(reading, baking) else 1


@dataclass(frozen=True)
class Plan:
    """What :func:`plan` found.

    Parameters
    ----------
    source, recipe, size
        What was measured, and how it is baked.
    images, workers
        How many photographs are to be packed, on how many cores.
    cores, memory
        Of this machine; memory in bytes.
    rates
        What was measured.
    """

    source: str
    recipe: str
    size: int
    images: int
    workers: int
    cores: int
    memory: int
    rates: Rates

    @property
    def source_bytes(self) -> float:
        """Of all photographs."""
        return self.images * self.rates.photograph_bytes

    @property
    def driver_memory(self) -> int:
        """Bytes of memory that one command which packs all photographs takes, besides its workers."""
        return self.images * ROW_MEMORY

    @property
    def packings(self) -> tuple[Packing, ...]:
        """The work with each codec."""
        return tuple(self._packing(codec) for codec in self.rates.codecs)

    @property
    def useful_workers(self) -> int | None:
        """How many cores bake as fast as photographs can be read; ``None`` where that is unknown."""
        if not self.rates.read_speed:
            return None
        return max(1, math.ceil(self.rates.bake * self.rates.read_speed / self.rates.photograph_bytes))

    def _packing(self, codec: CodecSpeed) -> Packing:
        speed = self.rates.read_speed
        baking = self.images * (self.rates.bake + 1 / codec.encode) / self.workers
        tasks = (
            Task("reading", self.source_bytes / speed if speed else None),
            Task("baking", baking),
            Task("merging", self.images * self.rates.merge[codec.name]),
        )
        pack_bytes = self.images * self.size**2 * 3 * codec.share
        epoch = self.images / (codec.decode * self.cores)
        return Packing(codec.name, pack_bytes, tasks, epoch, pack_bytes / speed if speed else None)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        packings = []
        for packing in self.packings:
            follows = {"seconds": packing.seconds, "bottleneck": packing.bottleneck.name, "shards": packing.shards}
            packings.append({**asdict(packing), **follows})
        derived = {"source_bytes": self.source_bytes, "driver_memory": self.driver_memory}
        return {**asdict(self), **derived, "useful_workers": self.useful_workers, "packings": packings}


def plan(  # noqa: PLR0913 - one keyword for each option of the command line
    source: str | os.PathLike[str],
    *,
    images: int | None = None,
    workers: int | None = None,
    recipe: Recipe | str = "kernel",
    size: int | None = None,
    photographs: int = 16,
    read_speed: float | None = None,
    progress: bool = True,
) -> Plan:
    """Measure a few photographs, and work out what packing very many like them takes. Nothing is kept.

    All is in proportion to what was measured on this machine: photographs like these, cores like these. That the
    cores bake side by side without slowing each other, and that the storage takes what they write, is supposed.

    Parameters
    ----------
    source
        A folder, .zip or .tar file of photographs.
    images
        How many there are to be; as many as the source has without it.
    workers
        Cores that bake, on all machines together; those of this machine without it.
    recipe, size
        As of :func:`prebake.pack`.
    photographs
        How many are measured, evenly spread.
    read_speed
        Bytes a second that the storage gives all workers together. Without it, what one process reads here, not from
        memory; where the system does not forget the files when asked to, it is not known.
    progress
        Whether to show progress (on a terminal only).

    Raises
    ------
    OptionError
        A number below 1, or a speed of 0.
    SourceError
        The source cannot be read, or nothing of the sample can be baked.
    RecipeError
        The recipe is not valid.
    """
    counts = {"images": images, "workers": workers, "photographs": photographs}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise OptionError(name, expected="at least 1", got=value)
    if read_speed is not None and not 0 < read_speed < math.inf:
        raise OptionError("read speed", expected="more than 0 bytes a second", got=read_speed)
    chosen = PackOptions(recipe=recipe, size=size).load_recipe()
    samples = scan(source)
    few = choose(samples, photographs)
    speed = read_speed if read_speed is not None else cold_speed(few)
    with scratch_folder("plan") as folder:
        with progress_bar("measuring", len(few), enabled=progress) as bar:
            timed = time_photographs(few, chosen, folder / "photographs", bar.update)
        failed = {failure.id for failure in timed.failures}
        baked = np.stack([chosen.bake(read_bytes(sample)).image for sample in few if sample.id not in failed])
        codecs = codec_speeds(baked)
        merge = {codec.name: _merging(baked, chosen, codec.name, folder) for codec in codecs}
    return Plan(
        source=str(source),
        recipe=chosen.name,
        size=chosen.size,
        images=len(samples) if images is None else images,
        workers=usable_cores() if workers is None else workers,
        cores=usable_cores(),
        memory=machine_memory(),
        rates=Rates(
            sampled=len(baked),
            photograph_bytes=sum(sample.size for sample in samples) / len(samples),
            bake=timed.stages[BAKING],
            codecs=codecs,
            merge=merge,
            read_speed=speed,
        ),
    )


def _merging(images: NDArray[np.uint8], recipe: Recipe, codec: str, folder: Path) -> float:
    """Return the seconds that merging an image into a pack and checking it there take: the median of a few times."""
    count = max(len(images), MERGE_BYTES // images[0].nbytes)
    header = Header(recipe.to_json(), recipe.digest, recipe.size, codec)
    part, target = folder / f"{codec}-part.h5", folder / f"{codec}.h5"
    with PackWriter(part, header, images.shape[1:], count) as writer:
        for number in range(count):
            writer.add(_row(number), images[number % len(images)])
    taken: list[float] = []
    for _ in range(MERGES):
        start = time.perf_counter()
        merge_packs([(part, range(count))], target, header, check=False)
        with Pack(target) as pack:
            pack.verify()
        taken.append((time.perf_counter() - start) / count)
        target.unlink()
    part.unlink()
    return sorted(taken)[MERGES // 2]


def _row(number: int) -> Row:
    return Row(
        id=f"{number:08}",
        label=None,
        group=None,
        source="",
        split="",
        path="",
        width=1,
        height=1,
        to_source=np.eye(2, 3),
        source_digest="0" * 32,
        source_bytes=1,
        phash=0,
    )
